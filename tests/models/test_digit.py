"""The classifier's shapes and dtypes, and that its trunk is the CRNN's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.models import crnn, digit, multidigit

IMAGES = np.random.default_rng(0).uniform(size=(3, 16, 32, 1)).astype(np.float32)
TRUNK = {'patch': (4, 4), 'widths': (8, 16), 'pools': ((2, 1), (2, 2)), 'groups': 4}
FIELDS = TRUNK | {'symbols': 10, 'dense_features': (12, 7), 'dtype': jnp.float32}


def shapes(model):
  return jax.eval_shape(model.init_with_output, jax.random.key(0), IMAGES)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_shapes(dtype):
  logits, variables = shapes(digit.Digit(**FIELDS | {'dtype': dtype}))
  assert (logits.shape, logits.dtype) == ((3, 10), jnp.float32)
  params = variables['params']
  assert set(variables) == {'params'} and set(params) == {'trunk', 'dense_0', 'dense_1', 'head'}
  assert params['dense_0']['kernel'].shape == (1 * 4 * 16, 12) and params['head']['kernel'].shape == (7, 10)
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype('float32')}


def test_no_dense_layers():
  assert set(shapes(digit.Digit(**FIELDS | {'dense_features': ()}))[1]['params']) == {'trunk', 'head'}


def all_models(**changes):
  return [
    digit.Digit(**FIELDS | {'pools': ((1, 1), (4, 8))} | changes),  # pools and what stands behind do not show
    multidigit.MultiDigit(**FIELDS, **changes, positions=5, kernel=3, maxout=1),
    crnn.CRNN(
      **TRUNK, **changes, classes=11, frame_features=12, recurrent='gru', recurrent_features=6, recurrent_layers=1,
      is_bidirectional=True, dtype=jnp.float32,
    ),
  ]  # fmt: skip


@pytest.mark.parametrize('model', range(3))
@pytest.mark.parametrize('is_standardised', [True, False])
def test_brightness_and_contrast_are_nothing_to_a_model_that_standardises(model, is_standardised):
  model = all_models(is_standardised=is_standardised)[model]
  variables = jax.jit(model.init)(jax.random.key(0), IMAGES)
  plain, changed = (jax.tree.leaves(jax.jit(model.apply)(variables, images)) for images in (IMAGES, 0.3 + IMAGES / 2))
  apart = max(float(jnp.abs(one - other).max()) for one, other in zip(plain, changed, strict=True))
  assert (apart < 1e-4) == is_standardised and (apart > 1e-2) != is_standardised


def test_all_models_have_the_same_trunk():
  models = all_models()
  trunks = [shapes(model)[1]['params']['trunk'] for model in models]
  for trunk in trunks[1:]:
    assert jax.tree.map(lambda leaf: leaf.shape, trunk) == jax.tree.map(lambda leaf: leaf.shape, trunks[0])
