"""Noisy plates as a NumPy and Pillow user would draw them: glyphs rendered by Pillow once, kept, pasted; noise last.

Draws what `configs/fonts.py:quick` trains on: 1 to 5 digits of one face and size side by side, gaps of 0 to 8 pixels,
any place that fits, Gaussian noise. Easier than ours in three ways: glyphs stand on whole pixels, numbers that tests
hold out are drawn as well, and no boxes are kept.
"""

import concurrent.futures
from collections.abc import Sequence

import numpy as np

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
  widths = [ink.shape[1] for ink in inks]
  gap = 0.0
  if len(inks) > 1:
    gap = min(rng.uniform(*GAPS), max(0, WIDTH - sum(widths)) / (len(inks) - 1))
  total = sum(widths) + gap * (len(inks) - 1)
  highest = max(above)
  lowest = max(ink.shape[0] - up for ink, up in glyphs)
  x = rng.uniform(0, WIDTH - total)
  line = highest + int(rng.integers(0, HEIGHT - highest - lowest + 1))
  for ink, up, width in zip(inks, above, widths, strict=True):
    left, top = int(x), line - up
    part = image[top : top + ink.shape[0], left : left + width]
    np.maximum(part, ink, out=part)
    x += width + gap
