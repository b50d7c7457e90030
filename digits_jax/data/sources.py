"""The `Source` of each kind: what feeds a step, and how one fed item becomes one example.

A batch is a pure function of (seed, step): example i of step s is drawn from fold_in(fold_in(key, s), i).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from digits_jax import structs
from digits_jax.synth import sequence


@dataclasses.dataclass(frozen=True)
class Source:
  """Where examples come from.

  constants: a pytree of arrays that every device holds and every example may read.
  feed: (step, first, count) -> a pytree with leading axis `count`: the items first ... first + count - 1 of
    the step's global batch, on the host.
  example: (key, constants, fed item) -> Batch without its leading axis; pure, on the device.
  limit: how many different examples a step can have; None where they are endless.
  """

  constants: Any
  feed: Callable[[int, int, int], Any]
  example: Callable[[jax.Array, Any, Any], structs.Batch]
  limit: int | None = None


def synthetic(bank: structs.GlyphBank, spec: sequence.SequenceSpec) -> Source:
  """Endless numbers drawn on the device; the items fed are ids alone. Raises InputError if they cannot fit."""
  draw = functools.partial(sequence.example, spec=spec, patch=sequence.plan(bank, spec))
  return Source(
    constants=bank,
    feed=lambda step, first, count: np.arange(first, first + count, dtype=np.int32),
    example=lambda key, bank, item: draw(key, bank),
  )
