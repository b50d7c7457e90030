"""Your own single digits: a folder with one folder a class, or a CSV file of pixels, as images like MNIST's.

Assumes that an image shows one digit on paper of about one colour. Every digit is brought to MNIST's form: 28x28,
bright on 0, the longer side of its ink 20 pixels, in the middle; one that has this form already stays as it is.
Training, validation and test are apart by the hash of that form, class by class, so copies of an image are in one.
"""

import concurrent.futures
import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from digits_jax.alphabet import DIGITS
from digits_jax.conventions import SPLITS
from digits_jax.data import boxes, canvas, image_files, places
from digits_jax.data.splits import check_held_out
from digits_jax.errors import InputError

SIZE, INK = 28, 20  # of an image and of its ink's longer side, as MNIST has them
_NEAR = (18, 22)  # longer sides that are left as they are: MNIST's own, by the threshold of `_ink_box`
_FAINT = 0.75  # ink weaker than this share of black on white, before or after it is shrunk, is made as strong
_LIGHT = 64  # of 255: a pixel from here on belongs to the stroke
_LARGE = 512  # pixels of a longer side from which ink is first averaged, whole pixels into one


class Digits(NamedTuple):
  """Digits of MNIST's form, and where each came from."""

  images: np.ndarray  # uint8[n, 28, 28], ink bright on 0
  labels: np.ndarray  # int32[n], 0 to 9
  origins: tuple[str, ...]  # the file, or the file and its row


def load(path: str, *, kind: str, split: str, digits: str, seed: int, held_out: Sequence[float]) -> Digits:
  """The digits of one split of `path`.

  Args:
    path: kind 'folder': a folder whose folders '0' to '9' hold images of any size and kind, ink either way round; kind
      'csv': a file of rows `label,pixel,...` with 784 pixels 0 to 255 row by row, with a line of names or without.
    split: 'train', 'validation' or 'test'.
    digits: those wanted; others are passed over.
    seed: of the hash that splits.
    held_out: the shares (validation, test) of each class's different images, at least one each.

  Raises InputError, naming the file and the row, on what cannot be read, a class without enough images, and the same
  image in two classes.
  """
  if not path:
    raise InputError(f"glyphs of the kind {kind!r} are your own: give config.data.glyph_path, where they lie")
  path = pathlib.Path(os.path.expanduser(path))
  found = _read(path, kind, digits, _stamp(path))
  parts = split_classes(found, seed=seed, held_out=held_out, where=str(path), digits=digits)
  kept = np.flatnonzero(parts == SPLITS.index(split))
  return Digits(found.images[kept], found.labels[kept], tuple(found.origins[i] for i in kept))


def split_classes(
  found: Digits, *, seed: int, held_out: Sequence[float], where: str, digits: str = DIGITS
) -> np.ndarray:
  """The number int[n] of each digit's split. Raises InputError where a class has too few different images."""
  check_held_out(held_out)
  key = f'digits_jax {seed}'.encode()
  hashes = [hashlib.blake2b(image.tobytes(), digest_size=16, key=key).digest() for image in found.images]
  first, part = {}, {}
  for i, (one, label) in enumerate(zip(hashes, found.labels, strict=True)):
    if found.labels[other := first.setdefault(one, i)] != label:
      raise InputError(
        f'{found.origins[i]} is {label} and {found.origins[other]}, the same image, is {found.labels[other]}: '
        'remove one'
      )
  for digit in map(int, digits):
    ranked = sorted(one for one, i in first.items() if found.labels[i] == digit)
    if len(ranked) < len(SPLITS):
      count = f'{len(ranked)} different image{"s" * (len(ranked) != 1)}'
      raise InputError(f'{where} has {count} of {digit}: training, validation and test need one each')
    # Of bounds on the hash, so that no image changes sides when others come; but each split has one at least.
    below = lambda share: sum(int.from_bytes(one) < share * 2**128 for one in ranked)
    validation = min(max(1, below(held_out[0])), len(ranked) - 2)
    test = min(max(1, below(sum(held_out)) - validation), len(ranked) - validation - 1)
    part |= {one: 1 + (i >= validation) for i, one in enumerate(ranked[: validation + test])}
  return np.array([part.get(one, 0) for one in hashes])


def normalise(pixels: np.ndarray) -> np.ndarray:
  """MNIST's form uint8[28, 28] of an image uint8[h, w]. Raises InputError where it has one grey level alone."""
  grey = pixels.astype(np.float32) / 255
  paper = canvas.paper_of(grey)
  ink = grey - paper if grey.max() - paper >= paper - grey.min() else paper - grey
  ink = np.maximum(ink, 0)
  if ink.max() < 0.5 / 255:
    raise InputError('shows nothing: all of it has one grey level')
  if ink.max() < _FAINT:
    ink /= ink.max()
  left, top, right, bottom = _ink_box(ink)
  height, width = ink.shape
  longer = max(right - left, bottom - top)
  if (height, width) == (SIZE, SIZE) and _NEAR[0] <= longer <= _NEAR[1]:
    return np.rint(255 * ink).astype(np.uint8)
  drawn = Image.fromarray(np.ascontiguousarray(ink[top:bottom, left:right]))
  if longer > _LARGE:  # the page below takes memory with the square of its side
    drawn = drawn.reduce(longer // (_LARGE // 2))
    longer = max(drawn.size)
  margin = -(-4 * longer // 5)  # so that a window of 1.4 times that side lies on the page
  page = Image.fromarray(np.pad(np.asarray(drawn), margin))
  x, y, half = page.width / 2, page.height / 2, longer * SIZE / INK / 2
  resized = np.asarray(page.resize((SIZE, SIZE), Image.Resampling.BICUBIC, (x - half, y - half, x + half, y + half)))
  resized = resized.clip(0.0, 1.0)
  if resized.max() < _FAINT:  # a thin pen, of which shrinking leaves little
    resized /= resized.max()
  return np.rint(255 * resized).astype(np.uint8)


def _ink_box(ink):
  """(left, top, right, bottom), half-open, of what is a quarter as strong as the strongest."""
  return boxes.from_mask(ink >= _LIGHT / 255 * ink.max())


def _stamp(path):
  """What changes where files under the path come, go or change; () where there are none."""
  files = places.files_below(path) if path.is_dir() else [path]
  return tuple((str(file), stat.st_size, stat.st_mtime_ns) for file in files if file.exists() and (stat := file.stat()))


@functools.lru_cache(2)  # three splits are loaded of the same files
def _read(path, kind, digits, stamp):
  origins, labels, pixels = (_list_folder if kind == 'folder' else _read_csv)(path, digits)
  with concurrent.futures.ThreadPoolExecutor(image_files.THREADS) as pool:
    images = list(pool.map(_digit, origins, pixels))
  return Digits(np.stack(images), np.array(labels, np.int32), tuple(origins))


def _digit(origin, pixels):
  """MNIST's form of pixels, or of the file that `pixels` names."""
  if isinstance(pixels, pathlib.Path):
    pixels = image_files.read_image(pixels)
    if pixels.ndim == 3:
      pixels = np.asarray(Image.fromarray(pixels).convert('L'))
  try:
    return normalise(pixels)
  except InputError as error:
    raise InputError(f'{origin} {error}') from None


def _list_folder(path, digits):
  """(names, labels, files) of the images in the folders of the digits, sorted."""
  if not path.is_dir():
    raise InputError(f'there is no folder of digits {path}')
  folders = [entry for entry in sorted(path.iterdir()) if entry.is_dir() and not entry.name.startswith(('.', '_'))]
  if strange := [folder.name for folder in folders if folder.name not in tuple(DIGITS)]:
    raise InputError(f'{path} holds the folder {strange[0]!r}: a class of digits is called 0, 1, ... or 9')
  files, labels = [], []
  for digit in digits:
    inside = places.files_below(path / digit) if (path / digit).is_dir() else []
    inside = [f for f in inside if f.suffix.lower() in image_files.SUFFIXES and not f.name.startswith('.')]
    if not inside:
      raise InputError(f'{path} has no image of {digit}: put some into {path / digit}')
    files += inside
    labels += [int(digit)] * len(inside)
  return [str(file) for file in files], labels, files


def _read_csv(path, digits):
  """(rows, labels, images uint8[n, 28, 28]) of a CSV file."""
  try:
    with path.open(encoding='utf-8-sig') as file:
      lines = [(i, line) for i, line in enumerate(file, 1) if line.strip()]
  except FileNotFoundError as error:
    raise InputError(f'there is no file of pixels {path}') from error
  except OSError as error:
    raise InputError(f'the pixels {path} cannot be read: {error.strerror or error}') from error
  except UnicodeDecodeError as error:
    raise InputError(f'{path} is no CSV file in UTF-8: {error}') from error
  if lines and _is_header(lines[0][1]):
    lines = lines[1:]
  if not lines:
    raise InputError(f'{path} holds no row: one is a label and {SIZE * SIZE} pixels')
  table = np.stack([_row(f'{path}, row {i}', line) for i, line in lines])
  wanted = [k for k, label in enumerate(table[:, 0]) if str(label) in digits]
  if not wanted:
    raise InputError(f'{path} has no row of the digits {digits}')
  images = table[wanted, 1:].astype(np.uint8).reshape(-1, SIZE, SIZE)
  return [f'{path}, row {lines[k][0]}' for k in wanted], [int(table[k, 0]) for k in wanted], images


def _is_header(line):
  """Whether a line holds the columns' names, and not a label that is wrong with its pixels, such as `1O,0,...`."""
  first, *others = (field.strip() for field in line.split(','))
  if _is_number(first):
    return False
  is_name = len(first) > 1 and not any(map(str.isdigit, first))  # pixels may be called 0, 1, ...
  return is_name or not any(map(_is_number, others))


def _row(where, line):
  """int16[785] of one line: label, pixels."""
  fields = line.split(',')
  if len(fields) != 1 + SIZE * SIZE:
    raise InputError(f'{where} has {len(fields)} columns instead of {1 + SIZE * SIZE}: a label and 28x28 pixels')
  try:
    values = np.array(fields, np.float64)
  except ValueError:
    strange = next(field for field in fields if not _is_number(field))
    raise InputError(f'{where} holds {strange.strip()!r}, which is no number') from None
  if not (0 <= values[0] <= 9 and values[0] == int(values[0])):
    raise InputError(f'{where} has the label {fields[0].strip()}, which is no digit')
  is_bad = ~((values >= 0) & (values <= 255) & (values == np.rint(values)))
  if is_bad.any():
    raise InputError(f'{where} has the pixel {fields[int(is_bad.argmax())].strip()}: pixels are whole, 0 to 255')
  return values.astype(np.int16)


def _is_number(field):
  try:
    float(field)
  except ValueError:
    return False
  return True
