"""Noisy plates as a NumPy and Pillow user would draw them.

`Texts`, as it is mostly written: fonts are loaded once, each digit is drawn as text, noise is added image by image.
`Plates`, as fast as it goes: glyphs rendered by Pillow once, kept, pasted; noise in float32, for all images at once.

Both draw what `configs/fonts.py:quick` trains on: 1 to 5 digits of one face and size side by side, gaps of 0 to 8
pixels, any place that fits, Gaussian noise. Easier than ours in three ways: glyphs stand on whole pixels, numbers that
tests hold out are drawn as well, and no boxes are kept.
"""

import concurrent.futures
import multiprocessing
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digits_jax import structs

HEIGHT, WIDTH = 64, 128
LENGTHS = (1, 5)
GAPS = (0.0, 8.0)
NOISE = 0.05


class Plates:
  """An endless generator: `draw(count)` gives the next images and labels."""

  def __init__(self, bank: structs.GlyphBank, *, seed: int = 0, threads: int = 1):
    """bank: glyphs as `data.fonts` has rendered them with Pillow; here they are cut to their ink."""
    symbols = bank.starts.shape[1]
    self._glyphs = []  # by style and digit: (ink float32[h, w], rows of the ink above the middle of the line)
    for starts in bank.starts:
      glyphs = []
      for symbol in range(symbols):
        left, top, right, bottom = bank.boxes[starts[symbol]].astype(int)
        ink = bank.images[starts[symbol], top:bottom, left:right].astype(np.float32) / 255
        glyphs.append((ink, bank.images.shape[1] // 2 - top))
      self._glyphs.append(glyphs)
    self._rngs = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(threads)]
    self._pool = concurrent.futures.ThreadPoolExecutor(threads)

  def draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
    """images float32[count, 64, 128, 1] in [0, 1], labels int32[count, 5], classes, right-padded with 0."""
    images = np.zeros((count, HEIGHT, WIDTH, 1), np.float32)
    labels = np.zeros((count, LENGTHS[1]), np.int32)
    shares = np.array_split(np.arange(count), min(count, len(self._rngs)))
    fill = lambda rng, share: self._fill(rng, images[share[0] : share[-1] + 1], labels[share[0] : share[-1] + 1])
    if len(shares) == 1:
      fill(self._rngs[0], shares[0])
    else:
      list(self._pool.map(fill, self._rngs[: len(shares)], shares))
    return images, labels

  def close(self):
    """Ends its threads."""
    self._pool.shutdown()

  def _fill(self, rng, images, labels):
    for image, label in zip(images[..., 0], labels, strict=True):
      label[: rng.integers(LENGTHS[0], LENGTHS[1] + 1)] = 1
      digits = rng.integers(0, len(self._glyphs[0]), np.count_nonzero(label))
      label[: len(digits)] = digits + 1
      style = self._glyphs[rng.integers(len(self._glyphs))]
      paste(image, [style[digit] for digit in digits], rng)
    noise = rng.standard_normal(images.shape, np.float32)
    noise *= NOISE
    images += noise
    np.clip(images, 0, 1, out=images)


def paste(image: np.ndarray, glyphs: Sequence[tuple[np.ndarray, int]], rng: np.random.Generator) -> None:
  """Draws glyphs (ink float32[h, w], rows above the line) from left to right into image float32[H, W], anywhere."""
  inks, above = zip(*glyphs, strict=True)
  lefts, line = choose_places([ink.shape[1] for ink in inks], above, [ink.shape[0] - up for ink, up in glyphs], rng)
  for ink, up, left in zip(inks, above, lefts, strict=True):
    part = image[line - up : line - up + ink.shape[0], left : left + ink.shape[1]]
    np.maximum(part, ink, out=part)


def choose_places(
  widths: Sequence[int], above: Sequence[int], below: Sequence[int], rng: np.random.Generator
) -> tuple[list[int], int]:
  """The left edge of each ink, side by side, and the row of the line that they reach above and below."""
  gaps = len(widths) - 1
  gap = min(rng.uniform(*GAPS), max(0, WIDTH - sum(widths)) / gaps) if gaps else 0.0
  x = rng.uniform(0, WIDTH - sum(widths) - gap * gaps)
  line = max(above) + int(rng.integers(0, HEIGHT - max(above) - max(below) + 1))
  lefts = []
  for width in widths:
    lefts.append(int(x))
    x += width + gap
  return lefts, line


class Texts:
  """An endless generator: `draw(count)` gives the next images and labels, as `Plates` does."""

  def __init__(self, paths: Sequence[str], sizes: Sequence[int], *, seed: int = 0, processes: int = 1):
    """paths: font files; sizes: pixels an em; processes: of their own, as a data loader's workers, if more than 1."""
    self._fonts = [ImageFont.truetype(path, size) for path in paths for size in sizes]
    self._rng = np.random.default_rng(seed)
    self._shares = processes
    self._pool = None
    if processes > 1:
      context = multiprocessing.get_context('spawn')  # threads of jax do not survive a fork
      self._pool = concurrent.futures.ProcessPoolExecutor(processes, context, _start, (tuple(paths), tuple(sizes)))

  def draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
    """images float32[count, 64, 128, 1] in [0, 1], labels int32[count, 5], classes, right-padded with 0."""
    if self._pool is None:
      return self._draw(self._rng, count)
    counts = [len(share) for share in np.array_split(np.arange(count), self._shares)]
    images, labels = zip(*self._pool.map(_draw_share, self._rng.spawn(self._shares), counts), strict=True)
    return np.concatenate(images), np.concatenate(labels)

  def close(self):
    """Ends its processes."""
    if self._pool is not None:
      self._pool.shutdown()

  def _draw(self, rng, count):
    images = np.zeros((count, HEIGHT, WIDTH, 1), np.float32)
    labels = np.zeros((count, LENGTHS[1]), np.int32)
    for image, label in zip(images[..., 0], labels, strict=True):
      digits = rng.integers(0, 10, rng.integers(LENGTHS[0], LENGTHS[1] + 1))
      label[: len(digits)] = digits + 1
      font = self._fonts[rng.integers(len(self._fonts))]
      canvas = Image.new('L', (WIDTH, HEIGHT))
      pen = ImageDraw.Draw(canvas)
      boxes = [font.getbbox(str(digit), anchor='ls') for digit in digits]  # left, top, right, bottom, from the line
      widths, above = [box[2] - box[0] for box in boxes], [-box[1] for box in boxes]
      lefts, line = choose_places(widths, above, [box[3] for box in boxes], rng)
      for digit, box, left in zip(digits, boxes, lefts, strict=True):
        pen.text((left - box[0], line), str(digit), fill=255, font=font, anchor='ls')
      noisy = np.asarray(canvas) / 255 + rng.normal(0, NOISE, (HEIGHT, WIDTH))
      image[:] = np.clip(noisy, 0, 1)
    return images, labels


_own: Texts  # of a process of a pool


def _start(paths, sizes):
  global _own
  _own = Texts(paths, sizes)


def _draw_share(rng, count):
  return _own._draw(rng, count)
