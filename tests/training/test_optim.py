"""Schedules at known points; what clipping, weight decay and each rule do to a known gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import fonts
from digits_jax.errors import InputError
from digits_jax.training import experiment, optim

FIELDS = {'learning_rate': 2.0, 'steps': 100, 'warmup_steps': 0, 'cycle_steps': 10, 'final_frac': 0.1}


def rates(name, at, **changes):
  schedule = optim.make_schedule(name, **FIELDS | changes)
  # As the step sees them: traced int32.
  return [float(rate) for rate in jax.jit(jax.vmap(lambda step: jnp.asarray(schedule(step))))(jnp.array(at))]


@pytest.mark.parametrize('name', ['constant', 'plateau'])
def test_constant(name):
  assert rates(name, [0, 50, 100, 1000]) == [2.0] * 4


def test_cosine_ends_at_its_final_fraction():
  np.testing.assert_allclose(rates('cosine', [0, 50, 100, 200]), [2.0, 1.1, 0.2, 0.2], rtol=1e-6)


@pytest.mark.parametrize('name', ['constant', 'plateau', 'cosine'])
def test_warm_up_is_linear_and_its_first_step_moves(name):
  np.testing.assert_allclose(rates(name, [0, 1, 2, 3, 4], warmup_steps=4), [0.4, 0.8, 1.2, 1.6, 2.0], rtol=1e-6)


def test_cosine_falls_from_the_end_of_the_warm_up():
  np.testing.assert_allclose(rates('cosine', [20, 60, 100], warmup_steps=20), [2.0, 1.1, 0.2], rtol=1e-6)


def test_a_warm_up_longer_than_the_run_is_just_cut():
  np.testing.assert_allclose(rates('cosine', [0, 3], steps=4, warmup_steps=9), [0.2, 0.8], rtol=1e-6)


def test_triangular_goes_up_and_down_every_cycle():
  want = [0.2, 1.1, 2.0, 1.1, 0.2, 2.0, 0.2]
  np.testing.assert_allclose(rates('triangular', [0, 5, 10, 15, 20, 30, 40], cycle_steps=20), want, rtol=1e-6)
  odd = rates('triangular', list(range(10)), cycle_steps=5)
  np.testing.assert_allclose(odd[:5], odd[5:], rtol=1e-6)
  assert max(odd) == pytest.approx(2.0) and min(odd) == pytest.approx(0.2)


def test_one_cycle_peaks_at_three_tenths_and_ends_near_zero():
  got = rates('one_cycle', list(range(101)))
  assert got[0] == pytest.approx(2.0 / 25) and np.argmax(got) == 30 and got[30] == pytest.approx(2.0)
  assert 0 < got[100] < 1e-3


@pytest.mark.parametrize('name', optim.SCHEDULES)
@pytest.mark.parametrize('steps', [1, 2, 3, 1000])
def test_every_schedule_is_finite_and_above_zero_for_any_number_of_steps(name, steps):
  got = np.array(rates(name, range(steps), steps=steps, warmup_steps=2))
  assert np.isfinite(got).all() and (got > 0).all() and got.max() <= 2.0 + 1e-6


@pytest.mark.parametrize(
  ('fields', 'words'),
  [
    ({'name': 'cosinus'}, "schedule: there is no 'cosinus'"),
    ({'name': 'triangular', 'cycle_steps': 1}, 'cycle_steps: 1 is too short'),
  ],
)
def test_a_schedule_that_is_none_says_so(fields, words):
  with pytest.raises(InputError, match=words):
    optim.make_schedule(**FIELDS | fields)


def updated(name, params, gradients, *, steps=1, **options):
  fields = {'weight_decay': 0.0, 'momentum': 0.9, 'clip_norm': 0.0} | options
  optimiser = optim.make_optimiser(name, optax.constant_schedule(0.1), **fields)
  state = optimiser.init(params)
  for _ in range(steps):
    updates, state = optimiser.update(gradients, state, params)
    params = optax.apply_updates(params, updates)
  return params


def params_of(kernel, scale):
  return {'kernel': jnp.full((1, 1), kernel), 'scale': jnp.full((1,), scale)}


def test_sgd_with_nesterov_momentum_by_hand():
  params = updated('sgd', params_of(0.0, 0.0), params_of(1.0, -2.0), steps=2)
  # trace 1, then 1.9; Nesterov looks ahead: 1.9, then 2.71
  np.testing.assert_allclose(params['kernel'].item(), -0.1 * (1.9 + 2.71), rtol=1e-6)
  np.testing.assert_allclose(params['scale'].item(), 0.2 * (1.9 + 2.71), rtol=1e-6)


@pytest.mark.parametrize('name', ['adam', 'adamw'])
def test_the_first_step_of_adam_is_the_rate_whatever_the_gradient(name):
  params = updated(name, params_of(0.0, 0.0), params_of(5.0, -1e-3))
  np.testing.assert_allclose([params['kernel'].item(), params['scale'].item()], [-0.1, 0.1], rtol=1e-4)


def test_weight_decay_acts_on_kernels_and_not_on_scales():
  for name, factor in (('adamw', 1.0), ('sgd', 1.9)):
    params = updated(name, params_of(2.0, 2.0), params_of(0.0, 0.0), weight_decay=0.3)  # 0.6: Adam would make 1 of it
    np.testing.assert_allclose(params['kernel'].item(), 2.0 - 0.1 * factor * 0.3 * 2.0, rtol=1e-6)
    assert params['scale'].item() == 2.0


def test_what_decays_in_a_tree():
  tree = {'a': jnp.zeros(3), 'b': jnp.zeros((2, 2)), 'c': {'d': jnp.zeros((1, 2, 3, 4)), 'e': jnp.zeros(())}}
  assert optim.decays(tree) == {'a': False, 'b': True, 'c': {'d': True, 'e': False}}


def test_clipping_is_by_the_norm_of_the_whole_gradient():
  plain = {'momentum': 0.0}
  params = updated('sgd', params_of(0.0, 0.0), params_of(3.0, 4.0), clip_norm=1.0, **plain)
  np.testing.assert_allclose([params['kernel'].item(), params['scale'].item()], [-0.06, -0.08], rtol=1e-6)
  params = updated('sgd', params_of(0.0, 0.0), params_of(0.3, 0.4), clip_norm=1.0, **plain)
  np.testing.assert_allclose(params['kernel'].item(), -0.03, rtol=1e-6)
  params = updated('sgd', params_of(0.0, 0.0), params_of(3.0, 4.0), clip_norm=0.0, **plain)
  np.testing.assert_allclose(params['kernel'].item(), -0.3, rtol=1e-6)


@pytest.mark.parametrize(
  ('name', 'decay', 'words'), [('adm', 0.0, "there is no 'adm'"), ('adam', 1e-4, 'adam has no weight decay')]
)
def test_an_optimiser_that_is_none_says_so(name, decay, words):
  with pytest.raises(InputError, match=words):
    optim.make_optimiser(name, optax.constant_schedule(0.1), weight_decay=decay, momentum=0.9, clip_norm=1.0)


def test_no_bias_decays_whatever_its_shape():
  config = fonts.get_config('tiny')
  config.model.recurrent = 'gru'
  built = experiment.build(config)
  params = jax.eval_shape(built.initial_state).params
  found = {jax.tree_util.keystr(path): decays for path, decays in jax.tree.leaves_with_path(optim.decays(params))}
  assert {name for name, decays in found.items() if decays} == {name for name in found if 'kernel' in name} | {
    name for name in found if name.endswith("['recurrent']")
  }
  assert any('recurrent_bias' in name for name in found)
