"""A number cut out of a photo and resized. Pure, NumPy and Pillow; nothing here is random."""

import dataclasses

import numpy as np
from PIL import Image

from digits_jax.errors import InputError

_FILTER = Image.Resampling.BILINEAR
_MOST = 2**24  # pixels that are copied to be resized, edges included


@dataclasses.dataclass(frozen=True)
class CropSpec:
  """What is cut out of a photo."""

  size: int = 64  # pixels, both sides, after resizing
  margin: float = 0.3  # by how much the box of all digits is expanded, about its centre
  is_square: bool = False  # expand the longer side, and cut a square of it; else each side by itself
  slots: int = 6  # digits that have room; SVHN's longest number has 6

  def __post_init__(self):
    if self.size < 1 or self.margin < 0 or self.slots < 1:
      raise InputError(f'a crop needs size and slots of at least 1 and a margin of at least 0, not {self}')

  @property
  def dtype(self) -> np.dtype:
    """One crop: image uint8[size, size, 3]; boxes float32[slots, 4] of the digits in it, zeros in the padding."""
    return np.dtype([('image', np.uint8, (self.size, self.size, 3)), ('boxes', np.float32, (self.slots, 4))])


def crop(photo: np.ndarray, boxes: np.ndarray, spec: CropSpec) -> tuple[np.ndarray, np.ndarray]:
  """The crop uint8[size, size, 3] of a number, and its digits' boxes float32[n, 4] there.

  Args:
    photo: uint8[H, W, 3].
    boxes: float32[n, 4], the digits in the photo.
    spec: what is cut out.
  """
  low, high = boxes[:, :2].min(0).astype(np.float64), boxes[:, 2:].max(0).astype(np.float64)  # (x, y)
  side = high - low
  if spec.is_square:
    side = np.full(2, side.max())
  centre, side = (low + high) / 2, np.maximum(side * (1 + spec.margin), 1.0)
  low = centre - side / 2
  scale = np.tile(spec.size / side, 2)
  return cut(photo, low, side, (spec.size, spec.size)), ((boxes - np.tile(low, 2)) * scale).astype(np.float32)


def cut(photo: np.ndarray, low: np.ndarray, side: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
  """The rectangle of a photo from low (x, y) on, side (x, y) large, resized to uint8[*shape, 3], shape being (h, w).

  What lies outside the photo uint8[H, W, 3] repeats its edge. Resized with Pillow's bilinear filter, which smooths as
  it shrinks.
  """
  reach = np.ceil(np.maximum(side / shape[::-1], 1)).astype(int)  # of the filter, beyond the rectangle
  first, last = np.floor(low).astype(int) - reach, np.ceil(low + side).astype(int) + reach
  if np.prod(last - first) <= _MOST:
    rows = np.clip(np.arange(first[1], last[1]), 0, photo.shape[0] - 1)
    columns = np.clip(np.arange(first[0], last[0]), 0, photo.shape[1] - 1)
    (x, y), (right, bottom) = low - first, low + side - first
    around = Image.fromarray(np.ascontiguousarray(photo[rows[:, None], columns]))
    return np.asarray(around.resize(shape[::-1], _FILTER, box=(x, y, right, bottom)))

  # A strip with its edges repeated would be as high as it is long: one axis after the other, the long one first.
  down = lambda image: _resize_rows(image, shape[0], low[1], low[1] + side[1])
  across = lambda image: _resize_rows(image.swapaxes(0, 1), shape[1], low[0], low[0] + side[0]).swapaxes(0, 1)
  found = down(across(photo)) if photo.shape[1] > photo.shape[0] else across(down(photo))
  return np.rint(found).astype(np.uint8)


def _resize_rows(image: np.ndarray, size: int, low: float, high: float) -> np.ndarray:
  """float64[size, m, c]: the rows from low to high of an image [n, m, c], as Pillow's bilinear filter resizes them.

  No more than what one row of the result is made of is copied; rows outside of the image repeat its edge.
  """
  scale = (high - low) / size
  support = max(scale, 1.0)  # half the base of a triangle, which smooths as it shrinks
  lines = []
  for i in range(size):
    centre = low + (i + 0.5) * scale
    near = np.arange(np.floor(centre - support + 0.5), np.floor(centre + support + 0.5))
    weights = np.maximum(1 - np.abs(near + 0.5 - centre) / support, 0.0)
    rows = np.clip(near, 0, len(image) - 1).astype(np.int64)
    weights = np.bincount(rows - rows[0], weights / weights.sum())  # of each row once
    lines.append(np.tensordot(weights, image[rows[0] : rows[0] + len(weights)], 1))
  return np.stack(lines)
