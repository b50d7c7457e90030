"""Canvases: what training would have drawn, from images of every kind and size, and the way back."""

import numpy as np
import pytest
from PIL import Image

from digits_jax.data import canvas, image_files
from digits_jax.errors import InputError

SPEC = canvas.CanvasSpec(height=64, width=128, ink=1, ink_px=(11.0, 20.0))


def page(height, width, box, *, ink=1.0, paper=0.0):
  """float32[height, width] with a block of ink at (left, top, right, bottom)."""
  image = np.full((height, width), paper, np.float32)
  image[box[1] : box[3], box[0] : box[2]] = ink
  return image


def ink_box(image, paper):
  """The box of what is more than half way from the paper to the farthest grey."""
  difference = np.abs(image - paper)
  rows, columns = np.nonzero(difference > difference.max() / 2)
  return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def bytes_of(*shape):
  return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_an_image_of_the_canvas_size_stays_as_it_is(tmp_path):
  stored = np.minimum(bytes_of(64, 128), 20)
  stored[30:40, 50:70] = 255
  expected = stored.astype(np.float32) / np.float32(255)
  image_files.write_png(tmp_path / 'a.png', stored)
  for image in (stored, tmp_path / 'a.png', str(tmp_path / 'a.png'), Image.fromarray(stored), expected):
    found, placement = canvas.load(image, SPEC)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected[:, :, None])
    assert placement.span(3.5, 8.0) == (3.5, 8.0)


def test_grey_of_colours_and_of_transparency():
  grey = bytes_of(5, 7)
  expected = grey.astype(np.float32) / 255
  same = np.repeat(grey[:, :, None], 3, 2)
  np.testing.assert_array_equal(canvas.to_grey(same), expected)
  np.testing.assert_array_equal(canvas.to_grey(grey[:, :, None]), expected)
  np.testing.assert_allclose(canvas.to_grey(same.astype(np.float64) / 255), expected, atol=1e-6)
  colours = bytes_of(5, 7, 3)
  luma = colours @ np.array([0.299, 0.587, 0.114]) / 255
  np.testing.assert_allclose(canvas.to_grey(colours), luma, atol=0.6 / 255)
  np.testing.assert_allclose(canvas.to_grey(colours.astype(np.float32) / 255), luma, atol=1e-6)
  clear = np.dstack([colours, bytes_of(5, 7)])
  opacity = clear[:, :, 3] / 255
  expected = luma * opacity + 1 - opacity
  np.testing.assert_allclose(canvas.to_grey(clear), expected, atol=1.6 / 255)
  np.testing.assert_allclose(canvas.to_grey(clear.astype(np.float32) / 255), expected, atol=1e-6)
  np.testing.assert_array_equal(canvas.to_grey(Image.fromarray(clear)), canvas.to_grey(clear))


def test_ink_is_seen_whatever_lies_behind_it():
  opacity = np.zeros((6, 9))
  opacity[2:4, 3:6] = 1.0
  opacity[4, 4] = 0.5
  levels = lambda ink: np.dstack([np.full((6, 9, 3), ink), 255 * opacity]).astype(np.uint8)
  for ink, expected in (
    (255, opacity),  # white ink on black
    (250, opacity * 250 / 255),
    (0, 1 - opacity),
    (130, 1 - opacity * 125 / 255),  # seen on white
  ):
    np.testing.assert_allclose(canvas.to_grey(levels(ink)), expected, atol=1.6 / 255)
    np.testing.assert_allclose(canvas.to_grey(levels(ink) / np.float32(255)), expected, atol=1.6 / 255)
  faint = levels(0)
  faint[:, :, 3] = faint[:, :, 3] // 25  # on black nothing would be seen
  np.testing.assert_allclose(canvas.to_grey(faint), 1 - opacity * 10 / 255, atol=1.6 / 255)
  assert (canvas.to_grey(levels(255) * np.uint8([1, 1, 1, 0])) == 1).all()  # nothing is there


@pytest.mark.parametrize('shape', [(20, 31), (20, 31, 3), (20, 31, 4)])
def test_files_arrays_and_pillow_images_are_one(tmp_path, shape):
  image = bytes_of(*shape)
  Image.fromarray(image).save(tmp_path / 'a.png')
  expected = canvas.to_grey(image)
  np.testing.assert_array_equal(canvas.to_grey(tmp_path / 'a.png'), expected)
  np.testing.assert_array_equal(canvas.to_grey(Image.open(tmp_path / 'a.png')), expected)


@pytest.mark.parametrize(
  'image, problem',
  [
    (np.zeros((4, 5), np.int64), 'not int64'),
    (np.zeros((4, 5), bool), 'not bool'),
    (np.zeros((4, 5), np.uint16), 'not uint16'),
    (np.zeros(4, np.uint8), r'not \[4\]'),
    (np.zeros((4, 5, 2), np.uint8), r'not \[4, 5, 2\]'),
    (np.zeros((1, 4, 5, 1), np.uint8), r'not \[1, 4, 5, 1\]'),
    (np.zeros((0, 5), np.uint8), r'not \[0, 5\]'),
    (np.full((4, 5), 255.0), 'floats goes from 0 to 1; here from 255 to 255'),
    (np.full((4, 5), -0.01), 'floats goes from 0 to 1; here from -0.01 to -0.01'),
    (np.full((4, 5), -0.5), 'here from -0.5'),
    (np.full((4, 5), np.nan), 'here from nan'),
    ([[0, 255]], 'not a list'),
    (None, 'not a NoneType'),
  ],
)
def test_what_is_no_image(image, problem):
  with pytest.raises(InputError, match=problem):
    canvas.to_grey(image)


def test_floats_beyond_0_and_1_by_rounding_are_clipped():
  image = np.linspace(-1e-4, 1 + 1e-4, 20, dtype=np.float32).reshape(4, 5)
  np.testing.assert_array_equal(canvas.to_grey(image), np.clip(image, 0, 1))


@pytest.mark.parametrize('ink, paper', [(1.0, 0.0), (0.0, 1.0), (0.3, 0.6), (0.9, 0.5)])
@pytest.mark.parametrize('trained', [1, 0, -1])
def test_polarity(ink, paper, trained):
  image = page(64, 128, (40, 20, 60, 36), ink=ink, paper=paper)
  found, _ = canvas.place(image, SPEC._replace(ink=trained))
  is_turned = trained * np.sign(ink - paper) < 0
  np.testing.assert_allclose(found, 1 - image if is_turned else image, atol=1e-6)


def test_noise_alone_has_no_polarity():
  for seed in range(20):
    image = np.random.default_rng(seed).normal(0.5, 0.1, (64, 128)).clip(0, 1).astype(np.float32)
    np.testing.assert_array_equal(canvas.place(image, SPEC)[0], image)


@pytest.mark.parametrize(
  'size, box',
  [
    ((192, 384), (100, 60, 250, 105)),  # three times the canvas
    ((20, 60), (4, 3, 56, 17)),  # a tight crop
    ((9, 25), (2, 1, 23, 8)),  # a tiny one
    ((1000, 1000), (300, 200, 480, 260)),  # a page
    ((2000, 500), (30, 1900, 200, 1960)),  # with its number in a corner
    ((30, 10000), (8000, 5, 8070, 25)),  # a strip
    ((600, 300), (20, 20, 290, 560)),  # higher than it is wide
    ((40, 400), (5, 5, 395, 35)),  # as wide as the canvas allows
  ],
)
@pytest.mark.parametrize('ink, paper', [(1.0, 0.2), (0.1, 0.9)])
def test_ink_gets_the_height_of_digits_and_columns_lead_back(size, box, ink, paper):
  image = page(*size, box, ink=ink, paper=paper)
  found, placement = canvas.place(image, SPEC)
  assert found.shape == (64, 128) and found.dtype == np.float32
  ground = np.median(found)
  assert ground == pytest.approx(paper if paper < ink else 1 - paper)
  assert found.min() >= 0 and found.max() <= 1 and found.max() > ground + 0.6  # bright ink
  left, top, right, bottom = ink_box(found, ground)
  scale = (right - left) / (box[2] - box[0])
  assert bottom - top == pytest.approx(scale * (box[3] - box[1]), abs=2)  # the aspect
  low, high = SPEC.ink_px
  assert low - 1 <= bottom - top <= high + 1 or right - left == pytest.approx(0.95 * 128, abs=2)
  assert left > 0 and right < 128
  np.testing.assert_allclose(placement.span(left, right), (box[0], box[2]), atol=1.1 / scale)
  assert placement.span(0, 128)[0] >= 0 and placement.span(0, 128)[1] <= size[1]


def test_specks_change_no_scale():
  image = page(300, 800, (150, 80, 500, 170), ink=0.1, paper=0.9)
  expected = canvas.place(image, SPEC)[1]
  image[[2, 295, 40], [5, 780, 700]] = 0.0
  assert canvas.place(image, SPEC)[1] == expected


def test_ink_of_a_fitting_height_leaves_the_whole_image():
  image = page(128, 200, (10, 40, 100, 70), ink=0.0, paper=1.0)
  found, placement = canvas.place(image, SPEC)
  assert placement.span(0, 128) == (0.0, 200.0)
  assert placement.span(14, 114) == (0.0, 200.0)  # 200 columns at half size, in the middle
  assert ink_box(found, 0.0) == (14 + 5, 20, 14 + 50, 35)


@pytest.mark.parametrize('size', [(1, 1), (1, 5000), (5000, 1), (3, 2), (64, 127), (65, 128)])
def test_blank_images_of_any_size(size):
  found, placement = canvas.place(np.full(size, 0.5, np.float32), SPEC)
  np.testing.assert_allclose(found, np.full((64, 128), 0.5), atol=1e-6)
  assert placement.span(0, 128) == (0.0, size[1])


def test_a_photo_is_stretched_as_crops_are():
  spec = canvas.CanvasSpec(32, 48, 0, (0.0, 32.0), fit='stretch')
  photo = bytes_of(90, 64, 3)
  found, placement = canvas.load(photo, spec)
  assert found.shape == spec.shape == (32, 48, 3) and found.dtype == np.float32
  wanted = Image.fromarray(photo).resize((48, 32), Image.Resampling.BILINEAR)
  inner = slice(2, -2)  # at the edge it sees the photo's edge repeated, where Pillow sees nothing
  np.testing.assert_array_equal(found[inner, inner], np.asarray(wanted, np.float32)[inner, inner] / 255)
  assert placement.span(0, 48) == (0.0, 64.0) and placement.span(12, 24) == (16.0, 32.0)
  small = bytes_of(32, 48, 3)
  np.testing.assert_array_equal(canvas.load(small, spec)[0], small.astype(np.float32) / 255)
  np.testing.assert_array_equal(canvas.load(small.astype(np.float64) / 255, spec)[0], small.astype(np.float32) / 255)
  grey, _ = canvas.load(small[:, :, 0], spec)
  np.testing.assert_array_equal(grey, np.repeat(small[:, :, :1], 3, 2).astype(np.float32) / 255)


@pytest.mark.parametrize('height, width, left', [(32, 16, 8), (16, 32, 0)])
def test_beyond_a_photo_stands_its_edge(height, width, left):
  photo = bytes_of(height, width, 3)
  found, placement = canvas.load(photo, canvas.CanvasSpec(32, 32, 0, (0.0, 32.0), fit='edges'))
  columns, rows = 16 - width // 2, 16 - height // 2
  wanted = np.pad(photo, ((rows, rows), (columns, columns), (0, 0)), 'edge')
  np.testing.assert_array_equal(found, wanted.astype(np.float32) / 255)
  assert placement.span(left, left + 4) == (0.0, 4.0) and placement.span(0, 32) == (0.0, width)
