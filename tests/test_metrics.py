"""Records against rapidfuzz and plain Python; rates against numbers counted by hand."""

import json
import math
import statistics

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein

from digits_jax import confidence, metrics


def random_pairs(seed, pairs, slots, predicted_slots):
  """Labels and predictions that share much, with garbage behind their lengths."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(1, 4, (pairs, slots)).astype(np.int32)
  predicted = rng.integers(1, 4, (pairs, predicted_slots)).astype(np.int32)
  shared = min(slots, predicted_slots)
  is_same = rng.random((pairs, shared)) < rng.choice([0.0, 0.8, 1.0], (pairs, 1))
  predicted[:, :shared] = np.where(is_same, labels[:, :shared], predicted[:, :shared])
  lengths = rng.integers(0, slots + 1, pairs).astype(np.int32)
  predicted_lengths = rng.integers(0, predicted_slots + 1, pairs).astype(np.int32)
  keep = rng.random(pairs) < 0.5
  predicted_lengths[keep] = np.minimum(lengths, predicted_slots)[keep]
  return labels, lengths, predicted, predicted_lengths


@pytest.mark.parametrize('slots, predicted_slots', [(7, 12), (6, 6), (8, 3), (1, 1)])
def test_records_equal_rapidfuzz_and_python(slots, predicted_slots):
  labels, lengths, predicted, predicted_lengths = pairs = random_pairs(slots, 1500, slots, predicted_slots)
  records = jax.jit(metrics.sequence_records)(*pairs)
  assert {name: value.dtype for name, value in records.items()} == {
    'is_right': jnp.bool_, 'edit_distance': jnp.int32, 'position_hits': jnp.int32, 'is_empty': jnp.bool_,
  }  # fmt: skip
  records = {name: np.asarray(value) for name, value in records.items()}
  for i in range(1500):
    label = labels[i, : lengths[i]].tolist()
    reading = predicted[i, : predicted_lengths[i]].tolist()
    assert records['edit_distance'][i] == Levenshtein.distance(label, reading), i
    assert records['position_hits'][i] == sum(a == b for a, b in zip(label, reading, strict=False)), i
    assert records['is_right'][i] == (label == reading), i
    assert records['is_empty'][i] == (not reading), i
  assert 0 < records['is_right'].sum() < 1500


def test_one_pair():
  label, reading = jnp.array([3, 1, 4, 1, 0]), jnp.array([1, 4, 1, 5, 9, 2, 6])
  assert metrics.edit_distance(label, 4, reading, 3) == 1  # one missed digit costs one edit,
  assert metrics.position_hits(label, 4, reading, 3) == 0  # but every position behind it


def by_hand():
  """Five examples and one of padding, which would spoil every rate if it were counted."""
  return {
    'mask': np.array([True, True, False, True, True, True]),
    'label_length': np.array([2, 10, 9, 2, 3, 3]),
    'is_right': np.array([True, True, True, False, False, False]),
    'edit_distance': np.array([0, 0, 9, 1, 3, 2]),
    'position_hits': np.array([2, 10, 9, 1, 0, 1]),
    'is_empty': np.array([False, False, True, False, True, False]),
    'is_feasible': np.array([True, True, False, True, True, False]),
    'confidence': np.array([0.9, 0.8, 1.0, 0.7, 0.6, 0.5], np.float32),
    'rank': np.array([0, 0, 0, 1, 3, 3], np.int32),
    'n_best': np.full(6, 3, np.int32),
  }


def test_summarise_counts_as_by_hand():
  summary = metrics.summarise(by_hand() | {'anything_else': np.zeros(6)})
  sure = {name: summary.pop(name) for name in ('n_best_accuracy', 'coverage_at_98', 'coverage_at_99')}
  assert sure == {'n_best_accuracy': {'1': 2 / 5, '2': 3 / 5, '3': 3 / 5}, 'coverage_at_98': 0.4, 'coverage_at_99': 0.4}
  assert summary.pop('calibration_error') == pytest.approx((0.1 + 0.2 + 0.7 + 0.6 + 0.5) / 5, abs=1e-7)
  assert summary == {
    'sequence_accuracy': 2 / 5,
    'interval': list(metrics.wilson(2, 5)),
    'character_error_rate': 6 / 20,
    'character_accuracy_by_position': 14 / 20,
    'infeasible': 1,
    'empty': 1,
    'examples': 5,
    'by_length': {'2': [1, 2], '3': [0, 2], '10': [1, 1]},
  }
  assert list(summary['by_length']) == ['2', '3', '10']  # by number, not by letter
  assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_what_is_padding_is_not_in_the_top_5():
  right = np.array([True, True, False, True, True, True])
  records = by_hand() | {'is_in_top_5': right}
  assert metrics.summarise(records)['top_5_accuracy'] == np.mean(right[records['mask']]) != np.mean(right)


def test_what_no_model_can_read_is_said():
  summary = metrics.summarise(by_hand())
  assert 'character error rate 30.000%; 1 do not fit the model\n' in metrics.describe(summary, 1.0)
  assert 'do not fit' not in metrics.describe(summary | {'infeasible': 0}, 1.0)


def test_summarise_takes_jax_arrays_and_any_order():
  order = np.random.default_rng(0).permutation(6)
  shuffled = {name: jnp.asarray(value[order]) for name, value in by_hand().items()}
  assert metrics.summarise(shuffled) == metrics.summarise(by_hand())


def test_labels_without_symbols():
  records = {name: np.zeros(2, int) for name in (*metrics.RECORDS, *confidence.RECORDS)} | {
    'mask': np.ones(2, bool), 'edit_distance': np.array([0, 3]), 'is_right': np.array([True, False]),
  }  # fmt: skip
  summary = metrics.summarise(records)
  assert summary['character_error_rate'] == 3 and summary['by_length'] == {'0': [1, 2]}


def test_summarise_refuses_what_it_cannot_count():
  records = by_hand()
  with pytest.raises(ValueError, match='every mask is False'):
    metrics.summarise(records | {'mask': np.zeros(6, bool)})
  del records['is_feasible'], records['rank']
  with pytest.raises(ValueError, match=r"\['is_feasible', 'rank'\]"):
    metrics.summarise(records)


def bisect(function, lo, hi):
  """The root of an increasing function between lo and hi."""
  for _ in range(200):
    middle = (lo + hi) / 2
    lo, hi = (middle, hi) if function(middle) < 0 else (lo, middle)
  return (lo + hi) / 2


@pytest.mark.parametrize('right, count', [(0, 1), (1, 1), (3, 10), (99, 100), (0, 50), (9876, 10000)])
def test_wilson_solves_the_score_equation(right, count):
  # The interval's ends are the fractions p from which right / count is just z standard deviations of p away.
  z, rate = statistics.NormalDist().inv_cdf(0.975), right / count
  score = lambda p: p - rate - z * math.sqrt(p * (1 - p) / count)
  mirrored = lambda p: p - rate + z * math.sqrt(p * (1 - p) / count)
  lo = bisect(mirrored, 0, rate) if right else 0
  hi = bisect(score, rate, 1) if right < count else 1
  np.testing.assert_allclose(metrics.wilson(right, count), (lo, hi), atol=1e-9)


def test_wilson_published():
  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
  table = ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718))
  for right, count, *interval in table:
    np.testing.assert_allclose(metrics.wilson(right, count), interval, atol=5e-5)


def test_wilson_ends_are_exact():
  for count in range(1, 200):  # at some counts the formula's own ends are off by a rounding
    assert metrics.wilson(0, count)[0] == 0 and metrics.wilson(count, count)[1] == 1
  assert metrics.wilson(0, 0) == (0.0, 1.0)


def test_what_is_printed_is_what_was_counted():
  summary = metrics.summarise(by_hand()) | {'coverage_at_98': 0.25, 'coverage_at_99': 0.125}
  assert 'coverage 25.00% at 98% accuracy, 12.50% at 99%' in metrics.describe(summary, 1.0)
