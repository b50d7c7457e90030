"""From a run directory to a checked file: written beside its place, read back, compared, then renamed."""

import os
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from digits_jax.errors import InputError
from digits_jax.export import check, stablehlo
from digits_jax.reading import trained
from digits_jax.reading.program import make_program
from digits_jax.reading.trained import Run
from digits_jax.training import weights


def write_stablehlo(
  workdir: str | pathlib.Path,
  out: str | pathlib.Path,
  *,
  beams: int | None = None,
  n_best: int = 1,
  min_length: int = 0,
  max_length: int | None = None,
  zooms: Sequence[float] | None = None,
) -> str:
  """Writes the run as a StableHLO file; returns what to tell of it.

  Args:
    workdir: the run directory.
    out: the file; one that is there is replaced once the check is passed.
    beams, n_best, min_length, max_length: as in `ctc.beam.beam_search`, fixed in the file; beams None is the
      run's config.evaluation.beams.
    zooms: as in `Reader.load`.

  Raises InputError on arguments that do not go together, a run that cannot be read, a place that cannot be written to,
  and a file that does not compute what the run computes: it is removed.
  """
  if max_length is not None and max_length < min_length:
    raise InputError(f'--min_length={min_length} is more than --max_length={max_length}')

  def write(path, run, images):
    kept = run.config.evaluation.beams if beams is None else beams
    if n_best > kept:
      raise InputError(f'--nbest={n_best} is more than the search keeps: raise --beams={kept}')
    decoding = {'beams': kept, 'n_best': n_best, 'min_length': min_length, 'max_length': max_length}
    decode = stablehlo.make_decoder(run, **decoding)
    stablehlo.write(path, run, decode, decoding)
    largest = check.compare(stablehlo.load(path).read, decode, images)
    return largest, 'images to readings, batches of 1 and more', check.TOLERANCE

  return _write(workdir, out, write, zooms)


def write_onnx(workdir: str | pathlib.Path, out: str | pathlib.Path) -> str:
  """Writes the run's network as ONNX; the rest as `write_stablehlo`. Raises InputError also without the packages."""
  from digits_jax.export import onnx_model

  def write(path, run, images):
    onnx_model.write(path, run)
    with jax.default_matmul_precision('highest'):  # a GPU may else multiply in fewer bits than onnxruntime
      largest = check.compare(onnx_model.load(path), onnx_model.make_reference(run), images)
    dtype = run.config.model.dtype
    note = '' if dtype == 'float32' else f'; computed in float32, where the run computes in {dtype}'
    if run.config.evaluation.zooms:
      note += '; the file looks at each image once, where the run has config.evaluation.zooms'
    contents = f'images to logits, batches of 1 and more; CTC decoding is left to the caller{note}'
    return largest, contents, check.TOLERANCE

  return _write(workdir, out, write)


def write_weights(workdir: str | pathlib.Path, out: str | pathlib.Path) -> str:
  """Writes the run as a file that `Reader.load` opens; the rest as `write_stablehlo`."""

  def write(path, run, images):
    about = {'step': run.step, 'temperature': run.temperature, 'left_out': run.left_out}
    about |= {'is_calibrated': run.is_calibrated}
    weights.write(path, config=run.config.to_dict(), params=jax.device_get(run.params), **about)
    decoding = {'beams': run.config.evaluation.beams, 'n_best': 1, 'min_length': 0, 'max_length': None}

    def reader(opened):
      program = jax.jit(make_program(opened.task, **decoding))
      return lambda images: program(opened.params, images, np.float32(opened.temperature))

    halved, whole = reader(trained.load(path)), reader(run)
    confidence = lambda read: lambda images: {'confidence': np.exp(read(images).log_probs)}
    largest = check.compare(confidence(halved), confidence(whole), images, check.HALF_TOLERANCE)
    others = int(np.any(halved(images).labels != whole(images).labels, (1, 2)).sum())
    words = f'; {others} of {len(images)} images are read otherwise than by the run' if others else ''
    return largest, f'a reader, its parameters in half precision{words}', check.HALF_TOLERANCE

  return _write(workdir, out, write)


def _write(workdir, out, write, zooms=None):
  """write: (path, run, images) -> the largest difference, what the file holds, the tolerance."""
  out = pathlib.Path(os.path.expanduser(out))
  run: Run = trained.load(workdir, zooms=zooms)
  temporary = _open(out)
  try:
    images, kind = check.draw_images(run)
    largest, contents, tolerance = write(temporary, run, images)
    os.replace(temporary, out)
  finally:
    temporary.unlink(missing_ok=True)
  note = '' if run.is_calibrated else '\nits confidences are not calibrated: training has not ended'
  return (
    f'wrote {out} ({out.stat().st_size / 1e6:.1f} MB): {contents}\n'
    f'read back, it differs from the run by at most {largest:.2g} (tolerance {tolerance:g}) on {check.IMAGES} images '
    f'of {kind}{note}'
  )


def _open(out):
  """The temporary file beside `out`, empty: a place that cannot be written to is known before the work is done."""
  if out.is_dir():
    raise InputError(f'--out={out} is a folder: give a file')
  temporary = out.with_name(f'.{out.name}.{os.getpid()}.tmp')
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(b'')
  except OSError as error:
    raise InputError(f'cannot write --out={out}: {error.strerror}') from error
  return temporary
