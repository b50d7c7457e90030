"""A classifier of single symbols: the shared trunk, dense layers over all that it leaves, a logit for each symbol."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from digits_jax.models import layers


class Digit(nn.Module):
  """images float32[B, H, W, C] in [0, 1] -> logits float32[B, A], unnormalised; symbol a of the alphabet is logit a.

  The trunk is the CRNN's, under the same name: with the same patch, widths and groups its parameters fit there.
  With keys key[B], in training, a share `dropout` of the features is dropped before each dense layer.
  """

  symbols: int
  patch: tuple[int, int]
  widths: Sequence[int]
  pools: Sequence[tuple[int, int]]
  groups: int
  dense_features: Sequence[int]
  dtype: jnp.dtype
  dropout: float = 0.0
  is_standardised: bool = True

  @nn.compact
  def __call__(self, images, keys=None):
    trunk = (self.patch, self.widths, self.pools, self.groups, self.dtype, self.is_standardised)
    x = layers.Trunk(*trunk, name='trunk')(images)
    drop = layers.Dropout(self.dropout, keys)
    x = layers.dense_stack(x.reshape(x.shape[0], -1), self.dense_features, self.dtype, drop)  # of [B, H'*W'*F]
    return layers.Dense(self.symbols, jnp.float32, name='head')(x)
