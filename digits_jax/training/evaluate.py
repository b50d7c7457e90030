"""Evaluation on a fixed, seeded set: exact at any batch size and device count."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from digits_jax import metrics, structs
from digits_jax.data.sources import Source
from digits_jax.tasks.base import Task
from digits_jax.training import parallel


@dataclasses.dataclass(frozen=True)
class FixedSet:
  """A set that anyone can make again: example i is drawn from fold_in(fold_in(key(seed), 0), i)."""

  name: str
  source: Source
  seed: int
  examples: int


def make_scorer(task: Task, fixed: FixedSet, *, batch_size: int) -> Callable:
  """Returns score(params) -> records {name: np.array[examples, ...]}, in order; compiles once.

  batch_size is rounded up to a multiple of the devices; the last batch is padded and masked.
  """
  devices = jax.device_count()
  batch_size = -(-min(batch_size, fixed.examples) // devices) * devices
  call = parallel.make_score_call(task, fixed.source, batch_size=batch_size)
  constants = parallel.replicate((jax.random.key(fixed.seed), fixed.source.constants))

  def score(params):
    batches = []
    for first in range(0, fixed.examples, batch_size):
      batches.append(call(params, constants, first, fixed.examples))
    records = [jax.device_get(batch) for batch in batches]
    return {name: np.concatenate([r[name] for r in records])[: fixed.examples] for name in records[0]}

  return score


def summarise(records: dict[str, np.ndarray]) -> dict:
  """`metrics.summarise` with the mean loss, where the task reports one."""
  summary = metrics.summarise(records)
  if 'loss' in records:
    summary['loss'] = float(np.mean(records['loss'][np.asarray(records['mask'], bool)], dtype=np.float64))
  return summary


def draw_examples(fixed: FixedSet, indices: np.ndarray) -> structs.Batch:
  """The examples at `indices` int[n] of the set, as NumPy arrays: the very ones that were scored."""
  indices = np.asarray(indices, np.int32)
  items = [fixed.source.feed(0, int(i), 1) for i in indices]
  items = jax.tree.map(lambda *leaves: np.concatenate(leaves), *items)
  draw = lambda constants, items, places: parallel.draw_batch(
    fixed.source, jax.random.key(fixed.seed), constants, 0, items, places
  )
  return jax.device_get(jax.jit(draw)(fixed.source.constants, items, indices))
