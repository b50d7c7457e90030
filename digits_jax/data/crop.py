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
  rows = np.clip(np.arange(first[1], last[1]), 0, photo.shape[0] - 1)
  columns = np.clip(np.arange(first[0], last[0]), 0, photo.shape[1] - 1)
  (x, y), (right, bottom) = low - first, low + side - first
  if len(rows) * len(columns) <= _MOST:
    around = Image.fromarray(np.ascontiguousarray(photo[rows[:, None], columns]))
    return np.asarray(around.resize(shape[::-1], _FILTER, box=(x, y, right, bottom)))

  # A strip with its edges repeated would be as high as it is long: one axis after the other, the long one first.
  def across(image):
    image = Image.fromarray(np.ascontiguousarray(image[:, columns]))
    return np.asarray(image.resize((shape[1], image.height), _FILTER, box=(x, 0, right, image.height)))

  def down(image):
    image = Image.fromarray(np.ascontiguousarray(image[rows]))
    return np.asarray(image.resize((image.width, shape[0]), _FILTER, box=(0, y, image.width, bottom)))

  return down(across(photo)) if photo.shape[1] > photo.shape[0] else across(down(photo))
