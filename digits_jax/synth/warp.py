"""The shape of one digit: scale, rotation, slant, elastic distortion, stroke width, and its pixels.

A digit is resampled once, by bilinear interpolation, from its glyph image into a square patch of the canvas;
all geometry is composed before that. y grows down, so a positive rotation turns clockwise as one looks at it, and
a positive slant or shear moves what is below the anchor to the right: the digit leans to the left.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.errors import InputError
from digits_jax.synth.draw import check_between, check_ranges, plus_minus, uniform

_CELLS = 4  # of an elastic displacement, along each axis of a patch
ELASTIC_LIMIT = 3.0  # standard deviations, beyond which a displacement is cut


@dataclasses.dataclass(frozen=True)
class WarpSpec:
  """Ranges of the geometry; every field is a static Python value. The first five vary from digit to digit."""

  scale: tuple[float, float]  # canvas pixels a glyph pixel
  rotation_degrees: float  # +- this
  slant_jitter_degrees: float  # +- this, about the number's own slant
  elastic_px: float  # standard deviation of the smooth displacement, in glyph pixels
  stroke_frac: tuple[float, float]  # -1 thinner by a pixel on each side, 0 as it is, 1 thicker
  slant_degrees: float  # +- this, one value a number: digits lean, the baseline stays
  shift_px: float  # +- this, the whole number, as far as the canvas goes
  zoom: tuple[float, float]  # the whole number, as far as the canvas goes
  turn_degrees: float  # +- this, the whole number
  shear_degrees: float  # +- this, the whole number

  def __post_init__(self):
    check_ranges(self, 'synth.warp', ('scale', 'zoom', 'stroke_frac'))
    check_between(self, 'synth.warp', -1, 1, ('stroke_frac',))
    check_between(self, 'synth.warp', 0, 180, ('rotation_degrees', 'turn_degrees'))
    check_between(self, 'synth.warp', 0, 60, ('slant_degrees', 'slant_jitter_degrees', 'shear_degrees'))
    check_between(self, 'synth.warp', 0, np.inf, ('elastic_px', 'shift_px'))
    if self.scale[0] <= 0 or self.zoom[0] <= 0:
      raise InputError('synth.warp: scale and zoom must be above 0')
    if self.slant_degrees + self.slant_jitter_degrees > 60:
      raise InputError('synth.warp: slants beyond 60 degrees leave no digit to read')


def draw_number_map(key: jax.Array, spec: WarpSpec) -> tuple[jax.Array, jax.Array]:
  """The whole number's linear map float32[2, 2] and shift float32[2], canvas pixels."""
  k_zoom, k_turn, k_shear, k_shift = jax.random.split(key, 4)
  linear = (
    uniform(k_zoom, (), spec.zoom)
    * turn_map(plus_minus(k_turn, (), spec.turn_degrees))
    @ _shear(plus_minus(k_shear, (), spec.shear_degrees))
  )
  return linear, plus_minus(k_shift, (2,), spec.shift_px)


def draw_digit_maps(key: jax.Array, slots: int, spec: WarpSpec) -> jax.Array:
  """Linear maps float32[N, 2, 2] of each digit, from glyph pixels to canvas pixels."""
  k_scale, k_rotation, k_slant, k_jitter = jax.random.split(key, 4)
  scale = uniform(k_scale, (slots,), spec.scale)
  rotation = plus_minus(k_rotation, (slots,), spec.rotation_degrees)
  slant = plus_minus(k_slant, (), spec.slant_degrees) + plus_minus(k_jitter, (slots,), spec.slant_jitter_degrees)
  return scale[:, None, None] * jax.vmap(turn_map)(rotation) @ jax.vmap(_shear)(slant)


def reach(boxes: jax.Array, maps: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Extents float32[N, 4] (left, up, right, down) of inks from their anchors after their maps.

  Args:
    boxes: float32[N, 4], the inks in their glyph images.
    maps: float32[N, 2, 2].
    size: (h, w) of a glyph image, whose centre is the anchor.
  """
  x = boxes[:, ::2] - size[1] / 2  # [N, 2]
  y = boxes[:, 1::2] - size[0] / 2
  corners = jnp.stack([jnp.repeat(x, 2, axis=1), jnp.tile(y, (1, 2))], -1)  # [N, 4, 2]
  corners = jnp.einsum('nij,nkj->nki', maps, corners)
  return jnp.concatenate([corners.min(1), corners.max(1)], -1)


def largest_reach(boxes: np.ndarray, size: tuple[int, int], spec: WarpSpec) -> np.ndarray:
  """Bounds float[G, 4] of each glyph's `reach` under all digit maps that the spec allows, on the host."""
  half = np.array([size[1] / 2, size[0] / 2])
  bounds = np.concatenate([half - boxes[:, :2], boxes[:, 2:] - half], 1)  # left and up are positive in here
  bounds = np.maximum(bounds, 0.0)  # ink past the anchor comes nearer where the scale is small
  slant = spec.slant_degrees + spec.slant_jitter_degrees
  return _bound(bounds, spec.scale[1], spec.rotation_degrees, slant) * np.array([-1, -1, 1, 1])


def largest_ink(boxes: np.ndarray, spec: WarpSpec) -> np.ndarray:
  """Bounds float[G, 2] of each ink's width and height under all digit maps that the spec allows, on the host."""
  sizes = boxes[:, 2:] - boxes[:, :2]
  return 2 * largest_reach(np.concatenate([-sizes / 2, sizes / 2], 1), (0, 0), spec)[:, 2:]


def patch_size(boxes: np.ndarray, size: tuple[int, int], spec: WarpSpec) -> int:
  """P: the side of a square patch that holds the ink of any warped glyph, wherever its anchor is in a pixel."""
  bend = ELASTIC_LIMIT * spec.elastic_px
  bounds = np.abs(largest_reach(boxes + bend * np.array([-1, -1, 1, 1]), size, spec))
  bounds = _bound(bounds, spec.zoom[1], spec.turn_degrees, spec.shear_degrees)
  return int(np.ceil(2 * (bounds.max() + max(spec.stroke_frac[1], 0.0) + 2)))


def _bound(bounds, factor, turn_degrees, shear_degrees):
  """Bounds float[G, 4] of boxes, (left, up, right, down) from the anchor, after any shear, then turn, then factor."""
  left, up, right, down = bounds.T
  tall = np.maximum(up, down)
  lean = np.tan(np.deg2rad(shear_degrees)) * tall
  left, right = left + lean, right + lean
  wide = np.maximum(left, right)
  turn = np.deg2rad(turn_degrees)
  sides = (left, up, right, down) if turn <= np.pi / 2 else (wide, tall, wide, tall)
  along, beside = np.stack(sides, 1), np.stack([tall, wide, tall, wide], 1)
  angle = np.minimum(np.arctan2(beside, along), turn)  # where a corner is farthest out, or as near as it gets
  return factor * (along * np.cos(angle) + beside * np.sin(angle))


def render(key: jax.Array, glyph: jax.Array, linear: jax.Array, anchor: jax.Array, patch: int, spec: WarpSpec):
  """Pixels of one digit: (ink float32[P, P] in [0, 1], corner int32[2], the (x, y) of the patch on the canvas).

  Its strokes are still as wide as in the glyph.

  Args:
    key: one key.
    glyph: uint8[h, w], ink 255 on 0.
    linear: float32[2, 2], glyph to canvas pixels.
    anchor: float32[2], (x, y) of the glyph's centre on the canvas.
    patch: P.
    spec: the ranges.
  """
  corner = jnp.floor(anchor - patch / 2)
  offsets = jnp.arange(patch) + 0.5
  x = (corner[0] + offsets - anchor[0])[None, :]
  y = (corner[1] + offsets - anchor[1])[:, None]
  height, width = glyph.shape
  from_x, from_y = apply(invert(linear), x, y)  # [P, P]
  glyph_x, glyph_y = from_x + width / 2 - 0.5, from_y + height / 2 - 0.5
  if spec.elastic_px:
    bend = elastic(key, patch, spec.elastic_px)
    glyph_x, glyph_y = glyph_x + bend[0], glyph_y + bend[1]
  return bilinear(glyph, glyph_x, glyph_y) / 255.0, corner.astype(jnp.int32)


def bilinear(image: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
  """Samples image [h, w] at float pixel centres (x, y), any shape; 0 outside. Returns float32, in the image's range."""
  height, width = image.shape
  stride = width + 3
  flat = jnp.pad(image, ((1, 2), (1, 2))).reshape(-1).astype(jnp.float32)
  x, y = jnp.clip(x, -1.0, float(width)), jnp.clip(y, -1.0, float(height))
  left, top = jnp.floor(x), jnp.floor(y)
  index = (top.astype(jnp.int32) + 1) * stride + left.astype(jnp.int32) + 1
  at = lambda shift: jnp.take(flat, index + shift, mode='clip')
  u, v = x - left, y - top
  return (at(0) * (1 - u) + at(1) * u) * (1 - v) + (at(stride) * (1 - u) + at(stride + 1) * u) * v


def elastic(key: jax.Array, patch: int, amount_px: float) -> jax.Array:
  """A smooth random displacement float32[2, P, P], (x, y), of standard deviation `amount_px`, cut at 3 of them.

  Random vectors on a coarse grid, blended by a Gaussian between nodes (Simard et al. 2003, section 2, on a grid).
  """
  nodes = (np.arange(_CELLS) + 0.5) / _CELLS * patch
  distance = (np.arange(patch)[:, None] + 0.5 - nodes) / (patch / _CELLS)
  weights = np.exp(-0.5 * (distance / 0.7) ** 2)
  weights /= np.sqrt(np.sum(weights**2, 1, keepdims=True))  # unit variance everywhere
  # Both directions at once: one product for all digits of a batch, where one for each would take most of the time.
  at_pixels = np.einsum('pi,qj->ijpq', weights, weights).reshape(_CELLS**2, patch**2).astype(np.float32)
  coarse = jax.random.normal(key, (2, _CELLS**2)) * amount_px
  bend = (coarse @ at_pixels).reshape(2, patch, patch)
  return jnp.clip(bend, -ELASTIC_LIMIT * amount_px, ELASTIC_LIMIT * amount_px)


def stroke(ink: jax.Array, amount: jax.Array) -> jax.Array:
  """Thickens (amount to 1) or thins (to -1) the strokes of ink float32[P, P] by up to a pixel on each side."""
  grown = _neighbours(ink, jnp.maximum)
  shrunk = _neighbours(ink, jnp.minimum)
  return ink + jnp.maximum(amount, 0.0) * (grown - ink) + jnp.maximum(-amount, 0.0) * (shrunk - ink)


def _neighbours(ink, combine):
  """`combine` over each pixel and its four neighbours; outside there is no ink."""
  padded = jnp.pad(ink, 1)
  out = ink
  for shifted in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
    out = combine(out, shifted)
  return out


def turn_map(degrees: jax.Array) -> jax.Array:
  """float32[2, 2], clockwise as one looks at it."""
  c, s = jnp.cos(jnp.deg2rad(degrees)), jnp.sin(jnp.deg2rad(degrees))
  return jnp.stack([jnp.stack([c, -s]), jnp.stack([s, c])])


def _shear(degrees):
  t = jnp.tan(jnp.deg2rad(degrees))
  return jnp.stack([jnp.stack([jnp.ones_like(t), t]), jnp.stack([jnp.zeros_like(t), jnp.ones_like(t)])])


def apply(m: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Where the map float32[2, 2] takes the points (x, y), of shapes that broadcast."""
  return m[0, 0] * x + m[0, 1] * y, m[1, 0] * x + m[1, 1] * y


def invert(m: jax.Array) -> jax.Array:
  """The inverse of a map float32[2, 2]."""
  determinant = m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]
  return jnp.array([[m[1, 1], -m[0, 1]], [-m[1, 0], m[0, 0]]]) / determinant
