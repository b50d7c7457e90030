"""A photo of what is on the canvas: the lens, a sensor of fewer pixels, JPEG, and the way back to the canvas.

House numbers are mostly smaller in their photos than what is read: a photo's own pixels, its noise and what JPEG did
to them are enlarged with it. Pure and written for one example; colours in [0, 1].
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.conventions import LUMA
from digits_jax.errors import InputError
from digits_jax.synth import photo
from digits_jax.synth.draw import Deck, check_between, check_ranges

BLOCK = 8  # of JPEG
# JPEG's example tables (ITU-T T.81, annex K) for quality 50.
_LUMA_TABLE = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_CHROMA_TABLE = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""
_TABLES = np.stack(
  [np.array(table.split(), np.float32).reshape(8, 8) for table in (_LUMA_TABLE, _CHROMA_TABLE, _CHROMA_TABLE)]
)
_YCC = np.array([LUMA, [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)


@dataclasses.dataclass(frozen=True)
class CameraSpec:
  """Ranges of the imaging; every field is a static Python value."""

  digit_px: tuple[float, float]  # height of a digit in the photo, log-uniform; photos have the canvas's size at most
  blur_px: tuple[float, float]  # standard deviation, in the photo's pixels
  smear: float  # share of images with motion blur along one axis (0.3 of it along the other)
  fringe_px: float  # colours are shifted against each other by +- this, in the photo's pixels
  sharpening: float  # at most this much of the difference to a blurred image is added, along each axis
  noise: tuple[float, float]  # standard deviation of each of the photo's pixels
  jpeg: float  # share of images that were compressed
  jpeg_quality: tuple[float, float]  # 1 to 100, as libjpeg counts
  gamma: tuple[float, float]  # exponent of grey levels, drawn by its logarithm
  haze: float  # at most this much of the contrast is lost

  def __post_init__(self):
    check_ranges(self, 'scene.camera', ('digit_px', 'blur_px', 'noise', 'jpeg_quality', 'gamma'))
    check_between(self, 'scene.camera', 0, 1, ('smear', 'jpeg', 'noise'))
    check_between(self, 'scene.camera', 1, 100, ('jpeg_quality',))
    check_between(self, 'scene.camera', 0, 10, ('blur_px', 'fringe_px', 'sharpening'))
    if self.digit_px[0] < 2 or self.gamma[0] <= 0 or not 0 <= self.haze < 1:
      raise InputError('scene.camera: digit_px must be at least 2, gamma above 0, and haze in [0, 1)')


def blur_matrix(size: int, sigma: jax.Array, shift: jax.Array) -> jax.Array:
  """float32[size, size]: times a column of pixels, its Gaussian blur, moved down by `shift`; edges are repeated.

  sigma, shift: float32[], pixels; sigma up to 0.3 moves by linear interpolation.
  """
  at = jnp.clip(jnp.arange(size) - shift, 0.0, size - 1.0)[:, None] - jnp.arange(size)[None]
  soft = jnp.exp(-0.5 * (at / jnp.maximum(sigma, 0.3)) ** 2)
  weights = jnp.where(sigma > 0.3, soft, jnp.maximum(1 - jnp.abs(at), 0.0))
  return weights / jnp.sum(weights, 1, keepdims=True)


def apply_separable(
  rows: jax.Array, images: jax.Array, columns: jax.Array, noise: jax.Array | float = 0.0
) -> jax.Array:
  """rows @ image @ columns.T + noise for each of n: float32[n, h, H], [n, H, W], [n, w, W], [n, h, w] -> [n, h, w].

  A loop, not one product: what comes before it and behind it is then computed once. XLA takes small products for
  arithmetic that it may repeat for every use of every pixel.
  """
  noise = jnp.broadcast_to(noise, (len(images), rows.shape[1], columns.shape[1]))
  return jax.lax.map(lambda one: one[0] @ one[1] @ one[2].T + one[3], (rows, images, columns, noise))


def expose(key: jax.Array, image: jax.Array, pixels: jax.Array, spec: CameraSpec) -> jax.Array:
  """The photo of an image, enlarged to its size again: float32[3, S, S] -> float32[S, S, 3], in [0, 1].

  Args:
    key: one key.
    image: float32[3, S, S].
    pixels: float32[2], how many of the photo's pixels the image is wide and high; more than S are taken for S.
    spec: the ranges; static.
  """
  size = image.shape[1]
  grid = -(-(size + BLOCK) // BLOCK) * BLOCK  # room for S pixels anywhere in the first block
  k_deck, k_noise = jax.random.split(key)
  deck = Deck(k_deck, 24)
  pixels = jnp.clip(pixels, 4.0, size)  # (x, y)
  image = jnp.clip(image, 1e-4, 1.0) ** deck.log_uniform(spec.gamma)
  lost = deck.uniform((0.0, spec.haze))
  image = image * (1 - lost) + lost * deck.deal()
  offset = deck.uniform((0.0, BLOCK), (2,))  # of the image in the grid
  with jax.default_matmul_precision('highest'):
    down = _lens(deck, size, grid, pixels, offset, spec)  # [2, 3, grid, S]
    grain = photo.grain(k_noise, (3, grid, grid), spec.noise) if spec.noise[1] else 0.0
    small = apply_separable(down[1], image, down[0], grain)
    small = jnp.clip(small, 0.0, 1.0)
    if spec.jpeg:
      coded = jpeg(small, deck.uniform(spec.jpeg_quality))
      small = jnp.where(deck.chance(spec.jpeg), coded, small)
    up = [_enlarge(size, grid, pixels[axis], offset[axis]) for axis in (0, 1)]
    thrice = lambda matrix: jnp.broadcast_to(matrix, (3, *matrix.shape))
    image = apply_separable(thrice(up[1]), small, thrice(up[0]))
    return jnp.clip(image.transpose(1, 2, 0), 0.0, 1.0)


def _lens(deck, size, grid, pixels, offset, spec):
  """float32[2, 3, grid, S], of columns and of rows: blur, sampling and sharpening for each colour.

  A sharpened image is (1 + s) times the image minus s times its blur, here along each axis by itself.
  """
  sigma = jnp.full(2, deck.uniform(spec.blur_px))
  is_smeared = deck.chance(spec.smear) & (jnp.arange(2) == deck.chance(0.5))
  sigma = jnp.where(is_smeared, 0.3 * sigma, sigma)
  red, blue = deck.plus_minus(spec.fringe_px, (2, 2))
  fringe = jnp.stack([red, jnp.zeros(2), blue], 1)  # [2, 3]
  sharpening = deck.skewed((0.0, spec.sharpening), 2.0)
  pitch = size / pixels  # [2], canvas pixels a pixel of the photo

  def weigh(axis_and_colour):  # a loop, as in `apply_separable`
    axis, colour = axis_and_colour
    centres = (jnp.arange(grid) + 0.5 - offset[axis] + fringe[axis, colour]) * pitch[axis] - 0.5
    at = jnp.clip(centres, 0.0, size - 1.0)[:, None] - jnp.arange(size)[None]  # [grid, S]
    # A sensor's pixel sums over its own width, here by a Gaussian of that deviation (1 / sqrt(12)).
    tap = lambda extra: _gaussian(at, (sigma[axis] ** 2 + 1 / 12 + extra) * pitch[axis] ** 2 + 0.02)
    return (1 + sharpening) * tap(0.0) - sharpening * tap(1.0)

  weights = jax.lax.map(weigh, (jnp.repeat(jnp.arange(2), 3), jnp.tile(jnp.arange(3), 2)))
  return weights.reshape(2, 3, grid, size)


def _gaussian(at, variance):
  """Gaussian weights along the last axis of `at`, which sum to 1."""
  tapped = jnp.exp(-0.5 * at**2 / variance)
  return tapped / jnp.maximum(jnp.sum(tapped, -1, keepdims=True), 1e-9)


def _mix(rows, planes):
  """float32[3, H, W]: each plane the sum of the given ones weighted by a row of numbers."""
  return jnp.stack([sum(float(weight) * plane for weight, plane in zip(row, planes, strict=True)) for row in rows])


def _enlarge(size, grid, pixels, offset):
  """float32[S, grid]: linear interpolation between the photo's pixels."""
  at = jnp.clip((jnp.arange(size) + 0.5) * pixels / size + offset - 0.5, 0.0, grid - 1.0)
  return jnp.maximum(1 - jnp.abs(at[:, None] - jnp.arange(grid)[None]), 0.0)


def jpeg(image: jax.Array, quality: jax.Array) -> jax.Array:
  """What JPEG at a quality of 1 to 100 leaves of an image float32[3, H, W] in [0, 1]; H and W are multiples of 8.

  The tables of ITU-T T.81, annex K, scaled as libjpeg does; chroma is averaged over 2 x 2 pixels, and coded at the full
  size (its blocks are thus half as large as JPEG's).
  """
  _, height, width = image.shape
  scale = jnp.where(quality < 50, 50 / jnp.maximum(quality, 1.0), 2 - quality / 50)
  tables = jnp.clip(jnp.round(_TABLES * scale), 1, 255)[:, None, None]  # [3, 1, 1, 8, 8]
  zero = np.float32([128, 0, 0])[:, None, None]
  planes = _mix(_YCC, image) * 255 - zero
  halves = planes[1:].reshape(2, height // 2, 2, width // 2, 2).mean((2, 4))
  planes = jnp.concatenate([planes[:1], jnp.repeat(jnp.repeat(halves, 2, 1), 2, 2)])
  waves = (np.arange(BLOCK)[None] + 0.5) * np.arange(BLOCK)[:, None] * math.pi / BLOCK  # [frequency, pixel]
  basis = (np.cos(waves) * np.where(np.arange(BLOCK) > 0, 0.5, math.sqrt(1 / 8))[:, None]).astype(np.float32)

  def code(plane_and_table):  # a loop, as in `apply_separable`
    plane, table = plane_and_table
    blocks = plane.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    coefficients = jnp.round(jnp.einsum('uy,aybx,vx->abuv', basis, blocks, basis) / table) * table
    return jnp.einsum('uy,abuv,vx->aybx', basis, coefficients, basis).reshape(height, width)

  planes = jax.lax.map(code, (planes, tables)) + zero
  return jnp.clip(_mix(np.linalg.inv(_YCC), planes) / 255, 0.0, 1.0)
