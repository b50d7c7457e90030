"""Source svhn: a made SVHN, from its archives to what is trained on and tested with."""

import functools

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import svhn as configs_svhn
from digits_jax.alphabet import Alphabet
from digits_jax.data import sources, svhn, svhn_builder, svhn_crops
from digits_jax.data.crop import CropSpec
from digits_jax.errors import InputError
from digits_jax.training import feeds
from tests.data import made_svhn


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """A made SVHN of 40 training and 6 extra photos and 12 for the test."""
  folder = tmp_path_factory.mktemp('svhn')
  made_svhn.write(folder / 'archives', {'train': 40, 'test': 12, 'extra': 6})
  svhn_builder.prepare(str(folder), str(folder / 'archives'), wanted=['train', 'test', 'extra'], mirrors=[])
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('XDG_CACHE_HOME', str(folder / 'cache'))
    yield str(folder)


def photos(data_dir, **changes):
  config = configs_svhn.get_config('tiny')
  config.data.data_dir = str(data_dir)
  config.update_from_flattened_dict(changes)
  return config


def test_photos(data_dir):
  config, alphabet = photos(data_dir), Alphabet()
  kind, stored = feeds.of(config), ConfigDict(config.to_dict())  # as a run directory gives it back
  assert kind.canvas(stored).shape == (27, 27, 3) and kind.slots(stored) == 6
  assert kind.canvas(config).fit == 'stretch'
  assert kind.canvas(photos('', **{'photos.is_square': True})).fit == 'edges'
  train, validation = kind.train(config, alphabet), kind.validation(config, alphabet)
  (test,) = kind.tests(config, alphabet).values()
  assert (test.name, test.examples, train.limit, test.source.limit) == ('svhn-test', 12, None, 12)
  assert validation.examples == validation.source.limit == len(svhn.select(data_dir, ('train',), 'validation').texts)
  assert len(jax.tree.leaves(train.constants)[0]) + validation.examples == 40
  # The test is the middle of each crop, as it is.
  batch = sources.draw_examples(test, np.arange(12))
  selection = svhn.select(data_dir, ('test',), 'all')
  crops = svhn_crops.cached(data_dir, 'test', CropSpec(size=32))[list(selection.rows)]['image']
  for image, crop, row, length, text in zip(
    batch.images, crops, batch.labels, batch.label_lengths, selection.texts, strict=True
  ):
    np.testing.assert_allclose(image, crop[2:29, 2:29].astype(np.float32) / 255, atol=1e-6)
    assert alphabet.decode(row, length) == text
  assert test.files == selection.files and len(validation.files) == validation.examples
  # Training sees other windows and colours each time.
  draw = jax.jit(functools.partial(sources.draw_batch, train, jax.random.key(0)))
  first, again, other = (draw(train.constants, step, train.feed(0, 0, 8), np.arange(8)) for step in (0, 0, 1))
  np.testing.assert_array_equal(first.images, again.images)
  np.testing.assert_array_equal(first.labels, other.labels)
  assert (np.abs(first.images - other.images).max((1, 2, 3)) > 0.02).all()


def test_photos_are_cut_as_the_config_says(data_dir):
  config = photos(data_dir, **{'photos.margin': 0.8, 'photos.is_square': True})
  train = feeds.of(config).train(config, Alphabet())
  rows = list(svhn.select(data_dir, ('train',), 'train').rows)
  wanted = svhn_crops.cached(data_dir, 'train', CropSpec(size=32, margin=0.8, is_square=True))[rows]['image']
  np.testing.assert_array_equal(train.constants['image'], wanted)
  for other in (CropSpec(size=32, is_square=True), CropSpec(size=32, margin=0.8)):
    assert (svhn_crops.cached(data_dir, 'train', other)[rows]['image'] != wanted).any()


def test_the_seed_of_the_split_is_that_of_the_config(data_dir):
  config = photos(data_dir, **{'data.split_seed': 1})
  fixed = feeds.of(config).validation(config, Alphabet())
  drawn = fixed.source.feed(0, 0, fixed.examples)
  texts = tuple(map(Alphabet().decode, drawn['labels'], drawn['label_length']))
  assert texts == svhn.select(data_dir, ('train',), 'validation', seed=1).texts
  assert texts != svhn.select(data_dir, ('train',), 'validation').texts


def test_fewer_photos_can_be_asked_for(data_dir):
  config = photos(data_dir, **{'tests.test.examples': 5, 'validation.examples': 1, 'photos.keep': 'none'})
  kind, alphabet = feeds.of(config), Alphabet()
  assert kind.tests(config, alphabet)['test'].examples == 5 and kind.validation(config, alphabet).examples == 1
  assert kind.train(config, alphabet).constants == ()


def test_extra_photos_leave_validation_of_the_others_as_it_was(data_dir):
  both = photos(data_dir, **{'data.svhn_splits': ('train', 'extra'), 'data.held_out': (0.3, 0.1)})
  alone = photos(data_dir, **{'data.held_out': (0.3, 0.1)})
  texts = []
  for config in (both, alone):
    wanted = svhn.select(data_dir, tuple(config.data.svhn_splits), 'validation', validation_frac=0.3).texts
    texts.append(wanted)
    fixed = feeds.of(config).validation(config, Alphabet())
    batch = sources.draw_examples(fixed, np.arange(fixed.examples))
    assert tuple(map(Alphabet().decode, batch.labels, batch.label_lengths)) == wanted
  assert set(texts[1]) < set(texts[0])


def test_long_numbers_are_left_out_of_training_and_counted(data_dir):
  texts = svhn.select(data_dir, ('train',), 'train').texts
  config = photos(data_dir, **{'photos.max_digits': 2})
  train = feeds.of(config).train(config, Alphabet())
  kept = sum(len(text) <= 2 for text in texts)
  assert 0 < kept < len(texts) == len(train.constants['labels']) + len(texts) - kept
  assert train.constants['labels'].shape == (kept, 2) and train.constants['boxes'].shape == (kept, 2, 4)
  first, second, third, last = train.report.splitlines()
  assert first.startswith('train: 40 photos from train.tar.gz') and second.startswith('test: 12 photos from')
  assert last.startswith('checksum of photos, boxes and numbers: ')
  assert third == f'trained on: {kept} photos; {len(texts) - kept} of more than 2 digits left out'
  longest = max(map(len, svhn.select(data_dir, ('test',), 'all').texts))
  test = feeds.of(config).tests(config, Alphabet())['test']  # the test is left whole
  assert test.examples == 12 and test.source.feed(0, 0, 1)['labels'].shape == (1, longest) and longest > 2


@pytest.mark.parametrize(
  'changes, problem',
  [
    ({'data.svhn_splits': ('train', 'test')}, r'config\.data\.svhn_splits=.*: the test split is for the test alone'),
    ({'data.svhn_splits': ('trian',)}, r"SVHN has the splits train, test, extra: .* not \['trian'"),
    ({'augment.size': 40}, r'config\.augment\.size=40 is more than the config\.photos\.crop_px=32'),
    ({'data.held_out': (0.0, 0.1)}, r'config\.data\.held_out: \(0\.0, 0\.1\) needs a first share, for validation, in'),
    ({'data.held_out': ()}, r'config\.data\.held_out: \(\) needs a first share'),
    ({'photos.keep': 'gpu'}, "kept on device, host, none, not 'gpu'"),
    ({'data.data_dir': '/nowhere'}, 'no train and no test split of SVHN in /nowhere.* --splits=train,test'),
  ],
)
def test_photos_that_cannot_be_fed(data_dir, changes, problem):
  config = photos(data_dir, **changes)
  with pytest.raises(InputError, match=problem):
    feeds.of(config).train(config, Alphabet())
    feeds.of(config).validation(config, Alphabet())
