"""Your own labelled images in memory: placed on the canvas, split, checked, and a report of what they are.

Assumes that they fit: an image takes a byte a pixel of the canvas. Without given splits an image's split depends on its
pixels and a seed alone. So copies of an image are on one side, and no image changes sides when others come or go.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import itertools
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from digits_jax.alphabet import Alphabet
from digits_jax.conventions import SPLITS
from digits_jax.data import canvas, image_files, labelled_files
from digits_jax.data.splits import check_held_out
from digits_jax.errors import InputError

_NAMED = 5  # files of a kind that a report names


@dataclasses.dataclass(frozen=True)
class Collection:
  """Images that could be read, ordered by the hashes of their pixels, and what else was found."""

  images: np.ndarray  # uint8[n, H, W], on the canvas
  texts: tuple[str, ...]
  files: tuple[str, ...]
  splits: np.ndarray  # int8[n], indices into SPLITS
  sizes: np.ndarray  # int[n, 2], (height, width) of the files' images
  hashes: tuple[bytes, ...]  # of the files' pixels
  unreadable: tuple[str, ...]  # why, a sentence each
  origin: str  # of the texts, as `LabelledFiles` has it
  unlisted: tuple[str, ...]  # names of images that nobody labelled

  def select(self, split: str) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """images uint8[m, H, W], texts and files of one split."""
    kept = np.flatnonzero(self.splits == SPLITS.index(split))
    return self.images[kept], tuple(self.texts[i] for i in kept), tuple(self.files[i] for i in kept)


def load(
  path: str,
  spec: canvas.CanvasSpec,
  *,
  alphabet: Alphabet,
  seed: int,
  held_out: Sequence[float],
  skips_unreadable: bool,
) -> Collection:
  """The labelled images that `labelled_files.find` finds at `path`, placed as a reader places them.

  Args:
    path: a folder, or a CSV file.
    spec: the canvas.
    alphabet: of the labels.
    seed: of the hash that splits, where no splits are given.
    held_out: the shares (validation, test) of the images then.
    skips_unreadable: files that cannot be read are counted; else they are an error.

  Raises InputError, naming the file, where `labelled_files.find` does, on unreadable files, on an image with two
  labels, and where a split has no image.
  """
  if not path:
    raise InputError('which images? Give --config.data.folder=DIR, a folder of your own images')
  files = labelled_files.find(path, alphabet)
  stamp = tuple((stat.st_size, stat.st_mtime_ns) for stat in map(os.stat, files.paths))
  found = _read(files, stamp, spec)
  unreadable = tuple(str(one) for one in found if isinstance(one, InputError))
  if unreadable and not skips_unreadable:
    more = f' (and {len(unreadable) - 1:,} more)' if len(unreadable) > 1 else ''
    raise InputError(
      f'{len(unreadable):,} of {len(found):,} images cannot be read: {unreadable[0]}{more}; remove them, or say '
      '--config.data.skip_unreadable to leave them out'
    )
  kept = [i for i, one in enumerate(found) if not isinstance(one, InputError)]
  if not kept:
    raise InputError(f'none of the {len(found):,} images at {path} can be read: {unreadable[0]}')
  kept.sort(key=lambda i: found[i][1])
  _check_copies(files, found, kept)
  hashes = tuple(found[i][1] for i in kept)
  if files.splits:
    splits = np.array([SPLITS.index(files.splits[i]) for i in kept], np.int8)
  else:
    splits = split_by_hash(hashes, seed=seed, held_out=held_out)
  if empty := [name for i, name in enumerate(SPLITS) if i not in splits]:
    if files.splits:
      raise InputError(f'no image at {path} is for {empty[0]}: the splits that are given name none')
    raise InputError(
      f'no image at {path} is for {empty[0]}: with so few images ({len(kept)}) give the splits yourself, by a column '
      '`split` or folders, or change config.data.held_out or config.data.split_seed'
    )
  return Collection(
    images=np.stack([found[i][0] for i in kept]),
    texts=tuple(files.texts[i] for i in kept),
    files=tuple(str(files.paths[i]) for i in kept),
    splits=splits,
    sizes=np.array([found[i][2] for i in kept]),
    hashes=hashes,
    unreadable=unreadable,
    origin=files.origin,
    unlisted=tuple(file.name for file in files.unlisted),
  )


def split_by_hash(hashes: Sequence[bytes], *, seed: int, held_out: Sequence[float]) -> np.ndarray:
  """Indices int8[n] into SPLITS, each a function of its hash, the seed and the shares (validation, test)."""
  check_held_out(held_out)
  key = f'digits_jax {seed}'.encode()
  number = lambda one: int.from_bytes(hashlib.blake2b(one, digest_size=8, key=key).digest()) / 2**64  # in [0, 1)
  bounds = np.cumsum(held_out)
  return np.array([(1, 2, 0)[np.searchsorted(bounds, number(one), 'right')] for one in hashes], np.int8)


def report(found: Collection, path: str) -> str:
  """What the images are, in lines: counts, origin, splits, lengths, characters, sizes, copies, unreadable files."""
  count = lambda values: ', '.join(f'{value}: {n:,}' for value, n in sorted(collections.Counter(values).items()))
  sizes = collections.Counter(f'{height}x{width}' for height, width in found.sizes.tolist())
  (most, times), low, high = sizes.most_common(1)[0], found.sizes.min(0), found.sizes.max(0)
  ranges = [f'{least} to {greatest}' if least < greatest else least for least, greatest in zip(low, high, strict=True)]
  often = f', most often {most} ({times:,} images)' if 1 < times < len(found.texts) else ''
  copies = len(found.hashes) - len(set(found.hashes))
  in_split = lambda i: {h for h, s in zip(found.hashes, found.splits, strict=True) if s == i}
  of_split = {name: in_split(i) for i, name in enumerate(SPLITS)}
  shared = [(a, b, len(of_split[a] & of_split[b])) for a, b in itertools.combinations(SPLITS, 2)]
  some = ', '.join(found.unlisted[:_NAMED]) + (', ...' if len(found.unlisted) > _NAMED else '')
  lines = [
    f'{len(found.texts):,} images with {len(set(found.texts)):,} different numbers: {path}',
    f'numbers from {found.origin}',
    *([f'images without a row: {len(found.unlisted):,} ({some})'] if found.unlisted else []),
    'splits: ' + ', '.join(f'{name} {int((found.splits == i).sum()):,}' for i, name in enumerate(SPLITS)),
    f'lengths: {count(map(len, found.texts))}',
    f'characters: {count("".join(found.texts))}',
    f'sizes (height x width): {ranges[0]} x {ranges[1]}' + often,
    f'copies of another image: {copies:,}',
    *(f'WARNING: {n:,} images of {b} are in {a} too' for a, b, n in shared if n),
    f'checksum of images, numbers and splits: {checksum(found)}',
    f'unreadable files: {len(found.unreadable):,}',
    *(f'  {reason}' for reason in found.unreadable[:_NAMED]),
  ]
  return '\n'.join(lines) + '\n'


def checksum(found: Collection) -> str:
  """Of what is trained on and tested by, whatever the files are called."""
  rows = sorted(zip(found.hashes, found.texts, found.splits.tolist(), strict=True))
  return hashlib.blake2b(repr(rows).encode(), digest_size=8).hexdigest()


@functools.lru_cache(1)  # the three splits of one folder are asked for one after the other
def _read(files, stamp, spec):
  """For each file (image uint8[H, W], hash of its pixels, its size), or the InputError that says why not."""

  def read(path):
    try:
      grey = canvas.to_grey(path)
    except InputError as error:
      return error
    digest = hashlib.blake2b(grey.tobytes() + np.int64(grey.shape).tobytes(), digest_size=16).digest()
    placed, _ = canvas.place(grey, spec)
    return np.rint(255 * placed).astype(np.uint8), digest, grey.shape

  with concurrent.futures.ThreadPoolExecutor(image_files.THREADS) as pool:
    found = pool.map(read, files.paths)
    return tuple(tqdm(found, 'reading images', len(files.paths), unit=' images', leave=False, disable=None))


def _check_copies(files, found, kept):
  """Raises InputError where two files with the same pixels have two labels."""
  first: dict[bytes, int] = {}
  for i in kept:
    other = first.setdefault(found[i][1], i)
    if files.texts[i] != files.texts[other]:
      name = lambda j: f'{pathlib.Path(files.paths[j])} says {files.texts[j]}'
      raise InputError(f'{name(other)} and {name(i)}, but they are the same image')
