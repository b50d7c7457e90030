"""Writes a trained run as one file, and checks the file against the run.

python -m digits_jax.export --workdir=RUN --out=reader.zip --format=stablehlo
python -m digits_jax.export --workdir=RUN --out=reader.onnx --format=onnx
python -m digits_jax.export --workdir=RUN --out=reader.npz --format=weights

stablehlo: images to readings, beam search included, for jax on CPU, CUDA and TPU (digits_jax.export.stablehlo.load).
onnx: images to logits; CTC decoding is left to the caller. Both take batches of 1 and more, and hold the alphabet, the
input size, the preprocessing and the versions. weights: what `predict` and `Reader.load` take in place of RUN,
parameters in half precision. The file appears when the check is passed, in place of one that was there.
"""


from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

_WORKDIR = command.workdir_flag()
_OUT = command.out_flag('The file to write.')
_FORMAT = flags.DEFINE_enum('format', None, ['stablehlo', 'onnx', 'weights'], 'Of the file.')
_BEAMS = flags.DEFINE_integer(
  'beams', None, "stablehlo: readings that the search follows at a time; default: the run's config.evaluation.beams.",
  lower_bound=1,
)  # fmt: skip
_NBEST = flags.DEFINE_integer('nbest', 1, 'stablehlo: readings of each image, at most --beams.', lower_bound=1)
_LENGTHS = command.length_flags('stablehlo: ')
_ZOOMS = command.zooms_flag()
_ENDINGS = {'.zip': 'stablehlo', '.onnx': 'onnx', '.npz': 'weights'}


def main(arguments):
  """Raises InputError on flags that do not go together, a run that cannot be read, and a file that fails its check."""
  if arguments:
    raise InputError(f'unexpected argument {arguments[0]!r}: the file is given as --out=FILE')
  workdir = command.run_directory(_WORKDIR)
  if not _OUT.value:
    raise InputError('where to? Give the file as --out=FILE')
  if not _FORMAT.value:
    raise InputError('in which format? Give --format=stablehlo, --format=onnx or --format=weights')
  for ending, kind in _ENDINGS.items():
    if kind != _FORMAT.value and _OUT.value.lower().endswith(ending):
      raise InputError(f'--out={_OUT.value}: {ending} is the ending of --format={kind}; choose another name')
  if _FORMAT.value != 'stablehlo':
    holder = {'onnx': 'an ONNX file does', 'weights': 'weights do'}[_FORMAT.value]
    for flag in (_BEAMS, _NBEST, *_LENGTHS, _ZOOMS):
      if flag.present:
        part = 'views' if flag is _ZOOMS else 'the beam search'
        raise InputError(f'--{flag.name} is of {part}, which {holder} not hold: leave it out')
  least, most = command.lengths(*_LENGTHS)

  from digits_jax.export import writing

  if _FORMAT.value != 'stablehlo':
    write = writing.write_onnx if _FORMAT.value == 'onnx' else writing.write_weights
    print(write(workdir, _OUT.value))
    return
  decoding = {'beams': _BEAMS.value, 'n_best': _NBEST.value, 'min_length': least, 'max_length': most}
  print(writing.write_stablehlo(workdir, _OUT.value, **decoding, zooms=_ZOOMS.value))


if __name__ == '__main__':
  command.run(main)
