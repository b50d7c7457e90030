"""A labelled image -> another photo of the same number: moved and turned a little, exposed anew.

Pure and written for one example, on the device. The ranges are those of whole numbers in WarpSpec, and PhotoSpec.
"""

import jax
import jax.numpy as jnp

from digits_jax.errors import InputError
from digits_jax.synth import photo, warp
from digits_jax.synth.clutter import ClutterSpec, blobs

# Of single digits: their ranges must be these, for here no digit stands by itself.
STILL = {
  'scale': (1.0, 1.0),
  'rotation_degrees': 0.0,
  'slant_degrees': 0.0,
  'slant_jitter_degrees': 0.0,
  'elastic_px': 0.0,
  'stroke_frac': (0.0, 0.0),
}


def check(warp_spec: warp.WarpSpec, photo_spec: photo.PhotoSpec) -> None:
  """Raises InputError on ranges that whole images cannot have."""
  for name, still in STILL.items():
    value = getattr(warp_spec, name)
    if value != still:
      raise InputError(
        f'config.synth.warp.{name}={value} is for single digits, and here whole images are trained on: leave it at '
        f'{still}; shift_px, zoom, turn_degrees and shear_degrees move an image'
      )
  if photo_spec.inversion >= 1:
    raise InputError('config.synth.photo.inversion=1 would train on no image as it is: it must be below 1')


def jitter(
  key: jax.Array, image: jax.Array, warp_spec: warp.WarpSpec, clutter: ClutterSpec, photo_spec: photo.PhotoSpec
) -> jax.Array:
  """The image float32[H, W] in [0, 1], moved, with blobs, and exposed as if it were ink; ranges of 0 change nothing."""
  k_move, k_clutter, k_photo = jax.random.split(key, 3)
  if warp_spec.shift_px or warp_spec.turn_degrees or warp_spec.shear_degrees or tuple(warp_spec.zoom) != (1.0, 1.0):
    image = move(k_move, image, warp_spec)
  return photo.expose(k_photo, blobs(k_clutter, image, clutter), photo_spec)


def move(key: jax.Array, image: jax.Array, warp_spec: warp.WarpSpec) -> jax.Array:
  """The image float32[H, W] after the number's map, about its middle; beyond its edges it goes on as they are."""
  linear, shift = warp.draw_number_map(key, warp_spec)
  height, width = image.shape
  x = jnp.arange(width)[None, :] - (width - 1) / 2 - shift[0]  # [1, W]
  y = jnp.arange(height)[:, None] - (height - 1) / 2 - shift[1]  # [H, 1]
  from_x, from_y = warp.apply(warp.invert(linear), x, y)  # [H, W]
  from_x, from_y = from_x + (width - 1) / 2, from_y + (height - 1) / 2
  return warp.bilinear(image, jnp.clip(from_x, 0, width - 1), jnp.clip(from_y, 0, height - 1))
