"""Downloads a data set and prepares it for training; TensorFlow is not needed.

python -m digits_jax.prepare mnist [--data_dir=DIR] [--downloads=DIR]

Without a network, put the files by hand where it says and run it again.
"""

import difflib
import shlex

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Folder of prepared data sets. Default: $TFDS_DATA_DIR, else ~/tensorflow_datasets.'
)
_DOWNLOADS = flags.DEFINE_string(
  'downloads', None, 'Folder of the files as downloaded. Default: downloads/NAME in the folder of data sets.'
)
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
    close = difflib.get_close_matches(name.lower(), DATASETS, n=1, cutoff=0.4)
    hint = f'did you mean {close[0]!r}?' if close else f'there is {names}'
    raise InputError(f'there is no data set {name!r} to prepare: {hint}')
  DATASETS[name]()
  if _DATA_DIR.value:
    print(f'Train with it by --config.data.data_dir={shlex.quote(_DATA_DIR.value)}')
  else:
    print('Training finds it there by itself.')


def _mnist():
  from digits_jax.data import mnist, mnist_builder

  urls = {'mirrors': _URL.value} if _URL.value else {}
  is_new = mnist_builder.prepare(_DATA_DIR.value, _DOWNLOADS.value, **urls)
  counts = [len(mnist.load(_DATA_DIR.value, split)[1]) for split in mnist.SPLITS]
  state = 'is prepared' if is_new else 'was already prepared'
  numbers = ', '.join(f'{count:,} {split}' for count, split in zip(counts, mnist.SPLITS, strict=True))
  print(f'MNIST {state} in {mnist.folder(_DATA_DIR.value)} ({numbers} images).')


DATASETS = {'mnist': _mnist}

if __name__ == '__main__':
  command.run(main)
