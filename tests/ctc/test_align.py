"""Alignments and labelling probabilities against all paths."""

import numpy as np
import pytest

from digits_jax.ctc import align
from tests.ctc import cases, oracle


def draw(rng, count, frames, classes, slots):
  """Labellings that fit and some that do not: int32[count, slots], int32[count]."""
  lengths = rng.integers(0, slots + 1, count)
  labels = rng.integers(1, classes, (count, slots))
  return np.where(np.arange(slots) < lengths[:, None], labels, 0).astype(np.int32), lengths.astype(np.int32)


@pytest.mark.parametrize('kind', cases.KINDS)
@pytest.mark.parametrize('shape', [(1, 3), (4, 3), (6, 3)], ids=str)
def test_the_best_path_of_all(shape, kind):
  rng, (frames, classes), count = np.random.default_rng(0), shape, 60
  logits, masks = cases.logits(rng, kind, (count, *shape)), cases.masks(rng, (count, frames))
  labels, lengths = draw(rng, count, frames, classes, 3)
  found = align.align(logits, masks, labels, lengths)
  totals = align.sequence_log_prob(logits, masks, labels, lengths)
  infeasible = 0
  for i in range(count):
    label, places = tuple(labels[i, : lengths[i]].tolist()), np.flatnonzero(masks[i])
    log_probs = oracle.log_softmax(np.maximum(logits[i].astype(np.float64), -1e5))[masks[i]]
    paths = oracle.paths(log_probs, label)
    if not paths:
      infeasible += 1
      assert found.log_probs[i] == totals[i] == -np.inf
      np.testing.assert_array_equal(found.first[i], -1)
      np.testing.assert_array_equal(found.last[i], -1)
      np.testing.assert_array_equal(found.posteriors[i], 0)
      continue
    np.testing.assert_allclose(found.log_probs[i], max(paths.values()), rtol=2e-6, atol=1e-5)
    np.testing.assert_allclose(totals[i], oracle.log_sum(list(paths.values())), rtol=2e-6, atol=2e-5)
    # The frames that were found are those of a path that is as good as the best.
    path = np.zeros(frames, int)
    for slot, symbol in enumerate(label):
      own = np.arange(found.first[i, slot], found.last[i, slot] + 1)
      own = own[masks[i, own]]
      path[own] = symbol
      shares = np.exp(log_probs[np.searchsorted(places, own), symbol])
      np.testing.assert_allclose(found.posteriors[i, slot], shares.max(), rtol=1e-4, atol=1e-6)
      assert masks[i, found.first[i, slot]] and masks[i, found.last[i, slot]]
    np.testing.assert_allclose(paths[tuple(path[places].tolist())], max(paths.values()), rtol=2e-6, atol=1e-5)
    np.testing.assert_array_equal(found.first[i, lengths[i] :], -1)
    np.testing.assert_array_equal(found.last[i, lengths[i] :], -1)
    np.testing.assert_array_equal(found.posteriors[i, lengths[i] :], 0)
  assert 0 < infeasible < count


def test_spans_of_a_path_written_by_hand():
  """Blank, 2 2, blank, 2, 1 1 1: what stands behind the length, and masked frames, are not read."""
  path = np.array([0, 2, 2, 0, 2, 1, 1, 1])
  logits = np.full((1, 8, 3), -3.0, np.float32)
  np.put_along_axis(logits[0], path[:, None], 4.0, axis=1)
  mask = np.ones((1, 8), bool)
  mask[0, 6] = False
  logits[0, 6] = np.nan
  found = align.align(logits, mask, np.array([[2, 2, 1, 2]], np.int32), np.array([3], np.int32))
  np.testing.assert_array_equal(found.first, [[1, 4, 5, -1]])
  np.testing.assert_array_equal(found.last, [[2, 4, 7, -1]])
  np.testing.assert_allclose(found.posteriors, [[1, 1, 1, 0]], atol=0.01)


def test_no_slots():
  found = align.align(np.zeros((2, 3, 4), np.float32), np.ones((2, 3), bool), np.zeros((2, 0), int), np.zeros(2, int))
  assert found.first.shape == (2, 0)
  np.testing.assert_allclose(found.log_probs, 3 * np.log(0.25), rtol=1e-6)
