"""The camera against Pillow's JPEG, SciPy's blur, the variances of what it sums, and what is left without ranges."""

import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats

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


def expose_often(image, pixels, count, **fields):
  """The photos float32[count, S, S, 3] of one image, one for each key."""
  spec = camera.CameraSpec(**STILL | fields)
  return np.asarray(exposed_often(spec)(specs.keys(count), image.transpose(2, 0, 1), jnp.asarray(pixels, jnp.float32)))


@functools.cache
def exposed_often(spec):
  return specs.compiled(jax.vmap(functools.partial(camera.expose, spec=spec), (0, None, None)))


def dot(size=56):
  """A single bright pixel in the middle, on black."""
  image = np.zeros((size, size, 3), np.float32)
  image[size // 2, size // 2] = 1.0
  return image


def moments(photos, size=56):
  """Means and variances of each plane's mass about the middle of the dot, both float64[n, 3, (x, y)], canvas pixels."""
  at, mass = np.arange(size) - size // 2, photos.astype(np.float64) - 1e-4  # no pixel is darker, for the exponent
  along = np.stack([mass.sum(1), mass.sum(2)], 2) / mass.sum((1, 2))[:, None, None]  # [n, S, (x, y), 3]
  mean, square = (np.einsum('nsac,s->nca', along, at**power) for power in (1, 2))
  return mean, square - mean**2


@pytest.mark.parametrize('pixels', [(40, 30), (33, 17), (23, 9)])
def test_a_ramp_stays_where_it_is(pixels):
  slope, at = 0.8 / 55, np.arange(56, dtype=np.float32)
  level = np.full((56, 56), 0.5, np.float32)
  image = np.stack([level, level + slope * (at - 27.5)[None], level + slope * (at - 27.5)[:, None]], 2)
  photos = expose_often(image, pixels, 40)
  x, y = (2 * 56 // count + 3 for count in pixels)  # what lies beyond the image repeats its edges
  moved = (photos - image)[:, y:-y, x:-x] / slope
  assert np.abs(moved).max() < 0.1


def test_blur_adds_to_the_width_of_a_pixel_and_of_its_enlargement():
  pixels = np.array([40, 28])
  _, variance = moments(expose_often(dot(), pixels, 64, blur_px=(1.5, 1.5)))
  # A sensor's pixel 1 / 12, the triangle of linear interpolation 1 / 6, and 0.02 of the canvas's own pixels.
  want = (1.5**2 + 1 / 12 + 1 / 6) * (56 / pixels) ** 2 + 0.02
  np.testing.assert_allclose(variance.mean((0, 1)), want, rtol=0.02)


def test_motion_blurs_one_axis_and_the_other_by_three_tenths():
  _, variance = moments(expose_often(dot(), (56, 56), 64, blur_px=(3.0, 3.0), smear=1.0))
  variance = np.sort(variance.mean(1), 1)
  want = [(deviation**2 + 1 / 12 + 1 / 6) + 0.02 for deviation in (0.9, 3.0)]
  np.testing.assert_allclose(variance.mean(0), want, rtol=0.03)
  np.testing.assert_allclose(variance, np.tile(want, (64, 1)), atol=0.2)  # interpolation adds from 0 to 1 / 4


def test_colours_are_shifted_within_the_fringe():
  pixels, fringe = np.array([40, 28]), 1.5
  mean, _ = moments(expose_often(dot(), pixels, 200, blur_px=(1.5, 1.5), fringe_px=fringe))
  shifts = mean * pixels / 56  # [n, 3, 2], the photo's pixels
  assert np.abs(shifts[:, 1]).max() < 0.02
  drawn = shifts[:, ::2].reshape(200, 4)  # red and blue, each along two axes
  assert np.abs(drawn).max() < fringe + 0.02
  for values in drawn.T:
    assert stats.kstest(values, 'uniform', (-fringe, 2 * fringe)).pvalue > 1e-3
  assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.3


def test_haze_takes_its_range_of_contrast_towards_any_grey():
  image, haze = np.full((56, 56, 3), 0.25, np.float32), 0.6
  image[:, 28:] = 0.75
  photos = expose_often(image, (56, 56), 200, haze=haze)
  dark, bright = (photos[:, 28, column].mean(1) for column in (4, 51))
  lost = 1 - (bright - dark) / 0.5
  assert stats.kstest(lost, 'uniform', (0, haze)).pvalue > 1e-3
  grey = (dark - 0.25 * (1 - lost))[lost > 0.1] / lost[lost > 0.1]
  assert stats.kstest(grey, 'uniform').pvalue > 1e-3


def test_blocks_of_jpeg_begin_anywhere():
  at = np.arange(56) / 55
  image = np.repeat((0.05 + 0.45 * (at[None] + at[:, None]))[:, :, None], 3, 2).astype(np.float32)
  photos = expose_often(image, (56, 56), 200, jpeg=1.0, jpeg_quality=(1.0, 1.0))  # blocks keep nothing but their mean
  begins = []
  for axis in (1, 2):
    steps = np.abs(np.diff(photos[:, :, :, 1].mean(axis), axis=1))[:, 3:-3]
    wave = steps @ np.exp(2j * np.pi * np.arange(4, 53) / 8)
    assert np.median(np.abs(wave) / steps.sum(1)) > 0.9  # a step in eight pixels
    begins.append(np.angle(wave) / (2 * np.pi) % 1)
    assert stats.kstest(begins[-1], 'uniform').pvalue > 1e-3
  assert stats.kstest((begins[0] - begins[1]) % 1, 'uniform').pvalue > 1e-3  # and each axis by itself


_jpeg = specs.compiled(camera.jpeg)


def jpeg(image, quality):
  return np.asarray(_jpeg(image.transpose(2, 0, 1), jnp.float32(quality))).transpose(1, 2, 0)


def ycc(image):
  """JFIF's luma and differences of colours, of RGB in [0, 255]."""
  red, green, blue = np.moveaxis(np.asarray(image, np.float64), 2, 0)
  luma = 0.299 * red + 0.587 * green + 0.114 * blue
  return np.stack([luma, 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402], 2)


@pytest.mark.parametrize('quality', [10, 30, 50, 85])
def test_jpeg_of_a_colour_image_is_pillows_at_full_size(quality):
  chroma = 255 * (1.4 * picture(32, 1, sigma=1.0)[:, :, :2] - 0.2)  # even over 2 x 2 pixels: no mean changes it
  planes = np.concatenate([255 * picture(64, sigma=1.0)[:, :, :1], chroma.repeat(2, 0).repeat(2, 1)], 2)
  image = Image.fromarray(np.uint8(planes.clip(0, 255).round()), 'YCbCr').convert('RGB')
  coded = io.BytesIO()
  image.save(coded, 'JPEG', quality=quality, subsampling=0)
  want, image = ycc(Image.open(coded)), np.asarray(image, np.float32)
  got = ycc(255 * jpeg(image / 255, quality))
  apart, by_jpeg = np.abs(got - want).mean((0, 1)), np.abs(ycc(image) - want).mean((0, 1))
  assert (apart < 1.3).all() and (apart < 0.6 * by_jpeg).all(), (apart, by_jpeg)  # grey levels, by rounding as above


def test_jpeg_averages_colours_over_two_by_two_pixels():
  image = 0.5 + 0.5 * (picture(32, sigma=0.5) - 0.5)
  got, had = (ycc(255 * levels) for levels in (jpeg(image, 100), image))
  means = had.reshape(16, 2, 16, 2, 3).mean((1, 3)).repeat(2, 0).repeat(2, 1)
  np.testing.assert_allclose(got[:, :, 0], had[:, :, 0], atol=2)
  np.testing.assert_allclose(got[:, :, 1:], means[:, :, 1:], atol=2)
  assert np.abs(had - means)[:, :, 1:].max() > 10


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


def test_gamma_is_drawn_by_its_logarithm():
  photos = expose_often(np.full((56, 56, 3), 0.5, np.float32), (56, 56), 200, gamma=(0.25, 4.0))
  exponents = np.log(photos[:, 28, 28, 0]) / np.log(0.5)
  assert np.median(exponents) == pytest.approx(1.0, rel=0.3)  # drawn evenly it would be 2.1
