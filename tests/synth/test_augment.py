"""What happens to a crop before it is trained on, against Pillow, SciPy, least squares and what the spec promises."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from digits_jax.errors import InputError
from digits_jax.synth import augment
from digits_jax.synth.augment import AugmentSpec
from tests.synth import specs

BOXES = np.array([(8, 12, 28, 50), (30, 12, 60, 50), (0, 0, 0, 0)], np.float32)


def picture(height=64, width=64, seed=0, low=0.3, high=0.7):
  """A smooth colourful image float32, away from black and white."""
  noise = np.random.default_rng(seed).random((height, width, 3))
  smooth = ndimage.gaussian_filter(noise, (2, 2, 0), mode='nearest')
  return (low + (high - low) * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


@functools.cache
def mapped(spec):
  return specs.compiled(jax.vmap(functools.partial(augment.augment, spec=spec), (0, None, None)))


def apply(image, count, boxes=BOXES, seed=0, **fields):
  images, moved = mapped(AugmentSpec(**fields))(specs.keys(count, seed), jnp.asarray(image), jnp.asarray(boxes))
  return np.asarray(images), np.asarray(moved)


def test_the_default_is_the_centre():
  images, boxes = apply(picture(), 2)
  assert images.dtype == np.float32 and images.shape == (2, 54, 54, 3)
  for image in images:
    np.testing.assert_array_equal(image, picture()[5:59, 5:59])
  want = np.clip(BOXES - 5, 0, 54) * (BOXES[:, 2:3] > 0)
  np.testing.assert_allclose(boxes, np.stack([want, want]), atol=1e-5)


def test_random_crops_copy_pixels():
  image = picture()
  images, boxes = apply(image, 1500, spread=1.0)
  lefts = np.rint(BOXES[1, 0] - boxes[:, 1, 0]).astype(int)
  tops = np.rint(BOXES[1, 1] - boxes[:, 1, 1]).astype(int)
  assert set(lefts) == set(tops) == set(range(11))
  shares = np.bincount(np.concatenate([lefts, tops])) / 3000
  assert np.abs(shares - 1 / 11).max() < 4 * np.sqrt(1 / 11 / 3000) and abs(np.corrcoef(lefts, tops)[0, 1]) < 0.1
  for one, box, left, top in zip(images, boxes, lefts, tops, strict=True):
    np.testing.assert_array_equal(one, image[top : top + 54, left : left + 54])
    moved = np.clip(BOXES[:2] - np.array([left, top, left, top], np.float32), 0, 54)
    np.testing.assert_allclose(box[:2], moved, atol=1e-4)
    assert not box[2].any()


@pytest.mark.parametrize('window, aspect, shape', [(0.9, 1.0, (64, 64)), (0.5, 1.0, (60, 80)), (0.8, 1.21, (128, 100))])
def test_a_resized_window_against_pillow(window, aspect, shape):
  image = picture(*shape, low=0.0, high=1.0)
  (got,), (boxes,) = apply(image, 1, window=(window, window), aspect=(aspect, aspect))
  height, width = window * shape[0] / np.sqrt(aspect), window * shape[1] * np.sqrt(aspect)
  left, top = (shape[1] - width) / 2, (shape[0] - height) / 2
  for channel in range(3):
    whole = Image.fromarray(np.ascontiguousarray(image[:, :, channel]))
    want = whole.resize((54, 54), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    np.testing.assert_allclose(got[:, :, channel], np.asarray(want), atol=2e-4)
  want = (BOXES[:2] - np.array([left, top, left, top])) * 54 / np.array([width, height, width, height])
  np.testing.assert_allclose(boxes[:2], np.clip(want, 0, 54), atol=1e-3)


def test_windows_are_drawn_within_their_ranges():
  inner = np.array([(30, 30, 34, 34)], np.float32)  # within every window
  _, boxes = apply(picture(), 800, inner, window=(0.7, 0.9), aspect=(0.8, 1.25), spread=0.2)
  width, height = (4 * 54 / (boxes[:, 0, i + 2] - boxes[:, 0, i]) for i in (0, 1))
  side, ratio = np.sqrt(width * height) / 64, width / height
  assert 0.7 <= side.min() < 0.71 and 0.89 < side.max() <= 0.9 + 1e-4
  assert 0.8 - 1e-4 <= ratio.min() < 0.82 and 1.22 < ratio.max() <= 1.25 + 1e-4
  assert abs(np.log(ratio).mean()) < 0.02  # as often wide as high
  centre = 32 + (27 - (boxes[:, 0, 0] + boxes[:, 0, 2]) / 2) * width / 54
  assert np.abs((centre - 32) / (64 - width)).max() <= 0.1 + 1e-3 and np.abs(centre - 32).max() > 0.5


def test_a_window_never_leaves_the_image():
  _, boxes = apply(
    picture(), 200, np.array([(0, 0, 64, 64)], np.float32), window=(1.0, 1.0), aspect=(0.5, 2.0), spread=1.0
  )
  assert ((boxes == 0) | (boxes == 54)).all()  # the image reaches to every edge of the window


def colours(count, seed=0, **fields):
  """Images from one constant colour, and the colour: [count, 3], [3]."""
  colour = np.array([0.6, 0.45, 0.4], np.float32)
  return apply(np.broadcast_to(colour, (8, 8, 3)), count, seed=seed, size=8, window=(1.0, 1.0), **fields)[0][
    :, 3, 3
  ], colour


GREY = np.array([0.299, 0.587, 0.114])


def test_brightness():
  found, colour = colours(500, brightness=0.5)
  factors = found / colour
  np.testing.assert_allclose(factors[:, 1], factors[:, 0], atol=1e-5)
  assert 0.5 - 1e-5 <= factors.min() < 0.51 and 1.49 < factors.max() <= 1.5 + 1e-5 and abs(factors.mean() - 1) < 0.05


def test_saturation():
  found, colour = colours(500, saturation=0.5)
  grey = colour @ GREY
  np.testing.assert_allclose(found @ GREY, grey, atol=1e-5)
  factors = (found - grey) / (colour - grey)
  np.testing.assert_allclose(factors[:, 0], factors[:, 2], atol=1e-3)
  assert 0.5 - 1e-3 <= factors.min() < 0.51 and 1.49 < factors.max() <= 1.5 + 1e-3


def test_contrast():
  image = picture()
  images, _ = apply(image, 300, contrast=0.4)
  centre = image[5:59, 5:59]
  mean = (centre @ GREY).mean()
  factors = [np.linalg.lstsq((centre - mean).reshape(-1, 1), (one - mean).ravel(), rcond=None) for one in images]
  assert max(float(residual[0]) for _, residual, *_ in factors) < 1e-6
  factors = np.array([float(factor[0]) for factor, *_ in factors])
  assert 0.6 - 1e-3 <= factors.min() < 0.62 and 1.38 < factors.max() <= 1.4 + 1e-3


@pytest.mark.parametrize('limit', [0.1, 0.5])
def test_hue_turns_colours_and_keeps_greys(limit):
  found, colour = colours(500, hue=limit)
  np.testing.assert_allclose(found @ GREY, colour @ GREY, atol=1e-4)
  axes = np.array([(0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])  # I and Q
  angles = [np.arctan2(*(axes @ one)[::-1]) / (2 * np.pi) for one in (colour, *found)]
  turns = (np.array(angles[1:]) - angles[0] + 0.5) % 1 - 0.5
  assert -limit - 1e-3 <= turns.min() < -0.95 * limit and 0.95 * limit < turns.max() <= limit + 1e-3
  grey = np.full((64, 64, 3), 0.4, np.float32)
  np.testing.assert_allclose(apply(grey, 5, hue=limit, saturation=1.0)[0], 0.4, atol=1e-5)


def test_colours_stay_in_range():
  image = picture(low=0.0, high=1.0)
  images, _ = apply(
    image, 200, brightness=0.8, contrast=0.8, saturation=1.0, hue=0.5, noise=(0.0, 0.5), convolution=0.5
  )
  assert images.min() == 0.0 and images.max() == 1.0 and np.isfinite(images).all()


def convolved(count, **fields):
  """The image, and what random convolution made of it count times."""
  image = picture(20, 20, low=0.45, high=0.55)  # far from black and white, so that nothing is clipped
  spec = AugmentSpec(**fields)
  one = specs.compiled(jax.vmap(lambda key: augment.random_convolution(key, jnp.asarray(image), spec)))
  return image, np.asarray(one(specs.keys(count)))


def residuals(image, made, reach):
  """What no 2 * reach + 1 pixel kernel explains of each made image, relative to its deviation, edges apart."""
  padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode='edge')
  offsets = range(2 * reach + 1)
  shifts = [padded[i : i + 20, j : j + 20] for i in offsets for j in offsets]
  features = np.concatenate([*shifts, np.ones((20, 20, 1))], 2).reshape(400, -1).astype(np.float64)
  errors = [one - features @ np.linalg.lstsq(features, one, rcond=None)[0] for one in made.reshape(-1, 400, 3)]
  return np.array([error.std() for error in errors]) / made.std((1, 2, 3))


def test_random_convolution_is_a_convolution():
  image, made = convolved(200, convolution=1.0)
  assert residuals(image, made, 1).max() < 1e-3
  is_point = residuals(image, made, 0) < 1e-3  # kernels of one pixel
  assert 0.4 < is_point.mean() < 0.6
  image, made = convolved(200, convolution=1.0, convolution_px=5)
  assert residuals(image, made, 2).max() < 1e-3
  assert 0.55 < np.mean(residuals(image, made, 1) < 1e-3) < 0.78


def test_random_convolution_keeps_the_range_of_the_image_and_takes_its_share():
  image, made = convolved(600, convolution=0.3)
  is_changed = np.abs(made - image).max((1, 2, 3)) > 1e-6
  assert 0.23 < is_changed.mean() < 0.37
  np.testing.assert_allclose(made.mean((1, 2, 3)), image.mean(), atol=1e-4)
  assert made.std((1, 2, 3)).max() <= image.std() * (1 + 1e-3)
  shares = [np.corrcoef(one.ravel(), image.ravel())[0, 1] for one in made[is_changed]]
  assert min(shares) < 0.3 and max(shares) > 0.95  # from nearly none to nearly all of the image


def test_blur_against_scipy():
  image = picture(low=0.0, high=1.0)
  images, _ = apply(image, 1, blur_px=(1.2, 1.2))
  want = ndimage.gaussian_filter(image[5:59, 5:59].astype(np.float64), (1.2, 1.2, 0), mode='nearest', radius=(3, 3, 0))
  np.testing.assert_allclose(images[0], want, atol=1e-5)


def test_noise_is_of_each_pixel_and_colour():
  images, _ = apply(np.full((64, 64, 3), 0.5, np.float32), 40, noise=(0.05, 0.05))
  noise = images - 0.5
  np.testing.assert_allclose(noise.std((0, 1, 2)), 0.05, rtol=0.02)
  assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.02


EVERYTHING = {
  'window': (0.8, 1.0),
  'aspect': (0.75, 1.33),
  'spread': 1.0,
  'convolution': 0.5,
  'brightness': 0.5,
  'contrast': 0.5,
  'saturation': 0.5,
  'hue': 0.5,
  'blur_px': (0.0, 1.0),
  'noise': (0.0, 0.1),
}


def test_a_pure_function_of_the_key():
  image = picture()
  (first, boxes), (again, _), (other, _) = (apply(image, 6, seed=seed, **EVERYTHING) for seed in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert (np.abs(first - other).max((1, 2, 3)) > 0.01).all() and (
    np.abs(first[1:] - first[:-1]).max((1, 2, 3)) > 0.01
  ).all()
  one = functools.partial(augment.augment, spec=AugmentSpec(**EVERYTHING))
  alone, its_boxes = specs.compiled(one)(specs.keys(6)[4], jnp.asarray(image), jnp.asarray(BOXES))
  np.testing.assert_allclose(alone, first[4], atol=1e-4)
  np.testing.assert_allclose(its_boxes, boxes[4], atol=1e-3)


@pytest.mark.parametrize(
  'fields, problem',
  [
    ({'window': (0.9, 0.8)}, r'augment\.window: \(0\.9, 0\.8\) is not \(low, high\)'),
    ({'window': (0.5, 1.1)}, r'augment\.window'),
    ({'window': (0.0, 1.0)}, 'must be above 0'),
    ({'aspect': (0.0, 1.0)}, 'must be above 0'),
    ({'size': 0}, 'must be above 0'),
    ({'spread': 2.0}, r'augment\.spread'),
    ({'hue': 0.6}, r'augment\.hue'),
    ({'noise': (-0.1, 0.0)}, 'at least 0'),
    ({'convolution_px': 4}, 'is not an odd number of pixels'),
  ],
)
def test_a_spec_that_is_none(fields, problem):
  with pytest.raises(InputError, match=problem):
    AugmentSpec(**fields)
