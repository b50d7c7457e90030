"""One key -> the crop of a photo with a number in it: a house number, printed or mounted, in a street.

Pure and written for one example: the same key, bank and spec give the same number, and the same pixels up to how JPEG
rounds, on any device. The number is set up in its own plane, where a digit is about 1 high (y down); each pixel of the
crop looks up where it lies in that plane.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from digits_jax import structs
from digits_jax.errors import InputError
from digits_jax.structs import FIELD_PX, FIELD_REACH, FIELD_UNIT
from digits_jax.synth import background, camera, number, warp
from digits_jax.synth.augment import AugmentSpec, jitter_colours, random_convolution
from digits_jax.synth.background import cover
from digits_jax.synth.draw import Deck, check_between, check_ranges

NEIGHBOURS = 2  # digits beside the number that do not belong to it


@dataclasses.dataclass(frozen=True)
class ShapeSpec:
  """Ranges of a number's geometry; every field is a static Python value, lengths in digit heights."""

  lengths: tuple[float, ...]  # shares of numbers of 1, 2, ... digits
  stretch: tuple[float, float]  # width of digits, a factor, one value a number
  scale: float  # height of each digit, 1 +- this
  gap: tuple[float, float]  # between inks, one value a number, small ones more often
  wander: float  # baseline +- this, each digit
  rotation_degrees: float  # +- this, each digit
  slant_degrees: float  # +- this, one value a number
  weight: tuple[float, float]  # by which strokes are wider on each side
  stairs_degrees: float  # baseline of upright digits +- this
  stacked: float  # share of numbers whose digits stand one below the other
  turn_degrees: float  # the whole number, standard deviation
  steep: float  # share of numbers turned four times as far
  shear_degrees: float  # the whole number +- this
  perspective: float  # by which share the middle of one side may be larger than the number's middle
  loose_x: tuple[float, float]  # by which a box is larger than the ink, left and right
  loose_y: tuple[float, float]  # the same, above and below
  margin: tuple[float, float]  # by how much the crop is larger than the box, each axis
  shift: float  # the box, +- this share of the room around it
  neighbours: float  # share of numbers with a digit of another beside them

  def __post_init__(self):
    check_ranges(self, 'scene.shape', ('stretch', 'gap', 'weight', 'loose_x', 'loose_y', 'margin'))
    check_between(self, 'scene.shape', 0, 1, ('stacked', 'steep', 'neighbours', 'shift', 'lengths'))
    check_between(self, 'scene.shape', 0, 45, ('rotation_degrees', 'slant_degrees', 'stairs_degrees', 'turn_degrees'))
    check_between(self, 'scene.shape', 0, 30, ('shear_degrees',))
    check_between(self, 'scene.shape', 0, 0.5, ('scale', 'wander', 'perspective'))
    check_between(self, 'scene.shape', -0.1, 0.1, ('weight',))
    check_between(self, 'scene.shape', -0.2, 2, ('gap', 'margin'))
    check_between(self, 'scene.shape', -0.1, 1, ('loose_x', 'loose_y'))
    if not self.lengths or sum(self.lengths) <= 0 or self.stretch[0] <= 0:
      raise InputError('scene.shape: lengths need a share above 0, and stretch must be above 0')


@dataclasses.dataclass(frozen=True)
class PaintSpec:
  """Ranges of colours; every field is a static Python value, grey levels in [0, 1], lengths in digit heights."""

  contrast: tuple[float, float]  # difference of ink and ground in grey, small ones more often
  saturation: float  # of either, at most; mostly less
  outline: float  # share of numbers with an outline in a third colour
  outline_width: tuple[float, float]
  shadow: float  # share of numbers that cast a shadow
  shadow_reach: float  # how far it is moved along each axis, at most
  relief: float  # share of numbers that are raised or cut in: one side bright, one dark
  relief_strength: tuple[float, float]  # grey levels
  bare: float  # share of those in the colour of the ground
  worn: tuple[float, float]  # standard deviation of the ink's texture

  def __post_init__(self):
    check_ranges(self, 'scene.paint', ('contrast', 'outline_width', 'relief_strength', 'worn'))
    names = ('contrast', 'saturation', 'outline', 'shadow', 'shadow_reach', 'relief', 'relief_strength', 'bare', 'worn')
    check_between(self, 'scene.paint', 0, 1, names)
    check_between(self, 'scene.paint', 0, 0.15, ('outline_width',))  # of what a distance field tells, with the weight


@dataclasses.dataclass(frozen=True)
class SceneSpec:
  """Everything static about a distribution of scenes."""

  size: int  # pixels, both sides of the crop
  number: number.NumberSpec
  shape: ShapeSpec
  paint: PaintSpec
  ground: background.GroundSpec
  camera: camera.CameraSpec
  augment: AugmentSpec  # of which random convolution and colours are used

  def __post_init__(self):
    if len(self.shape.lengths) > self.number.max_length:
      raise InputError(
        f'scene.shape.lengths has shares for {len(self.shape.lengths)} lengths, and synth.number.max_length is '
        f'{self.number.max_length}'
      )


def example(key: jax.Array, bank: structs.FieldBank, *, spec: SceneSpec) -> structs.Batch:
  """One number: image float32[size, size, 3], labels int32[N], its length, and each digit's box float32[N, 4]."""
  k_number, k_place, k_paint, k_camera, k_convolution, k_colour = jax.random.split(key, 6)
  slots = spec.number.max_length
  deck = Deck(k_place, 40 + 3 * (slots + NEIGHBOURS))
  ends = np.cumsum(spec.shape.lengths) / sum(spec.shape.lengths)
  length = 1 + jnp.sum(deck.deal() > ends[:-1].astype(np.float32)).astype(jnp.int32)
  labels = number.draw_of_length(k_number, length, spec.number)
  one_of = lambda count, shape=(): jnp.minimum(deck.deal(shape) * count, count - 1).astype(jnp.int32)
  style = one_of(bank.fields.shape[0])
  symbols = jnp.concatenate([jnp.maximum(labels - 1, 0), one_of(bank.fields.shape[1], (NEIGHBOURS,))])  # [N + 2]
  with jax.default_matmul_precision('highest'):
    placed = arrange(deck, bank.boxes[style, symbols], length, slots, spec.shape)
    window = choose_window(deck, placed, length, spec.shape)
    places = plane(window, placed, spec.size)  # [2, S, S]
    ink, beside = draw(bank.fields[style, symbols], placed, places, slots)
    pixels = window[2:] * deck.log_uniform(spec.camera.digit_px)
    image = paint(k_paint, ink, beside, places, placed, window, spec)
  image = camera.expose(k_camera, image, pixels, spec.camera)
  if spec.augment.convolution:
    image = random_convolution(k_convolution, image, spec.augment)
  image = jitter_colours(k_colour, image, spec.augment)
  corners = (placed.boxes[:slots] - jnp.tile(window[:2], 2)[None]) / jnp.tile(window[2:], 2)[None] * spec.size
  boxes = jnp.where((jnp.arange(slots) < length)[:, None], jnp.clip(corners, 0.0, spec.size), 0.0)
  return structs.Batch(image, labels, length, boxes, jnp.bool_(True))


@struct.dataclass
class Placed:
  """A number in its plane, and how that plane is seen."""

  maps: jax.Array  # float32[N + 2, 2, 2], from a glyph's own places to the plane
  anchors: jax.Array  # float32[N + 2, 2]
  is_used: jax.Array  # bool[N + 2]
  half: jax.Array  # float32[2], of the number in its plane, whose middle is 0
  linear: jax.Array  # float32[2, 2], from the plane to the scene, before perspective
  tilt: jax.Array  # float32[2]; a place p of the scene is seen at p / (1 + tilt . p)
  boxes: jax.Array  # float32[N + 2, 4], of each digit as it is seen
  weight: jax.Array  # float32[], by which strokes are wider on each side


def arrange(deck: Deck, inks: jax.Array, length: jax.Array, slots: int, spec: ShapeSpec) -> Placed:
  """Sets up the first `length` of N glyphs, and the last two beside them.

  inks: float32[N + 2, 4], boxes of inks from their anchors.
  """
  count = inks.shape[0]
  stretch, lean = deck.uniform(spec.stretch), jnp.tan(jnp.deg2rad(deck.plus_minus(spec.slant_degrees)))
  shape = jnp.stack([jnp.stack([stretch, lean]), jnp.array([0.0, 1.0])])
  scale = 1 + deck.plus_minus(spec.scale, (count,))
  maps = scale[:, None, None] * _turn(jnp.deg2rad(deck.plus_minus(spec.rotation_degrees, (count,)))) @ shape
  extents = warp.reach(inks, maps, (0, 0))  # [N + 2, 4]

  gap = deck.skewed(spec.gap, 2.0)
  is_stacked = deck.chance(spec.stacked)
  across, down = extents[:-1, 2] - extents[1:, 0] + gap, extents[:-1, 3] - extents[1:, 1] + jnp.abs(gap)
  along = jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.where(is_stacked, down, across))])[:slots]
  slope = jnp.tan(jnp.deg2rad(deck.plus_minus(spec.stairs_degrees)))
  wander = deck.plus_minus(spec.wander, (slots,))
  anchors = jnp.where(is_stacked, jnp.stack([wander, along], 1), jnp.stack([along, slope * along + wander], 1))
  is_used = jnp.arange(slots) < length
  low, high = _bounds(anchors[:, None] + _corners(extents[:slots]), is_used)
  anchors, half = anchors - ((low + high) / 2)[None], (high - low) / 2

  # What stands beside: left and right of the number, or above and below it.
  apart = half[None] + deck.uniform((0.12, 0.5), (NEIGHBOURS, 1))
  beside = jnp.stack([-apart[0] - extents[slots, 2:], apart[1] - extents[slots + 1, :2]])
  beside = jnp.where((jnp.arange(2) == is_stacked)[None], beside, 0.0)
  has_beside = deck.chance(1 - math.sqrt(1 - spec.neighbours), (NEIGHBOURS,))  # at least one in that share
  anchors, is_used = jnp.concatenate([anchors, beside]), jnp.concatenate([is_used, has_beside])

  turn = jnp.deg2rad(spec.turn_degrees * deck.normal()) * jnp.where(deck.chance(spec.steep), 4.0, 1.0)
  shear = jnp.tan(jnp.deg2rad(deck.plus_minus(spec.shear_degrees, (2,))))
  linear = _turn(turn) @ jnp.stack([jnp.stack([jnp.float32(1), shear[0]]), jnp.stack([shear[1], jnp.float32(1)])])
  tilt = deck.plus_minus(spec.perspective, (2,)) / jnp.maximum(half, 0.5)
  seen = (anchors[:, None] + _corners(extents)) @ linear.T  # [N + 2, 4, 2]
  seen = seen / jnp.maximum(1 + seen @ tilt, 0.2)[:, :, None]
  boxes = jnp.concatenate([seen.min(1), seen.max(1)], 1)
  return Placed(maps, anchors, is_used, half, linear, tilt, boxes, deck.uniform(spec.weight))


def choose_window(deck: Deck, placed: Placed, length: jax.Array, spec: ShapeSpec) -> jax.Array:
  """What the crop shows of the scene: float32[4], left, top, width, height."""
  is_used = (jnp.arange(placed.boxes.shape[0]) < length)[:, None]
  loose = jnp.stack([deck.uniform(spec.loose_x, (2,)), deck.uniform(spec.loose_y, (2,))], 1)  # [side, axis]
  low = jnp.min(jnp.where(is_used, placed.boxes[:, :2], jnp.inf), 0) - loose[0]
  high = jnp.max(jnp.where(is_used, placed.boxes[:, 2:], -jnp.inf), 0) + loose[1]
  box = jnp.maximum(high - low, 0.1)  # the thinnest 1 still has a width
  sides = box * (1 + deck.uniform(spec.margin, (2,)))
  room = jnp.maximum(sides - box, 0.0)
  centre = (low + high) / 2 + 0.5 * deck.plus_minus(spec.shift, (2,)) * room
  return jnp.concatenate([centre - sides / 2, sides])


def plane(window: jax.Array, placed: Placed, size: int) -> jax.Array:
  """Where each pixel of the crop lies in the number's plane: float32[2, size, size], (x, y)."""
  steps = (jnp.arange(size) + 0.5) / size
  x, y = window[0] + window[2] * steps[None, :], window[1] + window[3] * steps[:, None]
  depth = jnp.maximum(1 - placed.tilt[0] * x - placed.tilt[1] * y, 0.1)
  x, y = x / depth, y / depth
  inverse = warp.invert(placed.linear)
  return jnp.stack([inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y])


def draw(fields: jax.Array, placed: Placed, places: jax.Array, slots: int) -> tuple[jax.Array, jax.Array]:
  """Signed distances float32[S, S], positive inside: of the number's ink, and of what stands beside it.

  fields: uint8[N + 2, 48, 48].
  """

  def distance(glyph):
    field, linear, anchor = glyph
    inverse = warp.invert(linear) * FIELD_UNIT
    x, y = places[0] - anchor[0], places[1] - anchor[1]
    at_x = inverse[0, 0] * x + inverse[0, 1] * y + FIELD_PX / 2 - 0.5
    at_y = inverse[1, 0] * x + inverse[1, 1] * y + FIELD_PX / 2 - 0.5
    return (warp.bilinear(field, at_x, at_y) - 128) * (FIELD_REACH / 127)

  each = jax.lax.map(distance, (fields, placed.maps, placed.anchors))  # [N + 2, S, S]
  each = jnp.where(placed.is_used[:, None, None], each, -FIELD_REACH)
  return each[:slots].max(0) + placed.weight, each[slots:].max(0) + placed.weight


def paint(
  key: jax.Array,
  ink: jax.Array,
  beside: jax.Array,
  places: jax.Array,
  placed: Placed,
  window: jax.Array,
  spec: SceneSpec,
) -> jax.Array:
  """The scene float32[S, S, 3], as sharp as the canvas.

  Args:
    key: one key.
    ink, beside: float32[S, S], signed distances of the number and of what stands beside it; `draw`.
    places: float32[2, S, S], of the pixels in the number's plane.
    placed: the number.
    window: float32[4], what the crop shows.
    spec: the ranges; static.
  """
  k_deck, k_edges, k_strokes, k_grain = jax.random.split(key, 4)
  deck, rules, ground = Deck(k_deck, 128), spec.paint, spec.ground
  reach, size = placed.half + 0.05, ink.shape[0]
  pixel = jnp.sqrt(window[2] * window[3]) / size
  under, around, on_top = background.textures(k_grain, deck, 3, size)
  over = lambda image, share, colour: image + share[:, :, None] * (colour - image)
  flat = lambda colour: colour[None, None]

  # Two colours that differ in grey, and a third one.
  contrast, is_dark = deck.skewed(rules.contrast, 1.5), deck.chance(0.5)
  dark = deck.deal() * (1 - contrast)
  paper = background.colour(deck, jnp.where(is_dark, dark + contrast, dark), rules.saturation)
  pigment = flat(background.colour(deck, jnp.where(is_dark, dark, dark + contrast), rules.saturation))
  other = background.colour(deck, deck.deal(), rules.saturation)

  # What it stands on: a surface; others beyond their edges; a plate with its frame.
  image = background.surface(deck, under, places, paper, ground)
  edges = Deck(k_edges, 12 * ground.edges)
  for _ in range(ground.edges):
    beyond = flat(background.colour(edges, edges.deal(), rules.saturation))
    share = cover(background.half_plane(edges, places, (1.05, 2.5), reach), pixel)
    image = over(image, share * edges.chance(0.4), beyond)
  half = placed.half + deck.uniform(ground.plate_margin, (2,))
  edge = background.rounded_box(places, half, deck.skewed((0.0, 1.0), 2.0) * jnp.min(half))
  has_plate = deck.chance(ground.plate)
  elsewhere = background.surface(deck, around, places, other, ground)
  image = over(elsewhere, jnp.where(has_plate, cover(edge, pixel), 1.0), image)
  inset, width = deck.uniform((0.0, 0.1)), deck.uniform((0.02, 0.08))
  frame = cover(0.5 * width - jnp.abs(edge - inset - 0.5 * width), pixel)
  image = over(image, frame * (has_plate & deck.chance(ground.frame)), pigment)
  strokes = Deck(k_strokes, 12 * ground.strokes)
  for _ in range(ground.strokes):
    image = over(image, cover(_stroke(strokes, places, reach), pixel) * strokes.chance(0.3), pigment)

  # The ink, with what stands beside it: shadow, outline, body, relief.
  both = jnp.maximum(ink, beside)
  body = cover(both, pixel)
  fallen, lit, unlit = _moved(deck, body, window, rules)
  shade = fallen * deck.uniform((0.2, 0.8)) * deck.chance(rules.shadow)
  image = image * (1 - shade)[:, :, None]
  outline = cover(both + deck.uniform(rules.outline_width), pixel)
  image = over(image, outline * deck.chance(rules.outline), flat(other))
  is_raised, is_bare = deck.chance(rules.relief), deck.chance(rules.bare)
  worn = on_top * deck.uniform(rules.worn)
  image = over(image, jnp.where(is_raised & is_bare, 0.0, body), pigment + worn[:, :, None])
  image = image + (deck.uniform(rules.relief_strength) * is_raised * (lit - unlit))[:, :, None]
  return jnp.clip(image * background.light(deck, places, reach, ground)[:, :, None], 0.0, 1.0)


def _moved(deck, body, window, rules):
  """Three of float32[S, S]: the ink as its shadow falls, and as moved a little towards the light and away from it."""
  size, angle = body.shape[0], deck.uniform((0.0, 2 * math.pi))
  aside = deck.uniform((0.02, 0.06)) * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
  offsets = jnp.stack([deck.plus_minus(rules.shadow_reach, (2,)), aside, -aside])  # [3, 2]
  blurs = jnp.stack([deck.uniform((0.0, 0.08)), jnp.float32(0.02), jnp.float32(0.02)])
  pixels = size / window[2:]  # canvas pixels a unit, (x, y)
  across, down = (camera.blur_matrices(size, blurs * pixels[i], offsets[:, i] * pixels[i]) for i in (0, 1))
  return camera.between(down, jnp.broadcast_to(body, (3, size, size)), across)


def _stroke(deck, places, reach):
  """Signed distance float32[S, S] of a line beyond one of the number's sides: a crack, a screw, a rail."""
  is_axis = jnp.arange(2) == deck.chance(0.5)
  away = jnp.where(deck.chance(0.5), 1.0, -1.0) * (reach + deck.uniform((0.03, 0.3)))
  one = jnp.where(is_axis, away, reach * deck.plus_minus(1.2, (2,)))
  run = deck.normal((2,)) * jnp.where(is_axis, 0.05, 0.6)
  return background.line(places, one, one + run, deck.uniform((0.02, 0.15)))


def _turn(angle):
  """float32[..., 2, 2], clockwise as one looks at it, by radians."""
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  return jnp.stack([jnp.stack([cos, -sin], -1), jnp.stack([sin, cos], -1)], -2)


def _corners(extents):
  """float32[n, 4, 2] of boxes float32[n, 4]."""
  return jnp.stack([extents[:, (i, j)] for j in (1, 3) for i in (0, 2)], 1)


def _bounds(corners, used):
  """The least and the greatest (x, y) of the corners float32[n, 4, 2] of the used."""
  low = jnp.min(jnp.where(used[:, None], corners.min(1), jnp.inf), 0)
  return low, jnp.max(jnp.where(used[:, None], corners.max(1), -jnp.inf), 0)
