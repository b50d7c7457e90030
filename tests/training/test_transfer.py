"""A run that begins with parameters of another, and one that leaves some of its own as they are."""

import json
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import fonts
from digits_jax.alphabet import DIGITS
from digits_jax.data import sources
from digits_jax.errors import InputError
from digits_jax.training import checkpoint, experiment, loop, rundir, states, transfer, weights
from tests.training import runs, toy

CONFIG = {'data': {}, 'alphabet': DIGITS, 'model': rundir.plain(toy.get_config().model)}  # of a file of weights


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  """A trained toy: its parameters are `in`, `bias` and `out`."""
  folder = tmp_path_factory.mktemp('source')
  assert runs.run_toy(folder) == 0
  return folder


def best(workdir, built):
  return checkpoint.Checkpoints(workdir).restore_best(jax.eval_shape(built.initial_state).params)


def start(workdir, **changes):
  """The first state, and the experiment."""
  built = toy.build(toy.get_config(**changes))
  return loop.start(built, checkpoint.Checkpoints(workdir))[0], built


def test_subtrees_asked_for_are_copied_bit_by_bit_and_the_others_start_as_ever(source, tmp_path, capsys):
  state, built = start(tmp_path, init_from=str(source), init_subtrees=('in', 'bias'), seed=1)
  own, given = jax.jit(toy.init)(sources.initial_key(1), built.zero_batch), best(source, built)
  for params in (state.params, state.averaged):
    for name, want in (('in', given), ('bias', given), ('out', own)):
      np.testing.assert_array_equal(params[name], want[name])
  assert not np.array_equal(given['in'], own['in']) and int(state.step) == 0
  out = capsys.readouterr().out
  assert f'from {source}' in out and 'copied: in, 1,152 parameters' in out
  assert 'at its own start: out, not asked for' in out


def test_what_is_frozen_must_be_copied(source, tmp_path):
  given = {'init_from': str(source), 'init_subtrees': ('in', 'bias')}
  assert start(tmp_path, **given, **{'optim.frozen': ('in', 'bias')})
  built = toy.build(toy.get_config(**given, **{'optim.frozen': ('in', 'out')}))
  words = r"config\.optim\.frozen: 'out' would stay at its random start, .* \(not asked for\): copy it, or leave it out"
  with pytest.raises(InputError, match=words):
    loop.check_start(built, checkpoint.Checkpoints(tmp_path))


def test_what_is_frozen_at_random_is_said(tmp_path, capsys):
  start(tmp_path, **{'optim.frozen': ('in',)})
  assert capsys.readouterr().out == 'frozen at a random start: in (config.init_from is empty)\n'


def test_no_warning_of_orbax_is_shown(source, tmp_path, caplog):
  config = toy.get_config(init_from=str(source))
  transfer.check(toy.build(config).initial_state().params, config, head='out')
  assert not caplog.records


def test_what_is_copied_is_the_average_that_is_read_with(source, tmp_path):
  state, built = start(tmp_path, init_from=str(source))
  trained, _ = loop.start(built, checkpoint.Checkpoints(source))
  jax.tree.map(np.testing.assert_array_equal, state.params, jax.tree.map(jnp.asarray, trained.averaged))
  assert not np.array_equal(state.params['out'], trained.params['out'])


def test_without_an_average_there_is_none_to_begin_with(source, tmp_path):
  assert start(tmp_path, init_from=str(source), **{'optim.average_decay': 0.0})[0].averaged == ()


def shapes(**sizes):
  return {name: {'kernel': jax.ShapeDtypeStruct(size, jnp.float32)} for name, size in sizes.items()}


def test_a_file_of_weights_is_begun_with_as_well(source, tmp_path):
  given = best(source, toy.build(toy.get_config()))
  weights.write(tmp_path / 'it.npz', config=CONFIG, params=given, step=1, temperature=1.0)
  state, _ = start(tmp_path / 'run', init_from=str(tmp_path / 'it.npz'), init_subtrees=('in',), seed=1)
  np.testing.assert_array_equal(state.params['in'], np.asarray(given['in']).astype(np.float16).astype(np.float32))
  weights.write(tmp_path / 'it.npz', config=CONFIG | {'model': None}, params=given, step=1, temperature=1.0)
  with pytest.raises(InputError, match=r'config\.init_from: .*it\.npz is damaged: its config is not whole'):
    start(tmp_path / 'other', init_from=str(tmp_path / 'it.npz'))
  (tmp_path / 'it.npz').write_bytes(b'something else')
  with pytest.raises(InputError, match=r'it\.npz cannot be read as a file of weights'):
    start(tmp_path / 'other', init_from=str(tmp_path / 'it.npz'))


def test_the_report_says_what_was_copied_what_did_not_fit_and_what_was_left():
  ours, theirs = shapes(trunk=(2, 3), frames=(4,), head=(3, 11)), shapes(trunk=(2, 3), head=(3, 10), scale=(1,))
  report = transfer.compare(ours, theirs, ())
  assert report.copied == {'trunk': 6} and report.unused == ('scale',)
  assert report.kept == {
    'frames': 'the other run has none',
    'head': "['kernel'] is of shape (3, 10) there and of shape (3, 11) here",
  }
  assert [line.split(':')[0] for line in str(report).splitlines()] == [
    'copied', 'at its own start', 'at its own start', 'left there',
  ]  # fmt: skip


@pytest.mark.parametrize(
  ('subtrees', 'words'),
  [
    (('tronk',), "this model has no parameters 'tronk'; it has frames, head, trunk"),
    (('trunk', 'frames'), "the run of config.init_from has no parameters 'frames'; it has head, scale, trunk"),
    (('head',), r"'head' does not fit this model: \['kernel'\] is of shape \(3, 10\) there"),
  ],
)
def test_a_subtree_asked_for_that_is_not_there_or_does_not_fit_is_named(subtrees, words):
  ours, theirs = shapes(trunk=(2, 3), frames=(4,), head=(3, 11)), shapes(trunk=(2, 3), head=(3, 10), scale=(1,))
  with pytest.raises(InputError, match=words):
    transfer.compare(ours, theirs, subtrees)


def test_a_head_of_another_alphabet_is_not_copied(source, tmp_path):
  ours = theirs = shapes(trunk=(2, 3), head=(3, 11))
  foreign = {'head': 'its classes are the symbols of another alphabet'}
  report = transfer.compare(ours, theirs, (), foreign=foreign)
  assert report.copied == {'trunk': 6}
  assert report.kept == foreign
  with pytest.raises(InputError, match="'head' does not fit this model: its classes are the symbols of another"):
    transfer.compare(ours, theirs, ('head',), foreign=foreign)
  params = toy.build(toy.get_config()).initial_state().params
  given = best(source, toy.build(toy.get_config()))
  weights.write(tmp_path / 'it.npz', config=CONFIG, params=given, step=1, temperature=1.0)
  for where in (source, tmp_path / 'it.npz'):
    for alphabet, copied in (DIGITS, ['bias', 'in', 'out']), (DIGITS[::-1], ['bias', 'in']):
      config = toy.get_config(init_from=str(where), alphabet=alphabet)
      assert sorted(transfer.check(params, config, head='out').copied) == copied


@pytest.mark.parametrize(('field', 'value'), [('patch', (2, 8)), ('is_standardised', False)])
def test_a_trunk_that_saw_other_images_is_not_copied(tmp_path, field, value):
  config = fonts.get_config('tiny')
  params = experiment.build(config).initial_state().params
  theirs = {'data': {}, 'alphabet': DIGITS, 'model': rundir.plain(config.model)}
  weights.write(tmp_path / 'it.npz', config=theirs, params=params, step=1, temperature=1.0)
  config.init_from = str(tmp_path / 'it.npz')
  assert 'trunk' in transfer.check(params, config, head='head').copied
  config.model[field] = value
  report = transfer.check(params, config, head='head')  # the shapes are the same
  assert 'trunk' not in report.copied and {'frames', 'head'} <= report.copied.keys()
  assert report.kept['trunk'].startswith(f'config.model.{field} is {theirs["model"][field]} there and ')


def test_nothing_that_fits_is_refused():
  with pytest.raises(InputError, match='nothing of that run fits this model'):
    transfer.compare(shapes(trunk=(2,)), shapes(trunk=(3,)), ())


def test_a_start_that_cannot_be_made_is_refused_before_there_is_a_directory(source, tmp_path):
  stop = lambda step: signal.raise_signal(signal.SIGTERM) if step == 2 else None
  assert runs.run_toy(tmp_path / 'young', feed=stop, steps=20, eval_every=100, checkpoint_every=100) == 143
  cases = [(str(tmp_path), (), 'holds no run'), (str(tmp_path / 'young'), (), 'holds nothing yet')]
  cases.append((str(source), ('trunk',), "no parameters 'trunk'"))
  shutil.copytree(source, tmp_path / 'cut')
  (metadata,) = (tmp_path / 'cut' / 'checkpoints' / 'best').rglob('_METADATA')
  metadata.write_text('')
  cases.append((str(tmp_path / 'cut'), (), r'checkpoints/best/\d+ is damaged: copy the run again'))
  for where, subtrees, words in cases:
    built = toy.build(toy.get_config(init_from=where, init_subtrees=subtrees))
    with pytest.raises(InputError, match=words):
      loop.check_start(built, checkpoint.Checkpoints(tmp_path / 'run'))
  assert not (tmp_path / 'run').exists()
  (tmp_path / 'other' / 'checkpoints').mkdir(parents=True)  # somebody's
  with pytest.raises(InputError, match=words):
    loop.check_start(built, checkpoint.Checkpoints(tmp_path / 'other'))
  assert not any((tmp_path / 'other' / 'checkpoints').iterdir())


def test_a_run_with_a_frozen_start_in_two_parts_equals_a_whole_one_though_its_source_is_gone(source, tmp_path):
  shutil.copytree(source, tmp_path / 'source')
  changes = {'init_from': str(tmp_path / 'source'), 'optim.frozen': ('in', 'bias')}
  assert runs.run_toy(tmp_path / 'whole', steps=6, **changes) == 0
  assert runs.run_toy(tmp_path / 'parts', steps=4, **changes) == 0
  (tmp_path / 'source').rename(tmp_path / 'moved')
  assert runs.run_toy(tmp_path / 'parts', steps=6, **changes) == 0
  runs.assert_same_bits(tmp_path / 'whole', tmp_path / 'parts')

  # Frozen parameters and their average keep the source's bits; the others learn.
  saved, given = runs.saved(tmp_path / 'whole'), best(source, toy.build(toy.get_config()))
  for name in ('in', 'bias', 'out'):
    for kind in ('params', 'averaged'):
      assert np.array_equal(saved[f"['state']['{kind}']['{name}']"], given[name]) == (name != 'out')
  assert not any("['in']" in name or "['bias']" in name for name in saved if 'opt_state' in name)
  assert any("['out']" in name for name in saved if 'opt_state' in name)


@pytest.mark.slow
def test_frozen_parameters_have_no_part_in_the_optimiser_or_in_the_norm_of_the_gradient(tmp_path):
  changes = {'optim.frozen': ('in', 'bias'), 'steps': 1, 'log_every': 1}
  assert runs.run_toy(tmp_path, **changes) == 0
  built = toy.build(toy.get_config(**changes))
  state = built.initial_state()
  scalars = 2  # Adam's count of steps and the schedule's
  assert sum(leaf.size for leaf in jax.tree.leaves(state.opt_state)) == 2 * state.params['out'].size + scalars

  key, items, places = sources.training_key(0), built.train.feed(0, 0, 8), np.arange(8)
  batch = sources.draw_batch(built.train, key, jnp.asarray(built.train.constants), 0, items, places)
  losses = lambda out: built.task.loss(state.params | {'out': out}, batch, None)[0]
  gradient = jax.grad(lambda out: jnp.sum(losses(out) * batch.mask) / jnp.sum(batch.mask))(state.params['out'])
  logged = next(record for record in runs.logged(tmp_path) if record['kind'] == 'train')
  assert logged['gradient_norm'] == pytest.approx(float(jnp.linalg.norm(gradient)), rel=1e-5)


@pytest.mark.parametrize(
  ('frozen', 'words'),
  [
    (('trunk',), "there are no parameters 'trunk'; there are bias, in, out"),
    (('in', 'bias', 'out'), 'nothing is left to train'),
  ],
)
def test_what_cannot_be_frozen_is_refused(frozen, words):
  built = toy.build(toy.get_config(**{'optim.frozen': frozen}))
  with pytest.raises(InputError, match=f'config.optim.frozen: {words}'):
    jax.eval_shape(built.initial_state)


def test_weight_decay_leaves_frozen_parameters_alone():
  params = {'a': jnp.ones((2, 2)), 'b': jnp.ones((2, 2))}
  optimiser = toy.build(toy.get_config(**{'optim.weight_decay': 0.5})).optimiser
  state = states.create(params, optimiser, has_average=True, frozen=('a',))
  gradients = {'b': jnp.zeros((2, 2))}
  new = states.apply_gradients(state, gradients, optimiser, rate_scale=jnp.float32(1), decay=0.3, frozen=('a',))
  assert (new.params['a'] == 1).all() and (new.averaged['a'] == 1).all()
  assert (new.params['b'] < 1).all() and (new.averaged['b'] < 1).all()


def test_the_config_of_a_run_says_where_it_began(source, tmp_path):
  assert runs.run_toy(tmp_path, init_from=str(source)) == 0
  assert json.loads((tmp_path / 'config.json').read_text())['init_from'] == str(source)
  with pytest.raises(InputError, match='init_from: '):
    runs.run_toy(tmp_path)
