"""What a run says of itself when it starts."""

import pytest

from configs import digit, fonts, own, street, svhn
from digits_jax.training import run

SYNTH = {f'config.synth.{name}' for name in ('number', 'layout', 'warp', 'clutter', 'photo')}


@pytest.mark.parametrize(
  ('config', 'groups'),
  [
    (fonts.get_config('quick'), SYNTH),
    (digit.get_config(), SYNTH),
    (own.get_config(), SYNTH),
    (svhn.get_config(), {'config.photos', 'config.augment'}),
    (
      street.get_config(),
      {'config.augment', 'config.synth.number', 'config.scene'}
      | {f'config.scene.{name}' for name in ('shape', 'paint', 'ground', 'camera')},
    ),
  ],
  ids=lambda value: None if isinstance(value, set) else value.name,
)
def test_the_groups_of_the_source_are_listed_and_no_others(config, groups):
  lines = run.shown_fields(config).splitlines()
  shown = {line.split()[0] for line in lines if line[0] != ' '}
  everywhere = {'config', *(f'config.{name}' for name in ('model', 'optim', 'selection', 'data', 'evaluation'))}
  everywhere |= {'config.validation', *(f'config.tests.{name}' for name in config.tests)}
  assert shown == everywhere | groups
  assert max(map(len, lines)) <= 120


def test_a_field_is_listed_where_the_task_takes_it():
  reads, classifies = run.shown_fields(fonts.get_config('quick')), run.shown_fields(digit.get_config())
  assert all(field in reads for field in ("recurrent: 'lstm'", 'beams: 25', "decoder: 'beam'"))
  assert not any(field in classifies for field in ('recurrent', 'beams', 'decoder'))
  assert 'label_smoothing: 0.1' in classifies and 'label_smoothing' not in reads
  assert all('learning_rate: 0.00' in text and 'n_best: 5' in text for text in (reads, classifies))


def test_no_line_ends_within_a_value():
  config = fonts.get_config('quick')
  config.data.font_dir = 'a folder/' * 20
  text = run.shown_fields(config)
  assert f'font_dir: {config.data.font_dir!r}' in text
  assert 'font_sizes: (18, 19, 20, 21, 22, 23, 24, 25)' in text and 'noise: (0.05, 0.05)' in text
