"""The running average and the sums of metrics, by hand."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from digits_jax.errors import InputError
from digits_jax.training import states


def run(decay, steps, rate_scale=1.0):
  optimiser = optax.sgd(1.0)
  state = states.create({'w': jnp.zeros(1)}, optimiser, has_average=decay > 0)
  seen = []
  for _ in range(steps):
    state = states.apply_gradients(
      state, {'w': -jnp.ones(1)}, optimiser, rate_scale=jnp.float32(rate_scale), decay=decay
    )
    seen.append(float(states.reading_params(state)['w'][0]))
  return state, seen


def test_the_average_starts_short_and_grows_to_its_decay():
  state, seen = run(0.3, 5)
  average, want = 0.0, []
  for step in range(5):
    keep = min(0.3, (1 + step) / (10 + step))
    average = keep * average + (1 - keep) * (step + 1)
    want.append(average)
  np.testing.assert_allclose(seen, want, rtol=1e-6)
  assert float(state.params['w'][0]) == 5 and int(state.step) == 5


def test_without_an_average_the_parameters_are_read_with():
  state, seen = run(0.0, 3)
  assert state.averaged == () and seen == [1, 2, 3]


def test_the_rate_scale_multiplies_the_update():
  assert run(0.0, 2, rate_scale=0.25)[1] == [0.25, 0.5]


@pytest.mark.parametrize('cuts', [[6], [1] * 6, [2, 4], [3, 3]])
def test_sums_have_the_same_bits_however_the_steps_are_grouped(cuts):
  rows = np.random.default_rng(0).normal(size=6) * 10.0 ** np.arange(-3, 3)
  progress = states.create_progress(['loss'])
  for part in np.split(rows, np.cumsum(cuts)[:-1]):
    progress = states.add_sums(progress, {'loss': part})
  total = np.float64(0)
  for value in rows:
    total += value
  assert progress.sums['loss'] == total and int(progress.summed_steps) == 6
  assert int(states.forget_sums(progress).summed_steps) == 0 and states.forget_sums(progress).sums['loss'] == 0


def test_names_in_one_text_are_explained():
  with pytest.raises(InputError, match=r"""there are a, b; give several as "\('a', 'b'\)"$"""):
    states.trainable({'a': 1, 'b': 2}, ('a,b',))
