"""The shared trunk and its parts: patches, convolution blocks with GroupNorm, pooling; dense layers, dropout.

Assumes images float32[B, H, W, C] in [0, 1]. Norms and softmaxes run in float32 whatever the compute dtype.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from digits_jax.errors import InputError


def standardise(images: jax.Array) -> jax.Array:
  """Each channel of each image float[B, H, W, C] with mean 0 and deviation 1; a blank one becomes zeros.

  Takes brightness, contrast and the light's colour out of what must be learnt (instance normalisation), and keeps the
  paper near 0, so that the first GroupNorm sees ink, not paper.
  """
  mean = jnp.mean(images, (1, 2), keepdims=True)
  deviation = jnp.std(images, (1, 2), keepdims=True)
  return (images - mean) / jnp.maximum(deviation, 1e-3)


def space_to_depth(x: jax.Array, patch: tuple[int, int]) -> jax.Array:
  """[B, H, W, C] -> [B, H/p, W/q, p*q*C]: each p x q patch becomes one position, without a full-size convolution.

  A first convolution over one channel at full resolution costs more than all that follows on a CPU.
  """
  batch, height, width, channels = x.shape
  p, q = patch
  if height % p or width % q:
    raise InputError(f'a canvas of {height}x{width} cannot be cut into patches of {p}x{q}: change model.patch')
  x = x.reshape(batch, height // p, p, width // q, q, channels)
  return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // p, width // q, p * q * channels)


class GroupNorm(nn.Module):
  """GroupNorm (Wu and He 2018) as what it does to each channel: x -> gain * x + offset.

  [B, H, W, C] -> (gain, offset), both float32[B, C]. Where it is applied it costs one multiplication and one addition,
  in the same pass as what follows.
  """

  groups: int
  epsilon: float = 1e-6

  @nn.compact
  def __call__(self, x):
    batch, height, width, channels = x.shape
    scale = self.param('scale', nn.initializers.ones, (channels,), jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, (channels,), jnp.float32)
    count = height * width * (channels // self.groups)
    by_group = lambda sums: sums.reshape(batch, self.groups, -1).sum(-1) / count
    to_channels = lambda values: jnp.repeat(values, channels // self.groups, 1)
    mean, mean_square = by_group(sum_positions(x)), by_group(sum_positions(jnp.square(x.astype(jnp.float32))))
    variance = jnp.maximum(mean_square - jnp.square(mean), 0)
    gain = to_channels(jax.lax.rsqrt(variance + self.epsilon)) * scale[None]
    return gain, bias[None] - to_channels(mean) * gain


def sum_positions(x: jax.Array) -> jax.Array:
  """[B, H, W, C] -> float32[B, C]. On a CPU a product with ones, there up to twice as fast as a sum."""
  batch, height, width, channels = x.shape
  if jax.default_backend() != 'cpu':
    return x.sum((1, 2), dtype=jnp.float32)
  ones = jnp.ones((batch, height * width), x.dtype)
  return jnp.einsum('bp,bpc->bc', ones, x.reshape(batch, -1, channels), preferred_element_type=jnp.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def affine_pool(
  x: jax.Array, gain: jax.Array, offset: jax.Array, window: tuple[int, int], maxout: int = 1
) -> jax.Array:
  """Max-pooling of relu(gain * x + offset), or of maxout units: [B, H, W, F * maxout] -> [B, H/p, W/q, F].

  With maxout above 1 there is no relu, and each feature is the largest of so many neighbouring channels. Source:
  Goodfellow et al, "Maxout networks", ICML 2013.

  The gradient is written out. XLA's CPU backend makes a pass over x of every step of the derived one (a training step
  with full-size features: 1.2 times slower). And the derived gradient of a maximum looks for what is equal to it among
  values that XLA computes a second time, perhaps rounded otherwise (a multiply-add fused there, not here): it then lost
  30% of the gradient of maxout units, or divided by a count of 0. Where several of a window are the largest, each gets
  the gradient.

  Args:
    x: float[B, H, W, C].
    gain, offset: float32[B, C].
    window: (p, q), which must divide H and W; InputError where it does not.
    maxout: how many channels make a feature; it divides C.
  """
  pooled = _activations(windows_of(x, window), gain, offset, maxout).max((2, 4))
  # By reshape and max: reduce_window and its gradient are slow on a CPU.
  return pooled if maxout == 1 else pooled.reshape(*pooled.shape[:3], -1, maxout).max(4)


def _activations(windows, gain, offset, maxout):
  """[B, H/p, p, W/q, q, C], of the same dtype."""
  wide = lambda values: values[:, None, None, None, None]
  scaled = windows * wide(gain) + wide(offset)
  return (nn.relu(scaled) if maxout == 1 else scaled).astype(windows.dtype)


def _affine_pool_forward(x, gain, offset, window, maxout):
  pooled = affine_pool(x, gain, offset, window, maxout)
  return pooled, (x, gain, offset, pooled)


def _affine_pool_backward(window, maxout, residual, d_pooled):
  x, gain, offset, pooled = residual
  windows = windows_of(x, window)
  if maxout > 1:
    pooled, d_pooled = jnp.repeat(pooled, maxout, 3), jnp.repeat(d_pooled, maxout, 3)
  spread = lambda values: values[:, :, None, :, None]  # [B, H/p, 1, W/q, 1, C]
  is_kept = _activations(windows, gain, offset, maxout) == spread(pooled)
  if maxout == 1:
    is_kept &= spread(pooled) > 0
  d_affine = jnp.where(is_kept, spread(d_pooled), 0).reshape(x.shape)  # of gain * x + offset
  d_x = (d_affine * gain[:, None, None]).astype(x.dtype)
  return d_x, sum_positions(d_affine * x), sum_positions(d_affine)


affine_pool.defvjp(_affine_pool_forward, _affine_pool_backward)


def windows_of(x: jax.Array, window: tuple[int, int]) -> jax.Array:
  """[B, H, W, C] -> [B, H/p, p, W/q, q, C]; raises InputError where the window does not divide H and W."""
  batch, height, width, channels = x.shape
  p, q = window
  if height % p or width % q:
    raise InputError(f'features of {height}x{width} cannot be pooled by {p}x{q}: change model.pools')
  return x.reshape(batch, height // p, p, width // q, q, channels)


class ConvBlock(nn.Module):
  """Convolution, GroupNorm, relu, max-pooling: [B, H, W, C] -> [B, H/p, W/q, features].

  With maxout above 1 each feature is the largest of so many convolutions, without relu.
  """

  features: int
  kernel: int
  maxout: int
  groups: int
  pool: tuple[int, int]
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x):
    x = nn.Conv(self.features * self.maxout, (self.kernel, self.kernel), use_bias=False, dtype=self.dtype)(x)
    gain, offset = GroupNorm(self.groups)(x)
    return affine_pool(x, gain, offset, tuple(self.pool), self.maxout)


class Trunk(nn.Module):
  """Images standardised, cut into patches, then blocks of convolution and pooling.

  float32[B, H, W, C] in [0, 1] -> dtype[B, H', W', widths[-1]].

  Every model has one under the name 'trunk'; maxout is of the first block alone.
  """

  patch: tuple[int, int]
  widths: Sequence[int]
  pools: Sequence[tuple[int, int]]
  groups: int
  dtype: jnp.dtype
  is_standardised: bool = True
  kernel: int = 3
  maxout: int = 1

  @nn.compact
  def __call__(self, images):
    if len(self.widths) != len(self.pools):
      raise InputError(f'model.widths {self.widths} and model.pools {self.pools} must name the same blocks')
    for name, pairs in ('patch', [self.patch]), ('pools', self.pools):
      if not all(isinstance(pair, Sequence) and len(pair) == 2 for pair in pairs):
        raise InputError(f'model.{name} takes pairs (down, across), not {getattr(self, name)}')
    for width in self.widths:
      if width % self.groups:
        raise InputError(f'model.widths: {width} features cannot be normalised in {self.groups} model.groups')
    x = standardise(images) if self.is_standardised else images
    x = space_to_depth(x, self.patch).astype(self.dtype)
    for i, (width, pool) in enumerate(zip(self.widths, self.pools, strict=True)):
      x = ConvBlock(width, self.kernel, self.maxout if i == 0 else 1, self.groups, pool, self.dtype)(x)
    return x


class Dropout:
  """Dropout (Srivastava et al. 2014): features become 0 with probability `rate`, the others are divided by 1 - rate.

  For one pass through a model; each call draws anew. flax's draws one mask for a whole batch, this one a mask for each
  image from a key of its own, so that it does not matter how devices share a batch.

  rate: in [0, 1).
  keys: key[B]; None, when reading, drops nothing.
  """

  def __init__(self, rate: float, keys: jax.Array | None):
    self._rate = rate
    self._keys = keys
    self._calls = 0

  def __call__(self, x: jax.Array, axis: int = 0) -> jax.Array:
    """float[..., B, ...] -> the same shape; axis is that of B."""
    if self._keys is None or not self._rate:
      return x
    self._calls += 1
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    draw = lambda key: jax.random.bernoulli(jax.random.fold_in(key, self._calls), 1 - self._rate, shape)
    is_kept = jax.vmap(draw, out_axes=axis)(self._keys)
    return jnp.where(is_kept, x / (1 - self._rate), 0).astype(x.dtype)


def dense_stack(x: jax.Array, features: Sequence[int], dtype: jnp.dtype, drop: Dropout) -> jax.Array:
  """Dense layers with relu, `dense_0`, ... of the module that calls it: [B, ..., F] -> [B, ..., features[-1]].

  Features are dropped before each of them, and behind the last.
  """
  x = drop(x)
  for i, width in enumerate(features):
    x = drop(nn.relu(Dense(width, dtype, name=f'dense_{i}')(x)))
  return x


class Dense(nn.Module):
  """x @ kernel + bias: [..., F] -> [..., features], parameters as `flax.linen.Dense` has them."""

  features: int
  dtype: jnp.dtype
  bias_init: nn.initializers.Initializer = nn.initializers.zeros

  @nn.compact
  def __call__(self, x):
    kernel = self.param('kernel', nn.initializers.lecun_normal(), (x.shape[-1], self.features), jnp.float32)
    bias = self.param('bias', self.bias_init, (self.features,), jnp.float32)
    rows = x.reshape(-1, x.shape[-1]).astype(self.dtype)
    return affine(rows, kernel.astype(self.dtype), bias.astype(self.dtype)).reshape(*x.shape[:-1], self.features)


@jax.custom_vjp
def affine(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
  """x [N, F] @ kernel [F, G] + bias [G].

  The gradient of the bias is a product with ones: XLA's CPU backend sums rows slower than it multiplies (the gradient
  of a layer of 768 features over 2,048 rows: 8 ms with the derived sum, 4 ms with the product; 2 cores of an AMD EPYC).
  """
  return x @ kernel + bias[None]


def _affine_forward(x, kernel, bias):
  return affine(x, kernel, bias), (x, kernel)


def _affine_backward(residual, d_out):
  x, kernel = residual
  return d_out @ kernel.T, x.T @ d_out, sum_positions(d_out[None, None])[0].astype(d_out.dtype)


affine.defvjp(_affine_forward, _affine_backward)
