"""Reading by CTC: the four functions of the task, and that it learns doubled digits."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from digits_jax import confidence, metrics, structs, tasks
from digits_jax.alphabet import Alphabet
from digits_jax.errors import InputError
from digits_jax.tasks import read_ctc

ALPHABET = Alphabet()
RNG = np.random.default_rng(0)
GLYPHS = RNG.integers(0, 2, (10, 12, 6)).repeat(1, 0).astype(np.float32)  # a pattern for each digit
MODEL = {
  'patch': (4, 2), 'widths': (16, 32), 'pools': ((2, 1), (2, 1)), 'groups': 4, 'frame_features': 32,
  'recurrent': 'lstm', 'recurrent_features': 24, 'recurrent_layers': 1, 'is_bidirectional': True, 'dtype': jnp.float32,
}  # fmt: skip


def batch_of(texts, *, slots=7, width=64):
  """Numbers in patterns on 16 x width, some noise behind them."""
  images = 0.1 * RNG.uniform(size=(len(texts), 16, width, 1)).astype(np.float32)
  for image, text in zip(images, texts, strict=True):
    for i, digit in enumerate(text[: width // 8]):
      image[2:14, 1 + 8 * i : 7 + 8 * i, 0] += 0.9 * GLYPHS[int(digit)]
  labels, lengths = ALPHABET.pack(texts, slots)
  boxes = np.zeros((len(texts), slots, 4), np.float32)
  return structs.Batch(images, labels, lengths, boxes, np.ones(len(texts), bool))


TASK = read_ctc.make(alphabet=ALPHABET, decoder='beam', beams=10, n_best=3, **MODEL)
GREEDY = read_ctc.make(alphabet=ALPHABET, decoder='greedy', beams=10, n_best=3, **MODEL)
loss = jax.jit(TASK.loss)
init = jax.jit(TASK.init)
score = jax.jit(TASK.score)
predict = jax.jit(TASK.predict)


def logits_of(path):
  """Logits [T, 11] whose likeliest classes spell the path; '-' is the blank."""
  classes = [0 if symbol == '-' else int(symbol) + 1 for symbol in path]
  return 5 * np.eye(11, dtype=np.float32)[classes]


def test_the_loss_of_an_example_does_not_know_the_others():
  batch = batch_of(['12', '1003377', '90'])
  params = init(jax.random.key(0), batch)
  losses, found = loss(params, batch, None)
  assert losses.shape == (3,) and losses.dtype == jnp.float32 and (losses > 0).all()
  assert {name: value.shape for name, value in found.items()} == {'infeasible': (3,), 'empty': (3,)}
  for i in range(3):
    threefold = jax.tree.map(lambda leaf: leaf[[i] * 3], batch)
    np.testing.assert_allclose(loss(params, threefold, None)[0], np.repeat(losses[i], 3), rtol=1e-5)
  changed = dataclasses.replace(batch, images=np.concatenate([batch.images[:2], 1 - batch.images[1:2]]))
  again = loss(params, changed, None)[0]
  np.testing.assert_allclose(again[:2], losses[:2], rtol=1e-5)
  assert abs(again[2] - losses[2]) > 1e-4


def test_a_label_that_does_not_fit_costs_nothing_and_is_counted():
  batch = batch_of(['1003377', '1234567'], width=18)  # 9 frames: the first needs 10, the second 7
  params = init(jax.random.key(0), batch)
  losses, found = loss(params, batch, None)
  assert np.asarray(found['infeasible']).tolist() == [1, 0] and losses[0] == 0 and losses[1] > 0
  gradient = jax.jit(jax.grad(lambda params: TASK.loss(params, batch, None)[0][0]))(params)
  assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(gradient))
  records = score(predict(params, batch.images), batch)
  assert np.asarray(records['is_feasible']).tolist() == [False, True]


def test_score():
  paths = [path.ljust(19, '-') for path in ('-11-00--0-33-3-7-7-', '11-2', '', '4-4-5', '98')]
  truths = ['100337', '12', '7', '45', '98']
  batch = batch_of(truths)
  records = jax.device_get(score({'logits': np.stack([logits_of(path) for path in paths])}, batch))
  read = [ALPHABET.decode(*row) for row in zip(records['predicted'], records['predicted_length'], strict=True)]
  assert read == ['1003377', '12', '', '445', '98']
  assert records['is_right'].tolist() == [False, True, False, False, True]
  assert records['edit_distance'].tolist() == [1, 0, 1, 1, 0]
  assert records['position_hits'].tolist() == [6, 2, 0, 1, 2]
  assert records['is_empty'].tolist() == [False, False, True, False, False]
  assert records['is_feasible'].all() and records['loss'].shape == (5,)
  assert records['loss'][4] < 2 < records['loss'][2]
  assert {leaf.shape[0] for leaf in records.values()} == {5}
  assert set(metrics.RECORDS) - set(records) == {'mask', 'label_length'}  # those that evaluation adds


def test_doubled_digits_need_a_blank_between_them():
  doubled, merged = logits_of('1-0-03-37-7'), logits_of('1-00033-77-')
  batch = batch_of(['1003377', '1003377'])
  records = jax.device_get(score({'logits': np.stack([doubled, merged])}, batch))
  assert records['is_right'].tolist() == [True, False]
  assert ALPHABET.decode(records['predicted'][1], records['predicted_length'][1]) == '1037'


def probable(first, second):
  """Logits [2, 11] of two frames with the probabilities given for each, as {symbol: share}; '-' is the blank."""
  logits = np.full((2, 11), -30.0, np.float32)
  for frame, shares in enumerate((first, second)):
    for symbol, share in shares.items():
      logits[frame, 0 if symbol == '-' else int(symbol) + 1] = np.log(share)
  return logits


def test_beam_and_greedy_differ_where_paths_add_up():
  # Paths: '-' '-' 0.36, '7' in three ways 0.24 + 0.24 + 0.16 = 0.64: the best path is not the best reading.
  logits = probable(first={'-': 0.6, '7': 0.4}, second={'-': 0.6, '7': 0.4})[None]
  batch = batch_of(['7'])
  beam, greedy = (jax.device_get(jax.jit(task.score)({'logits': logits}, batch)) for task in (TASK, GREEDY))
  assert beam['is_right'] and not greedy['is_right'] and greedy['is_empty']
  np.testing.assert_allclose([beam['confidence'][0], greedy['confidence'][0]], [0.64, 0.36], rtol=1e-5)
  assert (beam['rank'].tolist(), beam['n_best'].tolist()) == ([0], [3])
  assert (greedy['rank'].tolist(), greedy['n_best'].tolist()) == ([1], [1])
  assert {name: beam[name].dtype.name for name in confidence.RECORDS} == {
    'confidence': 'float32', 'rank': 'int32', 'n_best': 'int32',
  }  # fmt: skip


def test_rank_is_the_index_in_the_list():
  logits = probable(first={'1': 0.5, '2': 0.3, '3': 0.2}, second={'-': 1.0})[None].repeat(4, 0)
  records = jax.device_get(score({'logits': logits}, batch_of(['1', '2', '3', '4'])))
  assert records['rank'].tolist() == [0, 1, 2, 3]
  assert records['is_right'].tolist() == [True, False, False, False]
  np.testing.assert_allclose(records['confidence'], 0.5, rtol=1e-5)  # of what is read, whatever is right


def test_outputs_that_are_no_numbers_are_not_read_as_nothing():
  logits = np.full((2, 19, 11), np.nan, np.float32)
  records = jax.device_get(score({'logits': logits}, batch_of(['12', ''])))
  assert not records['is_right'].any() and not records['is_empty'].any()


@pytest.mark.parametrize('n', [1, 2])
def test_the_best_reading_does_not_hang_on_how_many_are_wanted(n):
  logits = 3 * np.random.default_rng(0).normal(size=(200, 12, 11)).astype(np.float32)
  read = jax.jit(functools.partial(read_ctc.read, beams=6), static_argnames='n_best')
  few, five = read({'logits': logits}, n_best=n), read({'logits': logits}, n_best=5)
  assert few.labels.shape == (200, n, 12)
  np.testing.assert_array_equal(few.labels, five.labels[:, :n])
  np.testing.assert_allclose(few.log_probs, five.log_probs[:, :n], rtol=1e-5)


def test_one_symbol_needs_a_blank_between_any_two():
  logits = np.zeros((2, 5, 2), np.float32)
  assert np.asarray(read_ctc.read({'logits': logits}, beams=4, n_best=1, min_length=3).lengths).tolist() == [[3], [3]]
  with pytest.raises(InputError, match='reads at most 3 digits, and at least 4 are asked for'):
    read_ctc.read({'logits': logits}, beams=4, n_best=1, min_length=4)


def test_confidence_is_exact_with_one_beam():
  narrow = read_ctc.make(alphabet=ALPHABET, decoder='beam', beams=1, n_best=1, **MODEL)
  logits = RNG.normal(size=(6, 9, 11)).astype(np.float32)
  records = jax.device_get(jax.jit(narrow.score)({'logits': logits}, batch_of(['1'] * 6)))
  again = batch_of(['1'] * 6).replace(labels=records['predicted'], label_lengths=records['predicted_length'])
  losses = jax.device_get(score({'logits': logits}, again))['loss']
  np.testing.assert_allclose(records['confidence'], np.exp(-losses), rtol=1e-5)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'decoder': 'beem'}, "config.evaluation.decoder: there is no 'beem'; did you mean 'beam'?"),
    ({'n_best': 11}, 'n_best=11 must be at least 1 and at most config.evaluation.beams=10'),
    ({'n_best': 0}, 'n_best=0 must be at least 1'),
  ],
)
def test_unknown_decoding(changes, message):
  with pytest.raises(InputError, match=message):
    read_ctc.make(alphabet=ALPHABET, **{'decoder': 'beam', 'beams': 10, 'n_best': 3} | changes, **MODEL)


def test_init_refuses_too_few_frames():
  with pytest.raises(InputError, match='numbers of 7 symbols do not fit the 4 frames of this model: narrow'):
    init(jax.random.key(0), batch_of([''], width=8))
  init(jax.random.key(0), batch_of([''], width=14))  # 7 frames
  one = read_ctc.make(alphabet=Alphabet('1'), decoder='greedy', beams=1, n_best=1, **MODEL).init  # blanks between
  with pytest.raises(InputError, match='numbers of 7 symbols do not fit the 12 frames'):
    one(jax.random.key(0), batch_of([''], width=24))
  one(jax.random.key(0), batch_of([''], width=26))


def test_the_layer_table_names_the_parameters():
  table = TASK.table(jax.random.key(0), batch_of(['12']))
  assert 'recurrent_0' in table and 'head' in table and 'Total Parameters' in table


def test_unknown_task():
  with pytest.raises(InputError, match=r"config.task: there is no 'read_ctx'; did you mean 'read_ctc'\?"):
    tasks.make('read_ctx')


@pytest.mark.slow
def test_it_learns_four_numbers_by_heart():
  batch = batch_of(['1003377', '5', '94', '226'])
  params = init(jax.random.key(0), batch)
  optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))

  @jax.jit
  def step(params, state):
    value, gradients = jax.value_and_grad(lambda p: jnp.mean(TASK.loss(p, batch, None)[0]))(params)
    updates, state = optimiser.update(gradients, state, params)
    return optax.apply_updates(params, updates), state, value

  state = jax.jit(optimiser.init)(params)
  for _ in range(400):
    updated, state, value = step(params, state)
    if value < 0.05:  # of these params, not of the updated ones
      break
    params = updated
  records = jax.device_get(score(predict(params, batch.images), batch))
  assert records['edit_distance'].tolist() == [0, 0, 0, 0]


def test_only_what_is_blank_in_every_frame_is_empty(monkeypatch):
  batch = batch_of(['12', '90', '7'], width=40)
  params = TASK.init(jax.random.key(0), batch)
  logits = jnp.stack([logits_of(path) for path in ('-' * 20, '-' * 19 + '1', '1' * 20)])
  monkeypatch.setattr(read_ctc.MODEL, 'apply', lambda *_, **__: logits)
  _, found = TASK.loss(params, batch, None)
  assert np.asarray(found['empty']).tolist() == [1, 0, 0]
