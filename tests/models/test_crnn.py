"""The CRNN's shapes, dtypes, gradients and errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.errors import InputError
from digits_jax.models import crnn

FIELDS = {
  'classes': 11, 'patch': (4, 4), 'widths': (8, 8), 'pools': ((2, 1), (2, 2)), 'groups': 4, 'frame_features': 12,
  'recurrent': 'lstm', 'recurrent_features': 6, 'recurrent_layers': 1, 'is_bidirectional': True, 'dtype': jnp.float32,
}  # fmt: skip
IMAGES = np.random.default_rng(0).uniform(size=(3, 16, 32, 1)).astype(np.float32)


@functools.cache
def make(recurrent='lstm'):
  """apply(params, images, dtype) and parameters."""
  params = jax.jit(crnn.CRNN(**FIELDS | {'recurrent': recurrent}).init)(jax.random.key(0), IMAGES)['params']

  @functools.partial(jax.jit, static_argnums=2)
  def apply(params, images, dtype=jnp.float32):
    return crnn.CRNN(**FIELDS | {'recurrent': recurrent, 'dtype': dtype}).apply({'params': params}, images)

  return apply, params


@pytest.mark.parametrize('recurrent', crnn.RECURRENTS)
@pytest.mark.parametrize('is_bidirectional', [False, True])
@pytest.mark.parametrize('recurrent_layers', [1, 2])
def test_shapes(recurrent, is_bidirectional, recurrent_layers):
  model = crnn.CRNN(**FIELDS | {
    'recurrent': recurrent, 'is_bidirectional': is_bidirectional, 'recurrent_layers': recurrent_layers
  })  # fmt: skip
  logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), IMAGES)
  assert (logits.shape, logits.dtype) == ((3, 4, 11), jnp.float32)  # frames: 32 / 4 / 2
  names = {name for name in variables['params'] if name.startswith('recurrent')}
  assert names == ({f'recurrent_{i}' for i in range(recurrent_layers)} if recurrent != 'none' else set())
  width = 12 if recurrent == 'none' else 12 if is_bidirectional else 6
  assert variables['params']['head']['kernel'].shape == (width, 11)
  assert set(variables) == {'params'}  # no running statistics: the parameters are the whole model


@pytest.mark.slow
@pytest.mark.parametrize('recurrent', crnn.RECURRENTS)
def test_bfloat16_computes_float32_logits_and_finite_gradients(recurrent):
  apply, params = make(recurrent)
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype('float32')}

  def squares(params):
    logits = apply(params, IMAGES, jnp.bfloat16)
    return jnp.sum(jnp.square(logits)), logits

  (_, logits), gradients = jax.jit(jax.value_and_grad(squares, has_aux=True))(params)
  exact = apply(params, IMAGES)
  assert logits.dtype == jnp.float32
  np.testing.assert_allclose(logits, exact, atol=0.1)
  assert (np.asarray(logits) != np.asarray(exact)).any()  # it really computes in bfloat16
  for path, leaf in jax.tree.leaves_with_path(gradients):
    assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all() and np.asarray(leaf).any(), path


def test_blank_images_have_finite_gradients():
  apply, params = make()
  blank = np.stack([np.zeros_like(IMAGES[0]), np.ones_like(IMAGES[0]), np.full_like(IMAGES[0], 0.3)])
  value, gradients = jax.jit(jax.value_and_grad(lambda p: jnp.sum(jnp.square(apply(p, blank)))))(params)
  assert np.isfinite(value) and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_an_image_is_read_alike_in_any_batch():
  apply, params = make()
  together = apply(params, IMAGES)
  for i in range(3):
    np.testing.assert_allclose(apply(params, IMAGES[[i] * 3])[1], together[i], atol=1e-5)


def test_it_starts_out_mostly_blank():
  bias = np.asarray(make()[1]['head']['bias'])
  assert bias[0] > 1 and (bias[1:] == 0).all()


def test_unknown_recurrent():
  with pytest.raises(InputError, match=r"model\.recurrent: there is no 'lstn'; did you mean 'lstm'"):
    make('lstn')


def test_a_canvas_that_patches_do_not_divide():
  with pytest.raises(InputError, match=r'change model\.patch'):
    crnn.CRNN(**FIELDS | {'patch': (3, 4)}).init(jax.random.key(0), IMAGES)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_all_but_the_head_computes_in_the_dtype_asked_for(dtype):
  model = crnn.CRNN(**FIELDS | {'dtype': dtype})
  run = lambda key: model.init_with_output(key, IMAGES, capture_intermediates=True, mutable=True)
  _, variables = jax.eval_shape(run, jax.random.key(0))
  outputs = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(variables['intermediates']):
    layer, *inner = (part.key for part in path if hasattr(part, 'key'))
    if layer != '__call__' and 'GroupNorm_0' not in inner:  # whose gain and offset are float32
      outputs.setdefault(layer, set()).add(leaf.dtype)
  assert set(outputs) == {'trunk', 'frames', 'recurrent_0', 'head'}
  for layer, dtypes in outputs.items():
    assert dtypes == {jnp.dtype(jnp.float32 if layer == 'head' else dtype)}, layer
