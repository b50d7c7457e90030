"""The camera against Pillow's JPEG, SciPy's blur, and what is left where every range is 0."""

import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from digits_jax.errors import InputError
from digits_jax.synth import camera
from tests.synth import specs

STILL = {
  'digit_px': (30.0, 30.0), 'blur_px': (0.0, 0.0), 'smear': 0.0, 'fringe_px': 0.0, 'sharpening': 0.0,
  'noise': (0.0, 0.0),
  'jpeg': 0.0, 'jpeg_quality': (50.0, 50.0), 'gamma': (1.0, 1.0), 'haze': 0.0,
}  # fmt: skip


def picture(size=56, seed=0, sigma=2.0):
  noise = np.random.default_rng(seed).random((size, size, 3))
  noise = ndimage.gaussian_filter(noise, (sigma, sigma, 0), mode='nearest')
  return (0.2 + 0.6 * (noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def expose(image, pixels, seed=0, **fields):
  spec = camera.CameraSpec(**STILL | fields)
  planes = image.transpose(2, 0, 1)
  return np.asarray(exposed(spec)(jax.random.key(seed), planes, jnp.asarray(pixels, jnp.float32)))


@functools.cache
def exposed(spec):
  return specs.compiled(functools.partial(camera.expose, spec=spec))


@pytest.mark.parametrize('quality', [10, 50, 85])
def test_jpeg_of_a_grey_image_is_pillows(quality):
  image = np.repeat(picture(sigma=1.0)[:, :, :1], 3, 2)
  image = np.round(image * 255) / 255
  coded = io.BytesIO()
  Image.fromarray(np.uint8(image[:, :, 0] * 255 + 0.5)).save(coded, 'JPEG', quality=quality)
  want = np.asarray(Image.open(coded), np.float32)
  got = 255 * np.asarray(camera.jpeg(jnp.asarray(image.transpose(2, 0, 1)), jnp.float32(quality)))
  # Pillow rounds, and its cosines are whole numbers: now and then a coefficient falls on the other side of a half.
  apart = np.abs(got[0] - want)
  assert np.quantile(apart, 0.9) < 1.5 and apart.mean() < 0.25 * np.abs(want - 255 * image[:, :, 0]).mean()


def test_jpeg_keeps_colours():
  image = np.broadcast_to(np.float32([0.8, 0.3, 0.2])[:, None, None], (3, 16, 16))
  np.testing.assert_allclose(camera.jpeg(jnp.asarray(image), jnp.float32(95)), image, atol=0.01)


def test_a_blur_matrix_blurs_and_moves():
  image = picture()[:, :, 0]
  soft, moved = (np.asarray(camera.blur_matrix(56, *map(jnp.float32, pair))) @ image for pair in ((2, 0), (0, 3)))
  want = ndimage.gaussian_filter1d(image, 2.0, axis=0, truncate=8)
  np.testing.assert_allclose(soft[8:-8], want[8:-8], atol=1e-4)
  np.testing.assert_allclose(moved[3:], image[:-3], atol=1e-6)
  np.testing.assert_allclose(moved[:3], image[:1].repeat(3, 0), atol=1e-6)


def test_a_photo_of_as_many_pixels_is_nearly_the_image():
  image = picture()
  np.testing.assert_allclose(expose(image, (56, 56)), image, atol=0.05)


def test_an_even_image_stays_even_to_its_edges():
  image = np.full((54, 54, 3), 0.5, np.float32)
  for seed in range(40):
    np.testing.assert_allclose(expose(image, (11, 7), seed), 0.5, atol=1e-4)


def test_a_photo_of_few_pixels_is_smooth_along_its_long_pixels():
  image = picture(sigma=0.7)
  wide = expose(image, (8, 56))  # few columns
  across, down = np.abs(np.diff(wide, 2, axis=1)).mean(), np.abs(np.diff(wide, 2, axis=0)).mean()
  assert across < 0.3 * down
  np.testing.assert_allclose(wide.mean((0, 1)), image.mean((0, 1)), atol=0.02)


def test_more_of_the_photos_pixels_than_the_image_has_change_nothing():
  image = picture()
  np.testing.assert_array_equal(expose(image, (56, 56)), expose(image, (500, 900)))


@pytest.mark.slow
def test_each_range_does_what_it_says():
  image, still = picture(), expose(picture(), (40, 40))
  rough = lambda photo: np.abs(np.diff(photo, axis=0)).mean()
  assert rough(expose(image, (40, 40), blur_px=(2.0, 2.0))) < 0.8 * rough(still)
  assert rough(expose(image, (40, 40), sharpening=10.0)) > 1.03 * rough(still)
  assert rough(expose(image, (40, 40), noise=(0.1, 0.1))) > 1.5 * rough(still)
  assert expose(image, (40, 40), gamma=(2.0, 2.0)).mean() < still.mean() - 0.1
  ranges = [np.ptp(expose(image, (40, 40), seed, haze=0.9)) for seed in range(6)]
  assert min(ranges) < 0.6 * np.ptp(still) and max(ranges) < np.ptp(still)
  fringed = expose(image, (40, 40), fringe_px=2.0)
  np.testing.assert_allclose(fringed[:, :, 1], still[:, :, 1], atol=1e-6)
  assert np.abs(fringed - still)[:, :, ::2].max() > 0.02
  smeared = np.stack([expose(image, (40, 40), seed, blur_px=(3.0, 3.0), smear=1.0) for seed in range(6)])
  ratio = np.abs(np.diff(smeared, axis=1)).mean((1, 2, 3)) / np.abs(np.diff(smeared, axis=2)).mean((1, 2, 3))
  assert ratio.min() < 0.8 and ratio.max() > 1.25
  coded = expose(image, (40, 40), jpeg=1.0, jpeg_quality=(5.0, 5.0))
  assert np.abs(coded - still).max() > 0.03


@pytest.mark.parametrize(
  ('fields', 'named'),
  [({'digit_px': (1.0, 9.0)}, 'digit_px'), ({'jpeg_quality': (0.0, 50.0)}, 'jpeg_quality'), ({'haze': 1.0}, 'haze'),
   ({'blur_px': (2.0, 1.0)}, 'blur_px')],
)  # fmt: skip
def test_ranges_without_sense_are_named(fields, named):
  with pytest.raises(InputError, match=named):
    camera.CameraSpec(**STILL | fields)
