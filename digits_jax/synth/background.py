"""What a number stands on, and what stands around it: textures, edges of other surfaces, plates, clutter.

Pure and written for one example. Places are in the plane of the number (units: its digits' height, y down), at which the
canvas has been sampled; grey levels and colours in [0, 1], red, green, blue.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from digits_jax.errors import InputError
from digits_jax.synth.draw import check_between, check_ranges, plus_minus, uniform

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma of red, green, blue


@dataclasses.dataclass(frozen=True)
class GroundSpec:
  """Ranges of surfaces; every field is a static Python value, contrasts in grey levels, lengths in digit heights."""

  texture: tuple[float, float]  # standard deviation of a surface's random texture
  stripes: float  # share of surfaces with bricks, boards or bars
  stripes_contrast: tuple[float, float]
  gradient: float  # change of light across the canvas, +- this share
  edges: int  # at most this many borders of other surfaces near the number
  plate: float  # share of numbers on a plate
  plate_margin: tuple[float, float]  # from the ink to the plate's edge
  frame: float  # share of plates with a line along their edge
  cast: float  # share of images across which something casts a shadow
  strokes: int  # at most this many lines of ink near the number

  def __post_init__(self):
    check_ranges(self, 'scene.ground', ('texture', 'stripes_contrast', 'plate_margin'))
    check_between(self, 'scene.ground', 0, 1, ('texture', 'stripes', 'stripes_contrast', 'gradient', 'plate', 'frame'))
    check_between(self, 'scene.ground', 0, 1, ('cast',))
    if min(self.edges, self.strokes) < 0:
      raise InputError('scene.ground: edges and strokes must be at least 0')


def colour(key: jax.Array, grey: jax.Array, saturation: float) -> jax.Array:
  """A colour float32[3] of luma `grey`; its chroma has a random direction and up to `saturation`, mostly less."""
  k_direction, k_amount = jax.random.split(key)
  direction = jax.random.normal(k_direction, (3,))
  direction = direction - jnp.sum(direction * jnp.array(GREY))
  direction = direction / jnp.maximum(jnp.linalg.norm(direction), 1e-3)
  return jnp.clip(grey + saturation * jax.random.uniform(k_amount) ** 2 * direction, 0.0, 1.0)


def cover(distance: jax.Array) -> jax.Array:
  """The share in [0, 1] of each pixel of float32[H, W] that a shape covers, given its signed distance, positive inside.

  Distances may be in any unit: what counts is how fast they change from pixel to pixel.
  """
  down, across = jnp.gradient(distance)
  return jnp.clip(0.5 + distance / jnp.maximum(jnp.hypot(down, across), 1e-5), 0.0, 1.0)


def surface(key: jax.Array, places: jax.Array, colour: jax.Array, spec: GroundSpec) -> jax.Array:
  """A surface float32[H, W, 3] of a colour float32[3], with its texture; may leave [0, 1] a little.

  places: float32[2, H, W], (x, y).
  """
  k_texture, k_amount, k_is, k_contrast, k_one, k_two, k_both = jax.random.split(key, 7)
  height, width = places.shape[1:]
  relief = texture(k_texture, height, width) * uniform(k_amount, (), spec.texture)
  if spec.stripes:
    one, two = stripes(k_one, places), stripes(k_two, places)
    bars = jnp.where(jax.random.bernoulli(k_both, 0.3), jnp.minimum(one, two), one)  # bricks have joints both ways
    is_striped = jax.random.uniform(k_is) < spec.stripes
    relief = relief + jnp.where(is_striped, uniform(k_contrast, (), spec.stripes_contrast), 0.0) * bars
  return colour + relief[:, :, None]


def texture(key: jax.Array, height: int, width: int, cells: tuple[int, ...] = (2, 4, 8, 16)) -> jax.Array:
  """Noise float32[H, W] of standard deviation about 1: random values on grids, the weight of each grid random."""
  k_weights, *k_grids = jax.random.split(key, len(cells) + 1)
  weights = jax.random.exponential(k_weights, (len(cells),))
  weights = weights / jnp.sqrt(jnp.sum(weights**2) + 1e-6)

  def enlarge(size, count):
    """float32[size, count + 1]: linear interpolation between nodes."""
    at = (jnp.arange(size) + 0.5) / size * count
    return jnp.maximum(1 - jnp.abs(at[:, None] - jnp.arange(count + 1)[None]), 0.0)

  total = jnp.zeros((height, width))
  for weight, k_grid, count in zip(weights, k_grids, cells, strict=True):
    nodes = jax.random.normal(k_grid, (count + 1, count + 1))
    total = total + weight * 1.5 * enlarge(height, count) @ nodes @ enlarge(width, count).T  # between nodes it is less
  return total


def stripes(key: jax.Array, places: jax.Array) -> jax.Array:
  """Bars float32[H, W] in [-1, 1], mostly level or upright, of any width and gap, sharp or soft."""
  k_turn, k_is_upright, k_period, k_phase, k_sharp, k_duty = jax.random.split(key, 6)
  angle = jnp.where(jax.random.bernoulli(k_is_upright, 0.4), math.pi / 2, 0.0) + 0.15 * jax.random.normal(k_turn)
  across = places[1] * jnp.cos(angle) + places[0] * jnp.sin(angle)
  period = jnp.exp(uniform(k_period, (), (math.log(0.15), math.log(2.0))))
  wave = jnp.sin(2 * math.pi * (across / period + jax.random.uniform(k_phase))) + uniform(k_duty, (), (-0.9, 0.9))
  return jnp.tanh(uniform(k_sharp, (), (1.0, 8.0)) * wave)


def half_plane(key: jax.Array, places: jax.Array, nearest: tuple[float, float], reach: jax.Array) -> jax.Array:
  """Signed distance float32[H, W] of a half-plane whose edge passes the number's middle at a multiple of its reach.

  Args:
    places: float32[2, H, W].
    nearest: the multiple, low and high; 1 touches the number's side.
    reach: float32[2], half the number's width and height.
  """
  k_turn, k_side, k_far = jax.random.split(key, 3)
  angle = 0.5 * math.pi * jax.random.randint(k_side, (), 0, 4) + 0.2 * jax.random.normal(k_turn)
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  far = uniform(k_far, (), nearest) * (jnp.abs(cos) * reach[0] + jnp.abs(sin) * reach[1])
  return cos * places[0] + sin * places[1] - far


def rounded_box(places: jax.Array, half: jax.Array, radius: jax.Array) -> jax.Array:
  """Signed distance float32[H, W], positive inside, of a box about 0 of half-sides float32[2] with rounded corners."""
  outside = jnp.abs(places) - (half - radius)[:, None, None]
  return radius - jnp.hypot(*jnp.maximum(outside, 0.0)) - jnp.minimum(jnp.max(outside, 0), 0.0)


def line(places: jax.Array, one: jax.Array, other: jax.Array, width: jax.Array) -> jax.Array:
  """Signed distance float32[H, W], positive inside, of the line of a width between two points float32[2]."""
  along = other - one
  offset = places - one[:, None, None]
  share = (offset[0] * along[0] + offset[1] * along[1]) / jnp.maximum(jnp.sum(along**2), 1e-6)
  nearest = along[:, None, None] * jnp.clip(share, 0.0, 1.0)[None]
  return 0.5 * width - jnp.hypot(*(offset - nearest))


def light(key: jax.Array, places: jax.Array, reach: jax.Array, spec: GroundSpec) -> jax.Array:
  """How much light falls on each pixel, float32[H, W] about 1: a gradient, and the shadow of something near."""
  k_gradient, k_is, k_edge, k_soft, k_dark = jax.random.split(key, 5)
  slope = plus_minus(k_gradient, (2,), spec.gradient)
  lit = 1 + slope[0] * places[0] / jnp.maximum(reach[0], 0.1) + slope[1] * places[1] / jnp.maximum(reach[1], 0.1)
  if spec.cast:
    distance = half_plane(k_edge, places, (-1.0, 1.0), reach)
    shade = jax.nn.sigmoid(distance * jnp.exp(uniform(k_soft, (), (1.0, 4.0))))
    dark = jnp.where(jax.random.uniform(k_is) < spec.cast, uniform(k_dark, (), (0.2, 0.7)), 0.0)
    lit = lit * (1 - dark * shade)
  return jnp.maximum(lit, 0.1)
