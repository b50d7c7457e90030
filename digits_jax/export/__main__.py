"""Writes a trained run as one file, and checks the file against the run.

python -m digits_jax.export --workdir=RUN --out=reader.zip --format=stablehlo
python -m digits_jax.export --workdir=RUN --out=reader.onnx --format=onnx

stablehlo: images to readings, beam search included, for jax on CPU, CUDA and TPU (digits_jax.export.stablehlo.load).
onnx: images to logits; CTC decoding is the caller's. Both take any batch size and hold the alphabet, the input size,
the preprocessing and the versions. FILE appears when the check is passed, in place of one that was there.
"""

import os
import pathlib
import sys

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

_WORKDIR = command.workdir_flag()
_OUT = flags.DEFINE_string('out', None, 'The file to write.')
_FORMAT = flags.DEFINE_enum('format', None, ['stablehlo', 'onnx'], 'Of the file.')
_BEAMS = flags.DEFINE_integer('beams', 10, 'stablehlo: prefixes kept by the search.', lower_bound=1)
_NBEST = flags.DEFINE_integer('nbest', 1, 'stablehlo: readings of each image, at most --beams.', lower_bound=1)
_LENGTH = flags.DEFINE_integer('length', None, 'stablehlo: symbols that every reading has.', lower_bound=1)
_MIN_LENGTH = flags.DEFINE_integer('min_length', None, 'stablehlo: symbols that it has at least.', lower_bound=0)
_MAX_LENGTH = flags.DEFINE_integer('max_length', None, 'stablehlo: symbols that it has at most.', lower_bound=1)
_DECODING = (_BEAMS, _NBEST, _LENGTH, _MIN_LENGTH, _MAX_LENGTH)


def main(arguments):
  """Raises InputError on flags that do not go together, a run that cannot be read, and a file that fails its check."""
  if arguments:
    raise InputError(f'unexpected argument {arguments[0]!r}: the file is given as --out=FILE')
  if not _WORKDIR.value:
    raise InputError('which run? Give its directory as --workdir=RUN')
  if not _OUT.value:
    raise InputError('where to? Give the file as --out=FILE')
  if not _FORMAT.value:
    raise InputError('in which format? Give --format=stablehlo or --format=onnx')
  decoding = _decoding()
  out = pathlib.Path(_OUT.value).expanduser()
  temporary = _open(out)
  try:
    summary = _write(temporary, decoding)
    os.replace(temporary, out)
  finally:
    temporary.unlink(missing_ok=True)
  print(f'wrote {out} ({out.stat().st_size / 1e6:.1f} MB): {summary}')


def _decoding():
  """The arguments of the search, checked. Raises InputError."""
  if _FORMAT.value == 'onnx':
    if given := [flag.name for flag in _DECODING if flag.present]:
      raise InputError(f'--{given[0]} is of the beam search, which an ONNX file does not hold: leave it out')
    return None
  if _LENGTH.value is not None and (_MIN_LENGTH.present or _MAX_LENGTH.present):
    raise InputError('--length sets both ends: give it alone, or --min_length and --max_length')
  if _NBEST.value > _BEAMS.value:
    raise InputError(f'--nbest={_NBEST.value} is more than the search keeps: raise --beams={_BEAMS.value}')
  least = _LENGTH.value or _MIN_LENGTH.value or 0
  most = _LENGTH.value or _MAX_LENGTH.value
  if most is not None and most < least:
    raise InputError(f'--min_length={least} is more than --max_length={most}')
  return {'beams': _BEAMS.value, 'n_best': _NBEST.value, 'min_length': least, 'max_length': most}


def _open(out):
  """The temporary file beside `out`, empty, so that a bad --out is known before the work. Raises InputError."""
  temporary = out.with_name(f'{out.name}.tmp')
  try:
    if out.is_dir():
      raise InputError(f'--out={out} is a folder: give a file')
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(b'')
  except OSError as error:
    raise InputError(f'cannot write --out={out}: {error.strerror}') from error
  return temporary


def _write(path, decoding):
  """Writes the file, reads it back and compares; returns what to tell of it."""
  if _FORMAT.value == 'onnx':
    from digits_jax.export import onnx_model
  import jax

  from digits_jax.export import check, stablehlo
  from digits_jax.reading import run as reading

  run = reading.load(_WORKDIR.value)
  images = check.draw_images(run)
  if _FORMAT.value == 'stablehlo':
    reference = stablehlo.make_decoder(run, **decoding)
    stablehlo.write(path, run, reference, decoding)
    largest = check.compare(stablehlo.load(path).read, reference, images)
    contents = 'images to readings, any batch size'
  else:
    onnx_model.write(path, run)
    # The reference computes as ONNX does, also on a GPU.
    with jax.default_matmul_precision('highest'):
      largest = check.compare(onnx_model.load(path), onnx_model.make_reference(run), images)
    contents = 'images to logits, any batch size; decoding (CTC) is left to the caller'
    if run.config.model.dtype != 'float32':
      contents += f'; computes in float32, the run in {run.config.model.dtype}'
  return (
    f'{contents}\nreloaded: differs from the run by at most {largest:.2g} on {check.IMAGES} test images '
    f'(tolerance {check.TOLERANCE:g})'
  )


if __name__ == '__main__':
  command.run(main, ['export', *sys.argv[1:]])
