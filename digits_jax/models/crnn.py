"""CRNN: a convolutional trunk, frames from its columns, recurrence, a class for each frame.

After Shi, Bai and Yao 2015, "An End-to-End Trainable Neural Network for Image-based Sequence Recognition", with
patches for the first convolutions and GroupNorm for BatchNorm.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from digits_jax.alphabet import BLANK
from digits_jax.errors import check_name
from digits_jax.models import layers, recurrence

RECURRENTS = ('lstm', 'gru', 'none')


class CRNN(nn.Module):
  """images float32[B, H, W, C] in [0, 1] -> logits float32[B, T, K], unnormalised; T = W / horizontal strides.

  With keys key[B], in training, a share `dropout` of the features is dropped before `frames` and before `head`.
  """

  classes: int
  patch: tuple[int, int]
  widths: Sequence[int]
  pools: Sequence[tuple[int, int]]
  groups: int
  frame_features: int
  recurrent: str
  recurrent_features: int
  recurrent_layers: int
  is_bidirectional: bool
  dtype: jnp.dtype
  dropout: float = 0.0
  is_standardised: bool = True

  @nn.compact
  def __call__(self, images, keys=None):
    check_name('model.recurrent', self.recurrent, RECURRENTS)
    trunk = (self.patch, self.widths, self.pools, self.groups, self.dtype, self.is_standardised)
    x = layers.Trunk(*trunk, name='trunk')(images)
    batch, height, frames, features = x.shape
    drop = layers.Dropout(self.dropout, keys)
    x = x.transpose(2, 0, 1, 3).reshape(frames, batch, height * features)  # [T, B, H'*F]
    x = nn.relu(layers.Dense(self.frame_features, self.dtype, name='frames')(drop(x, axis=1)))
    if self.recurrent != 'none':
      for i in range(self.recurrent_layers):
        x = recurrence.Recurrent(
          self.recurrent, self.recurrent_features, self.is_bidirectional, self.dtype, name=f'recurrent_{i}'
        )(x)
    x = layers.Dense(self.classes, jnp.float32, _mostly_blank, name='head')(drop(x, axis=1))
    return x.transpose(1, 0, 2)  # [B, T, K]


def _mostly_blank(key, shape, dtype=jnp.float32):
  """Initial bias of a head that reads mostly blanks: CTC goes there first anyway, which takes some 50 steps."""
  del key
  return jnp.zeros(shape, dtype).at[BLANK].set(2.0)
