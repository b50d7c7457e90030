"""LSTM and GRU and their gradients against plain loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.models import recurrence

RNG = np.random.default_rng(0)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def by_hand(kind, params, x, features, xp=np):
  """[T, B, F] -> [T, B, features * directions], frame by frame, in the precision of what is given."""
  kernel, bias, recurrent = params['input']['kernel'], params['input']['bias'], params['recurrent']
  logistic = sigmoid if xp is np else jax.nn.sigmoid
  inputs = xp.einsum('tbf,fg->tbg', x, kernel) + bias[None, None]
  outputs = []
  for direction in range(len(recurrent)):
    size = recurrent.shape[2]
    own = inputs[:, :, direction * size : (direction + 1) * size]
    hidden = cell = xp.zeros((x.shape[1], features), x.dtype)
    frames = [None] * len(x)
    for t in range(len(x)) if direction == 0 else reversed(range(len(x))):
      mixed = xp.einsum('bf,fg->bg', hidden, recurrent[direction])
      if kind == 'lstm':
        update, forget, candidate, output = xp.split(own[t] + mixed, 4, -1)
        cell = logistic(forget + 1) * cell + logistic(update) * xp.tanh(candidate)
        hidden = logistic(output) * xp.tanh(cell)
      else:
        r, z, n = xp.split(own[t], 3, -1)
        r_h, z_h, n_h = xp.split(mixed + params['recurrent_bias'][direction], 3, -1)
        z, n = logistic(z + z_h), xp.tanh(n + logistic(r + r_h) * n_h)
        hidden = z * hidden + (1 - z) * n
      frames[t] = hidden
    outputs.append(xp.stack(frames))
  return xp.concatenate(outputs, -1)


def recurrent_layer(kind, is_bidirectional, *, features=5, frames=7):
  """A layer, its parameters with every bias away from 0, and an input."""
  layer = recurrence.Recurrent(kind, features, is_bidirectional, jnp.float32)
  x = RNG.normal(size=(frames, 3, 4)).astype(np.float32)
  params = jax.jit(layer.init)(jax.random.key(0), x)['params']
  params = jax.tree.map(lambda leaf: leaf + RNG.normal(size=leaf.shape).astype(np.float32) / 4, params)
  return layer, params, x


@pytest.mark.parametrize('is_bidirectional', [False, True])
@pytest.mark.parametrize('kind', ['lstm', 'gru'])
def test_recurrence_and_its_gradient(kind, is_bidirectional):
  layer, params, x = recurrent_layer(kind, is_bidirectional)
  found = jax.jit(layer.apply)({'params': params}, x)
  double = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (params, x))
  assert found.shape == (7, 3, 10 if is_bidirectional else 5) and found.dtype == jnp.float32
  np.testing.assert_allclose(found, by_hand(kind, *double, 5), atol=2e-6)

  weights = RNG.normal(size=found.shape).astype(np.float32)
  ours = lambda params, x: jnp.sum(weights * layer.apply({'params': params}, x))
  plain = lambda params, x: jnp.sum(weights * by_hand(kind, params, x, 5, jnp))
  jax.tree.map(
    lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5),
    jax.jit(jax.grad(ours, (0, 1)))(params, x),
    jax.jit(jax.grad(plain, (0, 1)))(params, x),
  )


@pytest.mark.parametrize('kind', ['lstm', 'gru'])
def test_one_direction_looks_back_alone_and_two_both_ways(kind):
  layer, params, x = recurrent_layer(kind, True)
  changed = x.copy()
  changed[3] += 1
  one, other = (np.asarray(jax.jit(layer.apply)({'params': params}, image)) for image in (x, changed))
  assert (np.abs(one - other).max((1, 2)) > 1e-6).all()
  assert (one[:3, :, :5] == other[:3, :, :5]).all() and (one[4:, :, 5:] == other[4:, :, 5:]).all()


def test_bfloat16_recurrence_is_near_float32():
  _, params, x = recurrent_layer('lstm', True)
  params = jax.tree.map(np.asarray, params)
  half = recurrence.Recurrent('lstm', 5, True, jnp.bfloat16)

  @jax.jit
  def run(params):
    found = half.apply({'params': params}, x.astype(jnp.bfloat16))
    return jnp.sum(found.astype(jnp.float32)), found

  (_, found), gradient = jax.value_and_grad(run, has_aux=True)(params)
  assert found.dtype == jnp.bfloat16
  np.testing.assert_allclose(np.asarray(found, np.float64), by_hand('lstm', params, x, 5), atol=0.05)
  assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype('float32')}


@pytest.mark.parametrize('kind', ['lstm', 'gru'])
def test_both_directions_in_one_scan_are_the_same(kind, monkeypatch):
  """As a GPU computes them."""
  layer, params, x = recurrent_layer(kind, True)
  weights = RNG.normal(size=(7, 3, 10)).astype(np.float32)
  loss = lambda params, x: jnp.sum(weights * layer.apply({'params': params}, x))
  scans = lambda: str(jax.make_jaxpr(lambda x: layer.apply({'params': params}, x))(x)).count('scan[')
  wanted, before = jax.value_and_grad(loss, (0, 1))(params, x), scans()
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  found = jax.value_and_grad(loss, (0, 1))(params, x)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, wanted)
  assert (before, scans()) == (2, 1)
