"""Whole images, moved and exposed anew: against Pillow's affine transformation, and what stays as it is."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from digits_jax.errors import InputError
from digits_jax.synth import jitter, photo, warp
from tests.synth import specs

PLAIN = specs.make()
STILL = dataclasses.replace(PLAIN.photo, noise=(0.0, 0.0))


def picture(seed=0, shape=(24, 60)):
  """float32[H, W]: smooth, so that two ways of interpolation agree."""
  rng = np.random.default_rng(seed)
  image = photo.blur(jnp.asarray(rng.uniform(0, 1, shape), jnp.float32), jnp.float32(2.0), 5)
  return np.asarray((image - image.min()) / (image.max() - image.min()))


def test_ranges_of_nothing_change_nothing():
  image = picture()
  found = jitter.jitter(jax.random.key(0), image, PLAIN.warp, PLAIN.clutter, STILL)
  np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize(
  'ranges', [{'shift_px': 4.0}, {'zoom': (0.7, 1.3)}, {'turn_degrees': 8.0}, {'shear_degrees': 20.0}]
)
def test_moved_as_pillow_does(ranges):
  spec, image = dataclasses.replace(PLAIN.warp, **ranges), picture()
  for seed in range(3):
    key = jax.random.key(seed)
    linear, shift = map(np.asarray, warp.draw_number_map(key, spec))
    inverse = np.linalg.inv(linear)
    middle = np.array([image.shape[1], image.shape[0]]) / 2
    margin = 40  # of the edge's colour
    page = Image.fromarray(np.pad(image, margin, mode='edge'))
    offset = middle - inverse @ (middle + shift) + margin
    rows = [(*inverse[i], offset[i]) for i in (0, 1)]
    size = image.shape[::-1]
    expected = page.transform(size, Image.Transform.AFFINE, (*rows[0], *rows[1]), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(jitter.move(key, image, spec), np.asarray(expected), atol=0.02)
    assert np.abs(np.asarray(expected) - image).max() > 0.05


def test_exposed_as_ink_is():
  camera = dataclasses.replace(STILL, contrast=(0.5, 0.5), background=(0.2, 0.2))
  found = jitter.jitter(jax.random.key(0), picture(), PLAIN.warp, PLAIN.clutter, camera)
  np.testing.assert_allclose(found, 0.2 + 0.5 * picture(), atol=1e-6)


def test_blobs_are_ink():
  blobs = dataclasses.replace(PLAIN.clutter, blobs=9)
  found = np.stack([jitter.jitter(jax.random.key(seed), picture(), PLAIN.warp, blobs, STILL) for seed in range(4)])
  assert (found >= picture() - 1e-6).all() and (found > picture() + 0.05).any()


@pytest.mark.parametrize(
  'ranges', [{'shift_px': 4.0}, {'zoom': (0.7, 0.8)}, {'turn_degrees': 8.0}, {'shear_degrees': 20.0}]
)
def test_each_range_alone_moves(ranges):
  spec, key = dataclasses.replace(PLAIN.warp, **ranges), jax.random.key(0)
  found = jitter.jitter(key, picture(), spec, PLAIN.clutter, STILL)
  np.testing.assert_allclose(found, jitter.move(jax.random.split(key, 3)[0], picture(), spec), atol=1e-6)
  assert np.abs(found - picture()).max() > 0.05


@pytest.mark.parametrize('name, value', [('scale', (0.9, 1.0)), ('rotation_degrees', 3.0), ('stroke_frac', (0.0, 0.1))])
def test_ranges_of_single_digits_are_refused(name, value):
  jitter.check(PLAIN.warp, STILL)
  spec = dataclasses.replace(PLAIN.warp, **{name: value})
  with pytest.raises(InputError, match=rf'config\.synth\.warp\.{name}=.* is for single digits'):
    jitter.check(spec, STILL)
  with pytest.raises(InputError, match='inversion=1 would train on no image as it is'):
    jitter.check(PLAIN.warp, dataclasses.replace(STILL, inversion=1.0))


def test_every_range_of_a_warp_is_known():
  whole = {'shift_px', 'zoom', 'turn_degrees', 'shear_degrees'}
  assert {field.name for field in dataclasses.fields(warp.WarpSpec)} == whole | set(jitter.STILL)
