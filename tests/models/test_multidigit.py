"""The softmax heads: shapes, dtypes, gradients, one image apart from the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
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

  @jax.jit
  def gradients(key):
    params = module.init(key, IMAGES)['params']
    squares = lambda p: sum(jnp.sum(jnp.square(head)) for head in module.apply({'params': p}, IMAGES))
    return jax.grad(squares)(params)

  for path, leaf in jax.tree.leaves_with_path(gradients(jax.random.key(0))):
    assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all() and np.asarray(leaf).any(), path


def test_the_size_of_the_paper():
  pools = ((2, 2), (1, 1)) * 4
  fields = FIELDS | common.goodfellow() | {'pools': pools, 'groups': 8, 'positions': 5}
  images = jax.ShapeDtypeStruct((1, 64, 64, 1), jnp.float32)
  params = jax.eval_shape(multidigit.MultiDigit(**fields).init, jax.random.key(0), images)['params']
  assert len(params['trunk']) == 8 and params['dense_0']['kernel'].shape == (4 * 4 * 192, 3072)
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 23_385_128
