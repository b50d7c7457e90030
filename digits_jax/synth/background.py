"""What a number stands on, and what stands around it: textures, edges of other surfaces, plates, clutter.

Pure and written for one example. Places are in the plane of the number (units: its digits' height, y down), at which
the canvas has been sampled; grey levels and colours in [0, 1], red, green, blue.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.conventions import LUMA
from digits_jax.errors import InputError
from digits_jax.synth.draw import Deck, check_between, check_ranges

_WAVES = 16  # of a texture, along each axis: details of a sixteenth of the crop


@dataclasses.dataclass(frozen=True)
class GroundSpec:
  """Ranges of surfaces; every field is a static Python value, contrasts in grey levels, lengths in digit heights."""

  texture: tuple[float, float]  # standard deviation of a surface's random texture
  stripes: float  # share of surfaces with bricks, boards or bars
  stripes_contrast: tuple[float, float]
  gradient: float  # the light at the number's sides is 1 +- this, along each axis
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
    check_between(self, 'scene.ground', 0, 5, ('plate_margin',))
    if min(self.edges, self.strokes) < 0:
      raise InputError('scene.ground: edges and strokes must be at least 0')


def colour(deck: Deck, grey: jax.Array, saturation: float) -> jax.Array:
  """A colour float32[3] of luma `grey`; its chroma has a random direction and up to `saturation`, mostly less.

  What leaves [0, 1] is cut off, and the luma then changes: by more than 0.02 in some 4% of colours of saturation 0.3.
  """
  red, green, blue = (deck.normal() for _ in range(3))
  luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
  red, green, blue = red - luma, green - luma, blue - luma
  # In single numbers: a sum over a vector makes XLA's GPU compiler try every way to fuse it with every pixel behind it.
  direction = jnp.stack([red, green, blue]) / jnp.maximum(jnp.sqrt(red**2 + green**2 + blue**2), 1e-3)
  return jnp.clip(grey + deck.skewed((0.0, saturation), 2.0) * direction, 0.0, 1.0)


def cover(distance: jax.Array, pixel: jax.Array) -> jax.Array:
  """The share in [0, 1] of each pixel that a shape covers.

  Args:
    distance: float32[H, W], signed, to the shape's edge, positive inside.
    pixel: float32[], the side of a pixel in the same unit.
  """
  return jnp.clip(0.5 + distance / pixel, 0.0, 1.0)


def surface(deck: Deck, grain: jax.Array, points: jax.Array, spec: GroundSpec) -> jax.Array:
  """By how much a surface is brighter than its colour, float32[H, W], mostly less than 0.3 either way.

  Args:
    deck: random scalars.
    grain: float32[H, W], of `textures`.
    points: float32[2, H, W], (x, y).
    spec: the ranges; static.
  """
  one, two = stripes(deck, points), stripes(deck, points)
  bars = jnp.where(deck.chance(0.3), jnp.minimum(one, two), one)  # bricks have joints both ways
  contrast = deck.uniform(spec.stripes_contrast) * deck.chance(spec.stripes)
  return grain * deck.uniform(spec.texture) + contrast * bars


def textures(key: jax.Array, deck: Deck, count: int, size: int) -> jax.Array:
  """Noise float32[count, size, size] of standard deviation about 1, fine or coarse.

  Sums of waves (a cosine series) of random heights, which fall with the frequency to a power that is drawn from 0 to 2.
  All waves are highest at the sides: there, and more so in the corners, it is stronger than in the middle.
  """
  frequency = np.arange(_WAVES, dtype=np.float32)
  basis = np.cos(math.pi * (np.arange(size, dtype=np.float32)[:, None] + 0.5) / size * frequency[None])  # [S, _WAVES]
  radius = np.maximum(np.hypot(frequency[:, None], frequency[None]), 1.0)[None]
  heights = radius ** -deck.uniform((0.0, 2.0), (count, 1, 1))
  heights = heights.at[:, 0, 0].set(0.0)  # a surface's mean is its colour's
  heights = 2 * heights / jnp.sqrt(jnp.sum(heights**2, (1, 2), keepdims=True))
  heights = heights * jax.random.normal(key, (count, _WAVES, _WAVES))
  return jax.lax.map(lambda one: basis @ one @ basis.T, heights)  # a loop, as in `camera.apply_separable`


def stripes(deck: Deck, points: jax.Array) -> jax.Array:
  """Bars float32[H, W] in [-1, 1], mostly level or upright, of any width and gap, sharp or soft."""
  angle = jnp.where(deck.chance(0.4), math.pi / 2, 0.0) + 0.15 * deck.normal()
  across = points[1] * jnp.cos(angle) + points[0] * jnp.sin(angle)
  wave = jnp.sin(2 * math.pi * (across / deck.log_uniform((0.15, 2.0)) + deck.deal())) + deck.uniform((-0.9, 0.9))
  return jnp.tanh(deck.uniform((1.0, 8.0)) * wave)


def half_plane(deck: Deck, points: jax.Array, nearest: tuple[float, float], reach: jax.Array) -> jax.Array:
  """Signed distance float32[H, W] of a half-plane whose edge passes the number's middle at a multiple of its reach.

  Args:
    deck: random scalars.
    points: float32[2, H, W].
    nearest: the multiple, low and high; 1 touches the number's side.
    reach: float32[2], half the number's width and height.
  """
  angle = 0.5 * math.pi * jnp.floor(deck.uniform((0.0, 4.0))) + 0.2 * deck.normal()
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  far = deck.uniform(nearest) * (jnp.abs(cos) * reach[0] + jnp.abs(sin) * reach[1])
  return cos * points[0] + sin * points[1] - far


def rounded_box(points: jax.Array, half: jax.Array, radius: jax.Array) -> jax.Array:
  """Signed distance float32[H, W], positive inside, of a box about 0 of half-sides float32[2] with rounded corners."""
  outside = jnp.abs(points) - (half - radius)[:, None, None]
  return radius - jnp.hypot(*jnp.maximum(outside, 0.0)) - jnp.minimum(jnp.maximum(*outside), 0.0)


def line(points: jax.Array, one: jax.Array, other: jax.Array, width: jax.Array) -> jax.Array:
  """Signed distance float32[H, W], positive inside, of the line of a width between two points float32[2]."""
  along = other - one
  offset = points - one[:, None, None]
  share = (offset[0] * along[0] + offset[1] * along[1]) / jnp.maximum(along[0] ** 2 + along[1] ** 2, 1e-6)
  nearest = along[:, None, None] * jnp.clip(share, 0.0, 1.0)[None]
  return 0.5 * width - jnp.hypot(*(offset - nearest))


def light(deck: Deck, points: jax.Array, reach: jax.Array, spec: GroundSpec) -> jax.Array:
  """How much light falls on each pixel, float32[H, W] about 1: a gradient, and the shadow of something near."""
  slope = deck.plus_minus(spec.gradient, (2,)) / jnp.maximum(reach, 0.1)
  lit = 1 + slope[0] * points[0] + slope[1] * points[1]
  shade = jax.nn.sigmoid(half_plane(deck, points, (-1.0, 1.0), reach) * deck.log_uniform((2.7, 55.0)))
  dark = deck.uniform((0.2, 0.7)) * deck.chance(spec.cast)
  return jnp.maximum(lit * (1 - dark * shade), 0.1)
