"""What the loop decides: when to log, evaluate, save and stop, and what it hands to the test."""

import dataclasses
import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax import drawing
from digits_jax.data import sources
from digits_jax.errors import InputError
from digits_jax.training import checkpoint, finish, loop, parallel, scoring, states, temperature
from tests.training import runs, toy


def kinds(workdir):
  return [(record['kind'], record['step']) for record in runs.logged(workdir)]


def test_logs_and_evaluations_come_when_they_are_due(tmp_path):
  assert runs.run_toy(tmp_path, steps=7, log_every=3, eval_every=2, checkpoint_every=5) == 0
  assert kinds(tmp_path) == [
    ('validation', 2), ('train', 3), ('validation', 4), ('train', 6), ('validation', 6), ('validation', 7),
  ]  # fmt: skip
  assert runs.saved(tmp_path)['folder'] == '7'


def test_training_never_draws_what_a_test_set_does(tmp_path, monkeypatch):
  seen = []
  make = parallel.make_train_call

  def spy(*given, **options):
    call = make(*given, **options)
    return lambda state, constants, *rest: seen.append(constants[0]) or call(state, constants, *rest)

  monkeypatch.setattr(parallel, 'make_train_call', spy)
  built = toy.build(toy.get_config(seed=2, steps=1))  # the seed of the test set
  assert runs.run(tmp_path, built) == 0
  ids = np.arange(8, dtype=np.int32)
  draw = lambda key: sources.draw_batch(built.train, key, jnp.asarray(built.train.constants), 0, ids, ids).images
  key = jax.random.wrap_key_data(np.asarray(jax.random.key_data(seen[0])).reshape(-1, 2)[0])
  ours, theirs = draw(key), draw(jax.random.key(built.tests['test'].seed))
  assert np.abs(ours - theirs).max((1, 2, 3)).min() > 0.1
  np.testing.assert_array_equal(ours, draw(sources.training_key(2)))


def test_the_loss_gets_a_key_of_its_own_for_each_example_of_each_step(tmp_path):
  assert runs.run_toy(tmp_path, steps=2, log_every=1) == 0
  logged = [record['luck'] for record in runs.logged(tmp_path) if record['kind'] == 'train']
  built, key, ids = toy.build(toy.get_config()), sources.training_key(0), np.arange(8, dtype=np.int32)
  for step in (0, 1):
    mask = sources.draw_batch(built.train, key, jnp.asarray(built.train.constants), step, ids, ids).mask
    keys = sources.example_keys(jax.random.fold_in(key, 2**31 - 1), step, ids)  # not those of the images
    expected = np.asarray(jax.vmap(jax.random.uniform)(keys))[np.asarray(mask)].mean()
    assert logged[step] == pytest.approx(expected, rel=1e-5)


def test_a_run_is_not_cut_at_a_step_that_was_not_evaluated(tmp_path):
  stop = lambda step: signal.raise_signal(signal.SIGTERM) if step == 3 else None
  assert runs.run_toy(tmp_path, feed=stop, steps=8, eval_every=8, checkpoint_every=8) == 143
  stopped = int(runs.saved(tmp_path)['folder'])
  with pytest.raises(InputError, match=f'stopped at step {stopped}, which was not evaluated'):
    runs.run_toy(tmp_path, steps=stopped, eval_every=8, checkpoint_every=8)
  assert runs.run_toy(tmp_path, steps=stopped + 1, eval_every=8, checkpoint_every=8) == 0


@pytest.mark.parametrize('per_call', [1, 4])
def test_no_more_steps_are_fed_than_are_trained(tmp_path, per_call):
  fed = []
  assert runs.run_toy(tmp_path, feed=fed.append, steps=7, log_every=3, steps_per_call=per_call) == 0
  assert sorted(step for step in fed if step > 0) == list(range(1, 7))  # step 0 is fed for its shapes, too


def test_a_sheet_begins_with_an_error_wherever_it_stands_in_the_set(tmp_path, monkeypatch):
  built, drawn = toy.build(toy.get_config()), []
  monkeypatch.setattr(drawing, 'readings_sheet', lambda *arguments, **options: drawn.append((arguments, options)))
  fixed = built.tests['test']
  fixed = dataclasses.replace(fixed, files=tuple(f'in/{i}.png' for i in range(fixed.examples)))
  records = scoring.make_scorer(built.task, fixed, batch_size=7)(built.initial_state().params)
  last = fixed.examples - 1
  records = jax.tree.map(np.asarray, records) | {'is_right': np.arange(fixed.examples) != last}
  finish.draw_sheet(tmp_path / 'it.png', fixed, records, built.alphabet, 3)
  (arguments, options), = drawn
  assert len(arguments[1]) == 3 and options['whole'] == (1, fixed.examples)
  np.testing.assert_array_equal(arguments[1][0], sources.draw_examples(fixed, [last]).images[0])
  assert options['notes'][0] == f'{records["confidence"][last]:.2%}  {last}.png'


def test_next_pause():
  config = toy.get_config(steps=10, log_every=4, eval_every=6, checkpoint_every=100)
  assert [loop.next_pause(step, config) for step in range(10)] == [4] * 4 + [6] * 2 + [8] * 2 + [10] * 2


def test_logged_means_are_those_of_the_steps_since_the_last(tmp_path):
  assert runs.run_toy(tmp_path / 'each', steps=4, log_every=1) == 0
  assert runs.run_toy(tmp_path / 'pairs', steps=4, log_every=2) == 0
  each, pairs = (
    [record for record in runs.logged(tmp_path / name) if record['kind'] == 'train'] for name in ('each', 'pairs')
  )
  for i, pair in enumerate(pairs):
    for name in ('loss', 'gradient_norm', 'learning_rate', 'empty', 'parameter_norm'):
      assert pair[name] == pytest.approx((each[2 * i][name] + each[2 * i + 1][name]) / 2, rel=1e-12)


def test_a_mean_over_a_change_of_log_every_counts_its_own_steps(tmp_path):
  assert runs.run_toy(tmp_path / 'each', steps=5, log_every=1) == 0
  assert runs.run_toy(tmp_path / 'both', steps=3, log_every=2) == 0
  assert runs.run_toy(tmp_path / 'both', steps=5, log_every=5) == 0
  each, both = (
    [record for record in runs.logged(tmp_path / name) if record['kind'] == 'train'] for name in ('each', 'both')
  )
  assert [record['step'] for record in both] == [2, 5]
  assert both[1]['loss'] == pytest.approx(np.mean([record['loss'] for record in each[2:]]), rel=1e-12)


def nan_at(bad_step, leaf):
  """The toy whose example images (or masks) are bad from one step on."""
  built = toy.build(toy.get_config(steps=8))
  example = built.train.example

  def broken(key, constants, item):
    batch = example(key, constants, item['id'])
    if leaf == 'mask':
      return batch.replace(mask=batch.mask & (item['step'] < bad_step))
    return batch.replace(images=jnp.where(item['step'] >= bad_step, jnp.nan, batch.images))

  feed = lambda step, first, count: {
    'id': np.arange(first, first + count, dtype=np.int32), 'step': np.full(count, step, np.int32)
  }  # fmt: skip
  return dataclasses.replace(built, train=dataclasses.replace(built.train, feed=feed, example=broken))


@pytest.mark.parametrize(('bad_step', 'saved'), [(4, 4), (5, 4), (6, 6)])
@pytest.mark.parametrize('leaf', ['images', 'mask'])  # a batch without a valid example has no mean loss
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path, leaf, bad_step, saved):
  with pytest.raises(InputError, match=f'not finite at step {bad_step + 1}; checkpoints from before are kept'):
    runs.run(tmp_path, nan_at(bad_step, leaf))
  checkpointed = runs.saved(tmp_path)
  assert checkpointed['folder'] == str(saved)
  assert all(np.isfinite(np.asarray(leaf, float)).all() for name, leaf in checkpointed.items() if 'state' in name)
  assert not (tmp_path / 'result.json').exists()


def test_parameters_that_overflow_are_never_saved(tmp_path):
  """The gradient of the step that ruins them is finite."""
  changes = {'optim.learning_rate': 3e38, 'optim.name': 'sgd', 'optim.clip_norm': 0.0, 'optim.warmup_steps': 0}
  with pytest.raises(InputError, match='a parameter is not finite at step 1;'):
    runs.run_toy(tmp_path, checkpoint_every=1, eval_every=1, **changes)
  assert checkpoint.Checkpoints(tmp_path).latest_step() is None


def test_validation_that_the_model_cannot_read_stops_too_and_a_test_set_does_not(tmp_path, monkeypatch):
  summarise, seen = scoring.summarise, []

  def unreadable(records):
    seen.append(len(records['loss']))
    is_feasible = records['is_feasible'] & (len(records['loss']) != unreadable.examples)
    return summarise(records | {'is_feasible': is_feasible})

  monkeypatch.setattr(loop.scoring, 'summarise', unreadable)
  unreadable.examples = 12  # of validation
  with pytest.raises(InputError, match='the model can read no number of validation'):
    runs.run_toy(tmp_path / 'validation')
  unreadable.examples = 20  # of the test
  assert runs.run_toy(tmp_path / 'test') == 0 and {12, 20} <= set(seen)
  test = json.loads((tmp_path / 'test' / 'result.json').read_text())['tests']['test']
  assert test['loss'] is None and test['infeasible'] == test['examples']


def test_a_validation_loss_that_is_not_finite_stops_too(tmp_path):
  built = toy.build(toy.get_config())
  example = built.validation.source.example
  blind = lambda *args: example(*args).replace(images=jnp.full((6, 12, 1), jnp.nan))
  broken = dataclasses.replace(built.validation, source=dataclasses.replace(built.validation.source, example=blind))
  with pytest.raises(InputError, match='validation loss is not finite at step 2;'):
    runs.run(tmp_path, dataclasses.replace(built, validation=broken))


def test_early_stopping_ends_a_run_and_it_stays_ended(tmp_path, capfd):
  changes = {'selection.patience': 2, 'selection.min_delta': 2.0}  # no accuracy improves by 2
  assert runs.run_toy(tmp_path, steps=100, **changes) == 0
  assert kinds(tmp_path)[-1] == ('validation', 6)
  assert runs.result(tmp_path)['steps'] == 6
  assert 'nothing is left' not in capfd.readouterr().out
  assert runs.run_toy(tmp_path, steps=200, **changes) == 0
  assert runs.result(tmp_path)['steps'] == 6
  words = 'nothing is left to train: the run ended at step 6, after config.selection.patience=2 evaluations without'
  assert words in capfd.readouterr().out
  assert runs.run_toy(tmp_path, steps=200, **changes | {'selection.patience': 3}) == 0  # it may be raised
  assert runs.result(tmp_path)['steps'] == 8


def test_a_plateau_lowers_the_rate_that_steps_use(tmp_path):
  changes = {'selection.min_delta': 2.0, 'selection.plateau_patience': 1, 'optim.warmup_steps': 0}
  changes |= {'selection.plateau_factor': 0.2, 'selection.min_rate_scale': 0.1}
  assert runs.run_toy(tmp_path, steps=8, log_every=1, **changes) == 0
  rates = [record['learning_rate'] for record in runs.logged(tmp_path) if record['kind'] == 'train']
  np.testing.assert_allclose(np.array(rates) / 2e-3, [1, 1, 1, 1, 0.2, 0.2, 0.1, 0.1], rtol=1e-6)
  assert runs.run_toy(tmp_path / 'other', steps=8, log_every=1, **changes, **{'optim.schedule': 'constant'}) == 0
  rates = [record['learning_rate'] for record in runs.logged(tmp_path / 'other') if record['kind'] == 'train']
  np.testing.assert_allclose(np.array(rates) / 2e-3, 1, rtol=1e-6)  # which no evaluation lowers


def test_the_average_decays_as_the_config_says(tmp_path):
  found = []
  for decay in (0.15, 0.9):
    assert runs.run_toy(tmp_path / str(decay), **{'optim.average_decay': decay}) == 0
    found.append(runs.saved(tmp_path / str(decay)))
  for name in ('in', 'bias', 'out'):
    params, averaged = ([saved[f"['state']['{kind}']['{name}']"] for saved in found] for kind in ('params', 'averaged'))
    assert np.array_equal(*params) and not np.array_equal(*averaged)


@pytest.mark.parametrize('decay', [0.9, 0.0])
def test_the_best_checkpoint_is_the_best_by_validation_and_the_test_uses_it(tmp_path, decay):
  """A rate so high that the loss goes up and down: the best is neither the first evaluation nor the last."""
  changes = {'optim.learning_rate': 0.05, 'optim.average_decay': decay, 'selection.metric': 'loss', 'eval_every': 1}
  built = toy.build(toy.get_config(steps=10, **changes))
  assert runs.run(tmp_path, built) == 0
  losses = {r['step']: r['loss'] for r in runs.logged(tmp_path) if r['kind'] == 'validation'}
  best = min(losses, key=losses.get)
  assert best not in (1, 10)
  result = runs.result(tmp_path)
  assert (result['best_step'], result['steps']) == (best, 10)
  assert result['validation'] == {'loss': losses[best]}

  # The parameters of that very step, by a run that ends there.
  short = toy.build(toy.get_config(steps=best, **changes))
  assert runs.run(tmp_path / 'short', short) == 0
  checkpoints = checkpoint.Checkpoints(tmp_path / 'short')
  state, _ = loop.start(short, checkpoints)
  params = states.reading_params(state)
  assert (params is state.averaged) == bool(decay)
  stored = checkpoint.Checkpoints(tmp_path).restore_best(params)
  jax.tree.map(np.testing.assert_array_equal, stored, params)
  fitted = temperature.fit(built.task, built.validation, params, batch_size=7)  # on validation, never on the test
  assert result['temperature'] == pytest.approx(fitted.temperature, rel=1e-3) and fitted.temperature != 1
  wanted = {'loss_before': fitted.loss_before, 'loss_after': fitted.loss_after}
  assert result['temperature_fit'] == pytest.approx(wanted, rel=1e-4)
  records = scoring.make_scorer(built.task, built.tests['test'], batch_size=7)(params, result['temperature'])
  figures = scoring.summarise(records)
  for name in ('loss', 'calibration_error'):  # sums in another order
    assert result['tests']['test'][name] == pytest.approx(figures.pop(name), rel=1e-5)
  assert {name: result['tests']['test'][name] for name in figures} == json.loads(json.dumps(figures))


def test_the_result_says_what_was_tested(tmp_path, monkeypatch):
  headings, draw = [], drawing._draw_sheet
  monkeypatch.setattr(drawing, '_draw_sheet', lambda *arguments: (headings.append(arguments[5]), draw(*arguments)))
  assert runs.run_toy(tmp_path, **{'evaluation.sheet': 3}) == 0
  result = json.loads((tmp_path / 'result.json').read_text())
  assert result['steps'] == 4 and result['parameters'] == 72 * 16 + 16 + 16 * 22 and result['seconds'] > 0
  test = result['tests']['test']
  assert (test['set'], test['examples']) == ('toy-v1', 20)
  assert sum(count for _, count in test['by_length'].values()) == 20
  assert 0 <= test['interval'][0] <= test['sequence_accuracy'] <= test['interval'][1] <= 1
  assert {path.name for path in (tmp_path / 'plots').iterdir()} == {'coverage.png', 'curves.png', 'test.png'}
  errors = round(20 * (1 - test['sequence_accuracy']))
  drawn = min(errors, 3)
  summary = f'{errors} of 20 read wrongly; here {drawn} wrong, {3 - drawn} right'
  assert headings == [['toy-v1: errors first', summary]]
