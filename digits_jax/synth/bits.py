"""Random words, as many as an image has pixels: those of jax.random.bits, in a form that compilers fuse."""

import math

import jax
import jax.numpy as jnp
import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))  # of four rounds each, in turns
_PARITY = np.uint32(0x1BD11BDA)  # of the third word of the key


def random_bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """uint32[shape], word for word `jax.random.bits(key, shape, jnp.uint32)`.

  On a CPU jax computes Threefry in a loop over its rounds, which goes through memory five times; written out, it is
  one pass together with what is made of the words: noise on 256 images of 64x128 takes a fifth of the time.
  """
  is_threefry = str(jax.random.key_impl(key)) == 'threefry2x32'
  if not is_threefry or not jax.config.jax_threefry_partitionable:  # words of another generator, or another order
    return jax.random.bits(key, shape, jnp.uint32)
  counts = jax.lax.iota(jnp.uint32, math.prod(shape))
  high, low = threefry2x32(jax.random.key_data(key), jnp.zeros_like(counts), counts)
  return (high ^ low).reshape(shape)


def threefry2x32(key: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Threefry-2x32 with 20 rounds of counters (x, y), uint32 of one shape, under a key uint32[2].

  Source: Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3", section 3.3.
  """
  words = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
  x, y = x + words[0], y + words[1]
  for i in range(5):
    for rotation in _ROTATIONS[i % 2]:
      x = x + y
      y = x ^ ((y << rotation) | (y >> (32 - rotation)))
    x, y = x + words[(i + 1) % 3], y + words[(i + 2) % 3] + np.uint32(i + 1)
  return x, y
