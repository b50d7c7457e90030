"""Synthesis beside NumPy and Pillow generators of the same plates: images a second."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import PIL
from ml_collections import ConfigDict

import digits_jax
from digits_jax.alphabet import DIGITS, Alphabet
from digits_jax.benchmark import device, plates, report, timing
from digits_jax.data import fonts, sources
from digits_jax.data.sources import Source
from digits_jax.training import experiment, parallel

OURS = 'digits_jax'


def measure(config: ConfigDict, *, batches: list[int], repeats: int) -> dict:
  """All figures, in plain values that json can write.

  Returns:
    name, input (in words), hardware, notes, and rows: generator, version, batch, batches_per_call, images_per_second
    (of the median) with slowest and fastest, times_ours (its rate over ours at one batch a call).
  """
  source, seed = experiment.build_source(config, 'train')
  cores = report.cores()
  rows = []
  for batch in batches:
    generators = [ours(source, seed, batch, count) for count in sorted({1, parallel.choose_steps_per_call(0)})]
    with contextlib.ExitStack() as stack:  # workers that were left would take cores from what is timed later
      if is_drawn_by_plates(config):
        generators += [numpy(stack, source, batch, threads) for threads in sorted({1, cores})]
        generators += [pillow(stack, config, batch, processes) for processes in sorted({1, cores})]
      timing.compile_together(run for name, *_, run in generators if name == OURS)
      timings = timing.interleave({i: run for i, (*_, run) in enumerate(generators)}, repeats=repeats)
    for i, (name, version, count, _) in enumerate(generators):
      rows.append(
        {
          'generator': name,
          'version': version,
          'batch': batch,
          'batches_per_call': count,
          **timings[i].rates('images', batch * count),
          'times_ours': round(timings[0].median / (timings[i].median / count), 3),
        }
      )
  height, width = sources.example_shapes(source).images.shape[1:3]
  about = f'images of {config.name}, {height}x{width}'
  return {
    'name': 'synth', 'input': about, 'hardware': report.hardware(), 'notes': device.peak_memory(), 'rows': rows
  }  # fmt: skip


def table(found: dict) -> str:
  """The figures for people."""
  columns = {
    'generator': '{generator}',
    'version': '{version}',
    'batch': '{batch}',
    'a call': '{batches_per_call}',
    'images/s': '{images_per_second:,}',
    '(slowest - fastest)': '({slowest:,} - {fastest:,})',
    'x ours': '{times_ours:.2f}',
  }
  return report.show(found, columns)


def is_drawn_by_plates(config: ConfigDict) -> bool:
  """Whether the config's numbers are those of `plates`: only then can the two be compared."""
  number, layout, photo, data = config.synth.number, config.synth.layout, config.synth.photo, config.data
  plain = {'scale': (1.0, 1.0), 'zoom': (1.0, 1.0), 'contrast': (1.0, 1.0), 'stroke_frac': (0.0, 0.0)}
  plain |= {'blur_px': (0.0, 0.0), 'background': (0.0, 0.0)}  # all else is 0
  changes = [*config.synth.warp.items(), *((name, value) for name, value in photo.items() if name != 'noise')]
  changes += [(name, layout[name]) for name in ('spacing_jitter_px', 'wander_px', 'tilt_degrees')]
  return (
    (data.source, data.glyphs, config.alphabet) == ('synthetic', 'fonts', DIGITS)
    and all(value == plain.get(name, 0.0) for name, value in changes)
    and not config.synth.clutter.blobs
    and (number.min_length, number.max_length) == plates.LENGTHS
    and (layout.kind, layout.height, layout.width) == ('string', plates.HEIGHT, plates.WIDTH)
    and (layout.spacing, layout.spacing_px) == ('gaps', plates.GAPS)
    and photo.noise == (plates.NOISE, plates.NOISE)
  )


def ours(source: Source, seed: int, batch: int, count: int) -> tuple:
  """(name, version, batches a call, run): `count` of training's batches, drawn one after the other in one call."""
  indices, key = np.arange(batch), sources.training_key(seed)
  items = source.feed(0, 0, batch)

  @jax.jit
  def draw(constants, first):
    one = lambda step: sources.draw_batch(source, key, constants, step, items, indices)
    return one(first) if count == 1 else jax.lax.map(one, first + jnp.arange(count))

  constants = jax.device_put(source.constants)
  step = 0

  def run():
    nonlocal step
    step += count
    return jax.block_until_ready(draw(constants, step))

  return OURS, digits_jax.__version__, count, run


def numpy(stack: contextlib.ExitStack, source: Source, batch: int, threads: int) -> tuple:
  """The same of `plates.Plates`, which the stack closes."""
  generator = stack.enter_context(contextlib.closing(plates.Plates(source.constants, threads=threads)))
  name = f'NumPy and Pillow, {threads} thread' + 's' * (threads > 1)
  return name, np.__version__, 1, lambda: generator.draw(batch)


def pillow(stack: contextlib.ExitStack, config: ConfigDict, batch: int, processes: int) -> tuple:
  """The same of `plates.Texts`, which the stack closes."""
  faces = fonts.list_faces(config.data.font_dir, alphabet=Alphabet(config.alphabet), warns=False)
  paths, sizes = [face.path for face in faces], config.data.font_sizes
  generator = stack.enter_context(contextlib.closing(plates.Texts(paths, sizes, processes=processes)))
  name = f'Pillow draws text, {processes} process' + 'es' * (processes > 1)
  return name, PIL.__version__, 1, lambda: generator.draw(batch)
