"""One key -> the crop of a photo with a number in it: a house number, printed or mounted, in a street.

Pure and written for one example: the same key, bank and spec give the same pixels on any device. The number is set up
in its own plane, where a digit is about 1 high (y down); each pixel of the crop looks up where it lies in that plane.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import struct

from digits_jax import structs
from digits_jax.errors import InputError
from digits_jax.structs import FIELD_PX, FIELD_REACH, FIELD_UNIT
from digits_jax.synth import background, camera, number, warp
from digits_jax.synth.augment import AugmentSpec, jitter_colours, random_convolution
from digits_jax.synth.background import cover
from digits_jax.synth.draw import check_between, check_ranges, plus_minus, uniform

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
  perspective: float  # how much larger one side of a number may be than its middle
  loose: tuple[float, float]  # by which a box is larger than the ink, each side
  margin: tuple[float, float]  # by how much the crop is larger than the box, each axis
  shift: float  # the box, +- this share of the room around it
  neighbours: float  # share of numbers with a digit of another beside them

  def __post_init__(self):
    check_ranges(self, 'scene.shape', ('stretch', 'gap', 'weight', 'loose', 'margin'))
    check_between(self, 'scene.shape', 0, 1, ('stacked', 'steep', 'neighbours', 'shift', 'lengths', 'perspective'))
    check_between(self, 'scene.shape', 0, 45, ('rotation_degrees', 'slant_degrees', 'stairs_degrees', 'shear_degrees'))
    check_between(self, 'scene.shape', 0, 0.5, ('scale', 'wander'))
    check_between(self, 'scene.shape', -0.5, 1, ('margin', 'loose'))
    if not self.lengths or sum(self.lengths) <= 0 or self.stretch[0] <= 0:
      raise InputError('scene.shape: lengths need a share above 0, and stretch must be above 0')


@dataclasses.dataclass(frozen=True)
class PaintSpec:
  """Ranges of colours; every field is a static Python value, grey levels in [0, 1], lengths in digit heights."""

  contrast: tuple[float, float]  # difference of ink and ground in grey, small ones more often
  saturation: float  # of either, at most; mostly less
  outline: float  # share of numbers with an outline in a third colour
  outline_px: tuple[float, float]  # its width
  shadow: float  # share of numbers that cast a shadow
  shadow_reach: float  # how far it is moved, at most
  relief: float  # share of numbers that are raised or cut in: one side bright, one dark
  relief_strength: tuple[float, float]  # grey levels
  bare: float  # share of those in the colour of the ground
  worn: tuple[float, float]  # standard deviation of the ink's texture

  def __post_init__(self):
    check_ranges(self, 'scene.paint', ('contrast', 'outline_px', 'relief_strength', 'worn'))
    names = ('contrast', 'saturation', 'outline', 'shadow', 'relief', 'relief_strength', 'bare')
    check_between(self, 'scene.paint', 0, 1, names)


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
  k_length, k_number, k_style, k_place, k_window, k_paint, k_camera, k_augment = jax.random.split(key, 8)
  slots = spec.number.max_length
  shares = jnp.log(jnp.maximum(jnp.array(spec.shape.lengths), 1e-9))
  length = 1 + jax.random.categorical(k_length, shares).astype(jnp.int32)
  labels = number.draw_of_length(k_number, length, spec.number)
  k_style, k_others = jax.random.split(k_style)
  style = jax.random.randint(k_style, (), 0, bank.fields.shape[0])
  others = jax.random.randint(k_others, (NEIGHBOURS,), 0, bank.fields.shape[1])
  symbols = jnp.concatenate([jnp.maximum(labels - 1, 0), others])  # [N + 2]
  with jax.default_matmul_precision('highest'):
    placed = arrange(k_place, bank.boxes[style, symbols], length, slots, spec.shape)
    window = choose_window(k_window, placed, length, spec)
    places = plane(window, placed, spec.size)  # [2, S, S]
    fields = bank.fields[style, symbols]
    ink, beside = draw(fields, placed, places, length, slots)
    image = paint(k_paint, ink, beside, places, placed, window, spec)
  pixels = window[2:] * jnp.exp(uniform(k_camera, (), tuple(map(math.log, spec.camera.digit_px))))
  image = camera.expose(jax.random.fold_in(k_camera, 1), image, pixels, spec.camera)
  k_convolution, k_colour = jax.random.split(k_augment)
  if spec.augment.convolution:
    image = random_convolution(k_convolution, image, spec.augment)
  image = jitter_colours(k_colour, image, spec.augment)
  to_pixels = lambda corners: (corners - window[:2]) / window[2:] * spec.size
  boxes = jnp.concatenate([to_pixels(placed.boxes[:slots, :2]), to_pixels(placed.boxes[:slots, 2:])], 1)
  boxes = jnp.where((jnp.arange(slots) < length)[:, None], jnp.clip(boxes, 0.0, spec.size), 0.0)
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


def arrange(key: jax.Array, inks: jax.Array, length: jax.Array, slots: int, spec: ShapeSpec) -> Placed:
  """Sets up the first `length` of N glyphs, and the last two beside them.

  inks: float32[N + 2, 4], boxes of inks from their anchors.
  """
  keys = jax.random.split(key, 14)
  count = inks.shape[0]
  stretch = uniform(keys[0], (), spec.stretch)
  scale = 1 + plus_minus(keys[1], (count,), spec.scale)
  rotation = jnp.deg2rad(plus_minus(keys[2], (count,), spec.rotation_degrees))
  lean = jnp.tan(jnp.deg2rad(plus_minus(keys[3], (), spec.slant_degrees)))
  shape = jnp.stack([jnp.stack([stretch, lean]), jnp.stack([0.0, 1.0])])
  maps = scale[:, None, None] * _turn(rotation) @ shape  # [N + 2, 2, 2]
  extents = warp.reach(inks, maps, (0, 0))  # [N + 2, 4]

  low, high = spec.gap
  gap = low + (high - low) * jax.random.uniform(keys[4]) ** 2
  is_stacked = jax.random.uniform(keys[5]) < spec.stacked
  steps = jnp.where(
    is_stacked, extents[:-1, 3] - extents[1:, 1] + jnp.abs(gap), extents[:-1, 2] - extents[1:, 0] + gap
  )
  along = jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])[:slots]  # of the number's digits
  slope = jnp.tan(jnp.deg2rad(plus_minus(keys[6], (), spec.stairs_degrees)))
  wander = plus_minus(keys[7], (slots,), spec.wander)
  anchors = jnp.where(is_stacked, jnp.stack([wander, along], 1), jnp.stack([along, slope * along + wander], 1))

  used = jnp.arange(slots) < length
  low, high = _bounds(anchors[:, None] + _corners(extents[:slots]), used)
  anchors, half = anchors - (low + high) / 2, (high - low) / 2

  # What stands beside: left and right of the number, or above and below it.
  apart = half[None] + uniform(keys[8], (NEIGHBOURS, 1), (0.12, 0.5))
  beside = jnp.stack([-apart[0] - extents[slots, 2:], apart[1] - extents[slots + 1, :2]])
  beside = jnp.where(jnp.arange(2)[None] == is_stacked, beside, 0.0)
  anchors = jnp.concatenate([anchors, beside])
  has_beside = jax.random.uniform(keys[9], (NEIGHBOURS,)) < 1 - math.sqrt(1 - spec.neighbours)
  is_used = jnp.concatenate([used, has_beside])

  turn = jnp.deg2rad(spec.turn_degrees * jax.random.normal(keys[10]))
  turn = turn * jnp.where(jax.random.uniform(keys[11]) < spec.steep, 4.0, 1.0)
  shear = jnp.tan(jnp.deg2rad(plus_minus(keys[12], (2,), spec.shear_degrees)))
  sheared = jnp.stack([jnp.stack([1.0, shear[0]]), jnp.stack([shear[1], 1.0])])
  linear = _turn(turn) @ sheared
  k_tilt, k_weight = jax.random.split(keys[13])
  tilt = plus_minus(k_tilt, (2,), spec.perspective) / jnp.maximum(half, 0.5) / 2
  seen = (anchors[:, None] + _corners(extents)) @ linear.T  # [N + 2, 4, 2]
  seen = seen / jnp.maximum(1 + seen @ tilt, 0.2)[:, :, None]
  boxes = jnp.concatenate([seen.min(1), seen.max(1)], 1)
  weight = uniform(k_weight, (), spec.weight)
  return Placed(maps, anchors, is_used, half, linear, tilt, boxes, weight)


def choose_window(key: jax.Array, placed: Placed, length: jax.Array, spec: SceneSpec) -> jax.Array:
  """What the crop shows of the scene: float32[4], left, top, width, height."""
  k_loose, k_margin, k_shift = jax.random.split(key, 3)
  used = (jnp.arange(placed.boxes.shape[0]) < length)[:, None]
  low = jnp.min(jnp.where(used, placed.boxes[:, :2], jnp.inf), 0)
  high = jnp.max(jnp.where(used, placed.boxes[:, 2:], -jnp.inf), 0)
  loose = uniform(k_loose, (2, 2), spec.shape.loose)
  low, high = low - loose[0], high + loose[1]
  sides = (high - low) * (1 + uniform(k_margin, (2,), spec.shape.margin))
  room = jnp.maximum(sides - (high - low), 0.0)
  centre = (low + high) / 2 + 0.5 * plus_minus(k_shift, (2,), spec.shape.shift) * room
  return jnp.concatenate([centre - sides / 2, sides])


def plane(window: jax.Array, placed: Placed, size: int) -> jax.Array:
  """Where each pixel of the crop lies in the number's plane: float32[2, size, size], (x, y)."""
  steps = (jnp.arange(size) + 0.5) / size
  x, y = window[0] + window[2] * steps[None, :], window[1] + window[3] * steps[:, None]
  depth = jnp.maximum(1 - placed.tilt[0] * x - placed.tilt[1] * y, 0.1)
  x, y = x / depth, y / depth
  inverse = warp.invert(placed.linear)
  return jnp.stack([inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y])


def draw(
  fields: jax.Array, placed: Placed, places: jax.Array, length: jax.Array, slots: int
) -> tuple[jax.Array, jax.Array]:
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
  key: jax.Array, ink: jax.Array, beside: jax.Array, places: jax.Array, placed: Placed, window: jax.Array, spec: SceneSpec
) -> jax.Array:
  """The scene float32[S, S, 3], as sharp as the canvas, from the signed distances of its inks."""
  keys = jax.random.split(key, 24)
  rules, ground = spec.paint, spec.ground
  is_in = lambda key, share: jax.random.uniform(key) < share
  reach = placed.half + 0.05

  # Two colours that differ in grey, and a third one.
  contrast = rules.contrast[0] + (rules.contrast[1] - rules.contrast[0]) * jax.random.uniform(keys[0]) ** 1.5
  base = jax.random.uniform(keys[1]) * (1 - contrast)
  is_dark = jax.random.bernoulli(keys[2])
  paper = background.colour(keys[3], jnp.where(is_dark, base + contrast, base), rules.saturation)
  pigment = background.colour(keys[4], jnp.where(is_dark, base, base + contrast), rules.saturation)
  other = background.colour(keys[5], jax.random.uniform(keys[6]), rules.saturation)

  # What it stands on: a surface; others beyond their edges; a plate with its frame.
  image = background.surface(keys[7], places, paper, ground)
  k_edges = jax.random.split(keys[8], max(ground.edges, 1))
  for k_edge in k_edges[: ground.edges]:
    k_is, k_where, k_grey, k_colour = jax.random.split(k_edge, 4)
    beyond = background.colour(k_colour, jax.random.uniform(k_grey), rules.saturation)
    share = cover(background.half_plane(k_where, places, (1.05, 2.5), reach)) * is_in(k_is, 0.4)
    image = image + share[:, :, None] * (beyond - image)
  k_is, k_margin, k_round, k_ground, k_frame, k_inset, k_width = jax.random.split(keys[9], 7)
  half = placed.half + uniform(k_margin, (2,), ground.plate_margin)
  edge = background.rounded_box(places, half, jax.random.uniform(k_round) ** 2 * jnp.min(half))
  has_plate = is_in(k_is, ground.plate)
  around = background.surface(k_ground, places, other, ground)
  on_plate = jnp.where(has_plate, cover(edge), 1.0)
  image = around + on_plate[:, :, None] * (image - around)
  inset, width = uniform(k_inset, (), (0.0, 0.1)), uniform(k_width, (), (0.02, 0.08))
  frame = cover(0.5 * width - jnp.abs(edge - inset - 0.5 * width)) * (has_plate & is_in(k_frame, ground.frame))
  image = image + frame[:, :, None] * (pigment - image)
  if ground.strokes:
    image = _strokes(keys[10], image, places, reach, pigment, ground.strokes)

  # The ink, with what stands beside it: shadow, outline, body, relief.
  size = image.shape[0]
  both = jnp.maximum(ink, beside)
  body = cover(both)
  pixels = size / window[2:]  # canvas pixels a unit, (x, y)
  moved = lambda offset, blur: (
    camera.blur_matrix(size, blur * pixels[1], offset[1] * pixels[1])
    @ body
    @ camera.blur_matrix(size, blur * pixels[0], offset[0] * pixels[0]).T
  )
  if rules.shadow:
    offset = plus_minus(keys[11], (2,), rules.shadow_reach)
    shade = moved(offset, uniform(keys[12], (), (0.0, 0.08))) * uniform(keys[13], (), (0.2, 0.8))
    image = image * (1 - shade * is_in(keys[14], rules.shadow))[:, :, None]
  if rules.outline:
    width = uniform(keys[15], (), rules.outline_px)
    line = cover(both + width) * is_in(keys[16], rules.outline)
    image = image + line[:, :, None] * (other - image)
  is_raised = is_in(keys[17], rules.relief)
  is_bare = is_raised & is_in(keys[18], rules.bare)
  worn = background.texture(keys[19], size, size) * uniform(keys[20], (), rules.worn)
  filled = pigment[None, None] + worn[:, :, None]
  image = image + jnp.where(is_bare, 0.0, body)[:, :, None] * (filled - image)
  if rules.relief:
    angle = uniform(keys[21], (), (0.0, 2 * math.pi))
    light = uniform(keys[22], (), (0.02, 0.06)) * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    k_strength, k_light = jax.random.split(keys[23])
    strength = uniform(k_strength, (), rules.relief_strength) * is_raised
    image = image + (strength * (moved(light, 0.02) - moved(-light, 0.02)))[:, :, None]
  else:
    k_light = keys[23]
  return jnp.clip(image * background.light(k_light, places, reach, ground)[:, :, None], 0.0, 1.0)


def _strokes(key, image, places, reach, pigment, count):
  """Lines of ink beyond the number's sides, and dots: cracks, screws, rails, other writing."""
  for k_stroke in jax.random.split(key, count):
    k_is, k_side, k_one, k_far, k_long, k_width = jax.random.split(k_stroke, 6)
    axis = jax.random.bernoulli(k_side).astype(jnp.int32)
    sign = jnp.where(jax.random.bernoulli(jax.random.fold_in(k_side, 1)), 1.0, -1.0)
    is_axis = jnp.arange(2) == axis
    away = sign * (reach + uniform(k_far, (), (0.03, 0.3)))
    one = jnp.where(is_axis, away, reach * plus_minus(k_one, (2,), 1.2))
    run = jax.random.normal(k_long, (2,)) * jnp.where(is_axis, 0.05, 0.6)
    line = background.line(places, one, one + run, uniform(k_width, (), (0.02, 0.15)))
    share = cover(line) * (jax.random.uniform(k_is) < 0.3)
    image = image + share[:, :, None] * (pigment - image)
  return image


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
