"""Rates of confidence against brute force, closed forms and cases that have only one answer."""

import fractions
import json

import jax
import numpy as np
import pytest

from digits_jax import confidence, metrics
from tests.test_metrics import by_hand

RNG = np.random.default_rng(0)


def cases():
  """(confidence, is_right) with many ties and with none, from one example to a few hundred."""
  for examples in (1, 2, 5, 14, 15, 16, 47, 300):
    for steps in (1, 3, 20, 10**6):
      sure = RNG.integers(0, steps + 1, examples) / steps
      yield sure.astype(np.float32), RNG.random(examples) < RNG.choice([0.3, 0.9, 0.99])


def coverage_by_force(sure, is_right, level):
  """Tries every threshold."""
  best = fractions.Fraction(0)
  for threshold in sure:
    kept = is_right[sure >= threshold]
    if fractions.Fraction(int(kept.sum()), len(kept)) >= fractions.Fraction(level):
      best = max(best, fractions.Fraction(len(kept), len(sure)))
  return float(best)


@pytest.mark.parametrize('level', ['0.5', '0.98', '0.99', '1'])
def test_coverage_equals_every_threshold_tried(level):
  for sure, is_right in cases():
    found = confidence.coverage_at(float(level), *confidence.accuracy_coverage(sure, is_right))
    assert found == pytest.approx(coverage_by_force(sure, is_right, level), abs=1e-12)


def test_an_accuracy_that_is_met_exactly_counts():
  for right, examples, level in ((49, 50, 0.98), (98, 100, 0.98), (99, 100, 0.99), (2970, 3000, 0.99)):
    is_right = np.arange(examples) < right  # the errors come last
    assert confidence.coverage_at(level, *confidence.accuracy_coverage(-np.arange(examples), is_right)) == 1
    is_right[right - 1] = False
    assert confidence.coverage_at(level, *confidence.accuracy_coverage(-np.arange(examples), is_right)) < 1


def test_the_curve_by_hand():
  sure = np.array([0.5, 0.9, 0.9, 0.2, 0.5])
  coverage, accuracy = confidence.accuracy_coverage(sure, np.array([True, True, False, False, True]))
  np.testing.assert_allclose(coverage, [2 / 5, 4 / 5, 1])
  np.testing.assert_allclose(accuracy, [1 / 2, 3 / 4, 3 / 5])


def test_no_order_of_equal_examples_matters():
  for sure, is_right in cases():
    order = RNG.permutation(len(sure))
    for one, other in zip(
      confidence.accuracy_coverage(sure, is_right),
      confidence.accuracy_coverage(sure[order], is_right[order]),
      strict=True,
    ):
      np.testing.assert_array_equal(one, other)
    assert confidence.calibration_error(sure, is_right) == confidence.calibration_error(sure[order], is_right[order])


def test_calibration_equals_plain_loops():
  for sure, is_right in cases():
    share = [is_right[sure == value].mean() for value in sure]  # of the right ones among equals
    order = sorted(range(len(sure)), key=lambda i: sure[i])
    bins = min(15, len(sure))
    wanted, first = 0.0, 0
    for i in range(bins):  # the longer bins come first
      inside = order[first : first + len(sure) // bins + (i < len(sure) % bins)]
      first += len(inside)
      gap = abs(np.mean([float(sure[j]) for j in inside]) - np.mean([share[j] for j in inside]))
      wanted += len(inside) / len(sure) * gap
    assert first == len(sure)
    assert confidence.calibration_error(sure, is_right) == pytest.approx(wanted, abs=1e-9)


def test_a_calibrated_reader_and_one_that_is_too_sure():
  sure = np.repeat([0.25, 0.5, 1.0], 4 * 15)
  is_right = np.tile([True, False, False, False], 15).tolist() + [True, False] * 30 + [True] * 60
  assert confidence.calibration_error(sure, np.array(is_right)) == pytest.approx(0, abs=1e-12)
  assert confidence.calibration_error(np.full(100, 0.9), np.arange(100) < 60) == pytest.approx(0.3)
  # Errors in both directions do not cancel across bins.
  sure, is_right = np.repeat([0.2, 0.5, 0.8], 60), np.repeat([True, False, False], 60)
  is_right[60:90] = True
  assert confidence.calibration_error(sure, is_right) == pytest.approx((0.8 + 0 + 0.8) / 3)


@pytest.mark.parametrize('examples', [1, 3, 15, 100])
@pytest.mark.parametrize('is_right', [True, False])
def test_all_right_and_all_wrong(examples, is_right):
  sure = np.linspace(0.25, 0.75, examples)
  right = np.full(examples, is_right)
  coverage, accuracy = confidence.accuracy_coverage(sure, right)
  assert coverage[-1] == 1 and (np.diff(coverage) > 0).all() and (accuracy == is_right).all()
  assert confidence.coverage_at(0.98, coverage, accuracy) == is_right
  wanted = 1 - sure.mean() if is_right else sure.mean()
  assert confidence.calibration_error(sure, right) == pytest.approx(wanted)


def test_rank():
  labels, length = np.array([3, 1, 4, 0]), 3
  candidates = np.array([[3, 1, 0, 0, 0], [3, 1, 4, 1, 0], [3, 1, 4, 9, 9], [3, 1, 4, 0, 0]])
  rank = jax.jit(confidence.rank)
  found = rank(labels, length, candidates, np.array([2, 4, 3, 3]))
  assert found == 2 and found.dtype == np.int32  # what stands behind a length is not read
  assert rank(labels, length, candidates, np.array([2, 4, 4, 5])) == 4
  assert rank(labels, length, candidates[:, :2], np.array([2, 2, 2, 2])) == 4  # too short to hold the label
  assert rank(labels[:2], 2, candidates, np.array([2, 4, 3, 3])) == 0


def test_an_unused_slot_is_no_empty_reading():
  candidates = np.array([[5, 0], [0, 0], [0, 0]])
  assert confidence.rank(np.zeros(2, int), 0, candidates, np.array([1, -1, -1])) == 3
  assert confidence.rank(np.zeros(2, int), 0, candidates, np.array([1, -1, 0])) == 2


def test_summarise_adds_them_and_leaves_masked_examples_out():
  summary = metrics.summarise(by_hand())
  assert summary['n_best_accuracy'] == {'1': 2 / 5, '2': 3 / 5, '3': 3 / 5}
  assert summary['coverage_at_98'] == summary['coverage_at_99'] == 2 / 5
  assert summary['calibration_error'] == pytest.approx((0.1 + 0.2 + 0.7 + 0.6 + 0.5) / 5, abs=1e-7)
  assert json.loads(json.dumps(summary, allow_nan=False)) == summary
