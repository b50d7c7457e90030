"""One key -> the crop of a photo with a number in it: a house number, printed or mounted, in a street.

Pure and written for one example: the same key, bank and spec give the same number, and the same pixels up to how JPEG
rounds, on any device. The number is set up in its own plane, where a digit is about 1 high (y down); each pixel of the
crop looks up where it lies in that plane.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import struct

from digits_jax import structs
from digits_jax.errors import InputError
from digits_jax.structs import FIELD_PX, FIELD_REACH, FIELD_UNIT
from digits_jax.synth import background, camera, number, paint, warp
from digits_jax.synth.augment import AugmentSpec, jitter_colours, random_convolution
from digits_jax.synth.draw import Deck, check_between, check_ranges, one_of_shares

NEIGHBOURS = 2  # digits beside the number that do not belong to it


@dataclasses.dataclass(frozen=True)
class ShapeSpec:
  """Ranges of a number's geometry; every field is a static Python value, lengths in digit heights.

  Digits are stretched as drawn: what `weight`, and outlines, are across is multiplied by `stretch`.
  """

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
  steep: float  # share of numbers whose turn is drawn with four times turn_degrees
  shear_degrees: float  # the whole number +- this
  perspective: float  # the middle of one side is larger than the number's middle, by 1 / (1 - this) at most
  loose_x: tuple[float, float]  # slack of a box left and right, beyond the upright frame of its digit
  loose_y: tuple[float, float]  # the same, above and below
  margin: tuple[float, float]  # by how much the crop is larger than the box, each axis
  shift: float  # 1 the box stands anywhere within the margin, 0 in its middle
  neighbours: float  # share of numbers with a digit of another beside them, many of them out of the crop

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
class SceneSpec:
  """Everything static about a distribution of scenes."""

  size: int  # pixels, both sides of the crop
  number: number.NumberSpec
  shape: ShapeSpec
  paint: paint.PaintSpec
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
  length = 1 + one_of_shares(deck.deal(), spec.shape.lengths)
  labels = number.draw_of_length(k_number, length, spec.number)
  one_of = lambda count, shape=(): jnp.minimum(deck.deal(shape) * count, count - 1).astype(jnp.int32)
  style = one_of(bank.fields.shape[0])
  others = one_of(len(spec.number.alphabet.digits), (NEIGHBOURS,))
  symbols = jnp.concatenate([jnp.maximum(labels - 1, 0), others])  # [N + 2]
  with jax.default_matmul_precision('highest'):
    placed = arrange(deck, bank.boxes[style, symbols], length, slots, spec.shape)
    window = choose_window(deck, placed, length, spec.shape)
    points = plane(window, placed, spec.size)  # [2, S, S]
    ink, beside = draw(bank.fields[style, symbols], placed, points, slots)
    pixels = window[2:] * deck.log_uniform(spec.camera.digit_px)
    image = paint.paint(k_paint, ink, beside, points, placed.half, window, spec.paint, spec.ground)  # [3, S, S]
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

  maps: jax.Array  # float32[N + 2, 2, 2], from a glyph's own points to the plane
  anchors: jax.Array  # float32[N + 2, 2]
  is_used: jax.Array  # bool[N + 2]
  half: jax.Array  # float32[2], of the number in its plane, whose middle is 0
  linear: jax.Array  # float32[2, 2], from the plane to the scene, before perspective
  tilt: jax.Array  # float32[2]; a point p of the scene is seen at p / (1 + tilt . p)
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
  maps = scale[:, None, None] * jax.vmap(warp.turn_map)(deck.plus_minus(spec.rotation_degrees, (count,))) @ shape
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

  turn = spec.turn_degrees * deck.normal() * jnp.where(deck.chance(spec.steep), 4.0, 1.0)
  shear = jnp.tan(jnp.deg2rad(deck.plus_minus(spec.shear_degrees, (2,))))
  one = jnp.float32(1)
  linear = warp.turn_map(turn) @ jnp.stack([jnp.stack([one, shear[0]]), jnp.stack([shear[1], one])])
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
  return jnp.stack(warp.apply(warp.invert(placed.linear), x / depth, y / depth))


def draw(fields: jax.Array, placed: Placed, points: jax.Array, slots: int) -> tuple[jax.Array, jax.Array]:
  """Signed distances float32[S, S], positive inside: of the number's ink, and of what stands beside it.

  fields: uint8[N + 2, 48, 48].
  """

  def distance(glyph):
    field, linear, anchor = glyph
    x, y = points[0] - anchor[0], points[1] - anchor[1]
    at_x, at_y = warp.apply(warp.invert(linear) * FIELD_UNIT, x, y)
    at_x, at_y = at_x + FIELD_PX / 2 - 0.5, at_y + FIELD_PX / 2 - 0.5
    # Beyond a field's border the distance goes on from the nearest pixel there: ink may stand close to it.
    near_x, near_y = jnp.clip(at_x, 0.0, FIELD_PX - 1.0), jnp.clip(at_y, 0.0, FIELD_PX - 1.0)
    beyond = jnp.hypot(at_x - near_x, at_y - near_y) / FIELD_UNIT
    return (warp.bilinear(field, near_x, near_y) - 128) * (FIELD_REACH / 127) - beyond

  each = jax.lax.map(distance, (fields, placed.maps, placed.anchors))  # [N + 2, S, S]
  each = jnp.where(placed.is_used[:, None, None], each, -FIELD_REACH)
  return each[:slots].max(0) + placed.weight, each[slots:].max(0) + placed.weight


def _corners(extents):
  """float32[n, 4, 2] of boxes float32[n, 4]."""
  return jnp.stack([extents[:, (i, j)] for j in (1, 3) for i in (0, 2)], 1)


def _bounds(corners, used):
  """The least and the greatest (x, y) of the corners float32[n, 4, 2] of the used."""
  low = jnp.min(jnp.where(used[:, None], corners.min(1), jnp.inf), 0)
  return low, jnp.max(jnp.where(used[:, None], corners.max(1), -jnp.inf), 0)
