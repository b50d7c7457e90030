"""Scoring on a fixed, seeded set: exact at any batch size and device count."""

from collections.abc import Callable

import jax
import numpy as np

from digits_jax import confidence, metrics
from digits_jax.data.sources import FixedSet
from digits_jax.tasks.base import Task
from digits_jax.training import parallel


def make_scorer(task: Task, fixed: FixedSet, *, batch_size: int) -> Callable:
  """Returns score(params, temperature=1.0) -> records {name: np.array[examples, ...]}, in order; compiles once.

  batch_size is rounded up to a multiple of the devices; the last batch is padded and masked. A record may be a pytree
  of such arrays.
  """
  devices = jax.device_count()
  batch_size = -(-min(batch_size, fixed.examples) // devices) * devices
  call = parallel.make_score_call(task, fixed.source, batch_size=batch_size)
  constants = parallel.replicate((jax.random.key(fixed.seed), fixed.source.constants))

  def score(params, temperature=1.0):
    batches = []
    for first in range(0, fixed.examples, batch_size):
      batches.append(call(params, constants, first, fixed.examples, temperature))
    records = [jax.device_get(batch) for batch in batches]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: fixed.examples], *records)

  return score


def summarise(records: dict[str, np.ndarray]) -> dict:
  """`metrics.summarise` with `loss`, the mean of the numbers that the model can read; None where it can read none."""
  is_feasible = records['is_feasible'].astype(bool) & records['mask'].astype(bool)
  loss = mean_loss(records['loss'], is_feasible) if is_feasible.any() else None
  return metrics.summarise(records) | {'loss': loss}


def mean_loss(losses: np.ndarray, mask: np.ndarray) -> float:
  """The mean of float[examples] where bool[examples] is True."""
  return float(np.mean(losses[np.asarray(mask, bool)], dtype=np.float64))


def accuracy_coverage(records: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """`confidence.accuracy_coverage` of the examples that count."""
  mask = np.asarray(records['mask'], bool)
  return confidence.accuracy_coverage(records['confidence'][mask], records['is_right'][mask])


def errors_first(records: dict[str, np.ndarray]) -> np.ndarray:
  """The order int[examples] of a sheet: errors first, among equals the most confident first."""
  return np.lexsort((-records['confidence'], records['is_right']))
