"""Numbers cut out of photos, against Pillow and against what their boxes say."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from digits_jax.data import crop
from digits_jax.data.crop import CropSpec
from digits_jax.errors import InputError


def ramp(height, width):
  """A photo whose red is the column and whose green is the row."""
  y, x = np.mgrid[:height, :width]
  return np.stack([x, y, np.zeros_like(x)], 2).astype(np.uint8)


def test_a_crop_that_needs_no_resizing_copies():
  photo = ramp(90, 120)
  boxes = np.array([(30, 20, 50, 30), (45, 10, 70, 50)], np.float32)  # their union is 40 x 40
  image, inside = crop.crop(photo, boxes, CropSpec(size=60, margin=0.5))
  np.testing.assert_array_equal(image, photo[0:60, 20:80])
  np.testing.assert_array_equal(inside, boxes - np.array([20, 0, 20, 0], np.float32))


def test_a_long_strip_takes_little_memory(monkeypatch):
  rng = np.random.default_rng(0)
  for shape in ((20, 900, 3), (900, 20, 3)):
    photo = rng.integers(0, 256, shape, np.uint8)
    side = np.full(2, 900.0)
    cut = lambda: crop.cut(photo, (np.array(photo.shape[1::-1]) - side) / 2, side, (54, 54)).astype(int)
    whole = cut()
    with monkeypatch.context() as patch:
      patch.setattr(crop, '_MOST', 10_000)
      found = cut()
      assert abs(found - whole).max() <= 1  # rounded between the axes
    tall = np.zeros((14_000, 100, 3), np.uint8)
    tracemalloc.start()
    crop.cut(tall, np.array([-6950.0, 0.0]), np.full(2, 14_000.0), (54, 54))
    assert tracemalloc.get_traced_memory()[1] < 50e6
    line = np.full((1, 2_000_000, 3), 7, np.uint8)
    tracemalloc.reset_peak()
    found = crop.cut(line, np.array([0.0, -1e6]), np.full(2, 2e6), (54, 54))
    assert tracemalloc.get_traced_memory()[1] < line.nbytes + 20e6 and (found == 7).all()
    tracemalloc.stop()


@pytest.mark.parametrize('is_square', [True, False])
@pytest.mark.parametrize('box', [(40, 30, 100, 50), (40, 30, 60, 90), (41.5, 30.25, 44, 37)])
def test_a_crop_shows_what_its_boxes_say(box, is_square):
  spec = CropSpec(size=64, is_square=is_square)
  image, inside = crop.crop(ramp(120, 140), np.array([box], np.float32), spec)
  sides = np.array([box[2] - box[0], box[3] - box[1]]) * 1.3
  sides = np.array([sides.max()] * 2) if is_square else sides
  (left, top, right, bottom), size = inside[0], np.array([box[2] - box[0], box[3] - box[1]])
  np.testing.assert_allclose([right - left, bottom - top], size * 64 / sides, rtol=1e-5)
  np.testing.assert_allclose([left + right, top + bottom], 64, rtol=1e-5)  # in the middle
  # Where the red of a crop is the column of the photo, at the centre of a pixel.
  x = (box[0] + box[2] - sides[0]) / 2 + (np.arange(64) + 0.5) * sides[0] / 64 - 0.5
  y = (box[1] + box[3] - sides[1]) / 2 + (np.arange(64) + 0.5) * sides[1] / 64 - 0.5
  assert np.abs(image[:, :, 0] - x[None]).max() <= 1 and np.abs(image[:, :, 1] - y[:, None]).max() <= 1


def test_a_crop_repeats_the_edge_of_the_photo():
  photo = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
  spec = CropSpec(size=24, margin=1.0, is_square=True)
  image, _ = crop.crop(photo, np.array([(0, 4, 20, 16)], np.float32), spec)  # of (-10, -10, 30, 30)
  padded = Image.fromarray(np.pad(photo, ((20, 20), (20, 20), (0, 0)), 'edge'))
  np.testing.assert_array_equal(image, padded.resize((24, 24), Image.Resampling.BILINEAR, box=(10, 10, 50, 50)))


@pytest.mark.parametrize('fields', [{'size': 0}, {'margin': -0.1}, {'slots': 0}])
def test_a_crop_that_is_none(fields):
  with pytest.raises(InputError, match='a crop needs'):
    CropSpec(**fields)
