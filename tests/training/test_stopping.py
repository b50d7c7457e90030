"""The best step, patience and plateaus, by hand."""

import numpy as np
import pytest

from digits_jax.errors import InputError
from digits_jax.training import scoring, stopping

OPTIONS = {
  'metric': 'sequence_accuracy',
  'min_delta': 0.0,
  'plateau_patience': 0,
  'plateau_factor': 0.5,
  'min_rate_scale': 0.1,
}


# What validation says of three readings, by the code that a run evaluates with.
SUMMARY = scoring.summarise(
  {'mask': np.ones(3, bool), 'label_length': np.ones(3, int), 'is_right': np.array([True, True, False])}
  | {'edit_distance': np.array([0, 0, 1]), 'position_hits': np.array([1, 1, 0]), 'is_empty': np.zeros(3, bool)}
  | {'is_feasible': np.ones(3, bool), 'loss': np.ones(3), 'confidence': np.array([0.9, 0.8, 0.3])}
  | {'rank': np.array([0, 0, 2]), 'n_best': np.full(3, 5)}
)


def after(values, **options):
  """The selection after evaluations at steps 10, 20, ..., and which of them were the best so far."""
  selection, flags = stopping.Selection(), []
  for i, value in enumerate(values):
    selection, is_best = stopping.update(selection, step=10 * (i + 1), value=value, **OPTIONS | options)
    flags.append(is_best)
  return selection, flags


def test_nothing_has_been_seen_at_first():
  selection = stopping.Selection()
  assert np.isnan(selection.best_value) and selection.best_step == -1 and selection.rate_scale == 1
  assert not stopping.should_stop(selection, 1)


def test_the_best_is_the_largest_accuracy_and_of_equals_the_last():
  selection, flags = after([0.0, 0.5, 0.4, 0.5, 0.3])
  assert flags == [True, True, False, True, False]
  assert (float(selection.best_value), int(selection.best_step)) == (0.5, 40)


@pytest.mark.parametrize('metric', ['loss', 'character_error_rate', 'calibration_error'])
def test_the_best_is_the_smallest_loss(metric):
  selection, flags = after([3.0, 4.0, 2.0, 2.5], metric=metric)
  assert flags == [True, False, True, False]
  assert (float(selection.best_value), int(selection.best_step)) == (2.0, 30)


def test_patience_counts_evaluations_since_the_last_improvement_and_a_tie_is_none():
  stale = [int(after([0.1, 0.2, 0.2, 0.1, 0.3, 0.3][:n])[0].stale) for n in range(1, 7)]
  assert stale == [0, 0, 1, 2, 0, 1]
  selection, _ = after([0.5, 0.5, 0.5])
  assert stopping.should_stop(selection, 2) and not stopping.should_stop(selection, 3)
  assert not stopping.should_stop(selection, 0)  # never


def test_small_gains_add_up_to_an_improvement():
  selection, flags = after([0.50, 0.53, 0.56, 0.59, 0.62], min_delta=0.1)
  assert flags == [True] * 5
  assert int(selection.stale) == 0 and float(selection.mark) == 0.62  # 0.12 above 0.50
  selection, _ = after([0.50, 0.53, 0.56, 0.59], min_delta=0.1)
  assert int(selection.stale) == 3 and float(selection.mark) == 0.50


def test_a_plateau_lowers_the_rate_to_its_least_and_an_improvement_restarts_the_count():
  scales = [float(after([0.5] * n, plateau_patience=2)[0].rate_scale) for n in range(1, 11)]
  assert scales == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.1, 0.1]
  selection, _ = after([0.5, 0.5, 0.6, 0.6], plateau_patience=2)
  assert float(selection.rate_scale) == 1 and int(selection.plateau_stale) == 1
  assert float(after([0.5] * 9)[0].rate_scale) == 1  # plateau_patience 0


def test_a_plateau_does_not_restart_the_patience_for_stopping():
  selection, _ = after([0.5] * 6, plateau_patience=2)
  assert int(selection.stale) == 5


@pytest.mark.parametrize('metric', stopping.METRICS)
def test_patience_works_with_every_metric_that_validation_reports(metric):
  """Better, level, worse, worse: two evaluations without improvement after the third, whichever way is up."""
  sign = 1 if stopping.METRICS[metric] else -1
  values = [stopping.value_of(SUMMARY | {metric: 0.5 + sign * gain}, metric) for gain in (0.0, 0.1, 0.1, -0.2)]
  selection, flags = after(values, metric=metric)
  assert flags == [True, True, True, False]
  assert stopping.should_stop(selection, 2) and not stopping.should_stop(selection, 3)


def test_validation_reports_every_metric_there_is():
  assert set(stopping.METRICS) <= set(SUMMARY)
  assert all(isinstance(SUMMARY[name], float) for name in stopping.METRICS)


def test_a_metric_that_the_task_does_not_report_names_those_it_does():
  with pytest.raises(InputError, match="reports no 'coverage_at_99'; there is sequence_accuracy, loss"):
    stopping.value_of({'loss': 1.0, 'sequence_accuracy': 0.5, 'examples': 3}, 'coverage_at_99')


def test_an_unknown_metric_names_those_there_are():
  with pytest.raises(InputError, match="'acuracy'; it is one of sequence_accuracy, character_error_rate, "):
    stopping.check_metric('acuracy')
