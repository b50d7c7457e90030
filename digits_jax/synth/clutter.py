"""What stands around the digits: soft blobs."""

import dataclasses

import jax
import jax.numpy as jnp

from digits_jax.errors import InputError
from digits_jax.synth.draw import check_between, check_ranges, uniform


@dataclasses.dataclass(frozen=True)
class ClutterSpec:
  """Ranges of the clutter; every field is a static Python value."""

  blobs: int  # at most this many an image, 0 to this uniformly
  blob_px: tuple[float, float]  # standard deviation of a blob along each axis, pixels
  blob_ink: tuple[float, float]  # ink at a blob's centre, in [0, 1]

  def __post_init__(self):
    check_ranges(self, 'synth.clutter', ('blob_px', 'blob_ink'))
    check_between(self, 'synth.clutter', 0, 1, ('blob_ink',))
    if self.blobs < 0 or self.blob_px[0] <= 0:
      raise InputError('synth.clutter: blobs must be at least 0 and blob_px above 0')


def blobs(key: jax.Array, ink: jax.Array, spec: ClutterSpec) -> jax.Array:
  """Ink float32[H, W] in [0, 1] with up to spec.blobs Gaussian blobs over it."""
  if not spec.blobs:
    return ink
  height, width = ink.shape
  k_count, k_x, k_y, k_size, k_ink = jax.random.split(key, 5)
  count = jax.random.randint(k_count, (), 0, spec.blobs + 1)
  x = jax.random.uniform(k_x, (spec.blobs, 1), maxval=width)
  y = jax.random.uniform(k_y, (spec.blobs, 1), maxval=height)
  size = uniform(k_size, (spec.blobs, 2), spec.blob_px)
  peak = jnp.where(jnp.arange(spec.blobs) < count, uniform(k_ink, (spec.blobs,), spec.blob_ink), 0.0)
  across = jnp.exp(-0.5 * ((jnp.arange(width)[None] + 0.5 - x) / size[:, :1]) ** 2)  # [blobs, W]
  down = jnp.exp(-0.5 * ((jnp.arange(height)[None] + 0.5 - y) / size[:, 1:]) ** 2) * peak[:, None]  # [blobs, H]
  return jnp.maximum(ink, jnp.max(down[:, :, None] * across[:, None, :], axis=0))
