"""The beam search beside its peers: sequences a second, latency of one sequence, agreement."""

import pathlib

import numpy as np

from digits_jax.benchmark import decoders, device, report, timing
from digits_jax.data import sources
from digits_jax.errors import InputError


def measure(workdir: str | pathlib.Path | None, *, batch: int, beams: list[int], repeats: int) -> dict:
  """All figures, in plain values that json can write.

  Args:
    workdir: of a trained run, whose test images give the logits; None makes logits up.
    batch, beams, repeats: sequences, widths, timed repetitions.

  Returns:
    name, input (in words), hardware, notes (peak memory), and rows: decoder, version, beams, sequences_per_second (of
    the median) with slowest and fastest, milliseconds_alone (one sequence, median), agreement (share of sequences read
    as ours reads them with as many beams), times_ours (its rate over ours).
  """
  has_run = workdir is not None
  logits, words = (trained_logits(workdir, batch), 'test images') if has_run else (made_up_logits(batch), 'made-up')
  together, alone = decoders.installed(logits), decoders.installed(logits[:1])
  timings = timing.interleave(
    {(one.name, width): lambda one=one, width=width: one.decode(width) for width in beams for one in together},
    repeats=repeats,
  )
  latencies = timing.interleave(
    {(one.name, width): lambda one=one, width=width: one.decode(width) for width in beams for one in alone},
    repeats=max(repeats, 20),
  )
  rows = []
  for width in beams:
    base = timings[together[0].name, width].median
    readings = {one.name: one.read(one.decode(width)) for one in together}
    for one in together:
      seconds = timings[one.name, width]
      same = [a == b for a, b in zip(readings[one.name], readings[together[0].name], strict=True)]
      rows.append(
        {
          'decoder': one.name,
          'version': one.version,
          'beams': width,
          **seconds.rates('sequences', batch),
          'times_ours': round(base / seconds.median, 3),
          'milliseconds_alone': round(1e3 * latencies[one.name, width].median, 3),
          'agreement': round(float(np.mean(same)), 4),
        }
      )
  shape = 'x'.join(map(str, logits.shape))
  found = {'name': 'decode', 'input': f'logits {shape} of {words}', 'hardware': report.hardware()}
  return found | {'notes': device.peak_memory(), 'rows': rows}


def table(found: dict) -> str:
  """The figures for people."""
  columns = {
    'decoder': '{decoder}',
    'version': '{version}',
    'beams': '{beams}',
    'seq/s': '{sequences_per_second:,}',
    '(slowest - fastest)': '({slowest:,} - {fastest:,})',
    'x ours': '{times_ours:.2f}',
    'ms alone': '{milliseconds_alone:.2f}',
    'agrees': '{agreement:.2%}',
  }
  return report.show(found, columns)


def trained_logits(workdir: str | pathlib.Path, count: int) -> np.ndarray:
  """float32[count, T, K] of the first test images of a run. Raises InputError as `open_run` does."""
  import jax

  opened, fixed = open_run(workdir, count)
  predict = jax.jit(opened.task.predict)
  logits = [
    np.asarray(predict(opened.params, sources.draw_examples(fixed, chunk).images)['logits'])
    for chunk in np.array_split(np.arange(count), -(-count // 256))
  ]
  return np.concatenate(logits)


def check_run(workdir: str | pathlib.Path, count: int) -> None:
  """Raises InputError as `open_run` does."""
  open_run(workdir, count)


def open_run(workdir: str | pathlib.Path, count: int) -> tuple:
  """The run and its test set. Raises InputError where it is no run of read_ctc, or has fewer test images than count."""
  from digits_jax.reading import evaluation, trained

  opened = trained.load(workdir, zooms=())
  if opened.config.task != 'read_ctc':
    raise InputError(f'{workdir} has the task {opened.config.task!r}, without a beam search: give a run of read_ctc')
  if opened.left_out:
    raise InputError(f'{workdir} does not say where its test images lie: give the directory of the run')
  fixed = evaluation.config_sets(opened, opened.config)['test']
  if count > fixed.examples:
    raise InputError(f'{workdir} has {fixed.examples} test images: lower --sequences={count}')
  return opened, fixed


def made_up_logits(count: int, *, frames: int = 32, classes: int = 11, seed: int = 0) -> np.ndarray:
  """float32[count, T, K]: blanks with a digit at every third frame, some sure and some not."""
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(count, frames, classes)) * 1.5
  logits[:, :, 0] += 3
  digits = rng.integers(1, classes, size=(count, frames))
  heights = np.where(rng.random((count, frames)) < 1 / 3, rng.uniform(2, 10, size=(count, frames)), 0)
  np.put_along_axis(
    logits, digits[:, :, None], np.take_along_axis(logits, digits[:, :, None], 2) + heights[:, :, None], 2
  )
  return logits.astype(np.float32)
