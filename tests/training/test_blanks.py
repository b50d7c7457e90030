"""When training says that a model reads nothing, and when that it has left that behind."""

import pytest

from digits_jax.training import blanks
from tests.training import runs


def sentences(shares, **options):
  """What is said at steps 100, 200, ... with these shares of images that are read as nothing."""
  watch = blanks.Watch(**{'warmup_steps': 50, 'patience': 250} | options)
  return [watch.see(100 * (i + 1), {'empty': share}) for i, share in enumerate(shares)]


def test_a_run_that_begins_with_blanks_is_left_alone():
  assert sentences([1.0, 1.0, 0.9, 0.2, 0.0]) == [None] * 5


def test_a_trapped_run_is_told_once_and_that_it_has_left():
  said = sentences([1.0, 1.0, 1.0, 0.99, 0.96, 0.95, 0.5, 1.0])
  assert [text is not None for text in said] == [False, False, True, False, False, True, False, False]
  assert 'step 300: 100% of the images are still read as nothing' in said[2]
  assert all(way in said[2] for way in ('min_length=1', 'learning_rate', 'init_from'))
  assert 'step 600: the model has left the blanks' in said[5]


def test_the_warm_up_does_not_count():
  assert [text is not None for text in sentences([1.0] * 5, warmup_steps=150)] == [False, False, False, True, False]


def test_a_model_that_falls_back_into_blanks_is_told_too():
  assert [text is not None for text in sentences([1.0, 0.0, 0.0, 1.0])] == [False, False, False, True]


def test_nothing_is_said_without_patience_or_of_a_task_without_blanks():
  assert sentences([1.0] * 5, patience=0) == [None] * 5
  assert blanks.Watch(warmup_steps=0, patience=1).see(100, {'loss': 3.0}) is None


@pytest.mark.slow
@pytest.mark.parametrize(('patience', 'is_said'), [(2, True), (100, False)])
def test_training_says_it(tmp_path, capsys, monkeypatch, patience, is_said):
  monkeypatch.setattr(blanks, 'TRAPPED_SHARE', -1.0)  # any share is too much
  assert runs.run_toy(tmp_path, blank_patience=patience) == 0
  assert capsys.readouterr().err.count('read as nothing') == is_said


def test_the_watch_begins_after_the_warm_up(tmp_path, monkeypatch):
  given, watch = [], blanks.Watch
  monkeypatch.setattr(blanks, 'Watch', lambda **options: given.append(options) or watch(**options))
  assert runs.run_toy(tmp_path, steps=1, blank_patience=7, **{'optim.warmup_steps': 3}) == 0
  assert given == [{'warmup_steps': 3, 'patience': 7}]
