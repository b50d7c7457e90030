"""Temperature scaling: one number that the outputs are divided by, so that confidences mean what they say.

Source: Guo et al, "On calibration of modern neural networks", ICML 2017, section 4.2.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from digits_jax.data import sources
from digits_jax.tasks.base import Params, Task, divide
from digits_jax.training import scoring

BOUNDS = (0.1, 10.0)  # where the search stays
_GRID = 41  # temperatures of the first look, evenly spaced on a log scale; 1 is the middle one
_PRECISION = 1e-4  # relative, of the temperature
_SPAN = 0.02  # of log temperatures, on each side, for the parabola at the end
_NOISE = 1e-6  # relative, of a mean of losses in float32
_GOLDEN = (math.sqrt(5) - 1) / 2


class Fit(NamedTuple):
  """A temperature and what it does to the mean loss of the set it was fitted on."""

  temperature: float
  loss_before: float  # at temperature 1
  loss_after: float


def fit(task: Task, fixed: sources.FixedSet, params: Params, *, batch_size: int) -> Fit:
  """The temperature that minimises the loss of a set, summed, plus log(temperature)^2: what is known beforehand.

  That is 0.5 for a factor of 2, nothing beside the losses of a thousand numbers. Of a few that are all read rightly the
  losses alone would have temperature 0, and every reading would be certain.

  Outputs are computed once, on all devices. 1 where the highest of BOUNDS has the lowest losses: a set that is so badly
  read does not tell how sure to be, and what softmax heads read depends on it. Losses are of the numbers that the model
  can read. Every process gets all outputs and searches for itself: same numbers, same temperature.
  """
  keep = dataclasses.replace(task, score=_keep)
  kept = scoring.make_scorer(keep, fixed, batch_size=batch_size)(params)
  outputs, batch = jax.device_put((kept['outputs'], kept['batch']), jax.local_devices()[0])

  @functools.cache
  def losses(temperature):
    scored = _score(outputs, batch, np.float32(temperature), score=task.score)
    return np.asarray(scored['loss']), kept['mask'].astype(bool) & np.asarray(scored['is_feasible'], bool)

  mean_loss = lambda temperature: scoring.mean_loss(*losses(temperature))
  examples = int(losses(1.0)[1].sum())
  temperature = minimise(lambda t: mean_loss(t) + math.log(t) ** 2 / examples)
  if minimise(mean_loss) > 0.999 * BOUNDS[1]:  # sure and wrong nearly everywhere: no temperature mends that
    temperature = 1.0
  return Fit(temperature, mean_loss(1.0), mean_loss(temperature))


def minimise(function: Callable[[float], float]) -> float:
  """Where on BOUNDS a function of a temperature is lowest, on a log scale; 1 where nowhere is lower than there.

  A grid finds the valley, for there may be several; golden-section search between the grid's neighbours finds its
  bottom, a parabola its middle, where that is no worse than rounding tells. Among equal values that nearest to 1
  wins; a value that is not finite counts as infinite.
  """
  finite = lambda value: value if math.isfinite(value) else math.inf
  values = {}

  def at(log):
    if log not in values:
      values[log] = finite(function(math.exp(log)))
    return values[log]

  lo, hi = np.log(BOUNDS)
  grid = [float(log) for log in np.linspace(lo, hi, _GRID)]
  grid[_GRID // 2] = 0.0  # exactly, free of rounding
  lowest = min(grid, key=lambda log: (at(log), abs(log)))
  index = grid.index(lowest)
  lo, hi = grid[max(index - 1, 0)], grid[min(index + 1, _GRID - 1)]
  while hi - lo > _PRECISION:
    left, right = hi - _GOLDEN * (hi - lo), lo + _GOLDEN * (hi - lo)
    lo, hi = (lo, right) if at(left) <= at(right) else (left, hi)
  best = min(values, key=lambda log: (values[log], abs(log)))
  if abs(best) + _SPAN > math.log(BOUNDS[1]):
    return math.exp(best)
  # Near the minimum float32's rounding exceeds the differences: a parabola through points further apart has its middle.
  before, here, after = at(best - _SPAN), at(best), at(best + _SPAN)
  bend = before - 2 * here + after
  if 0 < bend < math.inf and abs(before - after) < 2 * bend:
    middle = best + _SPAN * (before - after) / (2 * bend)
    if at(middle) <= min(here + _NOISE * abs(here), at(0.0)):
      return math.exp(middle)
  return math.exp(best)


def _keep(outputs, batch):
  """In place of a task's score: all that it needs. No score looks at images."""
  return {'outputs': outputs, 'batch': batch.replace(images=None)}


@functools.partial(jax.jit, static_argnames='score')
def _score(outputs, batch, temperature, *, score):
  """`loss` float32[examples] and `is_feasible` bool[examples]; XLA leaves out what else a score does."""
  records = score(divide(outputs, temperature), batch)
  return {name: records[name] for name in ('loss', 'is_feasible')}
