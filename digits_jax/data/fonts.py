"""Font faces: the files that really draw digits, their families, and their glyphs as images.

Trusts no file: a face counts only if its character map holds every symbol and what it draws looks like them.
Symbol fonts have other things at the digits' code points (cmsy10, cmex10), fallback fonts have placeholders.
"""

import dataclasses
import functools
import hashlib
import importlib.util
import itertools
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np
from absl import logging
from fontTools import ttLib
from PIL import Image, ImageDraw, ImageFont

from digits_jax.alphabet import DIGITS, Alphabet
from digits_jax.data import boxes, places
from digits_jax.errors import InputError

SUFFIXES = ('.ttf', '.otf', '.ttc')
SHIPPED = 'shipped'  # in a list of folders: the faces that matplotlib ships
INK = 64  # a pixel from here on belongs to the stroke; below is the fringe of antialiasing
SMALLEST, PROBE, LARGEST = 6, 48, 256  # em sizes in pixels; faces are judged at PROBE
MAX_BYTES = 2**29  # of a font file, and of all glyphs together
REFERENCES = ('DejaVuSans', 'DejaVuSerif-Italic', 'STIXGeneral', 'cmr10', 'cmmi10')
RELATED = {
  'Computer Modern': r'cm[a-z]+\d+$|computer ?modern|cmu |latin ?modern|lm ?(roman|sans|mono)',
  'DejaVu': r'dejavu|bitstream ?vera',
}
_open = functools.partial(ImageFont.truetype, layout_engine=ImageFont.Layout.BASIC)


@dataclasses.dataclass(frozen=True)
class Face:
  """A font file whose digits were checked. `name` is its path within its folder, without the suffix."""

  path: str
  name: str
  family: str
  digest: str  # of its digits as pixels


def find_faces(folder: str | None, *, alphabet: Alphabet) -> tuple[tuple[Face, ...], dict[str, str]]:
  """The usable faces under `folder`, sorted by name, and the refused ones as {file: reason}.

  `folder` may be several, with os.pathsep between them, SHIPPED among them (whose refused ones are then left out of the
  answer); None (or '') is SHIPPED alone. Folders are searched to any depth for .ttf, .otf and .ttc files (their first
  face). A face is refused if it lacks a symbol of the alphabet, if a symbol or any digit is blank, far off its line or
  a placeholder, or two digits are alike; if fewer than half of the digits are most like their own digit in known
  faces; if '.' is not low or '-' is not flat. Raises InputError if a folder does not exist or has no usable face.
  """
  names = folder.split(os.pathsep) if folder else [SHIPPED]
  if '' in names:
    raise InputError(f'font folders {folder!r}: a name between two {os.pathsep!r} is missing')
  faces, refused = [], {}
  for name in names:
    found, of_folder = _faces_under(_shipped() if name == SHIPPED else pathlib.Path(name), alphabet)
    faces += found
    if len(names) == 1:
      refused = of_folder
    elif name != SHIPPED:
      refused |= {f'{name}/{file}': reason for file, reason in of_folder.items()}
  return tuple(sorted(faces, key=lambda face: (face.name, face.path))), refused


def _faces_under(root, alphabet):
  """(faces, {file: reason}) of one folder, as `find_faces` has them."""
  faces, refused, root = [], {}, root.expanduser()
  if not root.is_dir():
    raise InputError(f'font folder {str(root)!r} does not exist')
  for path in (p for p in places.files_below(root) if p.suffix.lower() in SUFFIXES and p.is_file()):
    inside = path.relative_to(root)
    try:
      faces.append(Face(str(path), inside.with_suffix('').as_posix(), *_identify(path, alphabet)))
    except InputError as error:
      refused[inside.as_posix()] = str(error)
    except Exception as error:  # fontTools and FreeType fail on broken files with almost any exception
      refused[inside.as_posix()] = f'it cannot be read as a font ({type(error).__name__}: {error})'
  if not faces:
    reasons = '; '.join(f'{name}: {reason}' for name, reason in list(refused.items())[:3])
    why = f'{len(refused)} refused: {reasons}' if refused else f'no file ends in {", ".join(SUFFIXES)}'
    raise InputError(f'font folder {str(root)!r} has no face that draws {alphabet.symbols!r} ({why})')
  return faces, refused


def list_faces(folder: str | None, *, alphabet: Alphabet, warns: bool) -> tuple[Face, ...]:
  """The usable faces of `find_faces`; where `warns`, a warning names each file of the folder that is refused."""
  faces, refused = find_faces(folder, alphabet=alphabet)
  if warns and folder:
    for name, reason in refused.items():
      logging.warning('%s: left out %s: %s', folder, name, reason)
  return faces


def family_of(name: str) -> str:
  """The group of siblings that a font family's name belongs to; wide on purpose, since siblings leak.

  It is the first word, where a change of case starts a word too: 'Noto Serif', 'NotoSans' -> 'Noto';
  'STIXGeneral', 'STIX Two' -> 'STIX'. Two groups are known by other names as well: 'cmr10', 'cmtt10', 'CMU
  Serif', 'Latin Modern' -> 'Computer Modern'; 'DejaVu Sans', 'Bitstream Vera' -> 'DejaVu'.
  """
  for family, pattern in RELATED.items():
    if re.match(pattern, name, re.IGNORECASE):
      return family
  word = re.match(r'[\W_]*([A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W_]+)', name)
  return word[1] if word else name


def split_families(
  faces: Sequence[Face], *, validation_families: Sequence[str] = (), test_families: Sequence[str] = ()
) -> dict[str, tuple[Face, ...]]:
  """Faces of 'train', 'validation' and 'test'; families named for a later split are left out of training.

  A split for which no family is named uses the training faces: then its numbers are held out, not its glyphs.
  Names match in any case. Raises InputError for an unknown family (listing those that exist), for one that is
  held out twice, when no face is left to train on, and as `check_apart` does.
  """
  families = {face.family.casefold(): face.family for face in faces}
  held_out = {}
  for split, names in (('validation', validation_families), ('test', test_families)):
    for name in names:
      if name.casefold() not in families:
        raise InputError(f'{split} family {name!r} is not one of {sorted(families.values())}')
      if held_out.setdefault(name.casefold(), split) != split:
        raise InputError(f'font family {name!r} is held out for validation and for test; name it for one')
  splits = {'train': [], 'validation': [], 'test': []}
  for face in faces:
    splits[held_out.get(face.family.casefold(), 'train')].append(face)
  if not splits['train']:
    raise InputError(f'every font family is held out, none is left to train on: {sorted(families.values())}')
  check_apart(splits['train'], splits['validation'] + splits['test'])
  return {split: tuple(kept or splits['train']) for split, kept in splits.items()}


def check_apart(trained: Sequence[Face], others: Sequence[Face]) -> None:
  """Raises InputError where one of `others`, under whatever name, draws the very digits of one that is trained on."""
  by_digest = {face.digest: face for face in trained}
  for face in others:
    if same := by_digest.get(face.digest):
      raise InputError(
        f'the font {face.name} ({face.family}) is held out and draws the very digits of {same.name} ({same.family}), '
        'which is trained on: remove one of them'
      )


def render_face(face: Face, *, size: int, alphabet: Alphabet) -> np.ndarray:
  """One style: uint8[A, h, w], ink 255 on 0, antialiased, at an em of `size` pixels; h and w are even.

  All glyphs share one baseline row. The image's centre is horizontally the middle of each glyph's ink and
  vertically, one row for all, the middle of the digits' ink (within half a pixel); the frame is the smallest
  such. Raises InputError if the size is out of range or so small that a symbol leaves no ink.
  """
  if not isinstance(size, int | np.integer) or not SMALLEST <= size <= LARGEST:
    raise InputError(f'font size {size!r} is not a whole number from {SMALLEST} to {LARGEST}')
  font = _open(face.path, int(size))
  drawn = [_draw(font, symbol) for symbol in alphabet.symbols]
  for symbol, image in zip(alphabet.symbols, drawn, strict=True):
    if image.max() < INK:
      raise InputError(f'{face.name} leaves no ink for {symbol!r} at font size {size}; use larger sizes')
  ink = np.array([boxes.from_mask(image >= INK) for image in drawn])  # [A, 4]
  fringe = np.array([boxes.from_mask(image >= 1) for image in drawn])  # [A, 4]
  digits = ink[: len(alphabet.digits)]
  centres = (ink[:, :2] + ink[:, 2:]) // 2  # [A, 2]
  centres[:, 1] = (digits[:, 1].min() + digits[:, 3].max()) // 2
  half = np.maximum(centres - fringe[:, :2], fringe[:, 2:] - centres).max(0)
  images = np.zeros((len(drawn), 2 * half[1], 2 * half[0]), np.uint8)
  for i, ((left, top, right, bottom), (x, y)) in enumerate(zip(fringe, centres - half, strict=True)):
    images[i, top - y : bottom - y, left - x : right - x] = drawn[i][top:bottom, left:right]
  return images


def render(
  faces: Sequence[Face], *, sizes: Sequence[int], alphabet: Alphabet
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """All faces at all sizes: images uint8[G, h, w], labels int32[G] (classes), styles int32[G].

  Style r is face r // len(sizes) at size sizes[r % len(sizes)]; all are padded around the centres that
  `render_face` gave them. Raises InputError if there is no size or the images do not fit in MAX_BYTES.
  """
  if not sizes or not faces:
    raise InputError(f'nothing to render: {len(faces)} fonts at sizes {list(sizes)}')
  rows = [render_face(face, size=size, alphabet=alphabet) for face in faces for size in sizes]
  h, w = np.max([row.shape[1:] for row in rows], 0)
  symbols = len(alphabet.symbols)
  if len(rows) * symbols * h * w > MAX_BYTES:
    raise InputError(f'{len(rows)} fonts and sizes need over {MAX_BYTES >> 20} MiB; use fewer sizes')
  images = np.zeros((len(rows), symbols, h, w), np.uint8)
  for image, row in zip(images, rows, strict=True):
    y, x = (np.array([h, w]) - row.shape[1:]) // 2
    image[:, y : h - y, x : w - x] = row
  labels = np.tile(np.arange(1, symbols + 1, dtype=np.int32), len(rows))
  styles = np.repeat(np.arange(len(rows), dtype=np.int32), symbols)
  return images.reshape(-1, h, w), labels, styles  # [R*A, h, w]


def _shipped() -> pathlib.Path:
  """Where `matplotlib.get_data_path()` has its fonts; to import it for that would take longer than to draw them."""
  (package,) = importlib.util.find_spec('matplotlib').submodule_search_locations
  return pathlib.Path(package, 'mpl-data', 'fonts', 'ttf')


def _draw(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray:
  """The character on a page of 4 x 4 em, uint8[4 * size, 4 * size], its baseline on row 2.5 * size."""
  size = int(font.size)
  page = Image.new('L', (4 * size, 4 * size))
  ImageDraw.Draw(page).text((3 * size // 2, 5 * size // 2), character, font=font, fill=255, anchor='ls')
  return np.asarray(page)


def _identify(path: pathlib.Path, alphabet: Alphabet) -> tuple[str, str]:
  """The family of a usable face, and the digest of its digits; raises InputError with the reason to refuse it."""
  found = path.stat()
  if found.st_size > MAX_BYTES:
    raise InputError(f'it is larger than {MAX_BYTES >> 20} MiB')
  return _examine(path, alphabet, (found.st_size, found.st_mtime_ns))


@functools.cache  # an experiment asks for the faces of each split
def _examine(path, alphabet, _version):
  with open(path, 'rb') as stream:
    file = ttLib.TTFont(stream, fontNumber=0, lazy=True)
    if any(table.format == 13 for table in file['cmap'].tables):  # only last-resort fonts have it
      raise InputError('it draws placeholders for whole scripts (a last-resort font)')
    known = file.getBestCmap() or {}
    name = file['name'].getBestFamilyName() if 'name' in file else None
  held = [s for s in dict.fromkeys(alphabet.symbols + DIGITS) if known.get(ord(s), '.notdef') != '.notdef']
  if missing := ''.join(s for s in alphabet.symbols if s not in held):
    raise InputError(f'it has no glyph for {missing!r}')
  font = _open(path, PROBE)
  drawn, placeholder = {s: _draw(font, s) for s in held}, _draw(font, '\uffff')
  for symbol, image in drawn.items():
    if image.max() < INK:
      raise InputError(f'its {symbol!r} is blank')
    if _is_alike(image, placeholder):
      raise InputError(f'its {symbol!r} is the box for missing glyphs')
    if image[[0, -1]].any() or image[:, [0, -1]].any():
      raise InputError(f'its {symbol!r} lies far outside its line')
  _check_digits({s: image for s, image in drawn.items() if s in DIGITS})
  _check_marks({s: boxes.from_mask(image >= INK) for s, image in drawn.items()})
  digits = b''.join(drawn[digit].tobytes() for digit in DIGITS if digit in drawn)
  return family_of(name or path.stem), hashlib.blake2b(digits, digest_size=8).hexdigest()


def _check_digits(drawn: dict[str, np.ndarray]) -> None:
  """Raises InputError unless the images, by digit, look like the digits that they stand for."""
  for one, other in itertools.combinations(drawn, 2):
    if _is_alike(drawn[one], drawn[other]):
      raise InputError(f'its {one!r} and {other!r} are drawn alike')
  likeness = np.einsum('qp,rdp->qrd', [_thumbnail(image) for image in drawn.values()], _references())
  right = np.sum(likeness.max(1).argmax(1) == [DIGITS.index(digit) for digit in drawn])
  if 2 * right < len(drawn):
    raise InputError(f'it draws something else for digits ({right} of {len(drawn)} look like themselves)')


def _check_marks(extents: dict[str, tuple]) -> None:
  """Raises InputError unless '.' is low and on the line, and '-' is flat and beside the digits; by symbol."""
  digits = np.array([extent for s, extent in extents.items() if s in DIGITS])
  highest, tallest = digits[:, 1].min(), (digits[:, 3] - digits[:, 1]).max()
  for mark, (left, top, right, bottom) in extents.items():
    height = (5 * PROBE // 2 - (top + bottom) / 2) / tallest  # of its middle over the line
    is_dot = mark == '.' and -0.1 < height < 0.35
    is_dash = mark == '-' and right - left > bottom - top and height > 0 and top > highest
    if mark not in DIGITS and (bottom - top > 0.4 * tallest or not (is_dot or is_dash)):
      raise InputError(f'it draws something else for {mark!r}')


def _is_alike(one: np.ndarray, other: np.ndarray) -> bool:
  """Whether the ink differs by hinting at most (1% or so); two digits of real faces differ by over 25%."""
  return np.abs(np.subtract(one, other, dtype=np.int32)).sum() < 0.05 * one.sum()


def _thumbnail(image: np.ndarray) -> np.ndarray:
  """The ink stretched to a square, as a vector of zero mean and unit length, float64[144]."""
  left, top, right, bottom = boxes.from_mask(image >= INK)
  small = Image.fromarray(image[top:bottom, left:right]).resize((12, 12), Image.Resampling.BOX)
  vector = np.ravel(small) - np.mean(small)
  return vector / max(np.linalg.norm(vector), 1e-9)


@functools.cache
def _references() -> np.ndarray:
  """Thumbnails of the digits of a few known faces, float64[len(REFERENCES), 10, 144].

  Measured with one other family as the only reference: real faces have 7 or more of 10 digits right; of ten
  letters or symbols at random, 5 or more are right in under 0.2% of draws.
  """
  fonts = [_open(_shipped() / f'{name}.ttf', PROBE) for name in REFERENCES]
  return np.array([[_thumbnail(_draw(font, digit)) for digit in DIGITS] for font in fonts])
