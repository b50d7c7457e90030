"""Downloads a data set and prepares it for training; TensorFlow is not needed.

python -m digits_jax.prepare mnist [--data_dir=DIR] [--downloads=DIR]
python -m digits_jax.prepare svhn [--data_dir=DIR] [--archives=DIR] [--splits=train,test,extra] [--max_digits=5]

Without a network, put the files by hand where it says and run it again. Splits that are prepared stay as they are.
"""

import shlex

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError, suggest

_DATA_DIR = command.path_flag(
  'data_dir', 'Folder of prepared data sets. Default: $TFDS_DATA_DIR, else ~/tensorflow_datasets.'
)
_DOWNLOADS = command.path_flag(
  'downloads', 'Folder of the files as downloaded. Default: downloads/NAME in the folder of data sets.'
)
flags.DEFINE_alias('archives', 'downloads')
_SPLITS = flags.DEFINE_list(
  'splits', ['train', 'test'], "Of SVHN: train and test are 0.7 GB, extra is 2 GB. Each is a file SPLIT.tar.gz, or a "
  'folder SPLIT that was extracted from it.'
)
_MAX_DIGITS = flags.DEFINE_integer('max_digits', 0, 'Of SVHN but its test: leave out longer numbers; 0 keeps all.', 0)
_URL = flags.DEFINE_list(
  'url', None, 'Address(es) of folders to download from, tried in turn, in place of the official ones.'
)


def main(arguments):
  """Prepares the one data set that is named. Raises InputError."""
  names = ', '.join(DATASETS)
  if len(arguments) != 1:
    raise InputError(f'name one data set to prepare ({names}), as in `python -m digits_jax.prepare mnist`')
  (name,) = arguments
  if name not in DATASETS:
    raise InputError(f'there is no data set {name!r} to prepare: {suggest(name.lower(), DATASETS)}')
  DATASETS[name]()
  if _DATA_DIR.value:
    print(f'Train with it by --config.data.data_dir={shlex.quote(_DATA_DIR.value)}')
  else:
    print('Training finds it there by itself.')


def _mnist():
  from digits_jax.data import mnist, mnist_builder

  if _SPLITS.present or _MAX_DIGITS.present:
    raise InputError('--splits and --max_digits are of SVHN: leave them out')
  urls = {'mirrors': _URL.value} if _URL.value else {}
  is_new = mnist_builder.prepare(_DATA_DIR.value, _DOWNLOADS.value, **urls)
  counts = [len(mnist.load(_DATA_DIR.value, split)[1]) for split in mnist.SPLITS]
  state = 'is prepared' if is_new else 'was already prepared'
  numbers = ', '.join(f'{count:,} {split}' for count, split in zip(counts, mnist.SPLITS, strict=True))
  print(f'MNIST {state} in {mnist.folder(_DATA_DIR.value)} ({numbers} images).')


def _svhn():
  from digits_jax.data import svhn, svhn_builder

  urls = {'mirrors': _URL.value} if _URL.value else {}
  made = svhn_builder.prepare(
    _DATA_DIR.value, _DOWNLOADS.value, wanted=_SPLITS.value, max_digits=_MAX_DIGITS.value, **urls
  )
  records = svhn.records(_DATA_DIR.value)
  print(f'SVHN, for non-commercial use, in {svhn.folder(_DATA_DIR.value)}:')
  for split in (split for split in svhn.SPLITS if split in records):
    state = 'is prepared' if split in made else 'was already prepared'
    print(f'{split} {state}: {svhn.summary(records[split])}.')


DATASETS = {'mnist': _mnist, 'svhn': _svhn}

if __name__ == '__main__':
  command.run(main)
