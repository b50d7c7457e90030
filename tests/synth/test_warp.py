"""Maps against closed forms, sampling against SciPy, bounds against random maps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from digits_jax.synth import warp
from tests.synth import specs


def digit_map(**fields):
  """One digit's map float64[2, 2] of ranges that hold one value each; an angle's sign is random, so both are seen."""
  maps = specs.compiled(functools.partial(warp.draw_digit_maps, slots=64, spec=specs.part('warp', **fields)))(
    jax.random.key(0)
  )
  return np.asarray(maps, np.float64)


def test_digit_maps_are_scale_turn_and_shear():
  np.testing.assert_allclose(digit_map(scale=(2.0, 2.0)), np.broadcast_to(2 * np.eye(2), (64, 2, 2)))
  turned = digit_map(rotation_degrees=30.0)
  angles = np.degrees(np.arctan2(turned[:, 1, 0], turned[:, 0, 0]))
  assert -30 <= angles.min() < -20 and 20 < angles.max() <= 30
  np.testing.assert_allclose(np.linalg.det(turned), 1, atol=1e-6)
  np.testing.assert_allclose(turned @ turned.transpose(0, 2, 1), np.broadcast_to(np.eye(2), (64, 2, 2)), atol=1e-6)
  slanted = digit_map(slant_degrees=20.0, slant_jitter_degrees=5.0)
  leans = np.degrees(np.arctan(slanted[:, 0, 1]))
  assert np.ptp(leans) <= 10 and np.abs(leans).max() <= 25  # one slant a number, jitter a digit
  np.testing.assert_array_equal(slanted[:, 1], np.broadcast_to([[0.0, 1.0]], (64, 2)))  # baselines stay
  both = digit_map(scale=(0.5, 2.0), rotation_degrees=10.0, slant_degrees=10.0)
  scales = np.sqrt(np.linalg.det(both))
  assert 0.5 <= scales.min() < 0.7 and 1.8 < scales.max() <= 2.0


def test_number_map_is_zoom_times_turn_after_shear():
  spec = specs.part('warp', zoom=(0.5, 1.5), turn_degrees=10.0, shear_degrees=20.0, shift_px=3.0)
  linear, shift = jax.vmap(functools.partial(warp.draw_number_map, spec=spec))(specs.keys(200))
  linear = np.asarray(linear, np.float64)
  zooms = np.sqrt(np.linalg.det(linear))
  angles = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))  # a shear keeps the x axis
  turns = np.radians(angles)
  back = np.stack([np.stack([np.cos(turns), np.sin(turns)], -1), np.stack([-np.sin(turns), np.cos(turns)], -1)], 1)
  shears = back @ linear / zooms[:, None, None]
  for values, low, high in (
    (zooms, 0.5, 1.5),
    (angles, -10, 10),
    (np.degrees(np.arctan(shears[:, 0, 1])), -20, 20),
    (np.asarray(shift), -3, 3),
  ):
    room = 0.05 * (high - low)
    assert low - 1e-3 <= values.min() < low + room and high - room < values.max() <= high + 1e-3


def render(glyph, linear, anchor, patch, **fields):
  spec = specs.part('warp', **fields)
  ink, corner = warp.render(
    jax.random.key(0),
    jnp.asarray(glyph),
    jnp.asarray(linear, jnp.float32),
    jnp.asarray(anchor, jnp.float32),
    patch,
    spec,
  )
  return np.asarray(ink), np.asarray(corner)


GLYPH = np.random.default_rng(0).integers(0, 256, (8, 6)).astype(np.uint8)


def test_identity_copies_the_glyph():
  ink, corner = render(GLYPH, np.eye(2), (20, 30), 16)
  assert corner.tolist() == [12, 22]
  want = np.zeros((16, 16))
  want[4:12, 5:11] = GLYPH
  np.testing.assert_allclose(ink * 255, want, atol=1e-4)


def test_positive_rotation_is_clockwise_and_positive_slant_moves_the_bottom_right():
  turn = [[0, -1], [1, 0]]  # of 90 degrees, as draw_digit_maps makes it: x goes to y, down
  np.testing.assert_allclose(warp.turn_map(jnp.float32(90.0)), turn, atol=1e-6)
  ink, _ = render(GLYPH, turn, (8, 8), 16)
  np.testing.assert_allclose(ink[5:11, 4:12] * 255, np.rot90(GLYPH, -1), atol=1e-3)
  lean = np.asarray(warp._shear(jnp.float32(45.0)))
  np.testing.assert_allclose(lean, [[1, 1], [0, 1]], atol=1e-6)
  column = np.zeros((8, 8), np.uint8)
  column[:, 3:5] = 255
  ink, _ = render(column, lean, (8, 8), 16)
  rows = (ink[4:12] * (np.arange(16) + 0.5)).sum(1) / ink[4:12].sum(1)
  np.testing.assert_allclose(rows, 8 + np.arange(8) - 3.5, atol=1e-4)


def test_scale_two_doubles_the_pixels():
  block = np.zeros((6, 6), np.uint8)
  block[1:5, 2:5] = 200
  ink, corner = render(block, 2 * np.eye(2), (10, 10), 20)
  rows, columns = np.nonzero(ink >= 100 / 255)
  assert corner.tolist() == [0, 0]
  assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (6, 14, 8, 14)
  np.testing.assert_allclose(ink.sum(), 4 * block.sum() / 255, rtol=1e-5)  # ink times the area's growth


def test_anchor_between_pixels_moves_the_centre_of_ink():
  for anchor in ((10.25, 9.5), (3.9, 12.01), (-4.6, 0.3)):
    ink, corner = render(np.full((4, 4), 255, np.uint8), np.eye(2), anchor, 12)
    y, x = np.mgrid[:12, :12] + 0.5
    np.testing.assert_allclose(
      [(ink * x).sum() / ink.sum() + corner[0], (ink * y).sum() / ink.sum() + corner[1]], anchor, atol=1e-5
    )


def test_bilinear_against_scipy():
  rng = np.random.default_rng(1)
  x, y = rng.uniform(-4, 10, (2, 4000))
  x[:400], y[:400] = rng.integers(-2, 9, (2, 400))  # on pixels and on borders
  want = ndimage.map_coordinates(np.pad(GLYPH.astype(np.float64), 6), [y + 6, x + 6], order=1)
  np.testing.assert_allclose(
    warp.bilinear(jnp.asarray(GLYPH), jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)), want, atol=2e-3
  )


def test_elastic_has_its_deviation_is_smooth_and_cut():
  bend = np.asarray(jax.vmap(lambda key: warp.elastic(key, 32, 0.8))(specs.keys(400)))  # [400, 2, 32, 32]
  np.testing.assert_allclose(bend.std(0).mean(), 0.8, rtol=0.04)
  assert abs(bend.mean()) < 0.02 and np.abs(bend).max() <= 2.4 + 1e-6
  steps = np.abs(np.diff(bend, axis=-1))
  assert steps.max() < 0.8  # less than a pixel a pixel: the glyph does not fold
  assert abs(np.mean(bend[:, 0] * bend[:, 1])) < 0.03  # x and y bend apart


def test_bend_moves_ink_along_x_then_y():
  """A render with a known bend samples at x + bend[0], y + bend[1]."""
  glyph = np.zeros((16, 16), np.uint8)
  glyph[4:12, 4:12] = 255
  spec = specs.part('warp', elastic_px=1.5)
  key, eye = jax.random.key(3), jnp.eye(2)
  ink, _ = warp.render(key, jnp.asarray(glyph), eye, jnp.array([12.0, 12.0]), 24, spec)
  bend = np.asarray(warp.elastic(key, 24, 1.5), np.float64)
  y, x = np.mgrid[:24, :24] - 4.0
  want = ndimage.map_coordinates(np.pad(glyph.astype(np.float64), 8), [y + bend[1] + 8, x + bend[0] + 8], order=1) / 255
  np.testing.assert_allclose(ink, want, atol=1e-4)


def test_stroke_grows_and_shrinks_by_a_cross():
  ink = jnp.asarray(np.random.default_rng(2).random((12, 12)), jnp.float32)
  cross = ndimage.generate_binary_structure(2, 1)
  grown = ndimage.grey_dilation(ink, footprint=cross, mode='constant', cval=0)
  shrunk = ndimage.grey_erosion(ink, footprint=cross, mode='constant', cval=0)
  np.testing.assert_allclose(warp.stroke(ink, jnp.float32(1.0)), grown, atol=1e-6)
  np.testing.assert_allclose(warp.stroke(ink, jnp.float32(-1.0)), shrunk, atol=1e-6)
  np.testing.assert_array_equal(warp.stroke(ink, jnp.float32(0.0)), ink)
  amounts = np.linspace(-1, 1, 9, dtype=np.float32)
  inks = np.stack([warp.stroke(ink, jnp.float32(a)) for a in amounts])
  assert (np.diff(inks, axis=0) >= -1e-6).all() and inks.min() >= 0 and inks.max() <= 1


@pytest.mark.parametrize(
  'fields',
  [
    {},
    {'rotation_degrees': 40.0},
    {'rotation_degrees': 90.0},
    {'rotation_degrees': 180.0},
    {'slant_degrees': 60.0},
    {'slant_degrees': 30.0, 'slant_jitter_degrees': 30.0, 'rotation_degrees': 45.0},
    {'scale': (0.5, 3.0), 'rotation_degrees': 10.0, 'slant_degrees': 20.0},
  ],
)
def test_bounds_hold_for_every_digit_map(fields):
  """Random boxes, among them narrow, flat and far off centre; random maps and those at the ends of the ranges."""
  spec = specs.part('warp', **fields)
  rng = np.random.default_rng(3)
  ends = np.sort(rng.uniform(0, 20, (40, 2, 2)), 1)  # [40, (first, last), (x, y)]
  ends[:, 1] += 0.5
  boxes = ends.reshape(40, 4).astype(np.float32)
  reach, ink = warp.largest_reach(boxes, (20, 20), spec), warp.largest_ink(boxes, spec)
  extremes = np.stack(
    [
      s * _rotation(r) @ [[1, np.tan(np.radians(a))], [0, 1]]
      for s in spec.scale
      for r in np.linspace(-spec.rotation_degrees, spec.rotation_degrees, 37)
      for a in np.array([-1, 0, 1]) * (spec.slant_degrees + spec.slant_jitter_degrees)
    ]
  ).astype(np.float32)
  maps = np.concatenate([extremes, np.concatenate([warp.draw_digit_maps(k, 10, spec) for k in specs.keys(20)])])
  nearest = np.full(40, np.inf)
  for i, box in enumerate(boxes):
    extents = np.asarray(warp.reach(jnp.broadcast_to(box, (len(maps), 4)), jnp.asarray(maps), (20, 20)))
    assert (extents[:, :2] >= reach[i, :2] - 1e-3).all() and (extents[:, 2:] <= reach[i, 2:] + 1e-3).all(), (i, box)
    assert (extents[:, 2:] - extents[:, :2] <= ink[i] + 1e-3).all(), (i, box)
    nearest[i] = (reach[i, 2:] - extents[:, 2:].max(0)).min()
  if fields in ({}, {'rotation_degrees': 40.0}):
    assert np.median(nearest) < 0.05  # and they are near


def _rotation(degrees):
  c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
  return np.array([[c, -s], [s, c]])


def test_reach_of_a_turned_box():
  extents = warp.reach(jnp.array([[4.0, 2.0, 7.0, 10.0]]), jnp.asarray(_rotation(90), jnp.float32)[None], (12, 10))
  # About the centre (5, 6): x -1 to 2, y -4 to 4; x becomes y, y becomes -x.
  np.testing.assert_allclose(extents, [[-4, -1, 4, 2]], atol=1e-5)
