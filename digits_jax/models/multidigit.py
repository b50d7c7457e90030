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

from digits_jax.models import layers


class Heads(NamedTuple):
  """Unnormalised, of N positions and A symbols; independent of each other given the image."""

  lengths: jax.Array  # float32[B, N + 1], for 0 to N symbols
  symbols: jax.Array  # float32[B, N, A], symbol a of the alphabet is logit a


class MultiDigit(nn.Module):
  """images float32[B, H, W, C] in [0, 1] -> Heads.

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

  @nn.compact
  def __call__(self, images, keys=None):
    x = layers.standardise(images)
    trunk = (self.patch, self.widths, self.pools, self.groups, self.dtype, self.kernel, self.maxout)
    x = layers.Trunk(*trunk, name='trunk')(x)
    drop = layers.Dropout(self.dropout, keys)
    x = layers.dense_stack(x.reshape(x.shape[0], -1), self.dense_features, self.dtype, drop)  # of [B, H'*W'*F]
    lengths = layers.Dense(self.positions + 1, jnp.float32, name='lengths')(x)
    symbols = layers.Dense(self.positions * self.symbols, jnp.float32, name='symbols')(x)
    return Heads(lengths, symbols.reshape(-1, self.positions, self.symbols))
