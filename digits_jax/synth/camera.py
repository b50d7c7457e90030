"""A photo of what is on the canvas: the lens, a sensor of fewer pixels, JPEG, and the way back to the canvas.

House numbers are mostly smaller in their photos than what is read: a photo's own pixels, its noise and what JPEG did
to them are enlarged with it. Pure and written for one example; colours in [0, 1].
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.errors import InputError
from digits_jax.synth import photo
from digits_jax.synth.draw import check_between, check_ranges, plus_minus, uniform

BLOCK = 8  # of JPEG
# JPEG's example tables (ITU-T T.81, annex K) for quality 50.
_LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_CHROMA = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""
_TABLES = np.stack([np.array(table.split(), np.float32).reshape(BLOCK, BLOCK) for table in (_LUMA, _CHROMA, _CHROMA)])
_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)


@dataclasses.dataclass(frozen=True)
class CameraSpec:
  """Ranges of the imaging; every field is a static Python value."""

  digit_px: tuple[float, float]  # height of a digit in the photo's own pixels, drawn by its logarithm
  blur_px: tuple[float, float]  # standard deviation, in the photo's pixels
  smear: float  # share of images blurred along one axis alone, by movement
  fringe_px: float  # colours are shifted against each other by +- this, in the photo's pixels
  sharpening: float  # at most this much of the difference to a blurred image is added
  noise: tuple[float, float]  # standard deviation of each of the photo's pixels
  jpeg: float  # share of images that were compressed
  jpeg_quality: tuple[float, float]  # 1 to 100, as libjpeg counts
  gamma: tuple[float, float]  # exponent of grey levels, drawn by its logarithm
  haze: float  # at most this much of the contrast is lost

  def __post_init__(self):
    check_ranges(self, 'scene.camera', ('digit_px', 'blur_px', 'noise', 'jpeg_quality', 'gamma'))
    check_between(self, 'scene.camera', 0, 1, ('smear', 'jpeg', 'noise'))
    check_between(self, 'scene.camera', 1, 100, ('jpeg_quality',))
    if self.digit_px[0] < 2 or self.gamma[0] <= 0 or not 0 <= self.haze < 1:
      raise InputError('scene.camera: digit_px must be at least 2, gamma above 0, and haze in [0, 1)')


def blur_matrix(size: int, sigma: jax.Array, shift: jax.Array | float = 0.0) -> jax.Array:
  """float32[size, size]: times a column of pixels, their Gaussian blur, moved down by `shift`; edges are repeated.

  sigma, shift: float32[], pixels; sigma 0 moves by linear interpolation.
  """
  at = jnp.clip(jnp.arange(size) - shift, 0.0, size - 1.0)[:, None] - jnp.arange(size)[None]
  sharp = jnp.maximum(1 - jnp.abs(at), 0.0)
  soft = jnp.exp(-0.5 * (at / jnp.maximum(sigma, 0.3)) ** 2)
  weights = jnp.where(sigma > 0.3, soft, sharp)
  return weights / jnp.sum(weights, 1, keepdims=True)


def expose(key: jax.Array, image: jax.Array, pixels: jax.Array, spec: CameraSpec) -> jax.Array:
  """The photo of an image, enlarged to its size again: float32[S, S, 3] in [0, 1].

  Args:
    key: one key.
    image: float32[S, S, 3].
    pixels: float32[2], how many of the photo's pixels the image is wide and high; more than S are taken for S.
    spec: the ranges; static.
  """
  size = image.shape[0]
  grid = -(-(size + BLOCK) // BLOCK) * BLOCK  # room for S pixels anywhere in the first block
  k_tone, k_lens, k_place, k_sharp, k_noise, k_jpeg = jax.random.split(key, 6)
  pixels = jnp.clip(pixels, 4.0, size)  # (x, y)
  image = _tone(k_tone, image, spec)
  offset = jax.random.uniform(k_place, (2,), maxval=BLOCK)  # of the image in the grid
  with jax.default_matmul_precision('highest'):
    down = _lens(k_lens, size, grid, pixels, offset, spec)  # [2, 3, grid, S]
    small = jnp.einsum('cyi,ijc,cxj->yxc', down[1], image, down[0])
    if spec.sharpening:
      kernel = blur_matrix(grid, jnp.float32(1.0))
      soft = jnp.einsum('yi,ijc,xj->yxc', kernel, small, kernel)
      small = small + spec.sharpening * jax.random.uniform(k_sharp) ** 2 * (small - soft)
    if spec.noise[1]:
      small = photo.noise(k_noise, small, spec.noise)
    small = jnp.clip(small, 0.0, 1.0)
    if spec.jpeg:
      k_is, k_quality = jax.random.split(k_jpeg)
      coded = jpeg(small, uniform(k_quality, (), spec.jpeg_quality))
      small = jnp.where(jax.random.uniform(k_is) < spec.jpeg, coded, small)
    up = [_enlarge(size, grid, pixels[axis], offset[axis]) for axis in (0, 1)]
    return jnp.clip(jnp.einsum('yi,ijc,xj->yxc', up[1], small, up[0]), 0.0, 1.0)


def _tone(key, image, spec):
  k_gamma, k_haze, k_level = jax.random.split(key, 3)
  gamma = jnp.exp(uniform(k_gamma, (), tuple(map(math.log, spec.gamma))))
  image = jnp.clip(image, 1e-4, 1.0) ** gamma
  lost = spec.haze * jax.random.uniform(k_haze)
  return image * (1 - lost) + lost * jax.random.uniform(k_level)


def _lens(key, size, grid, pixels, offset, spec):
  """float32[2, 3, grid, S]: blur and sampling of columns (0) and rows (1), for each colour."""
  k_blur, k_smear, k_axis, k_fringe = jax.random.split(key, 4)
  sigma = jnp.full(2, uniform(k_blur, (), spec.blur_px))
  is_smeared = jax.random.uniform(k_smear) < spec.smear
  sigma = jnp.where(is_smeared & (jnp.arange(2) == jax.random.bernoulli(k_axis)), 0.3 * sigma, sigma)
  fringe = plus_minus(k_fringe, (2, 2), spec.fringe_px)  # of red and blue
  fringe = jnp.stack([fringe[0], jnp.zeros(2), fringe[1]])  # [3, 2]
  pitch = size / pixels  # [2], canvas pixels a pixel of the photo

  def sampled(axis, colour):
    centres = (jnp.arange(grid) + 0.5 - offset[axis] + fringe[colour, axis]) * pitch[axis] - 0.5
    at = jnp.clip(centres, 0.0, size - 1.0)[:, None] - jnp.arange(size)[None]  # [grid, S]
    # A sensor's pixel sums over its own width, here by a Gaussian of that deviation (1 / sqrt(12)), and half a pixel
    # of the canvas.
    deviation = jnp.sqrt((sigma[axis] ** 2 + 1 / 12) * pitch[axis] ** 2 + 0.02)
    weights = jnp.exp(-0.5 * (at / deviation) ** 2)
    return weights / jnp.maximum(jnp.sum(weights, 1, keepdims=True), 1e-9)

  return jnp.stack([jnp.stack([sampled(axis, colour) for colour in range(3)]) for axis in (0, 1)])


def _enlarge(size, grid, pixels, offset):
  """float32[S, grid]: linear interpolation between the photo's pixels."""
  at = (jnp.arange(size) + 0.5) * pixels / size + offset - 0.5
  return jnp.maximum(1 - jnp.abs(at[:, None] - jnp.arange(grid)[None]), 0.0)


def jpeg(image: jax.Array, quality: jax.Array) -> jax.Array:
  """What JPEG at a quality of 1 to 100 leaves of an image float32[H, W, 3] in [0, 1]; H and W are multiples of 8.

  The tables of ITU-T T.81, annex K, scaled as libjpeg does; chroma is averaged over 2 x 2 pixels, and coded at the full
  size (its blocks are thus half as large as JPEG's).
  """
  height, width, _ = image.shape
  scale = jnp.where(quality < 50, 50 / jnp.maximum(quality, 1.0), 2 - quality / 50)
  tables = jnp.clip(jnp.round(_TABLES * scale), 1, 255)  # [3, 8, 8]
  planes = jnp.einsum('kc,yxc->kyx', _YCC, image) * 255 - np.float32([128, 0, 0])[:, None, None]
  halves = planes[1:].reshape(2, height // 2, 2, width // 2, 2).mean((2, 4))
  planes = jnp.concatenate([planes[:1], jnp.repeat(jnp.repeat(halves, 2, 1), 2, 2)])
  waves = (np.arange(BLOCK)[None] + 0.5) * np.arange(BLOCK)[:, None] * math.pi / BLOCK  # [frequency, place]
  basis = (np.cos(waves) * np.where(np.arange(BLOCK) > 0, 0.5, math.sqrt(1 / 8))[:, None]).astype(np.float32)
  blocks = planes.reshape(3, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
  coefficients = jnp.einsum('uy,kaybx,vx->kabuv', basis, blocks, basis)
  tables = tables[:, None, None]
  coefficients = jnp.round(coefficients / tables) * tables
  planes = jnp.einsum('uy,kabuv,vx->kaybx', basis, coefficients, basis).reshape(3, height, width)
  planes = planes + np.float32([128, 0, 0])[:, None, None]
  return jnp.clip(jnp.einsum('ck,kyx->yxc', np.linalg.inv(_YCC), planes) / 255, 0.0, 1.0)
