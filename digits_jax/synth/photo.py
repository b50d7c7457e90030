"""What a camera does to ink: blur, contrast and background level, inversion, noise."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from digits_jax.errors import InputError
from digits_jax.synth.bits import random_bits
from digits_jax.synth.draw import check_between, check_ranges, uniform

# Four bytes, each uniform in 0..255, sum to a nearly normal value (Irwin-Hall) of this mean and deviation.
_BYTES_MEAN = 4 * 127.5
_BYTES_DEVIATION = math.sqrt(4 * (256**2 - 1) / 12)


@dataclasses.dataclass(frozen=True)
class PhotoSpec:
  """Ranges of the imaging; every field is a static Python value, grey levels in [0, 1]."""

  blur_px: tuple[float, float]  # standard deviation of a Gaussian; sampled at pixels, below 0.4 it hardly blurs
  background: tuple[float, float]  # grey of the paper
  contrast: tuple[float, float]  # grey of the ink minus grey of the paper, as far as white goes
  inversion: float  # share of the images with dark ink on bright paper
  noise: tuple[float, float]  # standard deviation of each pixel's noise

  def __post_init__(self):
    check_ranges(self, 'synth.photo', ('blur_px', 'background', 'contrast', 'noise'))
    check_between(self, 'synth.photo', 0, 1, ('background', 'inversion'))
    if self.contrast[0] <= 0:
      raise InputError(f'synth.photo.contrast: {self.contrast} must be above 0, for ink to be brighter than paper')
    if self.background[1] + self.contrast[0] > 1:
      raise InputError(
        f'synth.photo: on paper of {self.background[1]}, the brightest of background, no ink is {self.contrast[0]} '
        'brighter, the least of contrast: lower one of them, so that they sum up to at most 1'
      )
    if min(self.blur_px[0], self.noise[0]) < 0:
      raise InputError('synth.photo: blur_px and noise must be at least 0')


def expose(key: jax.Array, ink: jax.Array, spec: PhotoSpec) -> jax.Array:
  """The photo float32[H, W] in [0, 1] of ink float32[H, W] in [0, 1]."""
  k_blur, k_paper, k_contrast, k_inversion, k_noise = jax.random.split(key, 5)
  if spec.blur_px[1]:
    ink = blur(ink, uniform(k_blur, (), spec.blur_px), radius=math.ceil(2.5 * spec.blur_px[1]))
  paper = uniform(k_paper, (), spec.background)
  image = paper + ink * jnp.minimum(uniform(k_contrast, (), spec.contrast), 1 - paper)
  if spec.inversion:
    image = jnp.where(jax.random.uniform(k_inversion) < spec.inversion, 1 - image, image)
  if spec.noise[1]:
    image = noise(k_noise, image, spec.noise)
  return jnp.clip(image, 0.0, 1.0)


def blur(image: jax.Array, sigma_px: jax.Array, radius: int) -> jax.Array:
  """Gaussian blur of image float32[H, W], edges repeated; sigma 0 changes nothing. `radius` taps on each side."""
  offsets = jnp.arange(-radius, radius + 1)
  taps = jnp.exp(-0.5 * (offsets / jnp.maximum(sigma_px, 1e-3)) ** 2)
  taps = taps / jnp.sum(taps)
  height, width = image.shape
  padded = jnp.pad(image, radius, mode='edge')
  rows = sum(taps[i] * padded[i : i + height] for i in range(2 * radius + 1))
  return sum(taps[i] * rows[:, i : i + width] for i in range(2 * radius + 1))


def noise(key: jax.Array, image: jax.Array, sigma: tuple[float, float]) -> jax.Array:
  """Adds to an image the `grain` of its shape."""
  return image + grain(key, image.shape, sigma)


def grain(key: jax.Array, shape: tuple[int, ...], sigma: tuple[float, float]) -> jax.Array:
  """Noise float32[shape] of a standard deviation drawn from sigma; nearly normal, cut at 3.45 deviations.

  One 32-bit word a pixel, summed by bytes: a fifth of the time of jax.random.normal on a CPU.
  """
  k_sigma, k_bits = jax.random.split(key)
  bits = random_bits(k_bits, shape)
  total = sum((bits >> shift) & 0xFF for shift in (0, 8, 16, 24))
  return uniform(k_sigma, (), sigma) * ((total.astype(jnp.float32) - _BYTES_MEAN) / _BYTES_DEVIATION)
