"""Lengths and positions against the enumeration of all numbers."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax import positions

N, A, BATCH = 3, 3, 4
ALL = [number for length in range(N + 1) for number in itertools.product(range(1, A + 1), repeat=length)]  # 40
RNG = np.random.default_rng(0)
LENGTHS = 2 * RNG.normal(size=(BATCH, N + 1)).astype(np.float32)
SYMBOLS = 2 * RNG.normal(size=(BATCH, N, A)).astype(np.float32)


def enumerated(i):
  """{number: probability} of example i, in double precision."""
  softmax = lambda x: np.exp(x.astype(np.float64)) / np.exp(x.astype(np.float64)).sum(-1, keepdims=True)
  lengths, symbols = softmax(LENGTHS[i]), softmax(SYMBOLS[i])
  return {n: lengths[len(n)] * math.prod(symbols[j, s - 1] for j, s in enumerate(n)) for n in ALL}


def pack(numbers, slots, behind=0):
  """Labels int32[B, slots], with what stands behind a length, and lengths."""
  labels = np.full((len(numbers), slots), behind, np.int32)
  for row, number in zip(labels, numbers, strict=True):
    row[: len(number)] = number
  return labels, np.array([len(number) for number in numbers], np.int32)


@pytest.mark.parametrize('slots, behind', [(3, 0), (5, 2)])
def test_the_probability_of_every_number(slots, behind):
  for i in range(BATCH):
    repeated = (np.repeat(leaf[i : i + 1], len(ALL), 0) for leaf in (LENGTHS, SYMBOLS))
    found, is_feasible = positions.log_prob(*repeated, *pack(ALL, slots, behind))
    expected = enumerated(i)
    assert found.dtype == jnp.float32 and np.asarray(is_feasible).all()
    np.testing.assert_allclose(np.exp(found), [expected[number] for number in ALL], rtol=1e-5)
    np.testing.assert_allclose(np.exp(found).sum(), 1, rtol=1e-5)


def test_fewer_slots_than_positions():
  found, _ = positions.log_prob(LENGTHS[:2], SYMBOLS[:2], *pack([(2,), (1,)], 1))
  np.testing.assert_allclose(np.exp(found), [enumerated(0)[(2,)], enumerated(1)[(1,)]], rtol=1e-5)


@pytest.mark.parametrize('limits', [{}, {'min_length': 2}, {'max_length': 1}, {'min_length': 1, 'max_length': 2}])
@pytest.mark.parametrize('n', [1, 4, 45])
def test_n_best_is_exact(n, limits):
  found = jax.jit(lambda *logits: positions.n_best(*logits, n=n, **limits))(LENGTHS, SYMBOLS)
  assert found.labels.shape == (BATCH, n, N) and found.labels.dtype == found.lengths.dtype == jnp.int32
  low, high = limits.get('min_length', 0), limits.get('max_length', N)
  for i in range(BATCH):
    of_all = enumerated(i)
    ranked = sorted((number for number in ALL if low <= len(number) <= high), key=of_all.get, reverse=True)[:n]
    lengths, is_used = np.asarray(found.lengths[i]), np.asarray(found.log_probs[i]) > -np.inf
    read = [tuple(found.labels[i, slot, : lengths[slot]].tolist()) for slot in np.flatnonzero(is_used)]
    assert read == ranked
    np.testing.assert_allclose(np.exp(found.log_probs[i, : len(read)]), [of_all[number] for number in read], rtol=1e-5)
    assert is_used[: len(read)].all() and (lengths[len(read) :] == 0).all()
    assert not np.asarray(found.labels[i])[np.arange(N) >= lengths[:, None]].any()


def test_limits_share_out_the_probability():
  parts = [positions.allowed(LENGTHS, low, high) for low, high in ((0, 1), (2, None))]
  np.testing.assert_allclose(sum(np.exp(part) for part in parts).sum(-1), 1, rtol=1e-6)
  np.testing.assert_allclose(np.exp(parts[0][0, :2]), [enumerated(0)[()], sum(enumerated(0)[s,] for s in (1, 2, 3))])


def test_a_number_longer_than_the_positions_has_no_place_and_no_gradient():
  labels, lengths = pack([(1, 2, 3, 1), (1, 2)], 5)

  def total(logits):
    log_probs, is_feasible = positions.log_prob(*logits, labels, lengths)
    return jnp.sum(log_probs), (log_probs, is_feasible)

  gradients, (log_probs, is_feasible) = jax.grad(total, has_aux=True)((LENGTHS[:2], SYMBOLS[:2]))
  assert np.asarray(is_feasible).tolist() == [False, True] and log_probs[0] == 0 > log_probs[1]
  assert not any(np.asarray(leaf[0]).any() for leaf in gradients)
  assert all(np.asarray(leaf[1]).any() for leaf in gradients)
  assert not np.asarray(gradients[1][1, 2]).any()  # the position behind the number
