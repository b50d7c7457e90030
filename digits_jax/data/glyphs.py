"""Glyph banks: the images of single symbols that numbers are synthesised from, checked.

Assumes bright ink on dark paper. Banks are NumPy arrays on the host; whoever trains puts them on the device.
"""

from collections.abc import Sequence

import numpy as np

from digits_jax import structs
from digits_jax.alphabet import DIGITS, Alphabet
from digits_jax.conventions import SPLITS
from digits_jax.data import boxes, fonts, own_digits
from digits_jax.errors import InputError, check_name


def from_fonts(
  split: str,
  alphabet: Alphabet,
  *,
  sizes: Sequence[int],
  font_dir: str | None = None,
  test_font_dir: str | None = None,
  validation_families: Sequence[str] = (),
  test_families: Sequence[str] = (),
) -> structs.GlyphBank:
  """The faces of `font_dir` (None: those that matplotlib ships) at `sizes` pixels, a style for each face and size.

  Families named in `validation_families` and `test_families` are in that split alone; with `test_font_dir` the test
  split has that folder's faces. A split for which nothing is held out has the training faces.

  Raises InputError for an unknown split, missing or unusable fonts, symbols that they lack, and faces that are held out
  while their family, or a face that draws the same digits, is trained on.
  """
  check_name('split', split, SPLITS)
  if test_font_dir and test_families:
    raise InputError('test_font_dir and test_families both name the test fonts; give one of them')
  faces = fonts.list_faces(font_dir, alphabet=alphabet, warns=split == 'train')
  splits = fonts.split_families(faces, validation_families=validation_families, test_families=test_families)
  if test_font_dir:
    splits['test'] = fonts.list_faces(test_font_dir, alphabet=alphabet, warns=split == 'test')
    seen = {face.family.casefold() for face in splits['train'] + splits['validation']}
    if leaks := sorted({face.family for face in splits['test'] if face.family.casefold() in seen}):
      raise InputError(f'font families {leaks} are in test_font_dir and in training; remove one side')
    fonts.check_apart(splits['train'], splits['test'])
  return assemble(*fonts.render(splits[split], sizes=sizes, alphabet=alphabet), alphabet=alphabet)


def from_mnist(split: str, alphabet: Alphabet, *, data_dir: str | None = None) -> structs.GlyphBank:
  """What `python -m digits_jax.prepare mnist` put into `data_dir`, all of it one style.

  Raises InputError for an unknown split, symbols that are no digits, and where nothing readable is there.
  """
  from digits_jax.data import mnist

  check_name('split', split, SPLITS)
  _check_digits('MNIST', alphabet)
  return _pool(*mnist.load(data_dir, split), alphabet=alphabet)


def from_own_digits(
  split: str, alphabet: Alphabet, *, kind: str, path: str, held_out: Sequence[float], split_seed: int = 0
) -> structs.GlyphBank:
  """Your own digits, as `own_digits.load` finds them at `path`, all of them one style.

  Raises InputError for an unknown split, symbols that are no digits, and as `own_digits.load` does.
  """
  check_name('split', split, SPLITS)
  _check_digits(f'a bank of the kind {kind!r}', alphabet)
  options = {'kind': kind, 'split': split, 'digits': alphabet.digits, 'seed': split_seed, 'held_out': held_out}
  found = own_digits.load(path, **options)
  return _pool(found.images, found.labels, alphabet=alphabet)


def assemble(
  images: np.ndarray, labels: np.ndarray, styles: np.ndarray, *, alphabet: Alphabet
) -> structs.GlyphBank:
  """A GlyphBank of NumPy arrays, sorted by (style, symbol), otherwise in the given order.

  images: uint8[G, h, w], ink bright. labels: int[G], classes in [1, A]. styles: int[G], numbers 0 to R - 1. A
  box holds the pixels of at least `fonts.INK`. Raises InputError for another shape or type, a label outside
  the alphabet, a blank glyph, or a style without one of the symbols; it names the first.
  """
  images, labels, styles = np.asarray(images), np.asarray(labels), np.asarray(styles)
  symbols = len(alphabet.symbols)
  if images.ndim != 3 or images.dtype != np.uint8 or 0 in images.shape:
    raise InputError(f'glyph images must be uint8[G, h, w], not {images.dtype}{list(images.shape)}')
  for what, ids, low, high in (('labels', labels, 1, symbols), ('styles', styles, 0, len(images) - 1)):
    if ids.shape != images.shape[:1] or not np.issubdtype(ids.dtype, np.integer):
      raise InputError(f'glyph {what} must be int[{len(images)}], not {ids.dtype}{list(ids.shape)}')
    if (is_bad := (ids < low) | (ids > high)).any():
      i = int(np.argmax(is_bad))
      raise InputError(f'the {what} of glyphs are {low} to {high}; that of glyph {i} is {ids[i]}')
  ink = images >= fonts.INK
  if not (has_ink := ink.any((1, 2))).all():
    i = int(np.argmin(has_ink))
    raise InputError(f'glyph {i}, {alphabet.symbols[labels[i] - 1]!r} of style {styles[i]}, is blank')
  cells = styles.astype(np.int64) * symbols + labels - 1  # [G], numbers of (style, symbol)
  counts = np.bincount(cells, minlength=(int(styles.max()) + 1) * symbols)  # [R*A]
  if not counts.all():
    style, symbol = divmod(int(np.argmin(counts)), symbols)
    raise InputError(f'style {style} of the glyphs has no {alphabet.symbols[symbol]!r}')
  order = np.argsort(cells, kind='stable')
  return structs.GlyphBank(
    images=images[order],
    labels=labels[order].astype(np.int32),
    boxes=boxes.from_mask(ink).astype(np.float32)[order],
    starts=(np.cumsum(counts) - counts).reshape(-1, symbols).astype(np.int32),
    counts=counts.reshape(-1, symbols).astype(np.int32),
  )


def _pool(images, digits, *, alphabet):
  """One style of images uint8[n, h, w] of digits int[n], those of the alphabet alone."""
  classes = np.array([alphabet.symbols.find(digit) + 1 for digit in DIGITS], np.int32)  # 0 for those left out
  labels = classes[digits]
  is_kept = labels > 0
  return assemble(images[is_kept], labels[is_kept], np.zeros(is_kept.sum(), np.int32), alphabet=alphabet)


def _check_digits(what, alphabet):
  if alphabet.symbols != alphabet.digits:
    raise InputError(f'{what} has digits alone, the alphabet is {alphabet.symbols!r}; fonts have more')
