"""The paint of a scene: what the number stands on, its ink with outline, shadow and relief, and the light.

Pure and written for one example; layer over layer on the crop's canvas of S x S pixels, colours in [0, 1].
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from digits_jax.synth import background, camera
from digits_jax.synth.background import cover
from digits_jax.synth.draw import Deck, check_between, check_ranges


@dataclasses.dataclass(frozen=True)
class PaintSpec:
  """Ranges of colours; every field is a static Python value, grey levels in [0, 1], lengths in digit heights.

  Colours that would leave [0, 1] are cut off, which changes their grey: of 1% of numbers the contrast is smaller than
  the smallest of `contrast`.
  """

  contrast: tuple[float, float]  # difference of ink and ground in grey, small ones more often
  saturation: float  # of either, at most; mostly less
  outline: float  # share of numbers with an outline in a third colour
  outline_width: tuple[float, float]
  shadow: float  # share of numbers that cast a shadow
  shadow_reach: float  # how far it is moved along each axis, at most
  relief: float  # share of numbers that are raised or cut in: one side bright, one dark
  relief_strength: tuple[float, float]  # grey levels
  bare: float  # share of reliefs without ink, seen by light and shade alone
  worn: tuple[float, float]  # standard deviation of the ink's texture

  def __post_init__(self):
    check_ranges(self, 'scene.paint', ('contrast', 'outline_width', 'relief_strength', 'worn'))
    names = ('contrast', 'saturation', 'outline', 'shadow', 'shadow_reach', 'relief', 'relief_strength', 'bare', 'worn')
    check_between(self, 'scene.paint', 0, 1, names)
    check_between(self, 'scene.paint', 0, 0.1, ('outline_width',))  # of what a distance field tells, with the weight


def paint(
  key: jax.Array,
  ink: jax.Array,
  beside: jax.Array,
  points: jax.Array,
  half: jax.Array,
  window: jax.Array,
  spec: PaintSpec,
  ground: background.GroundSpec,
) -> jax.Array:
  """The scene float32[3, S, S], as sharp as the canvas.

  Args:
    key: one key.
    ink, beside: float32[S, S], signed distances of the number and of what stands beside it, positive inside.
    points: float32[2, S, S], where the pixels lie in the number's plane.
    half: float32[2], half the number's width and height there.
    window: float32[4], what the crop shows: left, top, width, height.
    spec, ground: the ranges; static.
  """
  k_deck, k_edges, k_strokes, k_grain = jax.random.split(key, 4)
  deck, reach, size = Deck(k_deck, 128), half + 0.05, ink.shape[0]
  pixel = jnp.sqrt(window[2] * window[3]) / size
  under, around, on_top = background.textures(k_grain, deck, 3, size)

  # Two colours that differ in grey, and a third one.
  contrast, is_dark = deck.skewed(spec.contrast, 1.5), deck.chance(0.5)
  dark = deck.deal() * (1 - contrast)
  paper = background.colour(deck, jnp.where(is_dark, dark + contrast, dark), spec.saturation)
  pigment = background.colour(deck, jnp.where(is_dark, dark, dark + contrast), spec.saturation)
  other = background.colour(deck, deck.deal(), spec.saturation)

  surface = background.surface(deck, under, points, ground)
  edges = Deck(k_edges, 12 * ground.edges)
  beyond, colours = _draw_edges(edges, points, reach, pixel, ground, spec.saturation)
  plate = _draw_plate(deck, around, points, half, pixel, ground)
  strokes = Deck(k_strokes, 12 * ground.strokes)
  lines = [plate.frame, *_draw_lines(strokes, points, reach, pixel, ground)]
  number = _draw_ink(deck, jnp.maximum(ink, beside), on_top, window, pixel, spec)
  light = background.light(deck, points, reach, ground)

  def paint_plane(colours):
    """One of red, green, blue, float32[S, S]: layer over layer."""
    paper, pigment, other, *surfaces = colours
    over = lambda plane, share, layer: plane + share * (layer - plane)
    plane = paper + surface
    for share, layer in zip(beyond, surfaces, strict=True):
      plane = over(plane, share, layer)
    plane = over(other + plate.elsewhere, plate.inside, plane)
    for share in lines:
      plane = over(plane, share, pigment)
    plane = over(plane * (1 - number.shade), number.outline, other)
    plane = over(plane, number.body, pigment + number.worn) + number.relief
    return jnp.clip(plane * light, 0.0, 1.0)

  # A loop, as in `camera.apply_separable`: shapes and light are computed once for all three.
  return jax.lax.map(paint_plane, jnp.stack([paper, pigment, other, *colours], 1))


class _Plate(NamedTuple):
  """A plate beneath the number, which may not be there: each float32[S, S]."""

  inside: jax.Array  # share of the pixel that is plate; 1 everywhere where there is none
  elsewhere: jax.Array  # texture of what is beyond it
  frame: jax.Array  # share of the pixel that is its frame


class _Ink(NamedTuple):
  """The number with what stands beside it: each float32[S, S]."""

  shade: jax.Array  # of what lies beneath, how much light its shadow takes
  outline: jax.Array  # share of the pixel within the outline
  body: jax.Array  # share of the pixel that is ink
  worn: jax.Array  # texture of the ink
  relief: jax.Array  # light and shade of raised sides


def _draw_edges(deck, points, reach, pixel, ground, saturation):
  """Other surfaces beyond the number: the shares float32[S, S] of each, and their colours float32[3]."""
  shares, colours = [], []
  for _ in range(ground.edges):
    colours.append(background.colour(deck, deck.deal(), saturation))
    share = cover(background.half_plane(deck, points, (1.05, 2.5), reach), pixel)
    shares.append(share * deck.chance(0.4))
  return shares, colours


def _draw_plate(deck, texture, points, half, pixel, ground):
  size = half + deck.uniform(ground.plate_margin, (2,))
  edge = background.rounded_box(points, size, deck.skewed((0.0, 1.0), 2.0) * jnp.min(size))
  has_plate = deck.chance(ground.plate)
  elsewhere = background.surface(deck, texture, points, ground)
  inset, width = deck.uniform((0.0, 0.1)), deck.uniform((0.02, 0.08))
  frame = cover(0.5 * width - jnp.abs(edge - inset - 0.5 * width), pixel)
  frame = frame * (has_plate & deck.chance(ground.frame))
  return _Plate(jnp.where(has_plate, cover(edge, pixel), 1.0), elsewhere, frame)


def _draw_lines(deck, points, reach, pixel, ground):
  """Shares float32[S, S] of the pixels that are a line."""
  return [cover(_stroke(deck, points, reach), pixel) * deck.chance(0.3) for _ in range(ground.strokes)]


def _draw_ink(deck, distance, texture, window, pixel, spec):
  body = cover(distance, pixel)
  fallen, lit, unlit = _moved(deck, body, window, spec)
  shade = fallen * deck.uniform((0.2, 0.8)) * deck.chance(spec.shadow)
  outline = cover(distance + deck.uniform(spec.outline_width), pixel) * deck.chance(spec.outline)
  is_raised, is_bare = deck.chance(spec.relief), deck.chance(spec.bare)
  worn = texture * deck.uniform(spec.worn)
  body = jnp.where(is_raised & is_bare, 0.0, body)
  relief = deck.uniform(spec.relief_strength) * is_raised * (lit - unlit)
  return _Ink(shade, outline, body, worn, relief)


def _moved(deck, body, window, spec):
  """Three of float32[S, S]: the ink as its shadow falls, and as moved a little towards the light and away from it."""
  size, angle = body.shape[0], deck.uniform((0.0, 2 * math.pi))
  aside = deck.uniform((0.02, 0.06)) * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
  offsets = jnp.stack([deck.plus_minus(spec.shadow_reach, (2,)), aside, -aside])  # [3, 2]
  blurs = jnp.stack([deck.uniform((0.0, 0.08)), jnp.float32(0.02), jnp.float32(0.02)])
  pixels = size / window[2:]  # canvas pixels a unit, (x, y)

  def move(blur_and_offset):  # a loop, as in `camera.apply_separable`
    blur, offset = blur_and_offset
    across, down = (camera.blur_matrix(size, blur * pixels[i], offset[i] * pixels[i]) for i in (0, 1))
    return down @ body @ across.T

  return jax.lax.map(move, (blurs, offsets))


def _stroke(deck, points, reach):
  """Signed distance float32[S, S] of a line beyond one of the number's sides: a crack, a screw, a rail."""
  is_axis = jnp.arange(2) == deck.chance(0.5)
  away = jnp.where(deck.chance(0.5), 1.0, -1.0) * (reach + deck.uniform((0.03, 0.3)))
  one = jnp.where(is_axis, away, reach * deck.plus_minus(1.2, (2,)))
  run = deck.normal((2,)) * jnp.where(is_axis, 0.05, 0.6)
  return background.line(points, one, one + run, deck.uniform((0.02, 0.15)))
