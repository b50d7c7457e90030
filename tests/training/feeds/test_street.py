"""Source street: what is trained on, what is tested with, and configs that cannot work."""

import pathlib
import shutil

import jax
import matplotlib
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import street
from digits_jax.alphabet import Alphabet
from digits_jax.data import sources
from digits_jax.errors import InputError
from digits_jax.synth.augment import AugmentSpec
from digits_jax.training import feeds
from tests.synth import specs


def scenes(**changes):
  config = street.get_config('tiny')
  config.update_from_flattened_dict(changes)
  return config


def draw(source, seed, count=8):
  items = source.feed(0, 0, count)
  call = lambda constants, items: sources.draw_batch(source, jax.random.key(seed), constants, 0, items, items)
  return jax.device_get(specs.compiled(call)(source.constants, items))


@pytest.mark.slow
def test_each_split_has_its_numbers_and_only_training_is_augmented():
  config, alphabet = scenes(), Alphabet()
  config.augment.update(convolution=1.0)
  kind, stored = feeds.of(config), ConfigDict(config.to_dict())  # as a run directory gives it back
  assert kind.canvas(stored).shape == (27, 27, 3) and kind.slots(stored) == 5
  train, validation, tests = (getattr(kind, part)(config, alphabet) for part in ('train', 'validation', 'tests'))
  assert (validation.examples, list(tests), tests['test'].name) == (12, ['test'], 'street')
  sources = {'train': train, 'validation': validation.source, 'test': tests['test'].source}
  batches = {split: draw(source, seed=3) for split, source in sources.items()}
  for split, batch in batches.items():
    assert batch.images.shape == (8, 27, 27, 3) and batch.labels.shape == (8, 5)
    texts = [alphabet.decode(row, length) for row, length in zip(batch.labels, batch.label_lengths, strict=True)]
    assert {specs.split_of(text, alphabet) for text in texts} <= {None, split}
  apart = lambda one, other: np.abs(batches[one].images - batches[other].images).mean((1, 2, 3))
  short = batches['test'].label_lengths < 3  # numbers that all splits share
  assert short.any()
  np.testing.assert_allclose(apart('validation', 'test')[short], 0, atol=1e-3)
  assert (apart('train', 'test')[short] > 0.01).all()


def test_faces_held_out_are_in_their_split_alone():
  config = scenes(**{'data.validation_families': ('DejaVu',), 'data.test_families': ('STIX',)})
  kind, alphabet = feeds.of(config), Alphabet()
  train, validation, tests = (getattr(kind, part)(config, alphabet) for part in ('train', 'validation', 'tests'))
  sources = (train, validation.source, tests['test'].source)
  assert [len(source.constants.fields) for source in sources] == [6, 12, 4]
  assert train.report == ''


def test_seeds_are_those_of_the_config():
  config = scenes(**{'validation.seed': 5, 'tests.test.seed': 6})
  kind = feeds.of(config)
  assert (kind.validation(config, Alphabet()).seed, kind.tests(config, Alphabet())['test'].seed) == (5, 6)


@pytest.mark.parametrize(('is_held_out', 'split'), [(True, 'test'), (False, None)])
def test_numbers_are_held_out_where_the_config_says_so(is_held_out, split):
  config = scenes(**{'data.hold_out_numbers': is_held_out})
  assert feeds.of(config).spec(config, Alphabet(), 'test', AugmentSpec()).number.split == split


def test_own_fonts_are_told_of(tmp_path):
  shutil.copy(pathlib.Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'), tmp_path)
  config = scenes(**{'data.font_dir': str(tmp_path)})
  report = feeds.of(config).train(config, Alphabet()).report
  assert report.startswith(f'train: 10 glyphs of 10 symbols in 1 style: {tmp_path}\nchecksum of the glyphs of train: ')


def test_configs_that_cannot_work():
  config = scenes()
  with config.unlocked():
    config.tests.more = config.tests.test.copy_and_resolve_references()
  with pytest.raises(InputError, match='one test set'):
    feeds.of(config).tests(config, Alphabet())
  for field, value, named in (
    ('scene.shape.lengths', (0.1,) * 6, 'max_length is 5'),
    ('scene.camera.digit_px', (1.0, 9.0), 'digit_px'),
    ('data.font_dir', 'no/such/folder', 'does not exist'),
    ('data.test_font_dir', 'fonts', 'name test_families'),
    ('data.glyphs', 'mnist', 'draws fonts'),
  ):
    config = scenes(**{field: value})
    with pytest.raises(InputError, match=named):
      feeds.of(config).train(config, Alphabet())
