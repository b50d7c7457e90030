"""Banks against a slow count of pixels, splits against faces, and each wrong input by name."""

import pathlib
import shutil

import matplotlib
import numpy as np
import pytest
from fontTools import ttLib

from digits_jax.alphabet import Alphabet
from digits_jax.data import fonts, glyphs, mnist
from digits_jax.errors import InputError
from tests.data import test_mnist

SHIPPED = pathlib.Path(matplotlib.get_data_path(), 'fonts', 'ttf')


def scattered(seed=0, styles=3, symbols=2, each=(5, 40)):
  """Shuffled glyphs, each a rectangle at a place of its own, with faint pixels around it."""
  rng = np.random.default_rng(seed)
  cells = [(r, a) for r in range(styles) for a in range(symbols) for _ in range(rng.integers(*each))]
  rng.shuffle(cells)
  images = rng.integers(0, 64, (len(cells), 11, 9)).astype(np.uint8)
  boxes = []
  for image in images:
    left, top = rng.integers(0, 8), rng.integers(0, 10)
    right, bottom = rng.integers(left + 1, 10), rng.integers(top + 1, 12)
    image[top:bottom, left:right] = 64
    boxes.append((left, top, right, bottom))
  styles, symbols = np.array(cells).T
  return images, symbols + 1, styles, np.array(boxes)


def test_every_symbol_of_every_style_is_where_starts_and_counts_say():
  images, labels, styles, boxes = scattered()
  bank = glyphs.assemble(images, labels, styles, alphabet=Alphabet('73'))
  assert bank.images.dtype == np.uint8 and bank.boxes.dtype == np.float32
  assert bank.labels.dtype == bank.starts.dtype == bank.counts.dtype == np.int32
  assert bank.counts.sum() == len(images) and bank.counts.min() >= 1
  for r in range(3):
    for a in range(2):
      where = slice(bank.starts[r, a], bank.starts[r, a] + bank.counts[r, a])
      chosen = (styles == r) & (labels == a + 1)
      np.testing.assert_array_equal(bank.images[where], images[chosen])
      np.testing.assert_array_equal(bank.boxes[where], boxes[chosen])
      assert (bank.labels[where] == a + 1).all()


def spoil(index, value):
  def change(array):
    array = array.copy()
    array[index] = value
    return array

  return change


SAME = lambda array: array


@pytest.mark.parametrize(
  ('images', 'labels', 'styles', 'message'),
  [
    (lambda x: x.astype(np.float32), SAME, SAME, r'images must be uint8\[G, h, w\], not float32'),
    (lambda x: x[..., None], SAME, SAME, r'images must be uint8\[G, h, w\], not uint8\[\d+, 11, 9, 1\]'),
    (lambda x: x[:0], lambda y: y[:0], lambda y: y[:0], 'images must be'),
    (SAME, lambda y: y[:-1], SAME, r'labels must be int\[\d+\], not int64'),
    (SAME, lambda y: y.astype(float), SAME, r'labels must be int\[\d+\], not float64'),
    (SAME, SAME, lambda y: y[:, None], 'styles must be int'),
    (SAME, spoil(2, 3), SAME, 'labels of glyphs are 1 to 2; that of glyph 2 is 3'),
    (SAME, spoil(4, 0), SAME, 'that of glyph 4 is 0'),
    (SAME, SAME, spoil(1, -1), 'styles of glyphs are 0 to .*; that of glyph 1 is -1'),
    (SAME, SAME, spoil(1, 10**9), 'that of glyph 1 is 1000000000'),
    (spoil(3, 63), spoil(3, 2), spoil(3, 1), "glyph 3, '3' of style 1, is blank"),
    (SAME, SAME, lambda y: y + (y == 2), "style 2 of the glyphs has no '7'"),
  ],
)
def test_a_bank_that_does_not_hold_together_is_refused(images, labels, styles, message):
  x, y, r, _ = scattered()
  with pytest.raises(InputError, match=message):
    glyphs.assemble(images(x), labels(y), styles(r), alphabet=Alphabet('73'))


def test_a_symbol_missing_from_one_style_is_named():
  x, y, r, _ = scattered()
  kept = (r != 1) | (y != 2)
  with pytest.raises(InputError, match="style 1 of the glyphs has no '3'"):
    glyphs.assemble(x[kept], y[kept], r[kept], alphabet=Alphabet('73'))


def test_shipped_fonts_at_eight_sizes():
  bank = glyphs.from_fonts('train', Alphabet(), sizes=range(18, 26))
  assert bank.starts.shape == bank.counts.shape == (22 * 8, 10)
  np.testing.assert_array_equal(bank.starts.ravel(), np.arange(22 * 8 * 10))
  for image, box in zip(bank.images[::37], bank.boxes[::37], strict=True):
    y, x = np.nonzero(image >= 64)
    np.testing.assert_array_equal(box, [x.min(), y.min(), x.max() + 1, y.max() + 1])
  for split in ('validation', 'test'):
    same = glyphs.from_fonts(split, Alphabet(), sizes=range(18, 26))
    np.testing.assert_array_equal(same.images, bank.images)


def faces_of(bank, alphabet, size):
  """Families of the shipped faces whose glyphs are in the bank, by their pixels."""
  families = set()
  for face in fonts.find_faces(None, alphabet=alphabet)[0]:
    image = fonts.render_face(face, size=size, alphabet=alphabet)[8]
    y, x = ((big - small) // 2 for big, small in zip(bank.images.shape[1:], image.shape, strict=True))
    if min(x, y) >= 0:
      padded = np.pad(image, ((y, y), (x, x)))
      families |= {face.family} if (bank.images == padded).all((1, 2)).any() else set()
  return families


def test_held_out_families_are_in_their_split_alone():
  held_out = {'validation_families': ('STIX',), 'test_families': ('DejaVu',)}
  expected = {'train': ('Computer Modern', 6), 'validation': ('STIX', 4), 'test': ('DejaVu', 12)}
  for split, (family, count) in expected.items():
    bank = glyphs.from_fonts(split, Alphabet(), sizes=(24,), **held_out)
    assert bank.counts.shape == (count, 10)
    assert faces_of(bank, Alphabet(), 24) == {family}


def test_a_test_folder_gives_the_test_split_alone(tmp_path):
  train, test = tmp_path / 'train', tmp_path / 'test'
  train.mkdir(), test.mkdir()
  for name in ('cmr10', 'cmsy10', 'DejaVuSans'):
    shutil.copy(SHIPPED / f'{name}.ttf', train)
  shutil.copy(SHIPPED / 'STIXGeneral.ttf', test)
  choice = {'alphabet': Alphabet(), 'sizes': (24,), 'font_dir': str(train), 'test_font_dir': str(test)}
  trained = {'Computer Modern', 'DejaVu'}
  for split, families in (('train', trained), ('validation', trained), ('test', {'STIX'})):
    assert faces_of(glyphs.from_fonts(split, **choice), Alphabet(), 24) == families
  with pytest.raises(InputError, match='give one of them'):
    glyphs.from_fonts('train', test_families=('DejaVu',), **choice)
  shutil.copy(SHIPPED / 'cmtt10.ttf', test)
  with pytest.raises(InputError, match=r"\['Computer Modern'\] are in test_font_dir and in training"):
    glyphs.from_fonts('train', **choice)


@pytest.fixture(scope='module')
def stored_mnist(tmp_path_factory):
  """A tiny MNIST, prepared."""
  folder = tmp_path_factory.mktemp('mnist')
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('XDG_CACHE_HOME', str(folder / 'cache'))
    test_mnist.prepare(test_mnist.tiny(), folder / 'data')
    yield str(folder / 'data')


@pytest.mark.parametrize(('split', 'symbols'), [('train', '0123456789'), ('train', '713'), ('test', '972')])
def test_mnist_is_one_style_of_the_digits_of_the_alphabet(stored_mnist, split, symbols):
  bank = glyphs.from_mnist(split, Alphabet(symbols), data_dir=stored_mnist)
  images, digits = mnist.load(stored_mnist, split)
  wanted = [images[digits == int(symbol)] for symbol in symbols]
  np.testing.assert_array_equal(bank.images, np.concatenate(wanted))
  np.testing.assert_array_equal(bank.labels, np.repeat(np.arange(len(symbols)) + 1, list(map(len, wanted))))
  np.testing.assert_array_equal(bank.counts, [list(map(len, wanted))])


@pytest.mark.parametrize(
  ('load', 'split', 'alphabet', 'message'),
  [
    (glyphs.from_fonts, 'valid', Alphabet(), "split: there is no 'valid'; did you mean 'validation'"),
    (glyphs.from_mnist, 'valid', Alphabet(), "split: there is no 'valid'"),
    (glyphs.from_mnist, 'train', Alphabet('0123456789-'), "MNIST has digits alone, the alphabet is '0123456789-'"),
    (glyphs.from_fonts, 'train', Alphabet(), 'nothing to render'),
  ],
)
def test_what_cannot_be_loaded_is_named(load, split, alphabet, message):
  sizes = {'sizes': ()} if load is glyphs.from_fonts else {}
  with pytest.raises(InputError, match=message):
    load(split, alphabet, **sizes)


@pytest.mark.parametrize('held_out', ['validation_families', 'test_families', 'test_font_dir'])
def test_a_face_that_goes_by_another_name_is_found(tmp_path, held_out):
  train, test = tmp_path / 'train', tmp_path / 'test'
  train.mkdir(), test.mkdir()
  shutil.copy(SHIPPED / 'DejaVuSans.ttf', train)
  shutil.copy(SHIPPED / 'cmr10.ttf', train)
  font = ttLib.TTFont(SHIPPED / 'DejaVuSans.ttf')
  for record in font['name'].names:
    record.string = 'Verdigris'
  font.save((test if held_out == 'test_font_dir' else train) / 'other.ttf')
  choice = str(test) if held_out == 'test_font_dir' else ('Verdigris',)
  with pytest.raises(InputError, match=r'other \(Verdigris\) is held out and draws the very digits of DejaVuSans '):
    glyphs.from_fonts('train', Alphabet(), sizes=(24,), font_dir=str(train), **{held_out: choice})
