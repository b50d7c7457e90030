"""Naming single symbols: closed forms of loss and records, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from digits_jax import confidence, metrics, structs
from digits_jax.alphabet import Alphabet
from digits_jax.errors import InputError
from digits_jax.tasks import classify
from digits_jax.training import scoring

ALPHABET = Alphabet()
RNG = np.random.default_rng(0)
MODEL = {
  'patch': (4, 4), 'widths': (8,), 'pools': ((2, 2),), 'groups': 4, 'dense_features': (16,), 'dtype': jnp.float32
}  # fmt: skip
IMAGES = RNG.uniform(size=(10, 8, 8, 1)).astype(np.float32)


def make(label_smoothing=0.0, n_best=3, alphabet=ALPHABET):
  return classify.make(alphabet=alphabet, n_best=n_best, label_smoothing=label_smoothing, **MODEL)


def batch_of(texts, slots=1):
  labels, lengths = ALPHABET.pack(texts, slots)
  boxes = np.zeros((len(texts), slots, 4), np.float32)
  return structs.Batch(IMAGES[: len(texts)], labels, lengths, boxes, np.ones(len(texts), bool))


TASK = make()
BATCH = batch_of('0123456789')


@pytest.fixture(scope='module')
def params():
  return jax.jit(TASK.init)(jax.random.key(0), BATCH)


@pytest.mark.parametrize('share', [0.0, 0.3])
def test_the_loss_is_the_smoothed_cross_entropy(params, share):
  losses, found = jax.jit(make(share).loss)(params, BATCH, None)
  logits = np.asarray(TASK.predict(params, IMAGES)['logits'], np.float64)
  log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
  targets = (1 - share) * np.eye(10) + share / 10
  np.testing.assert_allclose(losses, -(targets * log_probs).sum(1), rtol=1e-5)
  assert losses.dtype == jnp.float32 and not np.asarray(found['infeasible']).any()


def test_score():
  log_probs = np.log(np.array([[0.4, 0.3, 0.1, 0.08, 0.05, 0.04, 0.03]], np.float32).repeat(5, 0))
  logits = np.full((5, 10), -30, np.float32)
  logits[:, :7] = log_probs + 3  # any constant: they are unnormalised
  records = jax.device_get(jax.jit(TASK.score)({'logits': logits}, batch_of('01236')))
  assert records['predicted'].tolist() == [[1]] * 5 and records['predicted_length'].tolist() == [1] * 5
  assert records['is_right'].tolist() == [True, False, False, False, False]
  assert records['edit_distance'].tolist() == [0, 1, 1, 1, 1]
  assert records['rank'].tolist() == [0, 1, 2, 3, 3] and records['n_best'].tolist() == [3] * 5
  assert records['is_in_top_5'].tolist() == [True, True, True, True, False]
  np.testing.assert_allclose(records['confidence'], 0.4, rtol=1e-5)
  np.testing.assert_allclose(np.exp(-records['loss']), [0.4, 0.3, 0.1, 0.08, 0.03], rtol=1e-5)
  assert set(metrics.RECORDS) | set(confidence.RECORDS) <= set(records) | {'mask', 'label_length'}
  summary = scoring.summarise(records | {'mask': np.ones(5, bool), 'label_length': np.ones(5, int)})
  assert summary['sequence_accuracy'] == 0.2 and summary['interval'] == list(metrics.wilson(1, 5))
  assert summary['top_5_accuracy'] == 0.8 and summary['n_best_accuracy'] == {'1': 0.2, '2': 0.4, '3': 0.6}


def test_outputs_that_are_no_numbers_are_wrong_readings():
  batch = batch_of('010')
  records = jax.device_get(jax.jit(TASK.score)({'logits': np.full((3, 10), np.nan, np.float32)}, batch))
  assert not records['is_right'].any() and not records['is_empty'].any() and (records['predicted_length'] >= 0).all()


def test_the_score_does_not_know_of_smoothing(params):
  outputs = TASK.predict(params, IMAGES)
  one, other = (jax.jit(task.score)(outputs, BATCH)['loss'] for task in (TASK, make(0.3)))
  np.testing.assert_array_equal(one, other)


def test_what_is_no_single_symbol_costs_nothing_and_is_counted(params):
  batch = batch_of(['3', '12', ''], slots=2)
  losses, found = jax.jit(make(0.1).loss)(params, batch, None)
  assert np.asarray(found['infeasible']).tolist() == [0, 1, 1] and losses[0] > 0 == losses[1] == losses[2]
  gradients = jax.jit(jax.grad(lambda p: TASK.loss(p, batch, None)[0][1:].sum()))(params)
  assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(gradients))
  records = jax.device_get(jax.jit(TASK.score)(TASK.predict(params, batch.images), batch))
  assert records['is_feasible'].tolist() == [True, False, False]
  assert not records['is_right'][1:].any() and not records['is_in_top_5'][1:].any()


def test_a_small_alphabet_lists_what_it_has():
  few = make(n_best=5, alphabet=Alphabet('01.'))
  records = jax.device_get(few.score({'logits': np.zeros((2, 3), np.float32)}, batch_of('01')))
  assert records['n_best'].tolist() == [3, 3] and records['is_in_top_5'].all()


def test_numbers_are_refused():
  with pytest.raises(InputError, match=r'up to 5: set synth\.number\.max_length=1, and that of each of config\.tests'):
    TASK.init(jax.random.key(0), batch_of(['3'], slots=5))


def test_it_learns_ten_patterns_by_heart(params):
  optimiser = optax.adam(1e-2)

  @jax.jit
  def step(params, state):
    value, gradients = jax.value_and_grad(lambda p: jnp.mean(TASK.loss(p, BATCH, None)[0]))(params)
    updates, state = optimiser.update(gradients, state, params)
    return optax.apply_updates(params, updates), state, value

  state = optimiser.init(params)
  for _ in range(200):
    params, state, value = step(params, state)
  assert value < 0.1 and jax.jit(TASK.score)(TASK.predict(params, IMAGES), BATCH)['is_right'].all()
  assert 'trunk' in TASK.table(jax.random.key(0), BATCH)
