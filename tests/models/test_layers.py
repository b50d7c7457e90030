"""The parts of the trunk against plain loops in NumPy."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.errors import InputError
from digits_jax.models import layers

RNG = np.random.default_rng(0)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_dense_and_its_gradient_against_flax(dtype):
  x = RNG.normal(size=(6, 3, 4)).astype(np.float32)
  params = {'kernel': RNG.normal(size=(4, 5)).astype(np.float32), 'bias': RNG.normal(size=5).astype(np.float32)}
  weights = RNG.normal(size=(6, 3, 5)).astype(np.float32)

  def run(layer, params, x):
    out = layer.apply({'params': params}, x)
    return jnp.sum(out * weights), out

  compute = jax.value_and_grad(run, (1, 2), has_aux=True)
  (_, ours), gradients = compute(layers.Dense(5, dtype), params, x)
  (_, theirs), expected = compute(nn.Dense(5, dtype=dtype), params, x)
  assert ours.dtype == dtype and jax.tree.structure(gradients) == jax.tree.structure(expected)
  tolerance = 1e-5 if dtype == jnp.float32 else 0.1
  np.testing.assert_allclose(ours.astype(np.float32), theirs.astype(np.float32), atol=tolerance)
  jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=tolerance), gradients, expected)
  assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {jnp.dtype('float32')}


def test_space_to_depth():
  x = RNG.normal(size=(2, 6, 8, 3)).astype(np.float32)
  expected = np.zeros((2, 3, 2, 2 * 4 * 3), np.float32)
  for b, i, j, row, column, channel in np.ndindex(2, 3, 2, 2, 4, 3):
    expected[b, i, j, (row * 4 + column) * 3 + channel] = x[b, 2 * i + row, 4 * j + column, channel]
  np.testing.assert_array_equal(layers.space_to_depth(jnp.asarray(x), (2, 4)), expected)


def normalised(x, scale, bias, window):
  """What `GroupNorm` and `affine_pool` are together, by flax and a reshape: [B, H, W, C] -> [B, H/p, W/q, C]."""
  batch, height, width, channels = x.shape
  p, q = window
  x = nn.relu(nn.GroupNorm(2, epsilon=1e-6).apply({'params': {'scale': scale, 'bias': bias}}, x))
  return x.reshape(batch, height // p, p, width // q, q, channels).max((2, 4))


@pytest.mark.parametrize('window', [(3, 2), (2, 1), (1, 1)])
def test_group_norm_and_affine_pool_against_flax(window):
  x = RNG.normal(size=(2, 6, 8, 4)).astype(np.float32) * [1, 2, 3, 4] + [5, 0, -3, 1]
  x = x.astype(np.float32)
  scale, bias = RNG.normal(size=(2, 4)).astype(np.float32)
  weights = RNG.normal(size=(2, 6 // window[0], 8 // window[1], 4)).astype(np.float32)

  def ours(x, scale, bias):
    gain, offset = layers.GroupNorm(2).apply({'params': {'scale': scale, 'bias': bias}}, x)
    return jnp.sum(layers.affine_pool(x, gain, offset, window) * weights)

  theirs = lambda x, scale, bias: jnp.sum(normalised(x, scale, bias, window) * weights)
  found, gradients = jax.value_and_grad(ours, (0, 1, 2))(x, scale, bias)
  expected, expected_gradients = jax.value_and_grad(theirs, (0, 1, 2))(x, scale, bias)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  for one, other in zip(gradients, expected_gradients, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_group_norm_counts_in_float32():
  x = jnp.asarray(RNG.normal(size=(2, 32, 32, 4)) + 3, jnp.bfloat16)
  module = layers.GroupNorm(2)
  found = jax.jit(module.init_with_output)(jax.random.key(0), x)[0]
  expected = jax.jit(module.init_with_output)(jax.random.key(0), x.astype(jnp.float32))[0]
  for one, other in zip(found, expected, strict=True):
    assert one.dtype == jnp.float32
    np.testing.assert_allclose(one, other, rtol=1e-4)


def test_affine_pool_keeps_the_largest_of_each_window():
  x = RNG.normal(size=(2, 6, 8, 3)).astype(np.float32)
  gain, offset = RNG.normal(size=(2, 2, 3)).astype(np.float32)
  expected = np.zeros((2, 2, 4, 3), np.float32)
  for b, i, j, channel in np.ndindex(2, 2, 4, 3):
    window = x[b, 3 * i : 3 * i + 3, 2 * j : 2 * j + 2, channel] * gain[b, channel] + offset[b, channel]
    expected[b, i, j, channel] = max(0, window.max())
  np.testing.assert_allclose(layers.affine_pool(x, gain, offset, (3, 2)), expected, rtol=1e-6, atol=1e-6)


def test_group_norm_of_a_plane_is_its_bias():
  gain, offset = layers.GroupNorm(2).init_with_output(jax.random.key(0), jnp.full((1, 6, 8, 4), 3.0))[0]
  np.testing.assert_allclose(3 * gain + offset, 0, atol=1e-3)


def test_affine_pool_in_bfloat16():
  x = RNG.normal(size=(2, 6, 8, 4)).astype(jnp.bfloat16)
  gain, offset = np.ones((2, 4), np.float32), np.zeros((2, 4), np.float32)
  run = lambda *args: jnp.sum(layers.affine_pool(*args, (2, 2)).astype(jnp.float32))
  gradients = jax.grad(run, (0, 1, 2))(x, gain, offset)
  assert [leaf.dtype for leaf in gradients] == [jnp.bfloat16, jnp.float32, jnp.float32]
  assert layers.affine_pool(x, gain, offset, (2, 2)).dtype == jnp.bfloat16


def test_standardise_takes_brightness_and_contrast_away():
  x = RNG.uniform(size=(4, 8, 12, 1)).astype(np.float32)
  plain = np.asarray(layers.standardise(x))
  np.testing.assert_allclose(plain.mean((1, 2, 3)), 0, atol=1e-5)
  np.testing.assert_allclose(plain.std((1, 2, 3)), 1, rtol=1e-5)
  np.testing.assert_allclose(layers.standardise(0.3 + 0.5 * x), plain, atol=1e-4)
  assert (np.asarray(layers.standardise(np.full((1, 8, 12, 1), 0.25, np.float32))) == 0).all()


@pytest.mark.parametrize(
  'changes, problem',
  [
    ({'patch': (5, 4)}, '16x24 cannot be cut into patches of 5x4: change model.patch'),
    ({'patch': (4, 5)}, '16x24 cannot be cut into patches of 4x5: change model.patch'),
    ({'patch': (4,)}, r'model.patch takes pairs \(down, across\), not \(4,\)'),
    ({'pools': ((3, 1), (2, 1))}, '4x6 cannot be pooled by 3x1: change model.pools'),
    ({'pools': ((2, 1), (2, 4))}, '2x6 cannot be pooled by 2x4: change model.pools'),
    ({'pools': (2, 1)}, r'model.pools takes pairs \(down, across\), not \(2, 1\)'),
    ({'pools': ((2, 1),)}, 'must name the same blocks'),
    ({'groups': 3}, 'model.widths: 8 features cannot be normalised in 3 model.groups'),
  ],
)
def test_a_canvas_that_does_not_fit(changes, problem):
  fields = {'patch': (4, 4), 'widths': (8, 16), 'pools': ((2, 1), (2, 1)), 'groups': 4, 'dtype': jnp.float32} | changes
  with pytest.raises(InputError, match=problem):
    jax.eval_shape(layers.Trunk(**fields).init, jax.random.key(0), np.zeros((1, 16, 24, 1), np.float32))


def test_maxout_keeps_the_largest_of_its_pieces_and_of_each_window():
  x = RNG.normal(size=(2, 6, 8, 6)).astype(np.float32)
  gain, offset = RNG.normal(size=(2, 2, 6)).astype(np.float32) - np.float32([[[0]], [[3]]])
  expected = np.zeros((2, 2, 4, 2), np.float32)
  for b, i, j, feature in np.ndindex(2, 2, 4, 2):
    pieces = slice(3 * feature, 3 * feature + 3)
    window = x[b, 3 * i : 3 * i + 3, 2 * j : 2 * j + 2, pieces] * gain[b, pieces] + offset[b, pieces]
    expected[b, i, j, feature] = window.max()
  found = layers.affine_pool(x, gain, offset, (3, 2), 3)
  assert (expected < 0).any()  # there is no relu
  np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('options', [{}, {'xla_backend_optimization_level': 0}])
@pytest.mark.parametrize('maxout', [1, 2])
@pytest.mark.parametrize('window', [(1, 1), (2, 2)])
def test_no_gradient_is_lost_where_the_compiler_computes_activations_again(window, maxout, options):
  """Each pooled value has one that it came from, behind a convolution, compiled as a training step is."""
  keys = jax.random.split(jax.random.key(0), 4)
  x, kernel = jax.random.normal(keys[0], (4, 28, 28, 16)), jax.random.normal(keys[1], (3, 3, 16, 64))
  gain, offset = jax.random.uniform(keys[2], (4, 64)) + 0.5, jax.random.normal(keys[3], (4, 64))

  def total(offset, x):
    convolved = jax.lax.conv_general_dilated(x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
    pooled = layers.affine_pool(convolved, gain, offset, window, maxout)
    return pooled.sum(), jnp.size(pooled) if maxout > 1 else (pooled > 0).sum()

  arrived, count = jax.jit(jax.grad(total, has_aux=True), compiler_options=options)(offset, x)
  assert float(arrived.sum()) == float(count) > 1000
