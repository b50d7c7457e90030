"""The temperature: the search against functions whose minimum is known, the fit against a plain search."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.data import sources
from digits_jax.training import parallel, scoring, temperature
from tests.training import toy


@pytest.mark.parametrize('lowest', [0.1, 0.11, 0.37, 1.0, 1.03, 2.5, 9.0, 10.0])
def test_a_valley(lowest):
  assert temperature.minimise(lambda t: math.log(t / lowest) ** 2) == pytest.approx(lowest, rel=1e-4)
  assert temperature.minimise(lambda t: abs(math.log(t / lowest)) ** 0.5) == pytest.approx(lowest, rel=1e-4)


@pytest.mark.parametrize('lowest', [0.37, 1.03, 2.5])
def test_a_valley_whose_bottom_is_flat_by_rounding_has_its_minimum_in_the_middle(lowest):
  rounded = lambda t: float(np.float32(100 + math.log(t / lowest) ** 2))  # to steps of 8e-6: flat for 0.2% each way
  assert temperature.minimise(rounded) == pytest.approx(lowest, rel=3e-4)


@pytest.mark.parametrize('slopes', [(3, 1), (1, 3)], ids=str)
def test_a_lopsided_valley_has_its_minimum_where_it_is_lowest(slopes):
  down, up = slopes
  lopsided = lambda t: max(-down * math.log(t / 2.5), up * math.log(t / 2.5))
  assert temperature.minimise(lopsided) == pytest.approx(2.5, rel=2e-4)


@pytest.mark.parametrize(('lowest', 'found'), [(0.001, 0.1), (1e6, 10.0)])
def test_the_search_stays_in_bounds(lowest, found):
  asked = []
  assert temperature.minimise(lambda t: asked.append(t) or abs(math.log(t / lowest))) == pytest.approx(found, rel=1e-4)
  assert min(asked) > 0.1 - 1e-9 and max(asked) < 10 + 1e-9 and len(asked) < 80


@pytest.mark.parametrize('deepest', [0.15, 0.4, 1.2, 3.0, 8.0])
def test_the_deepest_of_several_valleys(deepest):
  depth = lambda valley: 1.1 if valley == deepest else 1.0
  valleys = {valley: depth(valley) for valley in (0.15, 0.4, 1.2, 3.0, 8.0)}
  function = lambda t: -sum(d * math.exp(-10 * math.log(t / valley) ** 2) for valley, d in valleys.items())
  assert temperature.minimise(function) == pytest.approx(deepest, rel=1e-3)


def test_where_nothing_is_gained_the_temperature_is_one():
  assert temperature.minimise(lambda t: 0.25) == 1
  assert temperature.minimise(lambda t: math.nan) == 1
  assert temperature.minimise(lambda t: math.inf) == 1
  assert temperature.minimise(lambda t: 0.5 if 0.4 < t < 3 else 0.6) == 1
  assert temperature.minimise(lambda t: math.nan if t < 2 else t) == pytest.approx(2, rel=0.07)


PRIORS = np.log([[1e-9] + [0.1] * 10, [0.5] + [0.05] * 10])  # of the symbols in both slots of the toy's numbers


def predict(sureness, images):
  """Bayes' rule on one noisy pixel of each symbol: calibrated where sureness is 1, too sure where it is more."""
  seen = jax.scipy.special.logit(images[:, 2, 3 :: toy.SIDE, 0])  # [B, slots]
  pixels = toy.source().constants[:, 2, 3]
  log_likelihood = -0.5 * ((seen[:, :, None] - pixels[None, None]) / 0.3) ** 2
  return {'logits': sureness * (log_likelihood + PRIORS[None].astype(np.float32))}


TASK = dataclasses.replace(toy.build(toy.get_config()).task, predict=predict)


def fixed(examples, share_masked=0.0):
  return sources.FixedSet('toy', toy.source(share_masked), seed=1, examples=examples)


@pytest.mark.parametrize('sureness', [0.5, 3.0])
def test_the_fit_finds_how_much_too_sure_outputs_are(sureness):
  found = temperature.fit(TASK, fixed(2000), np.float32(sureness), batch_size=1000)
  assert found.temperature == pytest.approx(sureness, rel=0.05)
  assert found.loss_after < found.loss_before


def test_a_set_that_is_read_wrong_throughout_leaves_it_at_1():
  found = temperature.fit(TASK, fixed(50), np.float32(-300), batch_size=50)  # surer, the wronger
  assert found.temperature == 1.0 and found.loss_after == found.loss_before > 100


@pytest.mark.parametrize('batch_size', [4, 1000])
def test_the_fit_is_the_lowest_mean_loss_of_the_examples_that_count(batch_size):
  some = fixed(11, share_masked=0.5)
  found = temperature.fit(TASK, some, np.float32(3), batch_size=batch_size)
  score = scoring.make_scorer(TASK, some, batch_size=4)
  counted = sources.draw_examples(some, np.arange(11)).mask.sum()
  loss = lambda t: scoring.summarise(score(np.float32(3), t))['loss']
  cost = lambda t: loss(t) + math.log(t) ** 2 / counted
  assert found.loss_before == pytest.approx(loss(1.0), rel=1e-6)
  assert found.loss_after == pytest.approx(loss(found.temperature), rel=1e-6)
  assert cost(found.temperature) < min(cost(found.temperature * factor) for factor in (0.2, 0.98, 1.02, 5))


def right_each_time(sureness, images):
  """A reader whose numbers are all right, each with the probability sigmoid(sureness) that it gives them."""
  return {'logits': jnp.full(images.shape[0], sureness)}


def surprise(outputs, batch):
  """Records of `right_each_time`."""
  losses = jax.nn.softplus(-outputs['logits'])
  return {'loss': losses, 'is_feasible': jnp.ones(losses.shape, bool)}


@pytest.mark.parametrize('examples', [4, 2000])
@pytest.mark.parametrize('sureness', [-3, -100])
def test_numbers_that_are_all_read_wrong_leave_it_at_1_however_few(examples, sureness):
  task = dataclasses.replace(TASK, predict=right_each_time, score=surprise)
  found = temperature.fit(task, fixed(examples), jnp.float32(sureness), batch_size=1000)
  assert found.temperature == 1.0 and found.loss_after == found.loss_before


def test_numbers_that_the_model_cannot_read_do_not_count():
  def score(outputs, batch):
    is_feasible = batch.labels[:, 0] > 5
    return {'loss': jnp.where(is_feasible, surprise(outputs, batch)['loss'], 0.0), 'is_feasible': is_feasible}

  kept = int((np.asarray(sources.draw_examples(fixed(40), np.arange(40)).labels[:, 0]) > 5).sum())
  assert 0 < kept < 40
  some = dataclasses.replace(TASK, predict=right_each_time, score=score)
  found = temperature.fit(some, fixed(40), jnp.float32(3), batch_size=40)
  every = dataclasses.replace(some, score=surprise)
  assert found == pytest.approx(temperature.fit(every, fixed(kept), jnp.float32(3), batch_size=40), rel=1e-4)


@pytest.mark.parametrize(('examples', 'low', 'high'), [(4, 0.7, 0.95), (20, 0.5, 0.7), (2000, 0.2, 0.4)])
def test_a_few_numbers_that_are_all_read_rightly_do_not_make_a_reader_certain(examples, low, high):
  task = dataclasses.replace(TASK, predict=right_each_time, score=surprise)
  assert temperature.minimise(lambda t: math.log1p(math.exp(-3 / t))) == pytest.approx(0.1)  # by the losses alone
  found = temperature.fit(task, fixed(examples), jnp.float32(3), batch_size=1000).temperature
  logs = np.linspace(math.log(0.1), 0, 10_000)
  cost = examples * np.log1p(np.exp(-3 / np.exp(logs))) + logs**2
  assert low < found < high and found == pytest.approx(np.exp(logs[cost.argmin()]), rel=1e-3)


def test_a_score_call_divides_what_is_predicted():
  keep = dataclasses.replace(TASK, score=lambda outputs, batch: outputs)
  constants = parallel.replicate((jax.random.key(1), toy.source().constants))
  call = parallel.make_score_call(keep, toy.source(), batch_size=4)
  plain, cooled = (call(np.float32(1), constants, 0, 4, t)['logits'] for t in (1.0, 4.0))
  np.testing.assert_allclose(cooled, plain / 4, rtol=1e-6)
