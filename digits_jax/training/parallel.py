"""Devices and processes: the only module that says pmap, and what global batches and replicas mean.

State and constants have no device axis; what is mapped is what the source feeds. Examples are drawn by their index in
the global batch (`data.sources`), so no number depends on the device count.
"""

import collections
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from digits_jax.data.sources import Source
from digits_jax.errors import InputError
from digits_jax.tasks.base import Task
from digits_jax.training.step import AXIS, make_score_step, make_train_step


def check_devices() -> None:
  """Raises InputError, in every process, where they have unequal numbers of devices, which pmap does not take."""
  counts = collections.Counter(device.process_index for device in jax.devices())
  if len(set(counts.values())) > 1:
    told = ', '.join(f'{counts[process]} in process {process}' for process in sorted(counts))
    raise InputError(
      f'all processes need the same number of devices, and there are {told}: give the same --cpu_devices, or as many '
      'GPUs, to each'
    )


def check_batch_size(batch_size: int, name: str) -> None:
  """Raises InputError, naming the nearest sizes that work, unless all devices get equal shares."""
  devices = jax.device_count()
  if batch_size < 1 or batch_size % devices:
    below, above = batch_size // devices * devices, (max(batch_size, 0) // devices + 1) * devices
    near = f'{below} or {above}' if below > 0 else f'{above}'
    raise InputError(f'{name}={batch_size} cannot be shared by {devices} devices: the nearest is {near}')


def choose_steps_per_call(steps_per_call: int) -> int:
  """The number itself; for 0, 1 on a CPU and 10 elsewhere.

  Many steps in one call hide the dispatch of small models, but a loop around convolutions makes XLA's CPU backend
  compute them about 60 times slower (a step of configs/fonts.py:quick: 0.18 s alone, 12 s in a loop; jax 0.10.2).
  """
  if steps_per_call:
    return steps_per_call
  return 1 if jax.default_backend() == 'cpu' else 10


def replicate(tree):
  """The tree on every local device, without a device axis. Needed before the first donating call."""
  mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (AXIS,))
  return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def is_lead() -> bool:
  """Whether this process writes the files and speaks."""
  return jax.process_index() == 0


def any_process(flag: bool) -> bool:
  """Whether any process says so. Every process must ask; they wait for each other."""
  return flag if jax.process_count() == 1 else int(_sum_over_processes(flag)) > 0


def from_lead(text: str) -> str:
  """What the lead process says; the text of others does not matter. As with `any_process`, every process must ask."""
  if jax.process_count() == 1:
    return text
  said = np.frombuffer(text.encode() if is_lead() else b'', np.uint8)
  row = np.zeros(int(_sum_over_processes(len(said))), np.int32)
  row[: len(said)] = said
  return _sum_over_processes(row).astype(np.uint8).tobytes().decode()


def _sum_over_processes(values):
  """int32[...], the sum of what every process gives, a number or an array of numbers."""
  rows = np.zeros((jax.local_device_count(), *np.shape(values)), np.int32)
  rows[0] = values
  return np.asarray(_pmap(lambda row: jax.lax.psum(row, AXIS), in_axes=0)(rows))


def in_all_processes(make: Callable[[], Any], what: str) -> Any:
  """Calls make() in every process and returns its result.

  Where one raises InputError or OSError, all raise one, and that one gives the reason. what: what it refuses.
  """
  made = refusal = None
  try:
    made = make()
  except (InputError, OSError) as error:
    refusal = error
  if any_process(refusal is not None):
    raise refusal or InputError(f'another process refuses {what}, and says why')
  return made


def make_train_call(
  task: Task,
  source: Source,
  optimiser: optax.GradientTransformation,
  schedule: optax.Schedule,
  *,
  batch_size: int,
  steps_per_call: int,
  average_decay: float,
  frozen: Sequence[str] = (),
) -> Callable:
  """Several training steps in one dispatch, on all devices.

  Returns call(state, constants, step, count, rate_scale, wants_stop) -> (state, metrics, is_stopping): does
  `count` <= steps_per_call steps from `step` on. metrics are {name: float32[steps_per_call]}, means over the
  valid examples of each global batch; rows from `count` on are zeros. constants are (key, source.constants). The
  state given is donated. is_stopping int32[] is above 0 when any process passed wants_stop. One program serves
  every count, so that a run interrupted anywhere computes the same bits as one that was not. The other arguments are
  those of `step.make_train_step`.
  """
  check_batch_size(batch_size, 'config.batch_size')
  share = batch_size // jax.device_count()
  train_step = make_train_step(
    task, source, optimiser, schedule, share=share, average_decay=average_decay, frozen=frozen
  )
  one_step = jax.jit(train_step)  # traced once, for its shapes and in the loop

  def call(state, constants, count, rate_scale, wants_stop, fed):
    at = lambda i: jax.tree.map(lambda leaf: leaf[i], fed)
    is_stopping = jax.lax.psum(wants_stop[0], AXIS)
    if steps_per_call == 1:
      state, metrics = one_step(state, *constants, at(0), rate_scale)
      return state, jax.tree.map(lambda value: value[None], metrics), is_stopping
    shapes = jax.eval_shape(one_step, state, *constants, at(0), rate_scale)[1]
    rows = jax.tree.map(lambda shape: jnp.zeros((steps_per_call,), shape.dtype), shapes)

    def body(i, carry):
      state, rows = carry
      state, metrics = one_step(state, *constants, at(i), rate_scale)
      return state, jax.tree.map(lambda row, value: row.at[i].set(value), rows, metrics)

    state, rows = jax.lax.fori_loop(0, count, body, (state, rows))
    return state, rows, is_stopping

  mapped = _pmap(call, in_axes=(None, None, None, None, 0, 0), donate_argnums=0)
  local = jax.local_device_count()

  def train_call(state, constants, step, count, rate_scale, wants_stop):
    fed = _feed_locally(source, range(step, step + count), share, length=steps_per_call)
    stop = np.full((local, 1), int(wants_stop), np.int32)
    return mapped(state, constants, np.int32(count), np.float32(rate_scale), stop, fed)

  return train_call


def make_score_call(task: Task, source: Source, *, batch_size: int) -> Callable:
  """Scores one batch of a fixed set on all devices.

  Returns call(params, constants, first, examples, temperature) -> records {name: array[batch_size, ...]}, as
  `step.make_score_step` has them, on every process. constants are (key, source.constants).
  """
  check_batch_size(batch_size, 'the evaluation batch')
  share = batch_size // jax.device_count()
  score_step = make_score_step(task, source, share=share)

  def call(params, constants, first, examples, temperature, fed):
    items = jax.tree.map(lambda leaf: leaf[0], fed)
    return score_step(params, *constants, first, examples, temperature, items)

  mapped = _pmap(call, in_axes=(None, None, None, None, None, 0))

  def score_call(params, constants, first, examples, temperature):
    fed = _feed_locally(source, [0], share, first=first)
    return mapped(params, constants, np.int32(first), np.int32(examples), np.float32(temperature), fed)

  return score_call


def _pmap(function: Callable, **options) -> Callable:
  """pmap over AXIS with outputs that are the same on every device.

  Several CPU devices, which are there to try things out, compile it anew in each process and run one call at a
  time: programs with collectives that XLA's CPU backend reads back from the persistent cache, or runs side by side
  in two processes, crash or hang now and then (jax 0.10.2).
  """
  mapped = jax.pmap(function, axis_name=AXIS, out_axes=None, **options)
  if jax.default_backend() != 'cpu' or jax.device_count() == 1:
    return mapped
  name = 'jax_persistent_cache_min_compile_time_secs'

  def uncached(*args):
    before = jax.config.values[name]
    jax.config.update(name, float('inf'))
    try:
      return jax.block_until_ready(mapped(*args))
    finally:
      jax.config.update(name, before)

  return uncached


def _feed_locally(source: Source, steps: Sequence[int], share: int, *, first: int = 0, length: int = 1) -> Any:
  """What this process's devices read: [local devices, length, share, ...]; behind the steps the last one again."""
  local = jax.local_device_count()
  begin = first + jax.process_index() * local * share
  fed = [source.feed(step, begin, local * share) for step in steps]
  fed += fed[-1:] * (length - len(fed))
  stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *fed)  # [length, local * share, ...]
  return jax.tree.map(
    lambda leaf: leaf.reshape(length, local, share, *leaf.shape[2:]).swapaxes(0, 1), stacked
  )
