"""Kinds of sources: what a config says of its images without any data."""

import inspect
import pathlib
import shutil

import matplotlib
import pytest
from ml_collections import ConfigDict

from configs import fonts, mnist, testsets
from digits_jax.alphabet import Alphabet
from digits_jax.data import glyphs
from digits_jax.errors import InputError
from digits_jax.training import feeds
from digits_jax.training.feeds import synthetic


def stored(config):
  """The config as a run directory gives it back."""
  return ConfigDict(config.to_dict())


def test_synthetic_numbers(monkeypatch):
  for name in ('from_fonts', 'from_mnist'):
    monkeypatch.setattr(glyphs, name, lambda *_, **__: pytest.fail('data was loaded'))
  canvas_of = lambda config: feeds.of(config).canvas(stored(config))
  assert canvas_of(fonts.get_config()) == (64, 128, 1, (0.6 * 18, 0.8 * 25), 'paper')
  assert canvas_of(fonts.get_config()).shape == (64, 128, 1)
  config = mnist.get_config('triplets')
  assert canvas_of(config) == (28, 84, 1, (16, 20), 'paper') and feeds.of(config).slots(stored(config)) == 3
  assert canvas_of(mnist.get_config('strings')).ink_px == pytest.approx((15, 21 + 2 * 2))
  config.synth.warp.update(scale=(0.5, 1.5), zoom=(0.5, 2.0))
  config.synth.photo.inversion = 0.5
  assert canvas_of(config) == (28, 84, 0, (5, 60), 'paper')
  config.synth.photo.inversion = 1.0
  assert canvas_of(config).ink == -1


def test_own_fonts_are_told_of_and_shipped_ones_are_not(tmp_path):
  for face in ('DejaVuSans', 'STIXGeneral'):
    shutil.copy(pathlib.Path(matplotlib.get_data_path(), 'fonts', 'ttf', f'{face}.ttf'), tmp_path)
  config, alphabet = fonts.get_config('tiny'), Alphabet()
  config.data.font_sizes = (18, 25)
  of = lambda: (feeds.of(config).train(config, alphabet).report, feeds.of(config).tests(config, alphabet)['test'].name)
  assert of() == ('', 'plates-v1 (other glyphs)')  # of two sizes
  config.data.font_dir = str(tmp_path)
  report, name = of()
  assert report.startswith(f'train: 40 glyphs of 10 symbols in 4 styles: {tmp_path}\nchecksum of the glyphs of train: ')
  assert name == 'plates-v1 (own glyphs)'
  config.tests.test = testsets.families()  # which is of a folder by its definition
  assert of() == (report, 'families-v1 (other glyphs)')
  config.data.font_sizes = tuple(range(18, 26))
  assert of()[1] == 'families-v1 (other glyphs)'  # the very faces that are trained on
  other = tmp_path.with_name('faces for the test')
  other.mkdir()
  shutil.copy(pathlib.Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'cmr10.ttf'), other)
  config.data.test_font_dir = str(other)
  assert of()[1] == 'families-v1'
  config.data.font_sizes = (18, 24)
  assert of()[0].splitlines()[1] != report.splitlines()[1]


def fonts_of(**changes):
  """The styles that train, validation and test have, and the seeds of the last two."""
  config, alphabet = fonts.get_config('tiny'), Alphabet()
  config.update_from_flattened_dict({'data.font_sizes': (20,)} | changes)
  kind = feeds.of(config)
  train, *fixed = kind.train(config, alphabet), kind.validation(config, alphabet), kind.tests(config, alphabet)['test']
  return [len(s.constants.starts) for s in (train, *(one.source for one in fixed))], [one.seed for one in fixed]


def test_faces_are_held_out_as_the_config_says(tmp_path):
  families = {'data.validation_families': ('STIX',), 'data.test_families': ('DejaVu',)}
  assert fonts_of(**families)[0] == [6, 4, 12]
  copied = {'data.font_dir': tmp_path / 'train', 'data.test_font_dir': tmp_path / 'test'}
  for folder, faces in zip(copied.values(), (('DejaVuSans', 'STIXGeneral'), ('cmr10',)), strict=True):
    folder.mkdir()
    for face in faces:
      shutil.copy(pathlib.Path(matplotlib.get_data_path(), 'fonts', 'ttf', f'{face}.ttf'), folder)
  assert fonts_of(**{field: str(folder) for field, folder in copied.items()})[0] == [2, 2, 1]


def test_seeds_are_those_of_the_config():
  assert fonts_of(**{'validation.seed': 5, 'tests.test.seed': 6})[1] == [5, 6]


@pytest.mark.parametrize(
  ('changes', 'name'),
  [
    ({}, 'plates-v1'),
    ({'data.validation_families': ('STIX',)}, 'plates-v1 (other glyphs)'),
    ({'data.test_families': ('STIX',)}, 'plates-v1 (other glyphs)'),
    ({'data.font_sizes': (25,)}, 'plates-v1 (other glyphs)'),
    ({'alphabet': '01234'}, 'plates-v1 (other glyphs)'),
    ({'data.font_sizes': (25,), 'tests.test.name': 'mine-v1'}, 'mine-v1'),
    ({'tests.test.examples': 7}, 'plates-v1'),
    ({'data.hold_out_numbers': False}, 'plates-v1 (changed)'),
    ({'tests.test.seed': 7}, 'plates-v1 (changed)'),
    ({'tests.test.draw': 'glyphs', 'tests.test.examples': 5}, 'plates-v1 (changed)'),
    ({'tests.test.synth.photo.noise': (0.0, 0.0)}, 'plates-v1 (changed)'),
    ({'tests.test.synth.number.min_length': 1}, 'plates-v1 (changed)'),
    ({'tests.test.name': 'five-v1'}, 'five-v1 (changed)'),
    ({'tests.test.name': 'families-v1', 'tests.test.seed': 4}, 'families-v1 (other glyphs)'),
    ({'tests.test.name': 'strings-v1'}, 'strings-v1 (other glyphs)'),
  ],
)
def test_a_named_set_keeps_its_name_with_its_own_glyphs_alone(changes, name):
  config = fonts.get_config('quick')
  config.update_from_flattened_dict(changes)
  assert feeds.of(config).tests(config, Alphabet(config.alphabet))['test'].name == name


def test_an_unknown_kind():
  config = fonts.get_config()
  config.data.source = 'sinthetic'
  with pytest.raises(InputError, match=r"config\.data\.source: there is no 'sinthetic'; did you mean 'synthetic'\?"):
    feeds.of(config)


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('font', "config.data.glyphs: there is no 'font'; did you mean 'fonts'"),
    ('zzz', 'one of fonts, mnist, folder, csv$'),
  ],
)
def test_an_unknown_kind_of_glyphs(name, message):
  config = fonts.get_config('tiny')
  config.data.glyphs = name
  with pytest.raises(InputError, match=message):
    feeds.of(config).train(config, Alphabet())


def test_the_named_sets_are_those_of_the_configs():
  made = [make() for make in vars(testsets).values() if inspect.isfunction(make)]
  known = {name: definition for name, (definition, _) in synthetic.NAMED.items()}
  assert {test.name: synthetic.definition(test) for test in made} == known
  config = mnist.get_config('strings')
  for test in made:
    if synthetic.NAMED[test.name][1] == 'mnist':
      assert synthetic.title(config, test) == test.name
  config.data.hold_out_numbers = True
  assert synthetic.title(config, testsets.seven()) == 'seven-v1 (changed)'
  assert synthetic.title(config, testsets.digits()) == 'mnist-test-v1'  # single digits belong to every split
  config = fonts.get_config('families')
  assert synthetic.title(config, testsets.families()) == 'families-v1'
  assert synthetic.title(config, testsets.plates()) == 'plates-v1 (own glyphs)'
  for fields in ({'test_font_dir': ''}, {'test_font_dir': config.data.font_dir}, {'test_families': ('Noto',)}):
    other = config.copy_and_resolve_references()
    other.data.update(fields)
    assert synthetic.title(other, testsets.families()) == 'families-v1 (other glyphs)'
