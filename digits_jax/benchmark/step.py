"""One training step (loss, gradient, optimiser) beside the same network in Keras and in PyTorch.

Ours is `training.parallel.make_train_call`, the program that training runs, its batch lying on the device. Then the
config's own experiment, its batch given and its batch drawn in the step, which tells what synthesis costs.
"""

import dataclasses
import functools
import math
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

import digits_jax
from digits_jax import structs
from digits_jax.alphabet import DIGITS
from digits_jax.benchmark import device, networks, report, timing
from digits_jax.data.sources import Source
from digits_jax.training import experiment, parallel
from digits_jax.training import state as states

SLOTS = 5  # digits of the longest number
GATES = {'lstm': 4, 'gru': 3, 'none': 0}
GIVEN, DRAWN = 'batch given', 'synthesis in the step'
SECONDS = 240  # on a GPU, after which no other comparison begins; CPUs take as long as they need


@dataclasses.dataclass(frozen=True)
class Stepper:
  """One way to do a training step."""

  name: str
  version: str
  parameters: int
  steps: int  # in one call
  run: Callable[[], object]  # returns when they are done
  count: Callable[[], dict[str, float]] | None = None  # what one step costs, by XLA; of ours alone


def measure(
  config: ConfigDict,
  *,
  batches: list[int],
  repeats: int,
  seconds: float | None = None,
  save: Callable[[dict], None] = lambda found: None,
) -> dict:
  """All figures, in plain values that json can write.

  Args:
    config: what is drawn and trained beside the networks that peers have too.
    batches: images in one step.
    repeats: timed repetitions.
    seconds: after which no other comparison begins, a peer's first step included, and costs are not counted; None:
      SECONDS on a GPU, any on a CPU.
    save: gets the figures so far after each comparison, so that what is cut off leaves its rows.

  Returns:
    name, input (in words), hardware, notes (peak memory, the device's rates, a GPU's precision), and rows: network,
    stepper, version, dtype, batch, steps_per_call, images_per_second (of the median) with slowest and fastest,
    times_ours (its rate over that of our first row of the same work), parameters; for ours also gigaflops and gigabytes
    of a step, program_mib (arguments, results and temporaries), limit_share (of the roofline's images a second that was
    reached) and, with synthesis in the step, synthesis_share (of the step's time).
  """
  is_gpu = jax.default_backend() == 'gpu'
  end = time.perf_counter() + (seconds or (SECONDS if is_gpu else math.inf))
  size = f'{networks.HEIGHT}x{networks.WIDTH}'
  found = {
    'name': 'step', 'input': f'training steps on {size} images', 'hardware': report.hardware(), 'notes': {}, 'rows': [],
  }  # fmt: skip
  if is_gpu:
    found['notes']['float32'] = 'products and convolutions in TF32, by jax and by PyTorch'
  counts = []  # of each row: what counts its costs, or None
  for *about, build in plan(config, batches):
    if time.perf_counter() > end:
      print(*about, 'not timed: the seconds are over', file=sys.stderr)
      continue
    steppers = ready(about, build(), end)
    found['rows'] += _compare(*about, steppers, repeats=repeats)
    counts += [stepper.count for stepper in steppers]
    save(found)
  found['notes'] |= device.peak_memory()  # before the large arrays of `device.measure`
  if time.perf_counter() < end:
    _add_costs(found, counts, repeats)
  save(found)
  return found


def plan(config: ConfigDict, batches: list[int]) -> list[tuple]:
  """(network, dtype, batch, function that builds the steppers to compare) of each comparison, in their order.

  On a GPU, where time may run out, the largest batch comes first, at each batch the textbook's network last.
  """
  found = []
  for dtype in device.dtypes():
    for network in networks.NETWORKS:
      for batch in batches:
        found.append((network.name, dtype, batch, functools.partial(installed, config, network, batch, dtype)))
    found += [(config.name, dtype, batch, functools.partial(own, config, batch, dtype)) for batch in batches]
  if jax.default_backend() == 'gpu':
    found.sort(key=lambda one: (one[2] != max(batches), one[0] == networks.NETWORKS[0].name))
  return found


def table(found: dict) -> str:
  """The figures for people."""
  columns = {
    'stepper': '{stepper}',
    'network': '{network}',
    'dtype': '{dtype}',
    'batch': '{batch}',
    'a call': '{steps_per_call}',
    'images/s': '{images_per_second:,}',
    '(slowest - fastest)': '({slowest:,} - {fastest:,})',
    'x ours': '{times_ours:.2f}',
    'parameters': '{parameters:,}',
    'Gflop': '{gigaflops:.1f}',
    'GB': '{gigabytes:.2f}',
    'of limit': '{limit_share:.1%}',
    'MiB': '{program_mib:,}',
    'synthesis': '{synthesis_share:.1%}',
  }
  return report.show(found, columns)


def installed(config: ConfigDict, network: networks.Network, batch: int, dtype: str) -> list[Stepper]:
  """Ours, then each peer that can be imported and computes where ours does."""
  images, labels = made_up_batch(batch)
  built = of_network(config, network, images, labels, dtype)
  found = [ours('digits_jax', built, steps=steps) for steps in _steps_per_call()]
  found = [dataclasses.replace(stepper, count=found[0].count) for stepper in found]  # a step costs the same in any call
  for peer in (keras, pytorch):
    try:
      found += peer(network, images, labels, dtype)
    except ImportError:
      continue
  counts = {stepper.name: stepper.parameters for stepper in found}
  assert len({*counts.values()}) == 1, f'not the same network: {counts}'
  return found


def own(config: ConfigDict, batch: int, dtype: str) -> list[Stepper]:
  """The config's experiment at this batch size: its first batch given at every step, then each drawn in its step.

  With as many steps in a call as training does.
  """
  config = config.copy_and_resolve_references()
  config.batch_size, config.model.dtype = batch, dtype
  drawn = experiment.build(config)
  places, key = np.arange(batch), jax.random.key(config.seed)
  draw = lambda constants, items: parallel.draw_batch(drawn.train, key, constants, 0, items, places)
  first = jax.jit(draw)(drawn.train.constants, drawn.train.feed(0, 0, batch))
  built = {GIVEN: dataclasses.replace(drawn, train=given(first)), DRAWN: drawn}
  return [ours(name, one, steps=parallel.choose_steps_per_call(0)) for name, one in built.items()]


def made_up_batch(batch: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """Images float32[B, 32, 128, 1] of noise, labels int32[B, SLOTS] of 1 to SLOTS digits, right-padded with 0."""
  rng = np.random.default_rng(seed)
  images = rng.random((batch, networks.HEIGHT, networks.WIDTH, 1), np.float32)
  labels = rng.integers(1, networks.CLASSES, (batch, SLOTS), np.int32)
  lengths = rng.integers(1, SLOTS + 1, (batch, 1))
  return images, np.where(np.arange(SLOTS) < lengths, labels, 0).astype(np.int32)


def of_network(
  config: ConfigDict, network: networks.Network, images: np.ndarray, labels: np.ndarray, dtype: str
) -> experiment.Experiment:
  """The config with this network, with AdamW as the peers have it, and with this batch at every step."""
  config = config.copy_and_resolve_references()
  config.update(alphabet=DIGITS, batch_size=len(images))
  config.model.update(
    patch=(network.patch, network.patch),
    widths=network.widths,
    pools=network.pools,
    groups=network.groups,
    frame_features=network.frame_features,
    recurrent='lstm',
    recurrent_features=network.recurrent_features,
    recurrent_layers=1,
    is_bidirectional=True,
    dtype=dtype,
  )
  config.optim.update(name='adamw', schedule='constant', learning_rate=1e-3, weight_decay=1e-4)
  config.optim.update(warmup_steps=0, clip_norm=0.0, average_decay=0.0)
  lengths, count = (labels > 0).sum(1).astype(np.int32), len(images)
  batch = structs.Batch(images, labels, lengths, np.zeros((count, SLOTS, 4), np.float32), np.ones(count, bool))
  return dataclasses.replace(experiment.build(config), train=given(batch))


def given(batch: structs.Batch) -> Source:
  """A source whose every step is this batch."""
  return Source(
    constants=batch,
    feed=lambda step, first, count: np.arange(first, first + count, dtype=np.int32),
    example=lambda key, constants, item: jax.tree.map(lambda leaf: leaf[item], constants),
  )


def ours(name: str, built: experiment.Experiment, *, steps: int) -> Stepper:
  """Training's own step, `steps` of them in one call."""
  config = built.config
  call = parallel.make_train_call(
    built.task,
    built.train,
    built.optimiser,
    built.schedule,
    batch_size=config.batch_size,
    steps_per_call=steps,
    average_decay=config.optim.average_decay,
  )
  state = parallel.replicate(built.initial_state())
  constants = parallel.replicate((jax.random.key(config.seed), built.train.constants))

  def run():
    nonlocal state
    state, metrics, _ = call(state, constants, 0, steps, 1.0, False)
    return jax.block_until_ready(metrics)['loss']

  parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
  return Stepper(name, digits_jax.__version__, parameters, steps, run, functools.cache(lambda: count(built)))


def ready(about: list, steppers: list[Stepper], end: float) -> list[Stepper]:
  """The steppers, on a GPU or TPU with each one's first step done, which compiles it: ours side by side.

  A peer that fails there, or whose turn comes after `end` (of time.perf_counter), is left out, and stderr says so.
  """
  if jax.default_backend() == 'cpu':
    return steppers
  timing.compile_together(stepper.run for stepper in steppers if stepper.count)
  kept = []
  for stepper in steppers:
    try:
      if not stepper.count:
        if time.perf_counter() > end:
          raise TimeoutError('the seconds are over')
        stepper.run()
      kept.append(stepper)
    except (RuntimeError, TimeoutError) as error:
      print(*about, f'without {stepper.name}: {error}', file=sys.stderr)
  return kept


def keras(network: networks.Network, images: np.ndarray, labels: np.ndarray, dtype: str) -> list[Stepper]:
  """On the CPU, in float32. Raises ImportError where TensorFlow is not installed."""
  if jax.default_backend() != 'cpu' or dtype != 'float32':
    return []
  from digits_jax.benchmark import keras_crnn

  model = keras_crnn.Stepper(network, images, labels)
  return [Stepper(keras_crnn.NAME, keras_crnn.VERSION, model.parameters, 1, model)]


def pytorch(network: networks.Network, images: np.ndarray, labels: np.ndarray, dtype: str) -> list[Stepper]:
  """Where ours computes, if PyTorch can. Raises ImportError where it is not installed."""
  from digits_jax.benchmark import torch_crnn

  if torch_crnn.device() != jax.default_backend():
    return []
  steps = max(_steps_per_call())

  def stepper(kind):
    model = torch_crnn.Stepper(network, images, labels, kind=kind, dtype=dtype)

    def run():
      for _ in range(steps):
        loss = model()
      return float(loss)  # waits for the device

    return Stepper(f'PyTorch, {kind}', torch_crnn.VERSION, model.parameters, steps, run)

  return [stepper(kind) for kind in torch_crnn.kinds()]


def count(built: experiment.Experiment) -> dict[str, float]:
  """Of one training step on one device, by XLA's own count: flops, bytes, and program_bytes.

  program_bytes are arguments, results and temporaries together. XLA counts the body of a loop once; the recurrence's
  products at the other frames (one forward and one backward) are added here, CTC's sums are not. A GPU's programs call
  libraries, whose operations and bytes XLA does not know: there, operations are counted before compilation, and bytes
  are too few.
  """
  config = built.config
  places, items = np.arange(config.batch_size), built.train.feed(0, 0, config.batch_size)

  def step(state, key, constants):
    batch = parallel.draw_batch(built.train, key, constants, state.step, items, places)
    mean = lambda params: jnp.mean(built.task.loss(params, batch, key)[0])
    gradients = jax.grad(mean)(state.params)
    return states.apply_gradients(
      state, gradients, built.optimiser, rate_scale=jnp.float32(1), decay=config.optim.average_decay
    )

  state = jax.eval_shape(built.initial_state)
  shapes = jax.eval_shape(lambda *arrays: arrays, jax.random.key(0), built.train.constants)
  lower = lambda: jax.jit(step, donate_argnums=0).lower(state, *shapes)
  is_gpu = jax.default_backend() == 'gpu'
  # What is only counted needs no search for the fastest convolutions.
  program = lower().compile({'xla_gpu_autotune_level': 0} if is_gpu else None)
  costs, memory = program.cost_analysis(), program.memory_analysis()
  if is_gpu:
    with jax.default_device(jax.devices('cpu')[0]):
      costs = {'bytes accessed': 0.0} | (costs or {}) | {'flops': lower().cost_analysis()['flops']}
  size = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
  model, unseen = config.model, 0
  if config.task == 'read_ctc':  # the only one with a recurrence
    frames = jax.eval_shape(built.task.predict, state.params, built.blank_batch.images)['logits'].shape[1]
    directions = 2 if model.is_bidirectional else 1
    product = 2 * config.batch_size * directions * GATES[model.recurrent] * model.recurrent_features**2
    unseen = 2 * (frames - 1) * product * model.recurrent_layers
  return {
    'flops': costs['flops'] + unseen,
    'bytes': costs['bytes accessed'],
    'program_bytes': size - memory.alias_size_in_bytes,
  }


def _compare(network, dtype, batch, steppers, *, repeats):
  """Rows of steppers that do the same work."""
  timings = timing.interleave({i: stepper.run for i, stepper in enumerate(steppers)}, repeats=repeats)
  base = timings[0].median / steppers[0].steps
  rows = []
  for i, stepper in enumerate(steppers):
    seconds = timings[i].median / stepper.steps
    row = {
      'network': network,
      'stepper': stepper.name,
      'version': stepper.version,
      'dtype': dtype,
      'batch': batch,
      'steps_per_call': stepper.steps,
      **timings[i].rates('images', batch * stepper.steps),
      'times_ours': round(base / seconds, 3),
      'parameters': stepper.parameters,
    } | dict.fromkeys(('gigaflops', 'gigabytes', 'program_mib', 'limit_share', 'synthesis_share'))
    rows.append(row)
  if steppers[-1].name == DRAWN:
    alone, drawn = rows
    drawn['synthesis_share'] = round(1 - drawn['images_per_second'] / alone['images_per_second'], 3)
  words = ', '.join(f'{row["stepper"]} ({row["steps_per_call"]} a call) {row["images_per_second"]:,}' for row in rows)
  print(f'{network}, {dtype}, {batch} images, images/s: {words}', file=sys.stderr, flush=True)
  return rows


def _add_costs(found, counts, repeats):
  """What a step of ours costs and the device's rates, into the rows and notes; `counts` has a function for each row."""
  timing.compile_together({*counts} - {None})  # those of one program share their function
  limits = device.measure(repeats=repeats)
  rates = [f'{rate / 1e9:,.0f} G operations/s in {dtype}' for dtype, rate in limits.flops.items()]
  found['notes']['one large product and copying'] = f'{", ".join(rates)}, {limits.bandwidth / 1e9:,.1f} GB/s'
  for row, count in zip(found['rows'], counts, strict=True):
    if count:
      cost = count()
      row['gigaflops'] = round(cost['flops'] / 1e9, 2)
      row['gigabytes'] = round(cost['bytes'] / 1e9, 3)
      row['program_mib'] = round(cost['program_bytes'] / 2**20)
      row['limit_share'] = _limit_share(row, limits)


def _limit_share(row, limits):
  least = limits.seconds(1e9 * row['gigaflops'], 1e9 * row['gigabytes'], row['dtype'])
  return round(least * row['images_per_second'] / row['batch'], 3)


def _steps_per_call():
  """In one dispatch: one, and where training does more, as many as it does."""
  return sorted({1, parallel.choose_steps_per_call(0)})
