"""What happens to the crop of a photo before it is trained on: random convolution, window, colours, blur, noise.

Pure and written for one example, on the device. A spec with its defaults cuts out the centre, for evaluation.
"""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.conventions import LUMA
from digits_jax.errors import InputError
from digits_jax.synth import photo
from digits_jax.synth.draw import check_between, check_ranges, plus_minus, uniform

# From RGB to luma and two axes of colour (YIQ), in which a turn changes the hue.
_YIQ = np.array([LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])
# A turn there, as a map of RGB: one matrix plus cos times another plus sin times a third.
_LUMA_KEPT, _CHROMA_KEPT, _CHROMA_CROSSED = (
  (np.linalg.inv(_YIQ) @ np.array(turn) @ _YIQ).astype(np.float32)
  for turn in ([[1, 0, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, -1], [0, 1, 0]])
)


@dataclasses.dataclass(frozen=True)
class AugmentSpec:
  """Ranges of the augmentation; every field is a static Python value."""

  size: int = 54  # pixels, both sides of what is trained on
  window: tuple[float, float] = (0.84375, 0.84375)  # side of the window as a share of the image's; 54 of 64 pixels
  aspect: tuple[float, float] = (1.0, 1.0)  # the window's width by its height, drawn by its logarithm
  spread: float = 0.0  # 1 any place that fits, 0 centred
  convolution: float = 0.0  # share of images
  convolution_px: int = 3  # the largest kernel; 1, 3, ... are as frequent
  brightness: float = 0.0  # factor 1 +- this
  contrast: float = 0.0  # factor 1 +- this, about the mean grey
  saturation: float = 0.0  # factor 1 +- this, about each pixel's grey
  hue: float = 0.0  # +- this, in turns; 0.5 is any hue
  blur_px: tuple[float, float] = (0.0, 0.0)  # standard deviation
  noise: tuple[float, float] = (0.0, 0.0)  # standard deviation of each pixel and colour

  def __post_init__(self):
    check_ranges(self, 'augment', ('window', 'aspect', 'blur_px', 'noise'))
    check_between(self, 'augment', 0, 1, ('window', 'spread', 'convolution', 'brightness', 'contrast', 'saturation'))
    check_between(self, 'augment', 0, 0.5, ('hue',))
    if min(self.window[0], self.aspect[0]) <= 0 or min(self.blur_px[0], self.noise[0]) < 0 or self.size < 1:
      raise InputError('augment: window, aspect and size must be above 0, blur_px and noise at least 0')
    if self.convolution_px < 1 or self.convolution_px % 2 == 0:
      raise InputError(f'augment.convolution_px: {self.convolution_px} is not an odd number of pixels')


def augment(key: jax.Array, image: jax.Array, boxes: jax.Array, spec: AugmentSpec) -> tuple[jax.Array, jax.Array]:
  """What is trained on, float32[size, size, 3] in [0, 1], and its boxes.

  Args:
    key: one key.
    image: float32[H, W, 3] in [0, 1].
    boxes: float32[N, 4] of the digits; zeros, the padding, stay zeros.
    spec: the ranges; static.
  """
  k_convolution, k_window, k_colour, k_blur, k_noise = jax.random.split(key, 5)
  if spec.convolution:
    image = random_convolution(k_convolution, image, spec)
  image, boxes = cut(k_window, image, boxes, spec)
  image = jitter_colours(k_colour, image, spec)
  if spec.blur_px[1]:
    sigma, radius = uniform(k_blur, (), spec.blur_px), math.ceil(2.5 * spec.blur_px[1])
    image = jax.vmap(lambda channel: photo.blur(channel, sigma, radius), 2, 2)(image)
  if spec.noise[1]:
    image = photo.noise(k_noise, image, spec.noise)
  return jnp.clip(image, 0.0, 1.0), boxes


def cut(key: jax.Array, image: jax.Array, boxes: jax.Array, spec: AugmentSpec) -> tuple[jax.Array, jax.Array]:
  """A window of the image, resized to spec.size, and the boxes in it, cut at its edges.

  A window that needs no resizing stands on whole pixels, so that its pixels are the image's own.
  """
  k_side, k_aspect, k_place = jax.random.split(key, 3)
  shape = jnp.array(image.shape[:2], jnp.float32)  # (y, x)
  root = jnp.exp(0.5 * uniform(k_aspect, (), tuple(math.log(ratio) for ratio in spec.aspect)))
  sides = jnp.minimum(uniform(k_side, (), spec.window) * shape * jnp.stack([1 / root, root]), shape)
  room, shift = shape - sides, plus_minus(k_place, (2,), 0.5 * spec.spread)
  low = room * (0.5 + shift)
  is_copy = spec.window[0] == spec.window[1] and spec.aspect == (1.0, 1.0)
  if is_copy and all(round(side * spec.window[0], 4) == spec.size for side in image.shape[:2]):
    low = jnp.clip(jnp.round(0.5 * room + shift * (room + 1)), 0.0, room)  # all places as often, the outer ones too
  scale = spec.size / sides
  with jax.default_matmul_precision('highest'):
    window = jax.image.scale_and_translate(
      image, (spec.size, spec.size, image.shape[2]), (0, 1), scale, -low * scale, method='linear'
    )
  moved = (boxes - jnp.tile(low[::-1], 2)[None]) * jnp.tile(scale[::-1], 2)[None]
  return window, jnp.clip(moved, 0.0, spec.size)


def random_convolution(key: jax.Array, image: jax.Array, spec: AugmentSpec) -> jax.Array:
  """A share of images mixed with what a random kernel makes of them: other textures and colours, the same shapes.

  After Xu et al., Robust and Generalizable Visual Representation Learning via Random Convolutions (2021), mixed; but
  the convolved image is given the mean and the deviation of the image, so that it stays in the range of images.
  """
  k_share, k_size, k_kernel, k_mix = jax.random.split(key, 4)
  reach, channels, (height, width) = spec.convolution_px // 2, image.shape[2], image.shape[:2]
  offsets = jnp.arange(-reach, reach + 1)
  distance = jnp.maximum(jnp.abs(offsets)[:, None], jnp.abs(offsets)[None])
  kernel = jax.random.normal(k_kernel, (*distance.shape, channels, channels))
  kernel = jnp.where((distance <= jax.random.randint(k_size, (), 0, reach + 1))[:, :, None, None], kernel, 0.0)
  padded = jnp.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode='edge')
  taps = list(itertools.product(range(spec.convolution_px), range(spec.convolution_px), range(channels)))
  # One sum a channel, which XLA fuses: under vmap on a CPU a convolution with a kernel each takes 8 times as long.
  # Loops over channels, lest XLA compute the sums again for each use, and the result for each of the colours'.
  convolve = lambda kernel: sum(padded[i : i + height, j : j + width, c] * kernel[i, j, c] for i, j, c in taps)
  made = jax.lax.map(convolve, jnp.moveaxis(kernel, 3, 0))  # [3, H, W]
  gain = jnp.std(image) / jnp.maximum(jnp.std(made), 1e-6)
  offset = jnp.mean(image) - jnp.mean(made) * gain
  share = jnp.where(jax.random.uniform(k_share) < spec.convolution, jax.random.uniform(k_mix), 0.0)
  mix = lambda pair: jnp.clip((1 - share) * pair[0] + share * (pair[1] * gain + offset), 0.0, 1.0)
  return jnp.moveaxis(jax.lax.map(mix, (jnp.moveaxis(image, 2, 0), made)), 0, 2)


def jitter_colours(key: jax.Array, image: jax.Array, spec: AugmentSpec) -> jax.Array:
  """Brightness, contrast, saturation, then hue of image float32[H, W, 3]; what leaves [0, 1] is clipped after each."""
  k_brightness, k_contrast, k_saturation, k_hue = jax.random.split(key, 4)
  grey = lambda image: _mix(image, (LUMA,))
  factor = lambda key, limit: 1 + plus_minus(key, (), limit)
  blend = lambda one, other, share: jnp.clip(other + share * (one - other), 0.0, 1.0)
  if spec.brightness:
    image = blend(image, jnp.zeros_like(image), factor(k_brightness, spec.brightness))
  if spec.contrast:
    image = blend(image, jnp.mean(grey(image)), factor(k_contrast, spec.contrast))
  if spec.saturation:
    image = blend(image, grey(image), factor(k_saturation, spec.saturation))
  if spec.hue:
    angle = 2 * math.pi * plus_minus(k_hue, (), spec.hue)
    turn = _LUMA_KEPT + jnp.cos(angle) * _CHROMA_KEPT + jnp.sin(angle) * _CHROMA_CROSSED
    image = jnp.clip(_mix(image, turn), 0.0, 1.0)
  return image


def _mix(image, rows):
  """float32[H, W, len(rows)]: each channel the sum of the image's, weighted by a row of numbers."""
  return jnp.stack([sum(row[c] * image[:, :, c] for c in range(image.shape[2])) for row in rows], 2)
