"""What the camera and the clutter do, against SciPy and against what their specs promise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from digits_jax.synth import clutter, photo
from tests.synth import specs


def expose(ink, count, **fields):
  one = functools.partial(photo.expose, ink=jnp.asarray(ink, jnp.float32), spec=specs.part('photo', **fields))
  return np.asarray(specs.compiled(jax.vmap(one))(specs.keys(count)))


def test_noise_has_its_mean_deviation_and_tails():
  sigma = 0.05
  noise = expose(np.full((64, 128), 0.5), 60, noise=(sigma, sigma)) - 0.5  # 491,520 pixels
  assert abs(noise.mean()) < 4 * sigma / np.sqrt(noise.size)
  np.testing.assert_allclose(noise.std(), sigma, rtol=0.005)
  assert np.abs(noise).max() <= 3.451 * sigma  # four bytes all 0 or all 255: 510 / 147.8 deviations
  # Of the sum of four uniform values (Irwin-Hall) within 1 and 2 deviations; a normal value has 0.683 and 0.954.
  for deviations, share in ((1, 0.668), (2, 0.958)):
    np.testing.assert_allclose(np.mean(np.abs(noise) < deviations * sigma), share, atol=0.005)
  assert np.mean(np.abs(noise) > 3 * sigma) > 2e-4
  flat = noise.reshape(60, 64, 128)
  for one, other in ((flat[:, 1:], flat[:, :-1]), (flat[:, :, 1:], flat[:, :, :-1]), (flat[1:], flat[:-1])):
    assert abs(np.mean(one * other)) < 5 * sigma**2 / np.sqrt(one.size)  # neither neighbours nor images agree


def test_noise_deviation_is_drawn_for_each_image():
  deviations = expose(np.full((32, 64), 0.5), 200, noise=(0.02, 0.1)).std((1, 2))
  assert 0.019 < deviations.min() < 0.03 and 0.09 < deviations.max() < 0.103
  assert abs(deviations.mean() - 0.06) < 0.008


@pytest.mark.parametrize('sigma', [0.0, 0.4, 1.0, 2.0])
def test_blur_against_scipy(sigma):
  image = np.random.default_rng(0).random((20, 31)).astype(np.float32)
  got = photo.blur(jnp.asarray(image), jnp.float32(sigma), radius=5)
  want = image if sigma == 0 else ndimage.gaussian_filter(image.astype(np.float64), sigma, mode='nearest', radius=5)
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_blur_is_drawn_within_its_range():
  point = np.zeros((41, 41))
  point[20, 20] = 1.0
  images = expose(point, 200, blur_px=(0.5, 2.0))
  np.testing.assert_allclose(images.sum((1, 2)), 1.0, atol=1e-5)
  spread = np.sqrt((images * (np.arange(41) - 20) ** 2).sum((1, 2)))
  assert 0.4 < spread.min() < 0.7 and 1.7 < spread.max() < 2.05  # the taps end at 2.5 of the largest deviation


def test_levels_and_inversion():
  ink = np.zeros((4, 4))
  ink[1, 1] = 1.0
  images = expose(ink, 2000, background=(0.1, 0.4), contrast=(0.3, 0.9), inversion=0.25)
  is_inverted = images[:, 0, 0] > images[:, 1, 1]
  images = np.where(is_inverted[:, None, None], 1 - images, images)
  assert abs(is_inverted.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 2000)
  paper, drop = images[:, 0, 0], images[:, 1, 1] - images[:, 0, 0]
  assert 0.1 <= paper.min() < 0.11 and 0.39 < paper.max() <= 0.4 + 1e-6
  assert 0.3 - 1e-6 <= drop.min() < 0.31 and images.max() <= 1.0 + 1e-6
  is_free = paper + drop < 1 - 1e-4  # elsewhere white is the end
  assert 0.1 < 1 - is_free.mean() < 0.5
  np.testing.assert_allclose(paper.mean(), 0.25, atol=0.01)


def test_photos_stay_between_black_and_white():
  ink = np.random.default_rng(1).random((16, 16))
  images = expose(
    ink, 300, noise=(0.0, 0.6), background=(0.0, 0.5), contrast=(0.4, 1.0), inversion=0.5, blur_px=(0.0, 1.0)
  )
  assert images.min() == 0.0 and images.max() == 1.0 and np.isfinite(images).all()


def test_ink_alone_is_the_photo_without_effects():
  ink = np.random.default_rng(2).random((8, 9)).astype(np.float32)
  np.testing.assert_array_equal(expose(ink, 3), np.broadcast_to(ink, (3, 8, 9)))


def test_blobs_are_counted_bounded_and_lie_over_the_ink():
  spec = specs.part('clutter', blobs=3, blob_px=(1.0, 2.0), blob_ink=(0.4, 0.8))
  ink = np.zeros((80, 80), np.float32)
  ink[40, 40] = 1.0
  images = np.asarray(specs.compiled(jax.vmap(lambda key: clutter.blobs(key, jnp.asarray(ink), spec)))(specs.keys(600)))
  assert (images >= ink).all() and (images[:, 40, 40] == 1).all()
  images = np.where(ink > 0, 0.0, images)
  peaks = images.max((1, 2))
  empty = np.mean(peaks == 0)
  assert abs(empty - 0.25) < 0.08  # 0, 1, 2 or 3 alike
  seen = peaks[peaks > 0.25]  # blobs at the border show a slope alone
  assert peaks.max() <= 0.8 and np.mean(seen > 0.4) > 0.9
  # A blob's ink adds up to 2 pi times its peak and deviations: between one least and three largest.
  assert images.sum((1, 2)).max() <= 3 * 2 * np.pi * 0.8 * 4 * 1.02
  pieces = [ndimage.label(image > 0.3)[1] for image in images]
  assert max(pieces) == 3 and all(piece <= 3 for piece in pieces)
  none = specs.part('clutter', blobs=0)
  np.testing.assert_array_equal(clutter.blobs(jax.random.key(0), jnp.asarray(ink), none), ink)
