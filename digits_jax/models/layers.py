"""The shared trunk and its parts: patches, convolution blocks with GroupNorm, pooling, recurrence.

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


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def relu_pool(x: jax.Array, gain: jax.Array, offset: jax.Array, window: tuple[int, int]) -> jax.Array:
  """max-pooling of relu(gain * x + offset): [B, H, W, C] -> [B, H/p, W/q, C].

  Its gradient is written out, because XLA's CPU backend makes a pass over x of every step of the derived one (a
  training step with full-size features: 1.2 times slower). Where several of a window are the largest, each gets the
  gradient.

  Args:
    x: float[B, H, W, C].
    gain, offset: float32[B, C].
    window: (p, q), which must divide H and W; InputError where it does not.
  """
  activations = _activations(windows_of(x, window), gain, offset)
  return activations.max((2, 4))  # by reshape and max: reduce_window and its gradient are slow on a CPU


def _activations(windows, gain, offset):
  """[B, H/p, p, W/q, q, C], of the same dtype."""
  wide = lambda values: values[:, None, None, None, None]
  return nn.relu(windows * wide(gain) + wide(offset)).astype(windows.dtype)


def _relu_pool_forward(x, gain, offset, window):
  pooled = relu_pool(x, gain, offset, window)
  return pooled, (x, gain, offset, pooled)


def _relu_pool_backward(window, residual, d_pooled):
  x, gain, offset, pooled = residual
  batch, height, width, channels = x.shape
  p, q = window
  windows = x.reshape(batch, height // p, p, width // q, q, channels)
  spread = lambda values: values[:, :, None, :, None]  # [B, H/p, 1, W/q, 1, C]
  is_kept = (_activations(windows, gain, offset) == spread(pooled)) & (spread(pooled) > 0)
  d_affine = jnp.where(is_kept, spread(d_pooled), 0).reshape(x.shape)  # of gain * x + offset
  d_x = (d_affine * gain[:, None, None]).astype(x.dtype)
  return d_x, sum_positions(d_affine * x), sum_positions(d_affine)


relu_pool.defvjp(_relu_pool_forward, _relu_pool_backward)


def maxout_pool(x: jax.Array, gain: jax.Array, offset: jax.Array, window: tuple[int, int], pieces: int) -> jax.Array:
  """max-pooling of the largest of each `pieces` neighbouring channels of gain * x + offset.

  [B, H, W, features * pieces] -> [B, H/p, W/q, features]; otherwise as `relu_pool`. Source: Goodfellow et al,
  "Maxout networks", ICML 2013.
  """
  wide = lambda values: values[:, None, None]
  x = (x * wide(gain) + wide(offset)).astype(x.dtype)
  x = x.reshape(*x.shape[:3], -1, pieces).max(4)
  return windows_of(x, window).max((2, 4))


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
    affine, window = GroupNorm(self.groups)(x), tuple(self.pool)
    if self.maxout > 1:
      return maxout_pool(x, *affine, window, self.maxout)
    return relu_pool(x, *affine, window)


class Trunk(nn.Module):
  """Patches, then blocks of convolution and pooling: [B, H, W, C] -> [B, H', W', widths[-1]].

  Every model has one under the name 'trunk'; maxout is of the first block alone.
  """

  patch: tuple[int, int]
  widths: Sequence[int]
  pools: Sequence[tuple[int, int]]
  groups: int
  dtype: jnp.dtype
  kernel: int = 3
  maxout: int = 1

  @nn.compact
  def __call__(self, x):
    if len(self.widths) != len(self.pools):
      raise InputError(f'model.widths {self.widths} and model.pools {self.pools} must name the same blocks')
    for name, pairs in ('patch', [self.patch]), ('pools', self.pools):
      if not all(isinstance(pair, Sequence) and len(pair) == 2 for pair in pairs):
        raise InputError(f'model.{name} takes pairs (down, across), not {getattr(self, name)}')
    for width in self.widths:
      if width % self.groups:
        raise InputError(f'model.widths: {width} features cannot be normalised in {self.groups} model.groups')
    x = space_to_depth(x, self.patch).astype(self.dtype)
    for i, (width, pool) in enumerate(zip(self.widths, self.pools, strict=True)):
      x = ConvBlock(width, self.kernel, self.maxout if i == 0 else 1, self.groups, pool, self.dtype)(x)
    return x


def dense_stack(x: jax.Array, features: Sequence[int], dtype: jnp.dtype) -> jax.Array:
  """Dense layers with relu, `dense_0`, `dense_1`, ... of the module that calls it: [B, F] -> [B, features[-1]]."""
  for i, width in enumerate(features):
    x = nn.relu(nn.Dense(width, dtype=dtype, name=f'dense_{i}')(x))
  return x


class Recurrent(nn.Module):
  """One LSTM or GRU layer over frames: [B, T, F] -> [B, T, features * directions].

  The input projection of all frames is one matrix product outside the scan, and both directions share one scan.
  Gates as in Hochreiter and Schmidhuber 1997 with a forget gate (bias 1), and Cho et al. 2014 (reset after the
  product, as cuDNN has it).
  """

  kind: str
  features: int
  is_bidirectional: bool
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x):
    gates = {'lstm': 4, 'gru': 3}[self.kind]
    directions = 2 if self.is_bidirectional else 1
    shape = (directions, self.features, gates * self.features)
    recurrent = self.param('recurrent', nn.initializers.orthogonal(column_axis=-1), shape, jnp.float32)
    inputs = nn.Dense(directions * shape[-1], dtype=self.dtype, name='input')(x)
    batch, frames = x.shape[:2]
    inputs = inputs.reshape(batch, frames, directions, shape[-1]).transpose(1, 2, 0, 3)  # [T, D, B, gates*F]
    if self.is_bidirectional:
      inputs = jnp.stack([inputs[:, 0], inputs[::-1, 1]], 1)
    state = jnp.zeros((directions, batch, self.features), self.dtype)
    if self.kind == 'lstm':
      outputs = scan_gates(_lstm_step, (state, state), recurrent.astype(self.dtype), (), inputs)
    else:
      bias = self.param('recurrent_bias', nn.initializers.zeros, (directions, 1, shape[-1]), jnp.float32)
      offsets = jnp.broadcast_to(bias.astype(self.dtype), inputs.shape)
      outputs = scan_gates(_gru_step, (state,), recurrent.astype(self.dtype), inputs, offsets)
    if self.is_bidirectional:
      outputs = jnp.concatenate([outputs[:, 0], outputs[::-1, 1]], -1)[:, None]
    return outputs[:, 0].transpose(1, 0, 2)  # [B, T, F*D]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def scan_gates(step, carry, recurrent, inputs, offsets):
  """Hidden states [T, D, B, F] of a recurrence, with the weight gradient taken out of the scan.

  At each frame: gates = hidden @ recurrent + offset; carry = step(carry, input, gates); hidden = carry[0]. The
  gradient of `recurrent` is one product over all frames afterwards, not a sum that every frame adds to.

  Args:
    step: (carry, input, gates) -> carry; static.
    carry: a tuple of [D, B, F], the hidden state first; gets no gradient.
    recurrent: [D, F, gates].
    inputs: a pytree of [T, D, B, ...].
    offsets: [T, D, B, gates].
  """
  return _scan_gates(step, carry, recurrent, inputs, offsets)


def _scan_gates(step, carry, recurrent, inputs, offsets):
  def body(carry, now):
    now, offset = now
    carry = step(carry, now, jnp.einsum('dbf,dfg->dbg', carry[0], recurrent) + offset)
    return carry, carry[0]

  return jax.lax.scan(body, carry, (inputs, offsets))[1]


def _scan_gates_forward(step, carry, recurrent, inputs, offsets):
  run = lambda inputs, offsets: _scan_gates(step, carry, recurrent, inputs, offsets)
  outputs, pull = jax.vjp(run, inputs, offsets)
  return outputs, (carry, recurrent, outputs, pull)


def _scan_gates_backward(step, residual, d_outputs):
  carry, recurrent, outputs, pull = residual
  d_inputs, d_offsets = pull(d_outputs)
  before = jnp.concatenate([carry[0][None], outputs[:-1]])  # the hidden state that each frame's gates saw
  d_recurrent = jnp.einsum('tdbf,tdbg->dfg', before, d_offsets, preferred_element_type=jnp.float32)
  d_recurrent = d_recurrent.astype(recurrent.dtype)
  return jax.tree.map(jnp.zeros_like, carry), d_recurrent, d_inputs, d_offsets


scan_gates.defvjp(_scan_gates_forward, _scan_gates_backward)


def _lstm_step(carry, _, gates):
  _, cell = carry
  update, forget, candidate, output = jnp.split(gates, 4, -1)
  cell = jax.nn.sigmoid(forget + 1) * cell + jax.nn.sigmoid(update) * jnp.tanh(candidate)
  return jax.nn.sigmoid(output) * jnp.tanh(cell), cell


def _gru_step(carry, now, gates):
  (hidden,) = carry
  reset_in, update_in, candidate_in = jnp.split(now, 3, -1)
  reset_h, update_h, candidate_h = jnp.split(gates, 3, -1)
  update = jax.nn.sigmoid(update_in + update_h)
  candidate = jnp.tanh(candidate_in + jax.nn.sigmoid(reset_in + reset_h) * candidate_h)
  return (update * hidden + (1 - update) * candidate,)
