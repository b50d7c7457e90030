"""Surfaces, light, paint and where a scene is put: closed forms of single ones, and laws over many keys."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from digits_jax.structs import FIELD_PX, FIELD_REACH, FIELD_UNIT
from digits_jax.synth import background, paint, scene
from digits_jax.synth.draw import Deck
from tests.synth import specs

GROUND = {
  'texture': (0.0, 0.0), 'stripes': 0.0, 'stripes_contrast': (0.0, 0.0), 'gradient': 0.0, 'edges': 0, 'plate': 0.0,
  'plate_margin': (0.1, 0.1), 'frame': 0.0, 'cast': 0.0, 'strokes': 0,
}  # fmt: skip
PAINT = {
  'contrast': (0.5, 0.5), 'saturation': 0.0, 'outline': 0.0, 'outline_width': (0.0, 0.0), 'shadow': 0.0,
  'shadow_reach': 0.0, 'relief': 0.0, 'relief_strength': (0.0, 0.0), 'bare': 0.0, 'worn': (0.0, 0.0),
}  # fmt: skip
LAYERS = {'contrast': (0.1, 0.9), 'outline': 1.0, 'outline_width': (0.1, 0.1)}  # of paint: ink, outline, ground
LUMA = np.array([0.299, 0.587, 0.114])
SIZE, WINDOW = 32, np.float32([-1.0, -0.5, 2.0, 1.0])  # 16 pixels a unit across, and 32 down
SLOTS = 3


def often(one, count, *arguments, cards=64):
  """What `one` makes of each of `count` decks, and of the same arguments."""
  many = jax.vmap(lambda key, *rest: one(Deck(key, cards), *rest), (0, *(None for _ in arguments)))
  return jax.device_get(specs.compiled(many)(specs.keys(count), *arguments))


def is_drawn_from(values, law, *parameters):
  """Whether Kolmogorov and Smirnov believe it; keys are fixed, so that no chance is left."""
  return stats.kstest(np.ravel(values), law, parameters).pvalue > 1e-3


def box_distance(x, y, half):
  """Signed, positive inside, to a box about 0 with sharp corners."""
  x, y = abs(x) - half[0], abs(y) - half[1]
  return np.where((x < 0) & (y < 0), -np.maximum(x, y), -np.hypot(np.maximum(x, 0), np.maximum(y, 0)))


def some_points():
  return np.random.default_rng(0).uniform(-2, 2, (2, 20, 30)).astype(np.float32)


def test_a_shape_covers_half_of_the_pixels_on_its_edge():
  cover = background.cover(jnp.float32([[-0.3, -0.1, -0.05, 0.0, 0.05, 0.1, 0.3]]), jnp.float32(0.2))
  np.testing.assert_allclose(cover, [[0, 0, 0.25, 0.5, 0.75, 1, 1]], atol=1e-6)


@pytest.mark.parametrize('radius', [0.0, 0.3])
def test_distance_to_a_box_with_rounded_corners(radius):
  half = np.float32([1.2, 0.7])
  box = specs.compiled(lambda points: background.rounded_box(points, half, jnp.float32(radius)))
  known = np.float32([[0, 0], [1.0, 0], [0, -0.5], [1.5, 0], [0, 1.2], [-1.5, 1.1]])
  corner = np.hypot(0.3 + radius, 0.4 + radius) - radius
  np.testing.assert_allclose(box(known.T[:, None])[0], [0.7, 0.2, 0.2, -0.3, -0.5, -corner], atol=1e-6)
  # A rounded box is all that lies within its radius of a smaller one.
  points = some_points()
  want = radius + box_distance(*points, half - radius)
  np.testing.assert_allclose(box(points), want, atol=1e-5)


def test_distance_to_a_line():
  one, other = np.float32([-0.5, 0.25]), np.float32([1.0, -0.75])
  line = specs.compiled(lambda points: background.line(points, one, other, jnp.float32(0.2)))
  points, shares = some_points(), np.linspace(0, 1, 2001)[:, None, None]
  nearest = np.hypot(*(points[i] - (one[i] + shares * (other - one)[i]) for i in (0, 1))).min(0)
  np.testing.assert_allclose(line(points), 0.1 - nearest, atol=1e-3)
  np.testing.assert_allclose(line(np.stack([one, other], 1)[:, None]), 0.1, atol=1e-6)  # half of its width


def test_a_line_between_equal_points_is_a_disc():
  point, points = np.float32([0.3, -0.2]), some_points()
  got = specs.compiled(background.line)(points, point, point, jnp.float32(0.4))
  np.testing.assert_allclose(got, 0.2 - np.hypot(points[0] - 0.3, points[1] + 0.2), atol=1e-5)


def test_a_half_plane_lies_beyond_the_number():
  reach, points = np.float32([1.5, 0.6]), np.float32([[[0, 1, 0]], [[0, 0, 1]]])
  middle, right, below = often(
    lambda deck, points: background.half_plane(deck, points, (1.05, 2.5), reach)[0], 1000, points
  ).T
  cos, sin = right - middle, below - middle
  np.testing.assert_allclose(np.hypot(cos, sin), 1.0, atol=1e-5)
  assert (middle < 0).all()  # the number's middle is outside
  multiple = -middle / (abs(cos) * reach[0] + abs(sin) * reach[1])
  assert is_drawn_from(multiple, 'uniform', 1.05, 1.45)
  quarters = 2 * np.arctan2(sin, cos) / np.pi
  np.testing.assert_allclose(np.bincount(np.int64(np.rint(quarters) % 4), minlength=4) / 1000, 0.25, atol=0.06)
  assert is_drawn_from((quarters - np.rint(quarters)) * np.pi / 2, 'norm', 0, 0.2)


def test_textures_have_a_deviation_of_about_one():
  def one(key):
    k_deck, k_noise = jax.random.split(key)
    return background.textures(k_noise, Deck(k_deck, 8), 3, SIZE)

  textures = jax.device_get(specs.compiled(jax.vmap(one))(specs.keys(300))).reshape(900, SIZE, SIZE)
  np.testing.assert_allclose(textures.mean((1, 2)), 0.0, atol=1e-4)
  # Each of 16 x 16 waves has the mean square 1 / 4, those along an axis 1 / 2, and the squares of heights sum to 4.
  powers, at = np.linspace(0, 2, 101)[:, None, None], np.arange(16)
  squares = np.maximum(np.hypot(at[:, None], at), 1) ** (-2 * powers) * ((at[:, None] > 0) | (at > 0))
  half = np.where(at > 0, 0.5, 1.0)
  variances = 4 * (squares * half[:, None] * half).sum((1, 2)) / squares.sum((1, 2))
  assert variances.min() > 1 and variances.max() < 2
  np.testing.assert_allclose(textures.var((1, 2)).mean(), variances.mean(), rtol=0.05)
  alike = (textures[:, 1:] * textures[:, :-1]).mean((1, 2)) / textures.var((1, 2))
  assert alike.min() < 0.7 and alike.max() > 0.98  # fine ones and coarse ones


def surfaces(count, grain, **fields):
  spec = background.GroundSpec(**GROUND | fields)
  return often(lambda deck, grain, points: background.surface(deck, grain, points, spec), count, grain, places())


def places(window=WINDOW, size=SIZE):
  """Where the pixels of a crop lie: float32[2, S, S]."""
  steps = (np.arange(size, dtype=np.float32) + 0.5) / size
  return np.stack(np.meshgrid(window[0] + window[2] * steps, window[1] + window[3] * steps))


def test_a_surface_s_texture_and_stripes_keep_to_their_ranges():
  grain = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)
  rough = surfaces(300, grain, texture=(0.05, 0.15))
  strength = rough[:, 3, 5] / grain[3, 5]
  np.testing.assert_allclose(rough, strength[:, None, None] * grain, atol=1e-6)
  assert is_drawn_from(strength, 'uniform', 0.05, 0.1)
  striped = np.abs(surfaces(300, np.zeros_like(grain), stripes=0.4, stripes_contrast=(0.1, 0.2))).max((1, 2))
  assert striped.max() <= 0.2 and np.quantile(striped[striped > 0], 0.9) > 0.15
  np.testing.assert_allclose((striped > 0).mean(), 0.4, atol=0.08)


def lights(count, points, **fields):
  spec, reach = background.GroundSpec(**GROUND | fields), np.float32([1.5, 0.5])
  return often(lambda deck, points: background.light(deck, points, reach, spec)[0], count, points)


def test_light_at_the_number_s_sides():
  points = np.float32([[[0, 1.5, -1.5, 0, 0, 1.5]], [[0, 0, 0, 0.5, -0.5, 0.5]]])
  middle, right, left, below, above, corner = lights(1000, points, gradient=0.3).T
  np.testing.assert_allclose(middle, 1.0, atol=1e-6)
  np.testing.assert_allclose([right + left, below + above], 2.0, atol=1e-5)
  np.testing.assert_allclose(corner, right + below - 1, atol=1e-5)
  for side in (right, below):
    assert is_drawn_from(side, 'uniform', 0.7, 0.6)
  assert abs(np.corrcoef(right, below)[0, 1]) < 0.15


def test_a_cast_shadow_takes_a_fifth_to_seven_tenths_of_the_light():
  points = np.float32([[[100, -100, 0, 0]], [[0, 0, 100, -100]]])
  ends = lights(1000, points, cast=0.6)
  np.testing.assert_allclose(ends.max(1), 1.0, atol=1e-5)
  darkest = ends.min(1)
  assert is_drawn_from(darkest[darkest < 0.9], 'uniform', 0.3, 0.5)
  np.testing.assert_allclose((darkest < 0.9).mean(), 0.6, atol=0.05)


def test_a_colour_has_its_luma_and_at_most_its_saturation():
  grey, saturation = 0.5, 0.4
  colours = often(lambda deck: background.colour(deck, jnp.float32(grey), saturation), 2000)
  np.testing.assert_allclose(colours @ LUMA, grey, atol=1e-5)
  chroma = np.linalg.norm(colours - grey, axis=1)
  assert is_drawn_from(np.sqrt(chroma / saturation), 'uniform')  # mostly less
  direction = (colours - grey) / chroma[:, None]
  assert np.abs(direction.mean(0)).max() < 0.06
  for bright in (0.02, 0.95):
    near = often(lambda deck: background.colour(deck, jnp.float32(bright), saturation), 200)
    assert near.min() >= 0 and near.max() <= 1 and np.linalg.norm(near - bright, axis=1).max() <= saturation + 1e-5


def painted(ink, count, **fields):
  """The scenes float32[count, 3, S, S] of an ink's distances float32[S, S], on ground without anything on it."""
  spec = paint.PaintSpec(**PAINT | fields)
  return np.asarray(_painted(spec)(specs.keys(count), ink, places()))


@functools.cache
def _painted(spec):
  half, ground = np.float32([0.5, 0.25]), background.GroundSpec(**GROUND)
  one = lambda key, ink, points: paint.paint(key, ink, jnp.full_like(ink, -1.0), points, half, WINDOW, spec, ground)
  return specs.compiled(jax.vmap(one, (0, None, None)))


def left_half():
  """Ink left of the middle, its edge between two pixels."""
  return -places()[0]


def test_contrast_of_ink_and_ground_is_mostly_small():
  low, high = LAYERS['contrast']
  images = painted(left_half(), 500, **LAYERS)
  np.testing.assert_allclose(images, np.broadcast_to(images[:, :1], images.shape), atol=1e-6)  # grey
  inked, bare = images[:, 0, :, 2].mean(1), images[:, 0, :, -2].mean(1)
  drawn = (np.abs(inked - bare) - low) / (high - low)
  assert is_drawn_from(drawn.clip(0, 1) ** (1 / 1.5), 'uniform')
  np.testing.assert_allclose((inked > bare).mean(), 0.5, atol=0.07)
  assert is_drawn_from(np.minimum(inked, bare) / (1 - np.abs(inked - bare)), 'uniform')  # any grey that leaves room


def test_colours_of_a_scene_differ_from_grey_by_the_saturation():
  grey, coloured = (painted(left_half(), 500, **LAYERS, saturation=most) for most in (0.0, 0.3))
  chroma = np.linalg.norm(coloured - grey, axis=1)[:, 0, [2, SIZE // 2, -2]]  # of ink, of its outline, of ground
  assert chroma.max() < 0.3 + 1e-5
  for values in chroma.T:
    np.testing.assert_allclose(values.mean(), 0.1, atol=0.015)  # a third, of a square; less where black or white cut it


def test_a_shadow_falls_within_its_reach():
  ink, (x, y) = box_distance(*places(), (0.125, 0.125)), places()
  # A relief without ink, light and shade: there is nothing but paper and the shadow, which does not reach the corner.
  images = painted(ink, 400, shadow=0.8, shadow_reach=0.3, relief=1.0, bare=1.0)[:, 0].astype(np.float64)
  images = images[images[:, 0, 0] > 0.1]
  shade = 1 - images / images[:, :1, :1]
  fallen = shade.max((1, 2)) > 0.01
  np.testing.assert_allclose(fallen.mean(), 0.8, atol=0.07)
  shade = shade[fallen]
  mass = shade.sum((1, 2))
  offsets = [(shade * at).sum((1, 2)) / mass for at in (x, y)]
  for values in offsets:
    assert np.abs(values).max() < 0.3 + 0.01
    assert is_drawn_from(values, 'uniform', -0.3, 0.6)
  assert abs(np.corrcoef(*offsets)[0, 1]) < 0.2
  # It is as large as what casts it, of a strength from 0.2 to 0.8, and softened by 0.08 at most.
  assert is_drawn_from(mass / (4 * 8), 'uniform', 0.2, 0.6)
  spread = (shade * (x - offsets[0][:, None, None]) ** 2).sum((1, 2)) / mass - 0.25**2 / 12
  assert spread.min() > -1e-3 and spread.max() < 0.08**2 + 2e-3


def test_an_outline_is_as_wide_as_it_is_drawn():
  pixel = np.sqrt(2.0 * 1.0) / SIZE  # a pixel of as many units both ways
  ink = (np.arange(SIZE, 0, -1, np.float32) - SIZE / 2 - 0.5) * np.float32(pixel) + np.zeros((SIZE, 1), np.float32)
  images = painted(ink, 400, outline=0.7, outline_width=(0.05, 0.1))[:, 0, 0].astype(np.float64)
  inked, beyond = images[:, : SIZE // 2], images[:, SIZE // 2 :] - images[:, -1:]
  np.testing.assert_allclose(inked, np.tile(inked[:, :1], SIZE // 2), atol=1e-6)  # it covers its outline
  third = beyond[:, 0]  # next to the ink there is nothing but outline
  is_seen = np.abs(third) > 0.02
  np.testing.assert_allclose(is_seen.mean(), 0.7, atol=0.08)
  width = (beyond[is_seen] / third[is_seen, None]).sum(1) * pixel
  assert is_drawn_from(width, 'uniform', 0.05, 0.05)


def shape(**fields):
  """A ShapeSpec of upright numbers that fill their crop, unless told otherwise."""
  still = {
    'lengths': (1.0,), 'stretch': (1.0, 1.0), 'scale': 0.0, 'gap': (0.1, 0.1), 'wander': 0.0, 'rotation_degrees': 0.0,
    'slant_degrees': 0.0, 'weight': (0.0, 0.0), 'stairs_degrees': 0.0, 'stacked': 0.0, 'turn_degrees': 0.0,
    'steep': 0.0, 'shear_degrees': 0.0, 'perspective': 0.0, 'loose_x': (0.0, 0.0), 'loose_y': (0.0, 0.0),
    'margin': (0.0, 0.0), 'shift': 0.0, 'neighbours': 0.0,
  }  # fmt: skip
  return scene.ShapeSpec(**still | fields)


def arranged(count, **fields):
  """For each key: `Placed` of two digits with ink 0.6 wide and 1 high, and the window."""
  spec = shape(**fields)

  def one(deck):
    inks = jnp.tile(jnp.float32([[-0.3, -0.5, 0.3, 0.5]]), (SLOTS + scene.NEIGHBOURS, 1))
    placed = scene.arrange(deck, inks, jnp.int32(2), SLOTS, spec)
    return placed, scene.choose_window(deck, placed, jnp.int32(2), spec)

  return often(one, count)


def test_neighbours_stand_beside_their_share_of_numbers():
  placed, _ = arranged(4000, neighbours=0.36)
  has_beside = placed.is_used[:, SLOTS:]
  np.testing.assert_allclose(has_beside.any(1).mean(), 0.36, atol=0.025)
  np.testing.assert_allclose(has_beside.mean(0), 0.2, atol=0.025)  # each side by itself: 1 - 0.8 ** 2
  np.testing.assert_allclose(has_beside.all(1).mean(), 0.04, atol=0.012)


def test_steep_numbers_are_turned_four_times_as_far():
  linear = arranged(4000, turn_degrees=5.0, steep=0.3)[0].linear
  turns = np.rad2deg(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
  assert is_drawn_from(turns, lambda degrees: 0.7 * stats.norm.cdf(degrees / 5) + 0.3 * stats.norm.cdf(degrees / 20))


@pytest.mark.parametrize('shift', [0.0, 0.5, 1.0])
def test_the_box_stands_within_the_margin_as_far_as_the_shift(shift):
  placed, window = arranged(2000, margin=(0.1, 0.6), shift=shift)
  box = np.array([1.3, 1.0])  # of two digits and their gap
  seen = placed.boxes[:, :2]
  np.testing.assert_allclose(seen[:, :, 2:].max(1) - seen[:, :, :2].min(1), np.tile(box, (2000, 1)), atol=1e-5)
  margin = window[:, 2:] / box - 1
  assert is_drawn_from(margin, 'uniform', 0.1, 0.5)
  off = (window[:, :2] + window[:, 2:] / 2) / (margin * box / 2)  # the box's middle is 0
  if shift:
    for values in off.T:
      assert is_drawn_from(values, 'uniform', -shift, 2 * shift)
  else:
    np.testing.assert_allclose(off, 0.0, atol=1e-4)
  assert (window[:, :2] < -box / 2 + 1e-5).all() and (window[:, :2] + window[:, 2:] > box / 2 - 1e-5).all()


def test_weight_widens_the_number_and_what_stands_beside():
  at = (np.arange(FIELD_PX) + 0.5 - FIELD_PX / 2) / FIELD_UNIT
  distance = box_distance(at[None], at[:, None], (0.3, 0.5))
  field = np.rint(128 + np.clip(distance / FIELD_REACH, -1, 1) * 127).astype(np.uint8)
  count = 1 + scene.NEIGHBOURS
  anchors = np.float32([[0, 0], [-1, 0], [1, 0.25]])
  x, y = points = places(np.float32([-1.5, -0.75, 3.0, 1.5]), 60)

  @specs.compiled
  def drawn(weight):
    placed = types.SimpleNamespace(
      maps=jnp.tile(jnp.eye(2), (count, 1, 1)), anchors=anchors, weight=weight, is_used=jnp.full(count, True)
    )
    return scene.draw(jnp.tile(field, (count, 1, 1)), placed, points, 1)

  distances = [box_distance(x - anchor[0], y - anchor[1], (0.3, 0.5)) for anchor in anchors]
  for weight in (-0.05, 0.0, 0.05):
    for got, want in zip(drawn(jnp.float32(weight)), (distances[0], np.maximum(*distances[1:])), strict=True):
      near = abs(want) < 0.2
      np.testing.assert_allclose(np.asarray(got)[near], want[near] + weight, atol=0.02)  # a little less at corners


def test_weights_are_drawn_within_their_range():
  placed, _ = arranged(1000, weight=(-0.02, 0.06))
  assert is_drawn_from(placed.weight, 'uniform', -0.02, 0.08)
