"""The softmax heads: shapes, dtypes, gradients, one image apart from the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from digits_jax.errors import InputError
from digits_jax.models import multidigit

IMAGES = np.random.default_rng(0).uniform(size=(3, 16, 32, 1)).astype(np.float32)
FIELDS = {
  'symbols': 10, 'positions': 4, 'patch': (2, 2), 'widths': (8, 8), 'pools': ((2, 2), (2, 2)), 'groups': 4,
  'kernel': 5, 'maxout': 2, 'dense_features': (12,), 'dtype': jnp.float32,
}  # fmt: skip


@pytest.fixture(scope='module')
def model():
  """apply(params, images) and parameters."""
  module = multidigit.MultiDigit(**FIELDS)
  apply = jax.jit(lambda params, images: module.apply({'params': params}, images))
  return apply, jax.jit(module.init)(jax.random.key(0), IMAGES)['params']


def test_heads(model):
  apply, params = model
  heads = apply(params, IMAGES)
  assert (heads.lengths.shape, heads.symbols.shape) == ((3, 5), (3, 4, 10))
  assert heads.lengths.dtype == heads.symbols.dtype == jnp.float32
  assert params['trunk']['ConvBlock_0']['Conv_0']['kernel'].shape == (5, 5, 4, 16)  # two pieces a feature
  assert params['trunk']['ConvBlock_1']['Conv_0']['kernel'].shape == (5, 5, 8, 8)
  for i in range(3):
    alone = apply(params, IMAGES[[i] * 3])
    np.testing.assert_allclose(alone.symbols[1], heads.symbols[i], atol=1e-5)
    np.testing.assert_allclose(alone.lengths[1], heads.lengths[i], atol=1e-5)


def test_every_parameter_has_a_gradient_in_bfloat16():
  module = multidigit.MultiDigit(**FIELDS | {'dtype': jnp.bfloat16})
  heads = jax.eval_shape(module.init_with_output, jax.random.key(0), IMAGES)[0]
  assert {head.dtype for head in heads} == {jnp.dtype('float32')}

  @jax.jit
  def gradients(key):
    params = module.init(key, IMAGES)['params']
    squares = lambda p: sum(jnp.sum(jnp.square(head)) for head in module.apply({'params': p}, IMAGES))
    return jax.grad(squares)(params)

  for path, leaf in jax.tree.leaves_with_path(gradients(jax.random.key(0))):
    assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all() and np.asarray(leaf).any(), path


@pytest.fixture(scope='module')
def aligned():
  """apply(params, images), parameters and heads of a model whose last pool leaves two columns a position, two rows."""
  fields = FIELDS | {'is_aligned': True, 'kernel': 1, 'patch': (1, 1), 'pools': ((2, 2), (4, 2))}
  module = multidigit.MultiDigit(**fields)
  apply = jax.jit(lambda params, images: module.apply({'params': params}, images))
  params = jax.jit(module.init)(jax.random.key(0), IMAGES)['params']
  return apply, params, apply(params, IMAGES)


def test_aligned_positions_share_their_layers(aligned):
  _, params, heads = aligned
  assert (heads.lengths.shape, heads.symbols.shape) == ((3, 5), (3, 4, 10))
  assert params['dense_0']['kernel'].shape == (2 * 2 * 8, 12) and params['symbols']['kernel'].shape == (12, 10)
  assert params['lengths']['kernel'].shape == (4 * 12, 5)  # the length is seen by all strips together


def test_aligned_positions_read_their_strips_from_the_left(aligned):
  # Convolutions of one pixel and norms over all positions: strips that change places take their symbols with them.
  apply, params, heads = aligned
  order = [2, 0, 3, 1]
  moved = apply(params, IMAGES.reshape(3, 16, 4, 8, 1)[:, :, order].reshape(IMAGES.shape))
  np.testing.assert_allclose(moved.symbols, heads.symbols[:, order], atol=1e-5)
  assert np.abs(moved.symbols - heads.symbols).max() > 0.01


def test_columns_that_cannot_be_shared_out():
  module = multidigit.MultiDigit(**FIELDS | {'is_aligned': True, 'positions': 3})
  with pytest.raises(InputError, match='4 columns of features cannot be shared out to 3 positions'):
    jax.eval_shape(module.init, jax.random.key(0), IMAGES)


def test_the_size_of_the_paper():
  pools = ((2, 2), (1, 1)) * 4
  fields = FIELDS | common.goodfellow() | {'pools': pools, 'groups': 8, 'positions': 5}
  images = jax.ShapeDtypeStruct((1, 64, 64, 1), jnp.float32)
  params = jax.eval_shape(multidigit.MultiDigit(**fields).init, jax.random.key(0), images)['params']
  assert len(params['trunk']) == 8 and params['dense_0']['kernel'].shape == (4 * 4 * 192, 3072)
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 23_385_128
