"""SVHN's digitStruct.mat: the digits of every photo and their boxes, and what is known to be wrong with them.

The file is MATLAB 7.3, which is HDF5: `digitStruct/name` and `digitStruct/bbox` refer to one string and one group for
each photo, and each field of a group (`label`, `left`, `top`, `width`, `height`) is one number, or refers to one for
each digit. That is some 18 objects a photo: h5py's low-level calls read them four times as fast as its usual ones.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from digits_jax.errors import InputError, reason

_FIELDS = (b'label', b'left', b'top', b'width', b'height')
_LABELS = {float(label): str(label % 10) for label in range(1, 11)}  # the file's number of a digit
_ROWS = 4096  # photos whose references are held at a time
_CACHE = 1 << 20  # bytes of descriptions: everything is read once, and HDF5's own 32 MB of them take 500 in memory
_MOST_LETTERS, _MOST_DIGITS = 4096, 64  # of a photo; SVHN's own have 10 letters and 6 digits
_STEEPNESS = 3  # a number that falls more than this times as far as it moves sideways is stacked


class Photo(NamedTuple):
  """One photo, its digits in the order of the file."""

  name: str  # of the PNG, such as '1.png'
  digits: str  # such as '10': the file's label 10 is the digit 0
  boxes: np.ndarray  # float32[n, 4], a box for each digit in pixels of the photo, as written: some leave it


def count(path: str | os.PathLike, *, called: str = '') -> int:
  """The number of photos that the file lists. Raises InputError as `read` does."""
  called = called or os.fspath(path)
  with _opened(path, called) as file:
    return _columns(called, file)[0].shape[0]


def read(path: str | os.PathLike, *, called: str = '') -> Iterator[Photo]:
  """The photos that the file lists, in its order, one at a time; errors name its path, or what it is `called`.

  Raises InputError, naming the file and the photo, if the file is missing, damaged or no MATLAB 7.3 file, lacks a
  field, or holds a label that is no digit, a box that is not of numbers, or fields of different lengths.
  """
  called = called or os.fspath(path)
  with _opened(path, called) as file:
    columns = _columns(called, file)
    reader = _Reader(file)
    total = columns[0].shape[0]
    for start in range(0, total, _ROWS):
      with _explained(called, 'its list of photos'):
        chunks = [reader.references(column, min(_ROWS, total - start), start) for column in columns]
      for i, (name, boxes) in enumerate(zip(*chunks, strict=True), start + 1):
        with _explained(called, f'the name of its photo {i:,}'):
          name = reader.text(name)
        with _explained(called, f'a box of {name}'):
          photo = _photo(name, reader.fields(boxes))
        yield photo


def reading_order(boxes: np.ndarray) -> list[int]:
  """The places of float[n, 4] boxes in the order in which their digits are read.

  That is from left to right by their centres; from top to bottom where the digits stand above one another: where
  their centres spread more than 3 times as far down as across. (Of SVHN's 33,402 training photos that tells all 43
  stacks, at most a quarter as broad as high, from numbers that climb to the right, at least 0.45 times.) Equal
  places keep their order.
  """
  x, y = boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
  is_stacked = np.ptp(y) > _STEEPNESS * np.ptp(x)
  return np.argsort(y if is_stacked else x, kind='stable').tolist()


def clip(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
  """The part of each of float[n, 4] boxes that is within a photo; one that is outside has no area left."""
  low = np.zeros(4, boxes.dtype)
  return np.clip(boxes, low, np.array([width, height, width, height], boxes.dtype))


@contextlib.contextmanager
def _opened(path, called):
  from h5py import h5f, h5p

  path = os.fspath(path)
  if not os.path.isfile(path):
    raise InputError(f'there is no file {called}')
  if not h5f.is_hdf5(os.fsencode(path)):
    raise InputError(f'{called} is not a MATLAB 7.3 (HDF5) file, as SVHN has it: get it again')
  with _explained(called, 'it'):
    access = h5p.create(h5p.FILE_ACCESS)
    cache = access.get_mdc_config()
    cache.set_initial_size, cache.initial_size, cache.max_size, cache.min_size = 1, _CACHE, _CACHE, _CACHE
    access.set_mdc_config(cache)
    file = h5f.open(os.fsencode(path), h5f.ACC_RDONLY, access)
  try:
    yield file
  finally:
    file.close()


@contextlib.contextmanager
def _explained(called, what):
  """What a damaged file or one of another layout leads to, which HDF5 raises as many kinds, becomes one sentence."""
  try:
    yield
  except Exception as error:
    said = reason(error).rstrip('.')
    raise InputError(f'{called}: {what} cannot be read ({said}): get it again') from error


def _columns(called, file):
  """The two datasets of references, to names and to groups of boxes."""
  from h5py import h5d, h5g

  with _explained(called, 'digitStruct with its name and bbox'):
    group = h5g.open(file, b'digitStruct')
    names, boxes = (h5d.open(group, name) for name in (b'name', b'bbox'))
    if len(names.shape) != 2 or names.shape[1] != 1 or names.shape != boxes.shape:
      raise ValueError(f'they have the shapes {names.shape} and {boxes.shape}')
  return names, boxes


def _photo(name, fields):
  labels, left, top, width, height = fields
  if not len(labels):
    raise ValueError('it has no digit')
  boxes = np.array([left, top, left, top])  # [4, n]
  boxes[2:] += (width, height)
  with np.errstate(over='ignore'):
    boxes = boxes.astype(np.float32)
  if not np.isfinite(boxes).all():
    raise ValueError('a place or a size is not a finite number')
  if not all(label in _LABELS for label in labels):
    raise ValueError(f'the labels {labels} are not all 1 to 9, or 10 for the digit 0')
  return Photo(name, ''.join(_LABELS[label] for label in labels), boxes.T)


class _Reader:
  """Follows the references of one open file; makes as few objects of HDF5 as it can, for they take the time.

  What is read is always told the shape that the memory has, so that HDF5 refuses another one.
  """

  def __init__(self, file):
    from h5py import h5d, h5r, h5s, h5t, ref_dtype

    self._open, self._dereference, self._simple, self._all = h5d.open, h5r.dereference, h5s.create_simple, h5s.ALL
    self._file, self._ref_dtype, self._is_reference = file, ref_dtype, h5t.REFERENCE
    self._double, self._letter, self._reference = h5t.NATIVE_DOUBLE, h5t.NATIVE_UINT16, h5t.py_create(ref_dtype)
    self._value, self._one = np.empty((1, 1)), h5s.create_simple((1, 1))

  def references(self, dataset, rows, start=0):
    """The references object[rows] in rows of a dataset [n, 1]."""
    space = dataset.get_space()
    space.select_hyperslab((start, 0), (rows, 1))
    found = np.empty((rows, 1), self._ref_dtype)
    dataset.read(self._simple((rows, 1)), space, found, self._reference)
    return found[:, 0]

  def text(self, reference):
    """The string in the dataset that is referred to."""
    dataset = self._dereference(reference, self._file)
    if math.prod(dataset.shape) > _MOST_LETTERS:
      raise ValueError(f'a name has more than {_MOST_LETTERS} letters')
    letters = np.empty(dataset.shape, np.uint16)
    dataset.read(self._all, self._all, letters, self._letter)
    return ''.join(map(chr, letters.flat))

  def fields(self, reference):
    """For each of _FIELDS the numbers [float, ...] of all digits."""
    group = self._dereference(reference, self._file)
    first, *others = (self._open(group, field) for field in _FIELDS)
    if first.get_type().get_class() != self._is_reference:
      return [[self._number(field)] for field in (first, *others)]
    rows = first.shape[0]
    if rows > _MOST_DIGITS:
      raise ValueError(f'a photo has {rows:,} digits, more than the {_MOST_DIGITS} that are read')
    numbers = []
    for field in (first, *others):
      found = self.references(field, rows)
      numbers.append([self._number(self._dereference(one, self._file)) for one in found])
    return numbers

  def _number(self, dataset):
    dataset.read(self._one, self._all, self._value, self._double)
    return self._value.item()
