"""Dropout: how much is dropped, of which images, and that every model drops in training alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.models import crnn, digit, layers, multidigit

IMAGES = np.random.default_rng(0).uniform(size=(3, 16, 32, 1)).astype(np.float32)
KEYS = jax.random.split(jax.random.key(0), 3)
TRUNK = {'patch': (4, 4), 'widths': (8, 8), 'pools': ((2, 1), (2, 2)), 'groups': 4, 'dtype': jnp.float32}
RECURRENCE = {'recurrent': 'lstm', 'recurrent_features': 6, 'recurrent_layers': 1, 'is_bidirectional': True}
MODELS = {
  'crnn': lambda rate: crnn.CRNN(classes=11, frame_features=12, **TRUNK, **RECURRENCE, dropout=rate),
  'digit': lambda rate: digit.Digit(symbols=10, dense_features=(12,), **TRUNK, dropout=rate),
  'multidigit': lambda rate: multidigit.MultiDigit(
    symbols=10, positions=4, kernel=3, maxout=1, dense_features=(12,), **TRUNK, dropout=rate
  ),
}


def test_a_share_is_dropped_and_the_others_grow():
  x = np.random.default_rng(1).uniform(1, 2, size=(3, 40, 50)).astype(np.float32)
  drop = layers.Dropout(0.3, KEYS)
  first, second = np.asarray(drop(x)), np.asarray(drop(x))
  for dropped in first, second:
    np.testing.assert_allclose(dropped[dropped != 0], x[dropped != 0] / 0.7, rtol=1e-6)
    np.testing.assert_allclose((dropped == 0).mean((1, 2)), 0.3, atol=0.05)  # 4.9 standard deviations
  masks = [*(first == 0), *(second == 0)]  # six, independent of each other
  for i in range(6):
    for j in range(i):
      assert (masks[i] & masks[j]).mean() == pytest.approx(0.09, abs=0.035)
  assert layers.Dropout(0.3, KEYS)(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_the_axis_of_images_may_be_another():
  x = np.random.default_rng(1).uniform(1, 2, size=(3, 40, 50)).astype(np.float32)
  moved = layers.Dropout(0.5, KEYS)(x.swapaxes(0, 1), axis=1)
  np.testing.assert_array_equal(np.swapaxes(moved, 0, 1), layers.Dropout(0.5, KEYS)(x))


def test_nothing_is_dropped_without_keys_or_with_a_rate_of_zero():
  assert layers.Dropout(0.5, None)(IMAGES) is IMAGES
  assert layers.Dropout(0.0, KEYS)(IMAGES) is IMAGES


@pytest.mark.parametrize('name', MODELS)
def test_a_model_drops_by_image_in_training_alone(name):
  model = MODELS[name](0.5)
  params = jax.jit(model.init)(jax.random.key(0), IMAGES)['params']
  apply = jax.jit(lambda params, images, keys=None: jax.tree.leaves(model.apply({'params': params}, images, keys)))
  plain = jax.tree.leaves(jax.jit(MODELS[name](0.0).apply)({'params': params}, IMAGES, KEYS))
  together, order = apply(params, IMAGES, KEYS), np.array([2, 0, 1])
  for leaf, reading, changed, turned in zip(
    plain, apply(params, IMAGES), together, apply(params, IMAGES[order], KEYS[order]), strict=True
  ):
    np.testing.assert_allclose(reading, leaf, rtol=1e-6)
    assert (np.abs(np.asarray(changed) - leaf).reshape(3, -1).max(1) > 1e-3).all()
    np.testing.assert_allclose(turned, np.asarray(changed)[order], atol=1e-5)


@pytest.mark.parametrize(('name', 'times'), [('crnn', 2), ('digit', 2), ('multidigit', 2)])
def test_a_model_drops_before_each_dense_layer(monkeypatch, name, times):
  """Before `frames` and `head`; before the one dense layer and behind it."""
  model, shapes, drop = MODELS[name](0.5), [], layers.Dropout.__call__
  monkeypatch.setattr(layers.Dropout, '__call__', lambda self, x, axis=0: shapes.append(x.shape) or drop(self, x, axis))
  params = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
  shapes.clear()
  jax.eval_shape(model.apply, params, IMAGES, KEYS)
  assert len(set(shapes)) == len(shapes) == times
