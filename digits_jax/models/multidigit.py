"""One softmax for the length of a number and one for the symbol at each position, over a shared trunk.

After Goodfellow, Bulatov, Ibarz, Arnoud and Shet 2013, "Multi-digit Number Recognition from Street View Imagery using
Deep Convolutional Neural Networks", with GroupNorm for subtractive normalisation, shared kernels in every layer and
dropout before dense layers alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from digits_jax.errors import InputError
from digits_jax.models import layers


class Heads(NamedTuple):
  """Unnormalised, of N positions and A symbols; independent of each other given the image."""

  lengths: jax.Array  # float32[B, N + 1], for 0 to N symbols
  symbols: jax.Array  # float32[B, N, A], symbol a of the alphabet is logit a


class MultiDigit(nn.Module):
  """images float32[B, H, W, C] in [0, 1] -> Heads.

  Aligned, symbol i stands in the i-th of `positions` equal strips of the canvas, from the left: the same dense layers
  and softmax read each strip alone, so that one image trains them N times. Otherwise the dense layers see the whole
  canvas, and each position has output weights of its own. Raises InputError where the columns that the trunk leaves do
  not divide into the positions.

  With keys key[B], in training, a share `dropout` of the features is dropped before each dense layer.
  """

  symbols: int
  positions: int
  patch: tuple[int, int]
  widths: Sequence[int]
  pools: Sequence[tuple[int, int]]
  groups: int
  kernel: int
  maxout: int
  dense_features: Sequence[int]
  dtype: jnp.dtype
  dropout: float = 0.0
  is_standardised: bool = True
  is_aligned: bool = False

  @nn.compact
  def __call__(self, images, keys=None):
    trunk = (self.patch, self.widths, self.pools, self.groups, self.dtype, self.is_standardised)
    x = layers.Trunk(*trunk, self.kernel, self.maxout, name='trunk')(images)
    drop = layers.Dropout(self.dropout, keys)
    strips = self.positions if self.is_aligned else 1
    x = layers.dense_stack(strips_of(x, strips), self.dense_features, self.dtype, drop)  # [B, strips, G]
    lengths = layers.Dense(self.positions + 1, jnp.float32, name='lengths')(x.reshape(x.shape[0], -1))
    symbols = layers.Dense(self.positions // strips * self.symbols, jnp.float32, name='symbols')(x)
    return Heads(lengths, symbols.reshape(-1, self.positions, self.symbols))


def strips_of(x: jax.Array, strips: int) -> jax.Array:
  """[B, H, W, F] -> [B, strips, H*W/strips*F], from the left; raises InputError where they do not divide W."""
  batch, height, width, features = x.shape
  if width % strips:
    raise InputError(
      f'{width} columns of features cannot be shared out to {strips} positions: change model.patch or model.pools, or '
      'leave out model.is_aligned'
    )
  x = x.reshape(batch, height, strips, width // strips, features)
  return x.transpose(0, 2, 1, 3, 4).reshape(batch, strips, -1)
