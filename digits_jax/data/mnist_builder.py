"""Downloads MNIST and prepares it as TFDS does, without TensorFlow.

Assumes that it is imported only where data is prepared: it imports tensorflow_datasets. What it writes has
the name, version, features and record keys of TFDS's own `mnist`; the PNGs are Pillow's, not TensorFlow's.
"""

import contextlib
import gzip
import io
import itertools
import os
import pathlib
import shutil
import struct
import tempfile
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image
from tqdm import tqdm

from digits_jax.data import download, mnist, places
from digits_jax.data.download import Archive
from digits_jax.errors import InputError, reason

MIRRORS = (
  'https://storage.googleapis.com/cvdf-datasets/mnist/',
  'https://ossci-datasets.s3.amazonaws.com/mnist/',
)

# (images, labels) of each split. Sizes and checksums: tensorflow_datasets/url_checksums/mnist.txt.
ARCHIVES = {
  'train': (
    Archive(
      'train-images-idx3-ubyte.gz',
      9_912_422,
      '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609',
    ),
    Archive(
      'train-labels-idx1-ubyte.gz',
      28_881,
      '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c',
    ),
  ),
  'test': (
    Archive(
      't10k-images-idx3-ubyte.gz',
      1_648_877,
      '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6',
    ),
    Archive(
      't10k-labels-idx1-ubyte.gz',
      4_542,
      'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6',
    ),
  ),
}
_MOST_ITEMS = 1_000_000


class Mnist(tfds.image_classification.MNIST, skip_registration=True):
  """TFDS's mnist (its description, features and version), fed from arrays and Pillow's PNGs.

  `arrays` maps 'train' and 'test' to (images uint8[n, 28, 28], labels uint8[n]).
  """

  name = 'mnist'
  VERSION = tfds.core.Version(mnist.VERSION)

  def __init__(self, *, arrays: Mapping[str, tuple[np.ndarray, np.ndarray]], **kwargs):
    self._arrays = arrays
    super().__init__(file_format='array_record', **kwargs)

  def _info(self):
    info = super()._info()
    info.initialize_from_bucket = lambda: None  # nothing is there, and TFDS leaves a folder behind each time it looks
    return info

  def _split_generators(self, dl_manager):
    return {split: self._generate_examples(split) for split in self._arrays}

  def _generate_examples(self, split):
    pairs = zip(*self._arrays[split], strict=True)
    count = len(self._arrays[split][1])
    bar = tqdm(pairs, total=count, desc=f'preparing {split}', unit=' images', disable=None)
    for index, (image, label) in enumerate(bar):
      png = io.BytesIO()
      Image.fromarray(image).save(png, 'PNG')
      yield index, {'image': png.getvalue(), 'label': int(label)}


def prepare(
  data_dir: str | None = None,
  downloads: str | None = None,
  *,
  mirrors: Sequence[str] = MIRRORS,
  archives: Mapping[str, tuple[Archive, Archive]] | None = None,
) -> bool:
  """Leaves a readable MNIST in mnist.folder(data_dir); True if it had to be made, False if it was there.

  It is written beside its place and renamed, so nothing half-written is ever found there. A damaged one is
  moved aside, never deleted.

  Args:
    data_dir: the folder of data sets; None: TFDS's default.
    downloads: the folder of the four .gz files, used as they are where they are already there; None:
      `downloads/mnist` in the folder of data sets.
    mirrors: addresses of folders that hold the four files.
    archives: what to download for each split: (images, labels); None: ARCHIVES.

  Raises InputError if a file cannot be had or is not what it should be, if another process prepares it, or if the
  folder holds an MNIST of another file format (mnist.ForeignFormatError).
  """
  folder, parent = mnist.folder(data_dir), places.data_folder(data_dir)
  with _disk_explained(folder):
    os.makedirs(parent, exist_ok=True)
  with places.locked(parent, f'preparing a data set in {parent}'):
    for left in pathlib.Path(folder).parent.glob('incomplete.*'):  # by a process that was killed
      shutil.rmtree(left)
    if os.path.exists(folder):
      try:
        _verify(data_dir)
        return False
      except mnist.ForeignFormatError:
        raise
      except InputError as error:
        aside = next(path for n in itertools.count(1) if not os.path.exists(path := f'{folder}.damaged-{n}'))
        os.rename(folder, aside)
        logging.warning('%s; what was there is now %s', error, aside)
    downloads = os.path.expanduser(downloads or os.path.join(parent, 'downloads', 'mnist'))
    archives = ARCHIVES if archives is None else archives
    wanted = [archive for pair in archives.values() for archive in pair]
    paths = iter(download.fetch_all(wanted, downloads, mirrors=mirrors))
    _write({split: read_pair(next(paths), next(paths)) for split in archives}, data_dir)
    _verify(data_dir)
  return True


def read_pair(images_path: str, labels_path: str) -> tuple[np.ndarray, np.ndarray]:
  """images uint8[n, 28, 28] and labels uint8[n] of two idx .gz files; raises InputError naming a bad one."""
  images = _read_idx(images_path, (mnist.SIZE, mnist.SIZE))
  labels = _read_idx(labels_path, ())
  if len(images) != len(labels):
    raise InputError(f'{images_path} has {len(images)} images but {labels_path} has {len(labels)} labels')
  if labels.max() > 9:
    raise InputError(f'{labels_path} holds the label {labels.max()}, which is no digit')
  return images, labels


def _read_idx(path, item_shape):
  """uint8[n, *item_shape], of the format described in yann.lecun.com/exdb/mnist, "the IDX file format"."""
  header = struct.Struct(f'>{2 + len(item_shape)}I')
  magic = 0x800 + 1 + len(item_shape)
  try:
    with gzip.open(path) as file:
      start = file.read(header.size)
      if len(start) < header.size:
        raise ValueError('it ends within its header')
      found, count, *shape = header.unpack(start)
      if found != magic:
        raise ValueError(f'it starts with {found:#010x} instead of {magic:#010x}')
      if tuple(shape) != item_shape or not 1 <= count <= _MOST_ITEMS:
        raise ValueError(f'it says that it holds {count} items of shape {tuple(shape)}, not {item_shape}')
      expected = count * int(np.prod(item_shape, dtype=int))
      body = file.read(expected + 1)
  except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
    raise InputError(f'{path} is not an idx file of MNIST: {error}') from error
  if len(body) != expected:
    raise InputError(f'{path} is not an idx file of MNIST: it does not hold exactly {count} items')
  return np.frombuffer(body, np.uint8).reshape(count, *item_shape)


def _write(arrays, data_dir):
  tfds.disable_progress_bar()  # its bars have no totals; ours have
  try:
    with _disk_explained(mnist.folder(data_dir)):
      builder = Mnist(arrays=arrays, data_dir=places.data_folder(data_dir))
      # TFDS makes a downloads folder whether or not it downloads, and prints that all sizes are unknown.
      with tempfile.TemporaryDirectory() as unused, contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_dir=unused)
  finally:
    tfds.enable_progress_bar()


@contextlib.contextmanager
def _disk_explained(folder):
  try:
    yield
  except (OSError, RuntimeError) as error:  # of a full disk array_record makes a RuntimeError
    raise InputError(f'cannot write MNIST into {folder}: {reason(error)}') from error


def _verify(data_dir):
  """Reads everything once, which also fills the cache of decoded arrays. Raises InputError."""
  for split in ('train', 'test'):
    mnist.load(data_dir, split)
