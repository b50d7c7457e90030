"""The beam search against all K^T paths."""

import collections
import functools
import itertools

import jax
import numpy as np
import pytest

from digits_jax.ctc import beam
from tests.ctc import cases, oracle

LIMITS = [(0, None), (2, 2), (1, 3), (3, None)]


def read(result, i):
  """[(labelling, log-probability)] of example i, best first; the padding must be what it is said to be."""
  found = []
  for labels, length, log_prob in zip(*(np.asarray(leaf[i]) for leaf in result), strict=True):
    assert not labels[length:].any() and labels[:length].all()
    if log_prob == -np.inf:
      assert length == 0
    else:
      found.append((tuple(labels[:length].tolist()), float(log_prob)))
  return found


def allowed(labellings, low, high):
  return {key: value for key, value in labellings.items() if low <= len(key) and (high is None or len(key) <= high)}


def assert_close(found, wanted):
  np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-5)


@pytest.mark.parametrize('shape', cases.SHAPES, ids=str)
@pytest.mark.parametrize('kind', cases.KINDS)
def test_with_enough_beams_every_reading_equals_enumeration(shape, kind):
  rng = np.random.default_rng(0)
  count = 80 if shape[1] ** shape[0] < 500 else 12
  logits, masks = cases.logits(rng, kind, (count, *shape)), cases.masks(rng, (count, shape[0]))
  beams = cases.labelling_count(*shape)
  exact = [cases.exact(*pair) for pair in zip(logits, masks, strict=True)]
  for low, high in LIMITS:
    result = beam.beam_search(logits, masks, beams=beams, n_best=beams, min_length=low, max_length=high)
    assert result.labels.shape == (count, beams, shape[0] if high is None else min(high, shape[0]))
    for i in range(count):
      found, wanted = read(result, i), allowed(exact[i], low, high)
      assert len(found) == len(wanted) and dict(found).keys() == wanted.keys()
      assert_close([value for _, value in found], [wanted[key] for key, _ in found])
      assert_close([value for _, value in found], sorted(wanted.values(), reverse=True))


@pytest.mark.slow
@pytest.mark.parametrize('beams', [1, 3])
@pytest.mark.parametrize('limits', [(0, None), (2, 2), (0, 1), (4, 5), (0, 0)], ids=str)
def test_few_beams_repeat_nothing_and_promise_nothing(beams, limits):
  rng, (low, high) = np.random.default_rng(1), limits
  logits = np.concatenate([cases.logits(rng, kind, (60, 6, 4)) for kind in ('flat', 'peaked', 'equal')])
  masks = cases.masks(rng, logits.shape[:2])
  result = beam.beam_search(logits, masks, beams=beams, n_best=beams, min_length=low, max_length=high)
  rescored = beam.rescore(result, logits, masks)
  for i in range(len(logits)):
    found, wanted = read(result, i), allowed(cases.exact(logits[i], masks[i]), low, high)
    assert bool(found) == bool(wanted)
    assert len({key for key, _ in found}) == len(found)
    for key, value in found:
      assert value <= wanted[key] + 1e-5
    scored = read(rescored, i)
    assert {key for key, _ in scored} == {key for key, _ in found}
    assert_close([value for _, value in scored], [wanted[key] for key, _ in scored])
    for pairs in (found, scored):
      assert sorted((value for _, value in pairs), reverse=True) == [value for _, value in pairs]


@pytest.mark.parametrize('beams', [1, 3])
@pytest.mark.parametrize('limits', [(0, None), (1, 2), (3, 3)], ids=str)
def test_few_beams_keep_the_prefixes_with_the_most_allowed_paths_through_them(beams, limits):
  """After each frame, of the paths that were kept so far; a path counts where its whole labelling is allowed."""
  frames, classes, (low, high) = 6, 3, limits
  logits = cases.logits(np.random.default_rng(5), 'flat', (40, frames, classes))
  result = beam.beam_search(logits, np.ones((40, frames), bool), beams=beams, min_length=low, max_length=high)
  paths = list(itertools.product(range(classes), repeat=frames))
  ends = [oracle.collapse(path) for path in paths]
  for i, log_probs in enumerate(oracle.log_softmax(logits)):
    scores = {path: log_probs[np.arange(frames), list(path)].sum() for path in paths}
    kept = [path for path, end in zip(paths, ends, strict=True) if allowed({end: 0}, low, high)]
    for t in range(1, frames + 1):
      through = collections.defaultdict(list)
      for path in kept:
        through[oracle.collapse(path[:t])].append(path)
      rank = lambda prefix: oracle.log_sum([scores[path] for path in through[prefix]])
      best = sorted(through, key=rank, reverse=True)[:beams]
      kept = [path for prefix in best for path in through[prefix]]
    (found,) = read(result, i)
    assert found[0] == best[0]
    assert_close(found[1], rank(best[0]))


def test_a_length_is_kept_to_where_the_free_search_drops_it():
  """Mostly blanks, so that a free beam holds short prefixes only: filtering its results would leave none."""
  rng = np.random.default_rng(2)
  logits = rng.normal(size=(20, 24, 11)).astype(np.float32)
  logits[:, :, 0] += 6
  masks = np.ones(logits.shape[:2], bool)
  free = beam.beam_search(logits, masks, beams=10, n_best=10)
  assert np.max(free.lengths) < 5
  held = beam.beam_search(logits, masks, beams=10, n_best=10, min_length=5, max_length=5)
  np.testing.assert_array_equal(held.lengths, 5)


@pytest.mark.parametrize('classes', [2, 11, 34, 300])
def test_prefixes_longer_than_a_word_stay_apart(classes):
  """Two codes that were taken for one would give a labelling twice, or lose one of the best five."""
  rng, frames = np.random.default_rng(3), 70
  logits = rng.normal(size=(6, frames, classes)).astype(np.float32)
  path = rng.integers(0, classes, size=(6, frames))
  np.put_along_axis(logits, path[:, :, None], 25.0, axis=2)
  logits[:, 60:, :2] = [9.0, 9.5]  # the readings differ behind their first words only
  masks = np.ones(logits.shape[:2], bool)
  result = beam.beam_search(logits, masks, beams=64, n_best=5)
  for i in range(6):
    assert len({key for key, _ in read(result, i)}) == 5
    for labels, value in read(result, i):
      np.testing.assert_allclose(value, -oracle.forward_backward(logits[i], labels)[0], rtol=0, atol=1e-3)


def test_batch_and_masked_frames_change_nothing():
  rng = np.random.default_rng(4)
  logits, masks = cases.logits(rng, 'peaked', (9, 8, 5)), rng.permuted(np.arange(8) < [[6]] * 9, axis=1)
  search = functools.partial(beam.beam_search, beams=7, n_best=4, min_length=1, max_length=6)
  whole = search(logits, masks)
  for i in range(9):
    alone = search(logits[i][masks[i]][None], np.ones((1, 6), bool))
    found, wanted = read(whole, i), read(alone, 0)
    assert [key for key, _ in found] == [key for key, _ in wanted]
    assert_close([value for _, value in found], [value for _, value in wanted])
  broken = np.where(masks[:, :, None], logits, np.nan)
  jax.tree.map(np.testing.assert_array_equal, whole, search(broken, masks))


@pytest.mark.parametrize(
  'options',
  [{'beams': 0}, {'beams': 2, 'n_best': 3}, {'beams': 2, 'min_length': 3, 'max_length': 2}, {'beams': 1, 'n_best': 0}],
  ids=str,
)
def test_senseless_options_are_refused(options):
  with pytest.raises(ValueError, match='must'):
    beam.beam_search(np.zeros((1, 2, 3), np.float32), np.ones((1, 2), bool), **options)
