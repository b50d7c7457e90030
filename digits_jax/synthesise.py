"""Writes synthesised numbers as images, or draws a sheet of them, exactly as training and evaluation see them.

python -m digits_jax.synthesise --config=configs/fonts.py --out=DIR --count=60000
python -m digits_jax.synthesise --config=configs/fonts.py --preview=sheet.png
python -m digits_jax.synthesise --config=configs/fonts.py --split=test --count=5000 --checksum

DIR gets 000000.png ... and, last of all, labels.csv (filename,label): a folder without it is incomplete. Image i
is a function of the config, --split, --seed and i alone. --split=test without --seed is the set of result.json.
--checksum prints SHA-256 of the numbers and of the pixels, by which docs/benchmark.md tells the named test sets.
"""

import pathlib

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

command.config_flag()
_OUT = command.out_flag('Folder for the images and labels.csv; new or empty.')
_COUNT = flags.DEFINE_integer('count', None, 'How many images.', lower_bound=1)
_DISTINCT = flags.DEFINE_bool('distinct', False, 'Every number at most once: repeats are passed over, in order.')
_SPLIT = flags.DEFINE_enum(
  'split', 'train', ['train', 'validation', 'test'], 'Whose glyphs and numbers; validation is drawn as the test is.'
)
_TEST = flags.DEFINE_string('test', 'test', 'Which of the sets in config.tests --split=test draws.')
_SEED = flags.DEFINE_integer(
  'seed', None, 'Default: that of the split in the config.', lower_bound=0, upper_bound=2**31 - 1
)
_CHECKSUM = flags.DEFINE_bool('checksum', False, 'Print SHA-256 of the numbers and of the pixels of the images.')
_PREVIEW = command.path_flag('preview', 'PNG file, in a folder that is there, for a sheet of the first images.')

PREVIEWED = 48


def main(arguments):
  """Raises InputError on flags that do not go together, and where there are too few distinct numbers."""
  if arguments:
    raise InputError(f'unexpected argument {arguments[0]!r}: the folder is given as --out=DIR')
  if not (_OUT.value or _PREVIEW.value or _CHECKSUM.value):
    raise InputError('where to? Give --out=DIR for images, --preview=FILE.png for a sheet of them, or both')
  if (_OUT.value or _CHECKSUM.value) and _COUNT.value is None:
    raise InputError('how many images? Give --count=60000, or another number')
  command.check_sheet('--preview', _PREVIEW.value)
  config = command.experiment_config()
  if _TEST.present and _SPLIT.value != 'test':
    raise InputError(f'--test={_TEST.value} names a test set: give --split=test too')
  if _TEST.value not in config.tests:
    raise InputError(f'--test={_TEST.value}: this config has no such test set; it has {", ".join(config.tests)}')
  out = pathlib.Path(_OUT.value) if _OUT.value else None
  if out and out.is_dir() and any(out.iterdir()):
    raise InputError(
      f'{out} is not empty: choose another --out, or remove it (without labels.csv it was interrupted)'
    )

  import jax

  from digits_jax import drawing
  from digits_jax.alphabet import Alphabet
  from digits_jax.data import drawn, sources
  from digits_jax.training import experiment

  if _SEED.value is not None and _SPLIT.value == 'train':
    config.seed = _SEED.value  # which also orders images that are read from files
  source, seed = experiment.build_source(config, _SPLIT.value, test=_TEST.value)
  make_key = sources.training_key if _SPLIT.value == 'train' else jax.random.key
  numbers = drawn.Numbers(source, Alphabet(config.alphabet), make_key(seed if _SEED.value is None else _SEED.value))
  count = _COUNT.value or min(PREVIEWED, source.limit or PREVIEWED)
  if source.limit is not None and count > source.limit:
    raise InputError(f'--count={count:,}: {_SPLIT.value} has {source.limit:,} images')
  ids = numbers.distinct(count) if _DISTINCT.value else range(count)
  if out:
    out.mkdir(parents=True, exist_ok=True)
    drawn.write(numbers, ids, out)
    print(f'wrote {count:,} images and labels.csv into {out}')
  if _PREVIEW.value:
    examples = [example for batch in numbers.batches(ids[:PREVIEWED]) for example in zip(*batch, strict=True)]
    drawing.contact_sheet(_PREVIEW.value, *zip(*examples, strict=True), title=f'{config.name}, {_SPLIT.value}')
    print(f'wrote {_PREVIEW.value}')
  if _CHECKSUM.value:
    labels, pixels = drawn.checksums(numbers, ids)
    print(f'{count:,} numbers {labels}\n{count:,} images  {pixels}')


if __name__ == '__main__':
  command.run(main)
