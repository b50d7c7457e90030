"""MNIST's handwritten digits as arrays, from the folder that `python -m digits_jax.prepare mnist` writes.

Assumes TFDS's mnist 3.0.1 in array_record files, which are read without TensorFlow. Their PNGs are decoded
once: the arrays stay in $XDG_CACHE_HOME/digits_jax (~/.cache/digits_jax), under a checksum of those files.

The images come in the order of their own hashes, and the first training images are the validation ones.
So everybody has the same splits in the same order, whatever program prepared the files in whatever order.
"""

import hashlib
import io
import os
import pathlib
import shlex
import tempfile
import zipfile

import numpy as np
from absl import logging
from tqdm import tqdm

from digits_jax.conventions import SPLITS
from digits_jax.data import places
from digits_jax.errors import InputError, first_line

VERSION = '3.0.1'
SIZE = 28
_VALIDATION_FRAC = 1 / 12  # 5,000 of MNIST's 60,000 training images
_SALT = b'digits_jax mnist'  # of the hashes: another one means other splits
_CACHE_FORMAT = 1  # part of a cached bank's name: raise it when its contents change


class ForeignFormatError(InputError):
  """A whole MNIST, but in files that only TensorFlow reads."""


def load(data_dir: str | None, split: str) -> tuple[np.ndarray, np.ndarray]:
  """The digits of one split.

  Args:
    data_dir: the folder that holds `mnist/3.0.1`; None: $TFDS_DATA_DIR, else ~/tensorflow_datasets.
    split: 'train' or 'validation', disjoint parts (55,000 and 5,000, fixed for good) of MNIST's training
      images, or 'test', its 10,000 test images. Of n training images, round(n / 12) are for validation.

  Returns:
    images: uint8[n, 28, 28], ink 255 on paper 0.
    labels: int32[n], the digits 0 to 9. (They are not classes yet: a class is the digit's place + 1.)

  Raises InputError, with the command that puts it right, if the data set is missing, incomplete or damaged.
  """
  if split not in SPLITS:
    raise InputError(f'MNIST has no split {split!r}, only {", ".join(SPLITS)}')
  part = 'test' if split == 'test' else 'train'
  files = _files(data_dir, part)
  cache = os.path.join(places.cache_folder(), f'mnist-{part}-{_checksum(files)}.npz')
  bank = _read_cache(cache)
  if bank is None:
    bank = _decode(data_dir, part)
    _write_cache(cache, bank)
  images, labels = bank
  if part == 'test':
    return images, labels
  held = max(1, round(len(labels) * _VALIDATION_FRAC))
  chosen = slice(held) if split == 'validation' else slice(held, None)
  return images[chosen], labels[chosen]


def folder(data_dir: str | None) -> str:
  """Where the prepared MNIST lies, or would lie, under data_dir."""
  return os.path.join(places.data_folder(data_dir), 'mnist', VERSION)


def _remedy(data_dir):
  flag = f' --data_dir={shlex.quote(data_dir)}' if data_dir else ''
  return f'`python -m digits_jax.prepare mnist{flag}`'


def _files(data_dir, part):
  """The files that decide what this part holds: the two descriptions, then its shards in order."""
  path = pathlib.Path(folder(data_dir))
  if not path.is_dir():
    raise InputError(f'there is no MNIST in {path}: {_remedy(data_dir)} downloads and prepares it')
  if not list(path.glob('*.array_record-*')) and list(path.glob('*.tfrecord-*')):
    raise ForeignFormatError(
      f'MNIST in {path} is in tfrecord files, which only TensorFlow reads: '
      '`python -m digits_jax.prepare mnist --data_dir=DIR` prepares another one in a folder of your choice'
    )
  shards = sorted(path.glob(f'mnist-{part}.array_record-*'))
  described = [path / 'dataset_info.json', path / 'features.json']
  missing = [file.name for file in described if not file.is_file()]
  missing += [] if shards else [f'mnist-{part}.array_record']
  if missing:
    raise InputError(
      f'MNIST in {path} is incomplete, without {", ".join(missing)}: {_remedy(data_dir)} prepares it again'
    )
  return described + shards


def _checksum(files):
  digest = hashlib.blake2b(f'format {_CACHE_FORMAT}'.encode(), digest_size=16)
  for file in files:
    contents = file.read_bytes()
    digest.update(f'\n{file.name} {len(contents)}\n'.encode())
    digest.update(contents)
  return digest.hexdigest()


def _decode(data_dir, part):
  """images uint8[n, 28, 28] and labels int32[n] of one of TFDS's splits, in the order of their hashes."""
  import tensorflow_datasets as tfds
  from PIL import Image

  try:
    source = tfds.data_source(
      f'mnist:{VERSION}',
      split=part,
      data_dir=places.data_folder(data_dir),
      download=False,
      decoders={'image': tfds.decode.SkipDecoding()},  # TFDS's own decoding takes 10 times as long
    )
    expected = source.dataset_info.splits[part].num_examples
    records = source.__getitems__(range(len(source)))
    if len(records) != expected:
      raise ValueError(f'{len(records)} {part} images instead of {expected}')
    images = np.zeros((len(records), SIZE, SIZE), np.uint8)
    labels = np.array([record['label'] for record in records], np.int32)
    if len(records) < 2 or not ((labels >= 0) & (labels <= 9)).all():
      raise ValueError(f'the {part} labels are not digits')
    bar = tqdm(records, desc=f'decoding MNIST ({part}, once)', unit=' images', leave=False, disable=None)
    for i, record in enumerate(bar):
      image = Image.open(io.BytesIO(record['image']))
      if image.size != (SIZE, SIZE) or image.mode != 'L':
        raise ValueError(f'{part} image {i} is {image.size} {image.mode}, not {(SIZE, SIZE)} L')
      images[i] = image
  except Exception as error:  # TFDS, protobuf, array_record and Pillow each raise kinds of their own
    raise InputError(
      f'cannot read MNIST in {folder(data_dir)} ({first_line(error)}): {_remedy(data_dir)} prepares it again'
    ) from error
  hashes = [
    hashlib.blake2b(image.tobytes() + bytes([label]), digest_size=16, key=_SALT).digest()
    for image, label in zip(images, labels, strict=True)
  ]
  order = sorted(range(len(hashes)), key=hashes.__getitem__)
  return images[order], labels[order]


def _read_cache(file):
  """(images, labels), or None where there is no such file or it cannot be trusted."""
  try:
    with np.load(file, allow_pickle=False) as bank:  # zip members carry their own CRC, checked on reading
      images, labels = bank['images'], bank['labels']
  except FileNotFoundError:
    return None
  except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, RuntimeError) as error:
    logging.warning('rebuilding the damaged cache file %s (%s)', file, error)
    return None
  return images, labels


def _write_cache(file, bank):
  images, labels = bank
  temporary = None
  try:
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(file), suffix='.tmp', delete=False) as out:
      temporary = out.name
      np.savez(out, images=images, labels=labels)
    os.replace(temporary, file)
  except OSError as error:
    logging.warning('MNIST is decoded again at every start: cannot write %s (%s)', file, error.strerror)
  finally:
    if temporary and os.path.exists(temporary):
      os.remove(temporary)
