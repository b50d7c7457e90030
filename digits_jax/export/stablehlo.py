"""A reader as a jax.export artifact: images [B >= 1] -> readings, on CPU, CUDA and TPU, parameters inside.

The file is a zip of `module.bin`, what `jax.export` serialised, and `metadata.json`. A jax release reads the modules of
releases up to 6 months before it, and hardly those of later ones (docs.jax.dev, "Exporting and serializing",
compatibility guarantees), so the versions stand in the metadata: keep the run directory to export it again.
"""

import json
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from digits_jax.errors import InputError, first_line
from digits_jax.export import metadata
from digits_jax.reading.program import make_program
from digits_jax.reading.trained import Run
from digits_jax.tasks import TASKS
from digits_jax.training import weights

PLATFORMS = ('cpu', 'cuda', 'tpu')
MODULE, METADATA = 'module.bin', 'metadata.json'
OUTPUTS = {
  'labels': 'int32[batch, n_best, slots], classes, best reading first, right-padded with 0',
  'lengths': 'int32[batch, n_best], symbols in each reading',
  'log_probs': 'float32[batch, n_best], natural logarithms of their probabilities; -inf in unused slots',
  'allowed_log_prob': 'float32[batch], that the reading has an allowed length',
  'first': 'int32[batch, slots], first frame of each symbol of the best reading; -1 in the padding, or not known',
  'last': 'int32[batch, slots], last frame, included',
  'posteriors': 'float32[batch, slots], highest probability of each symbol over its frames; of several views, the mean',
}


class Exported(NamedTuple):
  """A loaded file."""

  read: Callable[[jax.Array], dict[str, jax.Array]]  # float32[B, H, W, C] in [0, 1] -> arrays as in OUTPUTS
  metadata: dict[str, Any]


def load(path: str | pathlib.Path) -> Exported:
  """Opens what `write` wrote; needs no run directory.

      read, metadata = stablehlo.load('reader.zip')
      readings = read(images)  # float32[B, H, W, C], prepared as metadata['preprocessing'] says
      text = ''.join(metadata['alphabet'][label - 1] for label in readings['labels'][0, 0] if label)

  `read` compiles once for each batch size. Without this package: `jax.export.deserialize(module.bin).call(images)`.

  Raises InputError where the file is no such export, or this jax no longer reads it.
  """
  path = pathlib.Path(os.path.expanduser(path))
  if not path.is_file():
    raise InputError(f'there is no exported model {path}')
  try:
    with zipfile.ZipFile(path) as file:
      weights.check_unpacked_size(path, file)
      module, stored = file.read(MODULE), json.loads(file.read(METADATA))
    written_by = stored['versions']['jax']
  except InputError:
    raise
  # Whatever a damaged file makes of its compression, flags and headers.
  except (
    OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error
  ) as error:  # fmt: skip
    raise InputError(f'{path} is no StableHLO file of digits_jax.export: {error}') from error
  try:
    exported = jax.export.deserialize(bytearray(module))
    read = jax.jit(exported.call)
    (images,) = exported.in_avals
    read.lower(jax.ShapeDtypeStruct((1, *images.shape[1:]), images.dtype))  # what only then comes to light
  except Exception as error:  # jax says in many ways that it cannot read a module
    raise InputError(
      f'jax {jax.__version__} cannot read {path}: {first_line(error)}; read it with jax {written_by}, which wrote it, '
      'or export the run again'
    ) from error
  return Exported(read, stored)


def write(path: pathlib.Path, run: Run, decode: Callable, decoding: dict) -> None:
  """Writes the file. `decode`, `decoding`: what `make_decoder` returns, and the arguments that it was called with."""
  (batch,) = jax.export.symbolic_shape('batch')
  images = jax.ShapeDtypeStruct((batch, *run.canvas.shape), jnp.float32)
  exported = jax.export.export(decode, platforms=PLATFORMS)(images)
  zooms = run.config.evaluation.zooms
  stored = metadata.describe(
    run,
    file_format='stablehlo',
    decoding={'method': TASKS[run.config.task].METHOD, **decoding, **(_of_views(zooms) if zooms else {})},
    outputs=OUTPUTS,
    versions={'calling_convention': exported.calling_convention_version, 'platforms': list(exported.platforms)},
  )
  with zipfile.ZipFile(path, 'w') as file:
    file.writestr(MODULE, bytes(exported.serialize()))
    file.writestr(METADATA, json.dumps(stored, indent=2) + '\n')


def _of_views(zooms):
  """What the metadata say of a reader that looks several times."""
  return {'zooms': list(zooms), 'views': 'the probability of a reading is the mean of those that the views give it'}


def make_decoder(run: Run, *, beams: int, n_best: int, min_length: int, max_length: int | None) -> Callable:
  """The run as one jitted function: images float32[B, H, W, C] -> arrays as in OUTPUTS.

  Raises InputError where no reading can have min_length symbols.
  """
  program = make_program(run.task, beams=beams, n_best=n_best, min_length=min_length, max_length=max_length)
  decode = jax.jit(lambda images: program(run.params, images, jnp.float32(run.temperature))._asdict())
  jax.eval_shape(decode, jax.ShapeDtypeStruct((1, *run.canvas.shape), jnp.float32))  # the task's refusals
  return decode
