"""One training step (loss, gradient, optimiser) beside the same network in Keras and in PyTorch.

Then the config's own experiment, its batch given and its batch drawn in the step, which tells what synthesis costs.
"""

import functools
import math
import sys
import time
from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from digits_jax.benchmark import device, networks, report, timing
from digits_jax.benchmark.steppers import DRAWN, Stepper, installed, own
from digits_jax.errors import InputError
from digits_jax.training import checks, feeds, parallel

SECONDS = 240  # on a GPU, after which no other comparison begins; CPUs take as long as they need


def measure(
  config: ConfigDict,
  *,
  batches: list[int],
  repeats: int,
  began: float | None = None,
  seconds: float | None = None,
  save: Callable[[dict], None] = lambda found: None,
) -> dict:
  """All figures, in plain values that json can write.

  Args:
    config: what is drawn and trained beside the networks that peers have too.
    batches: images in one step.
    repeats: timed repetitions.
    began: of time.perf_counter, when `seconds` began to count; None: now.
    seconds: after which no other comparison begins, a peer's first step included, and costs are not counted; None:
      SECONDS on a GPU, any on a CPU.
    save: gets the figures so far after each comparison, so that what is cut off leaves its rows.

  Returns:
    name, input (in words), hardware, notes (peak memory, the device's rates, a GPU's precision, why the config's own
    experiment is left out, where its data is missing), and rows: network, stepper, version, dtype, batch,
    steps_per_call, images_per_second (of the median) with slowest and fastest, times_ours (its rate over that of our
    first row of the same work), parameters; for ours also gigaflops and gigabytes of a step, program_mib (arguments,
    results and temporaries), limit_share (of the roofline's images a second that was reached) and, with synthesis in
    the step, synthesis_share (of the step's time).

  Raises InputError on a config or batches that make no sense.
  """
  checks.check(config)
  for batch in batches:
    parallel.check_batch_size(batch, '--batches')
  is_gpu = jax.default_backend() == 'gpu'
  end = began if began is not None else time.perf_counter()
  end += seconds if seconds is not None else SECONDS if is_gpu else math.inf
  about = f'training steps on {networks.HEIGHT}x{networks.WIDTH} images'
  found = {'name': 'step', 'input': about, 'hardware': report.hardware(), 'notes': {}, 'rows': []}
  if is_gpu:
    found['notes']['float32'] = 'products and convolutions in TF32, by jax and by PyTorch'
  medians, counts = [], []  # of each row: seconds of a step, and what counts its costs, or None
  for *names, build in plan(config, batches):
    if time.perf_counter() > end:
      print(*names, 'not timed: the seconds are over', file=sys.stderr)
      continue
    try:
      built = build()
    except InputError as error:
      print(*names, f'not timed: {error}', file=sys.stderr)
      found['notes'][names[0]] = f'not timed: {error}'
      continue
    if names[0] == config.name:
      height, width, _ = feeds.of(config).canvas(config).shape
      found['input'] = f'{about}, of {config.name} on {height}x{width}'
    steppers = ready(names, built, end)
    rows, of_rows = _compare(*names, steppers, repeats=repeats)
    found['rows'] += rows
    medians += of_rows
    counts += [stepper.count for stepper in steppers]
    save(found)
  found['notes'] |= device.peak_memory()  # before the large arrays of `device.measure`
  if time.perf_counter() < end:
    _add_costs(found, medians, counts, repeats)
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
        found.append((network.name, dtype, batch, functools.partial(installed, network, batch, dtype)))
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


def _compare(network, dtype, batch, steppers, *, repeats):
  """Rows of steppers that do the same work, and each one's seconds of a step, the median."""
  timings = timing.interleave({i: stepper.run for i, stepper in enumerate(steppers)}, repeats=repeats)
  seconds = [timings[i].median / stepper.steps for i, stepper in enumerate(steppers)]
  rows = []
  for i, stepper in enumerate(steppers):
    row = {
      'network': network,
      'stepper': stepper.name,
      'version': stepper.version,
      'dtype': dtype,
      'batch': batch,
      'steps_per_call': stepper.steps,
      **timings[i].rates('images', batch * stepper.steps),
      'times_ours': round(seconds[0] / seconds[i], 3),
      'parameters': stepper.parameters,
    } | dict.fromkeys(('gigaflops', 'gigabytes', 'program_mib', 'limit_share', 'synthesis_share'))
    rows.append(row)
  if steppers[-1].name == DRAWN:
    alone, drawn = seconds
    rows[-1]['synthesis_share'] = round(1 - alone / drawn, 3)
  words = ', '.join(f'{row["stepper"]} ({row["steps_per_call"]} a call) {row["images_per_second"]:,}' for row in rows)
  print(f'{network}, {dtype}, {batch} images, images/s: {words}', file=sys.stderr, flush=True)
  return rows, seconds


def _add_costs(found, medians, counts, repeats):
  """What a step of ours costs and the device's rates, into the rows and notes.

  medians, counts: of each row, the seconds of a step and the function that counts its costs, or None.
  """
  timing.compile_together({*counts} - {None})  # those of one program share their function
  limits = device.measure(repeats=repeats)
  rates = [f'{rate / 1e9:,.0f} G operations/s in {dtype}' for dtype, rate in limits.flops.items()]
  found['notes']['one large product and copying'] = f'{", ".join(rates)}, {limits.bandwidth / 1e9:,.1f} GB/s'
  for row, seconds, count in zip(found['rows'], medians, counts, strict=True):
    if count:
      cost = count()
      row['gigaflops'] = round(cost['flops'] / 1e9, 2)
      row['gigabytes'] = round(cost['bytes'] / 1e9, 3)
      row['program_mib'] = round(cost['program_bytes'] / 2**20)
      row['limit_share'] = round(limits.seconds(cost['flops'], cost['bytes'], row['dtype']) / seconds, 3)
