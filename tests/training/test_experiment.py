"""What a config names reaches what is built."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import fonts
from digits_jax import structs
from digits_jax.alphabet import Alphabet
from digits_jax.training import experiment, optim
from tests.training import toy

FIELDS = {'learning_rate': 0.5, 'warmup_steps': 4, 'final_frac': 0.1, 'cycle_steps': 6}
PARAMS = {'dense': {'kernel': jnp.full((3, 2), 2.0), 'bias': jnp.ones(2)}}


@pytest.mark.parametrize(('schedule', 'steps'), [('cosine', 40), ('cosine', 80), ('triangular', 40)])
def test_the_schedule_is_that_of_the_config(schedule, steps):
  config = fonts.get_config('tiny')
  config.steps = steps
  config.optim.update(schedule=schedule, **FIELDS)
  built, wanted = experiment.build(config).schedule, optim.make_schedule(schedule, steps=steps, **FIELDS)
  at = np.arange(steps + 1)
  np.testing.assert_array_equal(jax.vmap(built)(at), jax.vmap(wanted)(at))
  assert len(np.unique(jax.vmap(built)(at))) > 3


@pytest.mark.parametrize('name', ['adamw', 'sgd'])
def test_the_optimiser_is_that_of_the_config(name):
  config, fields = fonts.get_config('tiny'), {'weight_decay': 0.3, 'momentum': 0.7, 'clip_norm': 0.01}
  config.optim.update(name=name, **FIELDS, **fields)
  built = experiment.build(config)
  updates = []
  for optimiser in (built.optimiser, optim.make_optimiser(name, built.schedule, **fields)):
    state, params = optimiser.init(PARAMS), PARAMS
    for _ in range(3):
      update, state = optimiser.update(jax.tree.map(jnp.ones_like, params), state, params)
      params = jax.tree.map(jnp.add, params, update)
    updates.append(params)
  jax.tree.map(np.testing.assert_array_equal, *updates)
  assert not np.array_equal(updates[0]['dense']['kernel'], PARAMS['dense']['kernel'])


def test_parameters_begin_as_the_seed_says():
  one, same, other = (toy.build(toy.get_config(seed=seed)).initial_state().params for seed in (5, 5, 6))
  for name in ('in', 'out'):
    np.testing.assert_array_equal(one[name], same[name])
    assert not np.array_equal(one[name], other[name])


@pytest.mark.parametrize('task', ['classify', 'read_multidigit'])
def test_targets_are_smoothed_as_the_config_says(task):
  config, losses = fonts.get_config('tiny'), []
  config.task = task
  labels, lengths = Alphabet().pack(['7'], 1)
  batch = structs.Batch(np.ones((1, 64, 128, 1), np.float32), labels, lengths, np.zeros((1, 1, 4)), np.ones(1, bool))
  for share in (0.0, 0.3):
    config.model.label_smoothing = share
    made = experiment.make_task(config, Alphabet())
    params = jax.eval_shape(made.init, jax.random.key(0), batch)
    params = jax.tree.map(lambda leaf: np.random.default_rng(0).normal(size=leaf.shape).astype(np.float32), params)
    losses.append(jax.jit(made.loss)(params, batch, None)[0].item())
  assert abs(losses[0] - losses[1]) > 0.1
