"""What validation decides: the best step, when to lower the learning rate, when to stop.

A Selection is a pytree of plain numbers that lives on the host, is saved in the checkpoint, and is only ever
replaced. Every decision looks at validation alone.
"""

import math
from collections.abc import Mapping

from flax import struct

from digits_jax.errors import InputError, check_name

# Metric of the validation summary -> whether larger is better.
METRICS = {
  'sequence_accuracy': True,
  'character_error_rate': False,
  'character_accuracy_by_position': True,
  'loss': False,
  'coverage_at_98': True,
  'coverage_at_99': True,
  'calibration_error': False,
}


@struct.dataclass
class Selection:
  """What has been seen so far. The value of no evaluation is NaN."""

  best_value: float = math.nan  # of the metric as it is
  best_step: int = -1  # -1 before the first evaluation
  mark: float = math.nan  # the value of the last improvement, which the next one must beat
  stale: int = 0  # evaluations since the last improvement
  rate_scale: float = 1.0  # what the learning rate is multiplied with
  plateau_stale: int = 0  # evaluations since the last improvement, or since the rate was lowered
  last_step: int = -1  # of the last evaluation, -1 before the first


def check_metric(metric: str) -> None:
  """Raises InputError unless validation can be decided by `metric`."""
  check_name('config.selection.metric', metric, METRICS)


def value_of(summary: Mapping, metric: str) -> float:
  """The metric's value in a validation summary; raises InputError where this task does not report it."""
  if metric not in summary:
    known = ', '.join(name for name in METRICS if name in summary)
    raise InputError(f'config.selection.metric: validation of this task reports no {metric!r}; there is {known}')
  return summary[metric]


def update(
  selection: Selection,
  *,
  step: int,
  value: float,
  metric: str,
  min_delta: float,
  plateau_patience: int,
  plateau_factor: float,
  min_rate_scale: float,
) -> tuple[Selection, bool]:
  """Takes in one evaluation; returns the new selection and whether this step is the best so far.

  A value as good as the best is the best too (the later step has seen more), but only one that beats the last
  improvement by more than min_delta is an improvement and resets the patience; many small gains add up to one.
  plateau_patience 0: the rate is never lowered.
  """
  sign = 1.0 if METRICS[metric] else -1.0
  is_first = selection.best_step < 0
  is_best = is_first or sign * (value - selection.best_value) >= 0
  is_improved = is_first or sign * (value - selection.mark) > min_delta
  plateau_stale = 0 if is_improved else selection.plateau_stale + 1
  rate_scale = selection.rate_scale
  if plateau_patience and plateau_stale >= plateau_patience:
    rate_scale, plateau_stale = max(rate_scale * plateau_factor, min_rate_scale), 0
  new = Selection(
    best_value=value if is_best else selection.best_value,
    best_step=step if is_best else selection.best_step,
    mark=value if is_improved else selection.mark,
    stale=0 if is_improved else selection.stale + 1,
    rate_scale=rate_scale,
    plateau_stale=plateau_stale,
    last_step=step,
  )
  return new, is_best


def should_stop(selection: Selection, patience: int) -> bool:
  """Whether `patience` evaluations (0: never) have passed without improvement."""
  return bool(patience) and selection.stale >= patience
