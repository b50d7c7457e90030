"""Reading by softmax heads: the four functions of the task, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from digits_jax import confidence, metrics, structs
from digits_jax.alphabet import Alphabet
from digits_jax.errors import InputError
from digits_jax.models.multidigit import Heads
from digits_jax.tasks import base, read_multidigit

ALPHABET = Alphabet()
MODEL = {
  'patch': (4, 4), 'widths': (8,), 'pools': ((2, 2),), 'groups': 4, 'kernel': 3, 'maxout': 2, 'positions': 4,
  'dense_features': (24,), 'dtype': jnp.float32,
}  # fmt: skip
IMAGES = np.random.default_rng(0).uniform(size=(4, 8, 32, 1)).astype(np.float32)
TASK = read_multidigit.make(alphabet=ALPHABET, n_best=3, label_smoothing=0.0, **MODEL)
loss, score = jax.jit(TASK.loss), jax.jit(TASK.score)


def batch_of(texts, slots=4):
  labels, lengths = ALPHABET.pack(texts, slots)
  boxes = np.zeros((len(texts), slots, 4), np.float32)
  return structs.Batch(IMAGES[: len(texts)], labels, lengths, boxes, np.ones(len(texts), bool))


BATCH = batch_of(['1003', '5', '94', '226'])


@pytest.fixture(scope='module')
def params():
  return jax.jit(TASK.init)(jax.random.key(0), BATCH)


def certain(lengths, symbols):
  """Heads of one number, from probabilities {length: share} and {position: {symbol: share}}; the rest is even."""
  heads = Heads(np.full((1, 5), -30.0, np.float32), np.zeros((1, 4, 10), np.float32))
  for length, share in lengths.items():
    heads.lengths[0, length] = np.log(share)
  for position, shares in symbols.items():
    heads.symbols[0, position] = -30
    for symbol, share in shares.items():
      heads.symbols[0, position, int(symbol)] = np.log(share)
  return heads


def test_smoothed_targets_have_a_share_of_every_class(params):
  smoothed = read_multidigit.make(alphabet=ALPHABET, n_best=3, label_smoothing=0.2, **MODEL)
  losses, _ = jax.jit(smoothed.loss)(params, BATCH, None)
  heads = TASK.predict(params, IMAGES)
  for i, text in enumerate(['1003', '5', '94', '226']):
    targets = [(heads.lengths[i], len(text)), *((heads.symbols[i, j], int(digit)) for j, digit in enumerate(text))]
    cost = lambda logits, right: optax.softmax_cross_entropy(
      logits, optax.smooth_labels(jax.nn.one_hot(right, len(logits)), 0.2)
    )
    np.testing.assert_allclose(losses[i], sum(cost(*target) for target in targets), rtol=1e-5)
  np.testing.assert_allclose(jax.jit(smoothed.score)(heads, BATCH)['loss'], loss(params, BATCH, None)[0], rtol=1e-6)
  too_long, _ = smoothed.loss(params, batch_of(['12345', '5', '94', '226'], slots=5), None)
  assert too_long[0] == 0 and (too_long[1:] == losses[1:]).all()


def test_the_loss_is_the_sum_of_its_heads(params):
  losses, found = loss(params, BATCH, None)
  heads = jax.tree.map(np.asarray, TASK.predict(params, IMAGES))
  log_softmax = lambda x: x - np.log(np.exp(x.astype(np.float64)).sum(-1, keepdims=True))
  lengths, symbols = log_softmax(heads.lengths), log_softmax(heads.symbols)
  for i, text in enumerate(['1003', '5', '94', '226']):
    expected = -lengths[i, len(text)] - sum(symbols[i, j, int(digit)] for j, digit in enumerate(text))
    np.testing.assert_allclose(losses[i], expected, rtol=1e-5)
  assert losses.dtype == jnp.float32
  assert {name: value.shape for name, value in found.items()} == {'infeasible': (4,), 'empty': (4,)}
  np.testing.assert_allclose(score(heads, BATCH)['loss'], losses, rtol=1e-5)


def test_score():
  heads = certain({2: 0.6, 1: 0.4}, {0: {'7': 0.9, '1': 0.1}, 1: {'3': 0.5, '4': 0.5}})
  # '7' 0.36, '73' and '74' 0.27 each: the likeliest length is not that of the likeliest number.
  texts = ['7', '74', '9', '7333']
  records = jax.device_get(score(jax.tree.map(lambda leaf: leaf.repeat(4, 0), heads), batch_of(texts)))
  assert records['predicted'].tolist() == [[8, 0, 0, 0]] * 4 and records['predicted_length'].tolist() == [1] * 4
  assert records['is_right'].tolist() == [True, False, False, False]
  assert records['edit_distance'].tolist() == [0, 1, 1, 3] and records['position_hits'].tolist() == [1, 1, 0, 1]
  assert records['rank'][0] == 0 and records['rank'][1] in (1, 2) and records['rank'][2:].tolist() == [3, 3]
  assert records['n_best'].tolist() == [3] * 4 and records['is_feasible'].all() and not records['is_empty'].any()
  np.testing.assert_allclose(records['confidence'], 0.36, rtol=1e-5)
  np.testing.assert_allclose(np.exp(-records['loss'][:2]), [0.36, 0.27], rtol=1e-5)
  assert set(metrics.RECORDS) | set(confidence.RECORDS) <= set(records) | {'mask', 'label_length'}
  divided = score(base.divide(heads, 2.0), batch_of(['7']))  # as the outputs of any task: probabilities' square roots
  np.testing.assert_allclose(divided['confidence'], 0.4**0.5 / (0.4**0.5 + 0.6**0.5) * 0.75, rtol=1e-4)


def test_a_number_longer_than_the_positions_costs_nothing_and_is_counted(params):
  batch = batch_of(['10033', '5'], slots=6)
  losses, found = loss(params, batch, None)
  assert np.asarray(found['infeasible']).tolist() == [1, 0] and losses[0] == 0 < losses[1]
  gradients = jax.jit(jax.grad(lambda p: TASK.loss(p, batch, None)[0][0]))(params)
  assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(gradients))
  records = score(TASK.predict(params, batch.images), batch)
  assert np.asarray(records['is_feasible']).tolist() == [False, True] and not records['is_right'][0]


def test_init_refuses_too_few_positions():
  with pytest.raises(InputError, match=r'numbers of 5 symbols do not fit the 4 positions of this model: raise'):
    TASK.init(jax.random.key(0), batch_of(['1'], slots=5))


def test_it_learns_four_numbers_by_heart(params):
  optimiser = optax.adam(1e-2)

  @jax.jit
  def step(params, state):
    value, gradients = jax.value_and_grad(lambda p: jnp.mean(TASK.loss(p, BATCH, None)[0]))(params)
    updates, state = optimiser.update(gradients, state, params)
    return optax.apply_updates(params, updates), state, value

  state = optimiser.init(params)
  for _ in range(150):
    params, state, value = step(params, state)
  assert value < 0.2 and score(TASK.predict(params, IMAGES), BATCH)['is_right'].all()
  assert 'symbols' in TASK.table(jax.random.key(0), BATCH)


def test_an_unused_slot_is_no_empty_number():
  """Slots beyond the last reading have length 0, as the number of no digits has, and are not taken for it."""
  batch = batch_of(['', '', '7'])
  labels = np.zeros((3, 2, 4), np.int32)
  labels[:, 0, 0] = 8, 0, 8
  found = base.Decoded(
    labels=jnp.asarray(labels),
    lengths=jnp.array([[1, 0], [0, 0], [1, 0]]),
    log_probs=jnp.array([[-0.1, -jnp.inf], [-0.1, -jnp.inf], [-0.1, -jnp.inf]]),
    allowed_log_prob=jnp.zeros(3),
    first=jnp.zeros((3, 4)),
    last=jnp.zeros((3, 4)),
    posteriors=jnp.zeros((3, 4)),
  )
  records = base.make_score(lambda _: found, lambda *_: jnp.zeros(3))(None, batch)
  assert records['rank'].tolist() == [2, 0, 0] and records['is_right'].tolist() == [False, True, True]


def test_only_a_length_of_0_is_empty(monkeypatch):
  params = TASK.init(jax.random.key(0), BATCH)
  lengths = ({0: 0.9, 1: 0.1}, {1: 0.9, 0: 0.1}, {4: 1.0}, {0: 1.0})
  heads = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *(certain(shares, {}) for shares in lengths))
  monkeypatch.setattr(read_multidigit.MODEL, 'apply', lambda *_, **__: heads)
  _, found = TASK.loss(params, BATCH, None)
  assert np.asarray(found['empty']).tolist() == [1, 0, 0, 1]
