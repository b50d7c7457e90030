"""SVHN's photos by index: decoded, cropped to their number, resized; or the same once and for all, in a cache file.

Assumes what `python -m digits_jax.prepare svhn` wrote. Nothing here is random: order and augmentation are for
`epochs` and synth/augment.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent import futures

import numpy as np
from absl import logging
from tqdm import tqdm

from digits_jax.alphabet import Alphabet
from digits_jax.data import image_files, places, svhn
from digits_jax.data.crop import CropSpec, crop
from digits_jax.errors import InputError, reason

_PART = 256  # photos that a process crops at a time
_CACHE_FORMAT = 1  # part of a cache file's name: raise it when its contents change


class Crops:
  """The crops of one split, read anew each time: records CropSpec.dtype by index, in the order of the split's shards.

  Several threads may read at once.
  """

  def __init__(self, data_dir: str | None, split: str, spec: CropSpec):
    """Raises InputError if the split is not there or damaged (svhn.check)."""
    import tensorflow_datasets as tfds

    svhn.check(data_dir, split)
    self.spec, self._where = spec, f'SVHN in {svhn.folder(data_dir)}, {split}'
    self._photos = tfds.data_source(
      f'{svhn.NAME}:{svhn.VERSION}',
      split=split,
      data_dir=places.data_folder(data_dir),
      download=False,
      decoders={'image': tfds.decode.SkipDecoding()},  # image_files.decode_png looks at size and checksums first
    )

  def __len__(self) -> int:
    return len(self._photos)

  def __getitem__(self, i: int) -> np.ndarray:
    """One record, an array without dimensions. Raises InputError on a damaged photo or a number of too many digits."""
    try:
      record = self._photos[i]
    except Exception as error:  # TFDS and array_record raise kinds of their own
      raise InputError(
        f'{self._where}: photo {i} cannot be read ({reason(error)}): prepare the data set again'
      ) from error
    name, boxes = f'{self._where}: {record["name"].decode()}', record['boxes']
    if len(boxes) > self.spec.slots:
      raise InputError(f'{name} has {len(boxes)} digits, there are slots for {self.spec.slots}')
    try:
      photo = image_files.decode_png(name, record['image'])
    except InputError as error:
      raise InputError(f'{error}: get the archive again, and prepare the data set from it in a new folder') from error
    if photo.ndim == 2:
      photo = np.repeat(photo[:, :, None], 3, 2)
    found = np.zeros((), self.spec.dtype)
    found['image'], found['boxes'][: len(boxes)] = crop(photo, boxes, self.spec)
    return found


def cached(data_dir: str | None, split: str, spec: CropSpec, workers: int = 0) -> np.ndarray:
  """All crops of a split as one array [n] of CropSpec.dtype, mapped from a file rather than read.

  The file lies in places.cache_folder(), under a checksum of what it was made from. It is made where it is not there,
  some 1,000 photos a second and core, by this process or so many others; 12.4 KB a photo with crops of 64 pixels.

  Raises InputError as Crops does, and if the file cannot be written.
  """
  record = svhn.check(data_dir, split)[split]
  made_from = [_CACHE_FORMAT, record['digest'], dataclasses.astuple(spec)]
  digest = hashlib.blake2b(json.dumps(made_from).encode(), digest_size=16).hexdigest()
  path = os.path.join(places.cache_folder(), f'svhn-{split}-{digest}.npy')
  if not _is_whole(path, spec, record['photos']):
    try:
      _write_cache(path, (data_dir, split, spec), record['photos'], workers)
    except OSError as error:
      raise InputError(f'cannot keep cropped photos in {path}: {error.strerror or error}') from error
  return np.load(path, mmap_mode='r', allow_pickle=False)


def _is_whole(path, spec, count):
  """Whether the file is there and holds so many crops of this kind."""
  try:
    bank = np.load(path, mmap_mode='r', allow_pickle=False)
    return bank.shape == (count,) and bank.dtype == spec.dtype
  except FileNotFoundError:
    return False
  except (OSError, EOFError, ValueError) as error:
    logging.warning('cropping again: the cache file %s is damaged (%s)', path, error)
    return False


def _write_cache(path, opened, count, workers):
  _, split, spec = opened
  os.makedirs(os.path.dirname(path), exist_ok=True)
  _remove_leftovers(os.path.dirname(path))
  parts = [range(start, min(start + _PART, count)) for start in range(0, count, _PART)]
  with contextlib.ExitStack() as stack:
    work = stack.enter_context(tempfile.TemporaryDirectory(prefix='svhn.', dir=os.path.dirname(path)))
    if workers:
      processes = multiprocessing.get_context('spawn')
      pool = futures.ProcessPoolExecutor(workers, processes, _open_crops, opened)
      read = stack.enter_context(pool).map(_read_part, parts)
      stack.callback(pool.shutdown, cancel_futures=True)  # where writing fails, nothing more is cropped
    else:
      _open_crops(*opened)
      read = map(_read_part, parts)
    new = os.path.join(work, 'crops.npy')
    file = stack.enter_context(open(new, 'wb'))  # not mapped: there a full disk kills the process
    header = {'descr': np.lib.format.dtype_to_descr(spec.dtype), 'fortran_order': False, 'shape': (count,)}
    np.lib.format.write_array_header_1_0(file, header)
    bar = tqdm(total=count, desc=f'cropping SVHN ({split}, once)', unit=' photos', leave=False, disable=None)
    with bar:
      for part, crops in zip(parts, read, strict=True):
        file.write(crops.tobytes())
        bar.update(len(part))
    file.flush()
    os.fsync(file.fileno())
    os.replace(new, path)


def _remove_leftovers(folder):
  """What was left a day ago or more by processes that were killed."""
  for entry in os.scandir(folder):
    with contextlib.suppress(FileNotFoundError):  # it has just ended, and removed its own
      if entry.name.startswith('svhn.') and entry.is_dir() and entry.stat().st_mtime < time.time() - 86_400:
        shutil.rmtree(entry.path, ignore_errors=True)


def _open_crops(*arguments):
  """In each process that reads parts."""
  global _crops
  _crops = Crops(*arguments)


def _read_part(rows):
  return np.stack([_crops[row] for row in rows])


class LabelledCrops:
  """Crops with their labels, by index in a selection, as `epochs.source` reads them."""

  def __init__(
    self,
    selection: svhn.ChosenPhotos,
    crops: dict[str, Sequence[np.ndarray]],
    *,
    alphabet: Alphabet,
    slots: int,
  ):
    """Raises InputError on a number of more than `slots` digits.

    crops: for each split its records of CropSpec.dtype, by row.
    """
    self._crops, self._selection = crops, selection
    self._labels, self._lengths = alphabet.pack(selection.texts, slots)

  def __len__(self) -> int:
    return len(self._lengths)

  def __getitem__(self, i: int) -> dict[str, np.ndarray]:
    crop = self._crops[self._selection.splits[i]][self._selection.rows[i]]
    return {
      'image': crop['image'],  # uint8[size, size, 3]
      'boxes': crop['boxes'][: self._labels.shape[1]],  # float32[slots, 4]
      'labels': self._labels[i],  # int32[slots]
      'label_length': self._lengths[i],  # int32[]
    }


def load(
  data_dir: str | None,
  selection: svhn.ChosenPhotos,
  spec: CropSpec,
  *,
  alphabet: Alphabet,
  slots: int,
  is_cached: bool,
  workers: int = 0,
) -> LabelledCrops:
  """The numbers of a selection, of at most `slots` digits, and no more than spec.slots.

  They are decoded at each reading, or cropped once by `workers` processes and kept in a file.
  """
  read = functools.partial(cached, workers=workers) if is_cached else Crops
  crops = {split: read(data_dir, split, spec) for split in sorted(set(selection.splits))}
  return LabelledCrops(selection, crops, alphabet=alphabet, slots=slots)
