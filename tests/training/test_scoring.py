"""Evaluation is exact: the batch size and the devices show in no record."""

import dataclasses

import jax
import numpy as np
import pytest

from configs import fonts
from digits_jax.alphabet import Alphabet
from digits_jax.data import sources
from digits_jax.errors import InputError
from digits_jax.training import experiment, feeds, parallel, scoring
from tests.training import toy

EXAMPLES = 11


@pytest.fixture(scope='module')
def task():
  return toy.build(toy.get_config()).task


@pytest.fixture(scope='module')
def params(task):
  return task.init(jax.random.key(3), sources.draw_examples(fixed(), [0]))


def fixed(share_masked=0.0):
  return sources.FixedSet('toy', toy.source(share_masked), seed=5, examples=EXAMPLES)


@pytest.fixture(scope='module')
def alone(task, params):
  """The records of each example, computed by itself on one device."""
  rows = []
  for i in range(EXAMPLES):
    batch = sources.draw_examples(fixed(), [i])
    rows.append(jax.device_get(task.score(task.predict(params, batch.images), batch)))
  return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.parametrize('batch_size', [1, 2, 4, 5, 10, 11, 12, 1000])
def test_records_are_the_same_at_any_batch_size(task, params, alone, batch_size):
  records = scoring.make_scorer(task, fixed(), batch_size=batch_size)(params)
  assert records['mask'].tolist() == [True] * EXAMPLES
  np.testing.assert_array_equal(records['labels'], sources.draw_examples(fixed(), range(EXAMPLES)).labels)
  for name, want in alone.items():
    if name in ('loss', 'confidence'):  # sums in another order
      np.testing.assert_allclose(records[name], want, rtol=1e-6)
    else:
      np.testing.assert_array_equal(records[name], want, err_msg=name)


def test_the_padding_of_a_batch_is_masked(task, params):
  score = parallel.make_score_call(task, fixed().source, batch_size=4)
  constants = parallel.replicate((jax.random.key(5), fixed().source.constants))
  assert np.asarray(score(params, constants, 8, EXAMPLES, 1.0)['mask']).tolist() == [True, True, True, False]
  assert np.asarray(score(params, constants, 4, EXAMPLES, 1.0)['mask']).all()


def test_drawn_examples_are_those_that_were_scored(task, params, alone):
  some = sources.draw_examples(fixed(), np.array([7, 0, 10]))
  np.testing.assert_array_equal(some.images, alone['images'][[7, 0, 10]])


def test_examples_that_the_source_masks_do_not_count(task, params):
  records = scoring.make_scorer(task, fixed(share_masked=0.5), batch_size=4)(params)
  kept = records['mask']
  assert 0 < kept.sum() < EXAMPLES
  summary = scoring.summarise(records)
  assert summary['examples'] == kept.sum()
  assert summary['loss'] == pytest.approx(records['loss'][kept].mean(dtype=np.float64))


def test_seeds_and_sets_differ(task, params):
  other = dataclasses.replace(fixed(), seed=6)
  ours, theirs = (sources.draw_examples(one, [0, 1]).images for one in (fixed(), other))
  assert (ours[0] != ours[1]).any() and (ours[0] != theirs[0]).any()


def test_no_batch_is_an_error(task):
  with pytest.raises(InputError, match='evaluation batch=0'):
    scoring.make_scorer(task, fixed(), batch_size=0)


def test_synthesised_numbers_have_the_same_bits_on_one_device_and_on_two():
  """The real synthesiser: three batches of four on two devices, and twelve at once on one."""
  config = fonts.get_config('tiny')
  config.tests.test.synth.layout.update(height=32, width=64)
  config.tests.test.synth.number.update(min_length=1, max_length=2)
  config.tests.test.synth.warp.update(rotation_degrees=5.0, slant_degrees=5.0, shift_px=1.0)
  numbers = feeds.of(config).validation(config, Alphabet(config.alphabet))
  show = dataclasses.replace(
    experiment.make_task(config, Alphabet(config.alphabet)),
    predict=lambda params, images: None,
    score=lambda outputs, batch: {'images': batch.images, 'boxes': batch.boxes},
  )
  records = scoring.make_scorer(show, numbers, batch_size=4)(np.zeros(()))
  batch = sources.draw_examples(numbers, np.arange(12))
  np.testing.assert_array_equal(records['images'], batch.images)
  np.testing.assert_array_equal(records['boxes'], batch.boxes)
  np.testing.assert_array_equal(records['labels'], batch.labels)
  assert len({image.tobytes() for image in batch.images}) == 12


def test_a_sheet_begins_with_the_surest_errors():
  confidence, is_right = [0.9, 0.2, 0.5, 0.95], [True, False, False, True]
  records = {'confidence': np.array(confidence, np.float32), 'is_right': np.array(is_right)}
  assert scoring.errors_first(records).tolist() == [2, 1, 3, 0]


def test_the_loss_is_of_the_numbers_that_the_model_can_read(task, params):
  records = scoring.make_scorer(task, fixed(share_masked=0.5), batch_size=4)(params)
  is_feasible = np.arange(EXAMPLES) % 3 > 0
  counted = is_feasible & records['mask']
  assert 0 < counted.sum() < min(is_feasible.sum(), records['mask'].sum())
  some = records | {'is_feasible': is_feasible}
  assert scoring.summarise(some)['loss'] == pytest.approx(records['loss'][counted].mean())
  assert scoring.summarise(records | {'is_feasible': ~records['mask'].astype(bool)})['loss'] is None
