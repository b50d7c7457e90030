"""One image of any kind and size -> the canvas that the model was trained on, and the way back to the image's columns.

Assumes that an image shows one number, on paper of about one colour or as a crop of a photo. NumPy and Pillow only.
"""

import os
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from digits_jax.conventions import LUMA
from digits_jax.data import crop, image_files
from digits_jax.errors import InputError

_ROUNDING = 1e-3  # by which floats may leave [0, 1], as resampling has it; they are clipped
_INK_WIDTH_FRAC = 0.95  # of the canvas that ink may take when it is scaled
_SPECK_FRAC = 0.05  # of the fullest row or column, that one with ink holds at least
_CLEAR = 0.7  # skewness of grey levels from which the ink's side is clear; noise alone seldom gets to 0.5


class CanvasSpec(NamedTuple):
  """Size, polarity and height of ink of the images that a model was trained on."""

  height: int  # pixels
  width: int
  ink: int  # 1: bright on dark paper always, -1: dark on bright paper always, 0: both
  ink_px: tuple[float, float]  # the least and the greatest height of a number's ink, if it lies level
  fit: str = 'paper'  # or, of photos in colour, 'stretch' or 'edges': see `fill`

  @property
  def shape(self) -> tuple[int, int, int]:
    """(H, W, C) of an image."""
    return self.height, self.width, 1 if self.fit == 'paper' else 3


class Placement(NamedTuple):
  """Where an image stands on its canvas: its column x is the canvas column left + (x - start) * scale."""

  left: float
  start: float
  scale: float
  width: int  # of the image

  def span(self, left: float, right: float) -> tuple[float, float]:
    """The image columns (left, right) of two canvas columns, as far as the image goes."""
    to_image = lambda x: min(max(self.start + (x - self.left) / self.scale, 0.0), float(self.width))
    return to_image(left), to_image(right)


def load(image: Any, spec: CanvasSpec) -> tuple[np.ndarray, Placement]:
  """The canvas float32[H, W, C] in [0, 1] of a path, a Pillow image or an array (see `to_grey`), and its placement.

  Raises InputError on what is no such image.
  """
  if spec.fit != 'paper':
    return fill(to_colours(image), spec)
  found, placement = place(to_grey(image), spec)
  return found[:, :, None], placement


def to_grey(image: Any) -> np.ndarray:
  """The grey levels float32[h, w] in [0, 1] of an image, upright, transparency `image_files.on_paper`.

  Args:
    image: a path (str or PathLike), a Pillow image, or an array [h, w], [h, w, 1], [h, w, 3] (RGB) or [h, w, 4] (RGBA),
      uint8 in [0, 255] or floats in [0, 1].
  """
  pixels = _pixels(image)
  if pixels.dtype != np.uint8:
    return np.minimum(pixels @ np.float32(LUMA), 1.0) if pixels.ndim == 3 else pixels
  if pixels.ndim == 3:
    pixels = np.asarray(Image.fromarray(pixels).convert('L'))
  return pixels.astype(np.float32) / 255


def to_colours(image: Any) -> np.ndarray:
  """The same image as uint8[h, w, 3]; one without colours has three equal channels."""
  pixels = _pixels(image)
  if pixels.dtype != np.uint8:
    pixels = np.rint(255 * pixels).astype(np.uint8)
  return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, 2)


def fill(photo: np.ndarray, spec: CanvasSpec) -> tuple[np.ndarray, Placement]:
  """The canvas float32[H, W, 3] of a photo uint8[h, w, 3], as crops are made, and where the photo stands on it.

  fit 'stretch' resizes each side by itself; 'edges' keeps the aspect, and beyond the photo repeats its edge.
  """
  size, shape = np.array(photo.shape[1::-1], np.float64), (spec.height, spec.width)  # (x, y)
  scale = np.array(shape[::-1]) / size
  if spec.fit == 'edges':
    scale = np.full(2, scale.min())
  side = np.array(shape[::-1]) / scale
  low = (size - side) / 2
  placement = Placement(0.0, float(low[0]), float(scale[0]), photo.shape[1])
  return crop.cut(photo, low, side, shape).astype(np.float32) / 255, placement


def _pixels(image):
  """uint8[h, w] or [h, w, 3] in [0, 255], or float32 of these shapes in [0, 1]."""
  if isinstance(image, str | os.PathLike):
    return image_files.read_image(image)
  if isinstance(image, Image.Image):
    return image_files.from_pillow(image)
  if not hasattr(image, '__array__'):
    raise InputError(f'an image is a path, an array or a Pillow image, not a {type(image).__name__}')
  pixels = np.asarray(image)
  channels = pixels.shape[2] if pixels.ndim == 3 else 1
  if pixels.ndim not in (2, 3) or channels not in (1, 3, 4) or not pixels.size:
    raise InputError(f'an image array has the shape [h, w] or [h, w, 1, 3 or 4], not {list(pixels.shape)}')
  if channels == 1:
    pixels = pixels.reshape(pixels.shape[:2])
  if pixels.dtype == np.uint8:
    return pixels if channels == 1 else image_files.from_pillow(Image.fromarray(pixels))
  if not np.issubdtype(pixels.dtype, np.floating):
    raise InputError(f'an image array holds uint8 from 0 to 255 or floats from 0 to 1, not {pixels.dtype}')
  if not (pixels.min() >= -_ROUNDING and pixels.max() <= 1 + _ROUNDING):  # false for NaN too
    raise InputError(f'an image array of floats goes from 0 to 1; here from {pixels.min():g} to {pixels.max():g}')
  pixels = np.clip(pixels, 0, 1).astype(np.float32)
  if channels == 4:
    opacity = pixels[:, :, 3:]
    return image_files.on_paper(lambda white: pixels[:, :, :3] * opacity + white * (1 - opacity))
  return pixels


def place(image: np.ndarray, spec: CanvasSpec) -> tuple[np.ndarray, Placement]:
  """The canvas float32[H, W] of grey levels float32[h, w], both in [0, 1], and where the image stands on it.

  An image of the canvas's size stays as it is. Another is resized to fit, its aspect kept, and centred on paper of its
  own colour. If its ink is clear but would then be higher or lower than training's numbers, it is rescaled to their
  middle height instead, and paper beyond the canvas is cropped. Where training drew ink of one kind alone, an image
  that clearly has the other is inverted.
  """
  paper = paper_of(image)
  ink = _ink(image, paper)
  height, width = image.shape
  scale, box = min(spec.height / height, spec.width / width), (0, 0, width, height)
  if ink:
    box = _ink_box(ink * (image - paper))
    scale = _scale_of_ink(scale, box, spec)
  if spec.ink * ink < 0:
    image, paper = 1 - image, 1 - paper
  if (height, width) == (spec.height, spec.width):
    return image, Placement(0.0, 0.0, 1.0, width)
  left, start, end = _window(width, spec.width / scale, box[0], box[2])
  top, first, last = _window(height, spec.height / scale, box[1], box[3])
  columns, rows = max(1, round(scale * (end - start))), max(1, round(scale * (last - first)))
  # Pillow's filter widens with the shrinking, so that no stroke falls between two pixels; it overshoots at edges.
  resized = Image.fromarray(image).resize((columns, rows), Image.Resampling.BICUBIC, (start, first, end, last))
  left, top = min(round(scale * left), spec.width - columns), min(round(scale * top), spec.height - rows)
  canvas = np.full((spec.height, spec.width), paper, np.float32)
  canvas[top : top + rows, left : left + columns] = np.asarray(resized).clip(0.0, 1.0)
  return canvas, Placement(left, start, columns / (end - start), width)


def _scale_of_ink(scale, box, spec):
  """The scale, or the one that gives ink that would be too high or too low the middle height of training's."""
  left, top, right, bottom = box
  low, high = spec.ink_px
  if low <= scale * (bottom - top) <= high:
    return scale
  return min((low + high) / 2 / (bottom - top), _INK_WIDTH_FRAC * spec.width / (right - left))


def _window(size, canvas, first, last):
  """One axis, in image pixels: where the image begins on the canvas, and the part of it, (start, end), that is there.

  The image is in the middle of a larger canvas; a smaller canvas has the ink (first to last) in its middle, or as near
  to it as the image goes.
  """
  if size <= canvas:
    return (canvas - size) / 2, 0.0, float(size)
  start = min(max((first + last - canvas) / 2, 0.0), size - canvas)
  return 0.0, start, start + canvas


def _ink_box(strength):
  """(left, top, right, bottom) of the rows and columns with ink, specks left out; ink is half as strong as the best."""
  is_ink = strength >= 0.5 * strength.max()
  columns, rows = ((count >= _SPECK_FRAC * count.max()).nonzero()[0] for count in (is_ink.sum(0), is_ink.sum(1)))
  return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def paper_of(image: np.ndarray) -> float:
  """The median of the border of float32[h, w]: what the number stands on, for it seldom covers half of the border."""
  return np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]))


def _ink(image, paper):
  """1 where the ink is clearly brighter than the paper, -1 where clearly darker, else 0."""
  difference = image - paper
  square = difference * difference
  spread = float(square.mean(dtype=np.float64)) ** 1.5
  skewness = float(np.vdot(square, difference)) / image.size / spread if spread else 0.0
  return int(skewness > _CLEAR) - int(skewness < -_CLEAR)

