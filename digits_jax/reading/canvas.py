"""One image of any kind and size -> the canvas that the model was trained on, and the way back to the image's columns.

Assumes that the number fills a fair part of its image, as it does in training: the image is neither searched nor cut.
NumPy and Pillow only.
"""

import os
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from digits_jax.data import images as image_files
from digits_jax.errors import InputError

# Luminance of red, green, blue (ITU-R 601), as Pillow weighs them.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_CLEAR = 0.25  # skewness of grey levels from which the paper's side is clear; noise alone stays within 0.1


class CanvasSpec(NamedTuple):
  """What training drew."""

  height: int  # pixels
  width: int
  ink: int  # 1: bright on dark paper always, -1: dark on bright paper always, 0: both


class Placement(NamedTuple):
  """Where an image stands on its canvas: its column x is the canvas column left + x * scale."""

  left: int
  scale: float
  width: int  # of the image

  def span(self, left: float, right: float) -> tuple[float, float]:
    """The image columns (left, right) of two canvas columns, as far as the image goes."""
    left, right = (min(max((x - self.left) / self.scale, 0.0), float(self.width)) for x in (left, right))
    return left, right


def load(image: Any, spec: CanvasSpec) -> tuple[np.ndarray, Placement]:
  """The canvas float32[H, W] in [0, 1] of a path, a Pillow image or an array (see `to_grey`), and its placement.

  Raises InputError on what is no such image.
  """
  return place(to_grey(image), spec)


def to_grey(image: Any) -> np.ndarray:
  """The grey levels float32[h, w] in [0, 1] of an image, upright, transparency on white paper.

  Args:
    image: a path (str or PathLike), a Pillow image, or an array [h, w], [h, w, 1], [h, w, 3] (RGB) or [h, w, 4] (RGBA),
      uint8 in [0, 255] or floats in [0, 1].
  """
  if isinstance(image, str | os.PathLike):
    return _grey_of_bytes(image_files.read_image(image))
  if isinstance(image, Image.Image):
    return _grey_of_bytes(image_files.from_pillow(image))
  if not hasattr(image, '__array__'):
    raise InputError(f'an image is a path, an array or a Pillow image, not a {type(image).__name__}')
  pixels = np.asarray(image)
  channels = pixels.shape[2] if pixels.ndim == 3 else 1
  if pixels.ndim not in (2, 3) or channels not in (1, 3, 4) or not pixels.size:
    raise InputError(f'an image array has the shape [h, w] or [h, w, 1, 3 or 4], not {list(pixels.shape)}')
  if channels == 1:
    pixels = pixels.reshape(pixels.shape[:2])
  if pixels.dtype == np.uint8:
    return _grey_of_bytes(pixels if channels == 1 else image_files.from_pillow(Image.fromarray(pixels)))
  if not np.issubdtype(pixels.dtype, np.floating):
    raise InputError(f'an image array holds uint8 from 0 to 255 or floats from 0 to 1, not {pixels.dtype}')
  if not (pixels.min() >= 0 and pixels.max() <= 1):  # false for NaN too
    raise InputError(f'an image array of floats goes from 0 to 1; here from {pixels.min():g} to {pixels.max():g}')
  pixels = pixels.astype(np.float32)
  if channels == 4:
    opacity = pixels[:, :, 3:]
    pixels = pixels[:, :, :3] * opacity + (1 - opacity)
  return np.minimum(pixels @ _LUMA, 1.0) if channels > 1 else pixels


def place(image: np.ndarray, spec: CanvasSpec) -> tuple[np.ndarray, Placement]:
  """The canvas float32[H, W] of grey levels float32[h, w], both in [0, 1], and where the image stands on it.

  The image is shrunk or enlarged to fit, its aspect kept, in the middle of paper of its own colour. One of the canvas's
  size stays as it is. Where training drew ink of one kind alone, an image that clearly has the other is inverted.
  """
  paper = _paper(image)
  if spec.ink * _ink(image, paper) < 0:
    image, paper = 1 - image, 1 - paper
  height, width = image.shape
  if (height, width) == (spec.height, spec.width):
    return image, Placement(0, 1.0, width)
  scale = min(spec.height / height, spec.width / width)
  height, width = max(1, round(scale * height)), max(1, round(scale * width))
  # Pillow's filter widens with the shrinking, so that no stroke falls between two pixels; it overshoots at edges.
  resized = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)).clip(0.0, 1.0)
  top, left = (spec.height - height) // 2, (spec.width - width) // 2
  canvas = np.full((spec.height, spec.width), paper, np.float32)
  canvas[top : top + height, left : left + width] = resized
  return canvas, Placement(left, width / image.shape[1], image.shape[1])


def _paper(image):
  """The median of the border: what the number stands on, for it seldom covers half of the border."""
  return np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]))


def _ink(image, paper):
  """1 where the ink is clearly brighter than the paper, -1 where clearly darker, else 0."""
  difference = image - paper
  spread = float(np.mean(difference**2)) ** 1.5
  skewness = float(np.mean(difference**3)) / spread if spread else 0.0
  return int(skewness > _CLEAR) - int(skewness < -_CLEAR)


def _grey_of_bytes(pixels):
  """uint8[h, w] or uint8[h, w, 3] -> float32[h, w] in [0, 1]."""
  if pixels.ndim == 3:
    pixels = np.asarray(Image.fromarray(pixels).convert('L'))
  return pixels.astype(np.float32) / 255
