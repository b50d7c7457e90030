"""What training changes: the state on the devices, and what the host keeps beside it. Both are checkpointed."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from digits_jax.errors import InputError
from digits_jax.training import stopping


@struct.dataclass
class TrainState:
  """On the devices, without a device axis; the same bits on every replica."""

  step: jax.Array  # int32[], steps done
  params: Any
  averaged: Any  # as params, or () where averaging is off
  opt_state: optax.OptState


@struct.dataclass
class Progress:
  """On the host: decisions of validation, and the metrics summed since they were last logged."""

  selection: stopping.Selection
  sums: dict[str, float]
  summed_steps: int
  seconds: float  # of all starts, up to this save


def create(
  params: Any, optimiser: optax.GradientTransformation, *, has_average: bool, frozen: Sequence[str] = ()
) -> TrainState:
  """The state before the first step. The optimiser never sees the subtrees of params whose names are in `frozen`."""
  averaged = jax.tree.map(jnp.copy, params) if has_average else ()
  return TrainState(jnp.int32(0), params, averaged, optimiser.init(trainable(params, frozen)))


def trainable(params: Any, frozen: Sequence[str]) -> Any:
  """The parameters without the subtrees whose names are in `frozen`; all of them, of any pytree, where none is.

  Raises InputError on a name that params do not have, and where nothing is left.
  """
  if not frozen:
    return params
  for name in frozen:
    if name not in params:
      form = f'; give several as "{tuple(name.split(","))}"' if ',' in name else ''
      raise InputError(
        f'config.optim.frozen: there are no parameters {name!r}; there are {", ".join(sorted(params))}{form}'
      )
  left = {name: subtree for name, subtree in params.items() if name not in frozen}
  if not left:
    raise InputError('config.optim.frozen: nothing is left to train; leave at least one of them out')
  return left


def apply_gradients(
  state: TrainState,
  gradients: Any,
  optimiser: optax.GradientTransformation,
  *,
  rate_scale: jax.Array,
  decay: float,
  frozen: Sequence[str] = (),
) -> TrainState:
  """One step of the optimiser, its update multiplied by rate_scale float32[], and of the running average.

  The average forgets by min(decay, (1 + step) / (10 + step)), so that early steps do not linger in it. Gradients are
  of the parameters that are not in `frozen`; the others, and their average, keep their bits.
  """
  before, averaged = trainable(state.params, frozen), state.averaged
  updates, opt_state = optimiser.update(gradients, state.opt_state, before)
  updates = jax.tree.map(lambda u: u * rate_scale.astype(u.dtype), updates)
  params = optax.apply_updates(before, updates)
  if decay:
    step = state.step.astype(jnp.float32)
    keep = jnp.minimum(decay, (1 + step) / (10 + step))
    new_average = jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, trainable(averaged, frozen), params)
    averaged = merge(averaged, new_average, frozen)
  return TrainState(state.step + 1, merge(state.params, params, frozen), averaged, opt_state)


def merge(params: Any, new: Any, frozen: Sequence[str]) -> Any:
  """Puts the subtrees `new`, which `trainable` names, into params; frozen subtrees stay as they are."""
  return {**params, **new} if frozen else new


def reading_params(state: TrainState) -> Any:
  """The parameters that evaluation and readers use: the average where there is one."""
  return state.params if isinstance(state.averaged, tuple) and not state.averaged else state.averaged


def create_progress(metric_names: Iterable[str]) -> Progress:
  """Before the first step; metric_names are what the step reports."""
  return Progress(stopping.Selection(), dict.fromkeys(sorted(metric_names), 0.0), summed_steps=0, seconds=0.0)


def add_sums(progress: Progress, rows: dict[str, np.ndarray]) -> Progress:
  """Adds the metrics {name: float64[steps]} of some steps, one after the other: any grouping gives the same bits."""
  sums = dict(progress.sums)
  for name, row in rows.items():
    for value in row.tolist():
      sums[name] += value
  return progress.replace(sums=sums, summed_steps=progress.summed_steps + len(rows['loss']))


def forget_sums(progress: Progress) -> Progress:
  """After the sums were logged."""
  return progress.replace(sums=dict.fromkeys(progress.sums, 0.0), summed_steps=0)
