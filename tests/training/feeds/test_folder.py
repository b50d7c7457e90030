"""Your own images as a source: what is said without them, what is trained on, what validation and the test are."""

import shutil

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import own as own_config
from digits_jax.alphabet import Alphabet
from digits_jax.data import image_files, sources
from digits_jax.errors import InputError
from digits_jax.training import feeds


def own(**changes):
  config = own_config.get_config('tiny')
  config.data.folder = 'nowhere'
  config.update_from_flattened_dict(changes)
  return config


def test_your_own_images():
  feed = feeds.of(own())
  stored = ConfigDict(own().to_dict())
  assert feed.canvas(stored)[:4] == (64, 128, 1, (0.25 * 64, 0.9 * 64)) and feed.slots(stored) == 8
  assert feed.canvas(own(**{'synth.photo.inversion': 0.5})).ink == 0
  with pytest.raises(InputError, match=r'config\.data\.ink_frac: \(0\.5, 0\.2\) is not'):
    feed.canvas(own(**{'data.ink_frac': (0.5, 0.2)}))
  with pytest.raises(InputError, match=r'config\.data\.ink_frac: \(0\.5,\) is not'):
    feed.canvas(own(**{'data.ink_frac': (0.5,)}))
  with pytest.raises(InputError, match='there is no folder of labelled images nowhere'):
    feed.train(own(), Alphabet())


@pytest.fixture(scope='module')
def images(tmp_path_factory):
  """A folder of 80 images of the canvas's size; {number: pixels}."""
  path = tmp_path_factory.mktemp('feeds') / 'own'
  path.mkdir()
  made = {str(100 + i): np.random.default_rng(i).integers(0, 256, (64, 128), np.uint8) for i in range(80)}
  for text, image in made.items():
    image_files.write_png(path / f'{text}.png', image)
  return path, made


def test_batches_of_your_own_images(images):
  path, made = images
  config = own(**{'data.folder': str(path), 'tests.test.examples': 100, 'validation.examples': 2})
  feed, alphabet = feeds.of(config), Alphabet()
  test, train = feed.tests(config, alphabet)['test'], feed.train(config, alphabet)
  assert test.name == 'own' and feed.validation(config, alphabet).examples == 2
  drawn = sources.draw_examples(test, np.arange(test.examples))  # as the files are
  texts = [alphabet.decode(*row) for row in zip(drawn.labels, drawn.label_lengths, strict=True)]
  assert 0 < len(set(texts)) == test.examples < 30
  for text, image in zip(texts, drawn.images, strict=True):
    np.testing.assert_array_equal(np.rint(255 * image[:, :, 0]).astype(np.uint8), made[text])
  assert test.files == tuple(str(path / f'{text}.png') for text in texts)
  assert len(feed.validation(config, alphabet).files) == 2

  count = int(train.report.split('train ')[1].split(',')[0])
  size = config.batch_size
  fed = [train.feed(step, 0, size) for step in range(-(-count // size))]
  labels = np.concatenate([items['labels'] for items in fed])[:count]
  seen = [alphabet.decode(row) for row in labels]
  assert len(set(seen)) == count and not set(seen) & set(texts)  # an epoch, each image once, none of the test
  np.testing.assert_array_equal(train.feed(1, 2, 3)['labels'], fed[1]['labels'][2:5])
  item = {name: leaf[0] for name, leaf in fed[0].items()}
  changed = [train.example(jax.random.key(seed), (), item).images for seed in (0, 0, 1)]
  np.testing.assert_array_equal(changed[0], changed[1])
  assert (changed[0] != changed[2]).any() and changed[0].shape == (64, 128, 1)


def test_few_images_are_better_begun_with_a_run(images, monkeypatch):
  config, begun = (own(**{'data.folder': str(images[0]), 'init_from': run}) for run in ('', 'runs/other'))
  report = lambda config: feeds.of(config).train(config, Alphabet()).report
  *said, advice = report(config).splitlines()
  assert 'config.init_from' in advice and report(begun).splitlines() == said
  assert feeds.of(config).tests(config, Alphabet())['test'].source.report == report(config)  # said once of all splits
  monkeypatch.setattr(feeds.folder, '_FEW', 10)
  assert report(config).splitlines() == said


def test_the_seed_of_the_split_is_that_of_the_config(images):
  tested = []
  for seed in (0, 0, 1):
    config = own(**{'data.folder': str(images[0]), 'data.split_seed': seed})
    test = feeds.of(config).tests(config, Alphabet())['test']
    tested.append(test.source.feed(0, 0, test.examples)['labels'].tolist())
  assert tested[0] == tested[1] != tested[2]


def test_what_cannot_be_read_is_left_out_where_the_config_says_so(images, tmp_path):
  path = str(tmp_path / 'own')
  shutil.copytree(images[0], path)
  (tmp_path / 'own' / '999.png').write_bytes(b'')
  strict, lenient = (own(**{'data.folder': path, 'data.skip_unreadable': skips}) for skips in (False, True))
  with pytest.raises(InputError, match=r'1 of 81 images cannot be read: .*999\.png'):
    feeds.of(strict).train(strict, Alphabet())
  report = feeds.of(lenient).train(lenient, Alphabet()).report
  assert report.startswith('80 images ') and '\nunreadable files: 1\n' in report


def test_own_images_that_do_not_fit_the_config(images):
  path, _ = images
  short = own(**{'data.folder': str(path), 'synth.number.max_length': 2})
  with pytest.raises(InputError, match=r'number \d+, of 3 symbols: raise config\.synth\.number\.max_length from 2'):
    feeds.of(short).train(short, Alphabet())
  config = own(**{'data.folder': str(path)})
  config.tests.more = config.tests.test.copy_and_resolve_references()
  with pytest.raises(InputError, match='source folder has one test set, `test`, not more, test'):
    feeds.of(config).tests(config, Alphabet())
