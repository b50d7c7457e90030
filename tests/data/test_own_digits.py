"""Your own digits: MNIST's form, splits that share no image, and each wrong file by its name and row."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageDraw

from configs import mnist as mnist_config
from digits_jax.alphabet import Alphabet
from digits_jax.conventions import SPLITS
from digits_jax.data import glyphs, own_digits, sources
from digits_jax.errors import InputError
from digits_jax.training import experiment, feeds

OPTIONS = {'kind': 'folder', 'digits': '0123456789', 'seed': 0, 'held_out': (0.2, 0.2)}


def scan(digit, seed, *, size=(90, 70), is_dark=True, font_size=40):
  """A digit of Pillow's font somewhere on a page uint8[h, w], no two alike."""
  rng = np.random.default_rng(seed)
  page = Image.new('L', size[::-1])
  place = rng.uniform(3, np.array(size[::-1]) - font_size)
  ImageDraw.Draw(page).text(place, str(digit), fill=255, font_size=font_size - rng.uniform(0, font_size / 4))
  return 255 - np.asarray(page) if is_dark else np.asarray(page)


def write_folder(folder, each=6, wanted='0123456789'):
  for digit in wanted:
    (folder / digit).mkdir(parents=True)
    for i in range(each):
      image = scan(digit, seed=i, is_dark=i % 2 == 0, size=(90 + 10 * i, 80))
      Image.fromarray(image).save(folder / digit / f'{i}.{"png" if i % 3 else "bmp"}')
  return folder


def write_csv(path, rows, header=''):
  lines = [','.join(map(str, [label, *np.ravel(image)])) for label, image in rows]
  path.write_text('\n'.join([header, *lines] if header else lines) + '\n')
  return path


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return write_folder(tmp_path_factory.mktemp('digits'))


def ink_box(image, level=64):
  rows, columns = np.nonzero(image >= level)
  return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize('size', [(90, 70), (40, 200), (300, 300)])
@pytest.mark.parametrize('is_dark', [True, False])
def test_any_size_and_either_ink_get_mnists_form(size, is_dark):
  image = scan(7, 0, size=size, is_dark=is_dark, font_size=36)
  found = own_digits.normalise(image)
  left, top, right, bottom = ink_box(found)
  assert found.dtype == np.uint8 and found.shape == (28, 28)
  assert max(right - left, bottom - top) == pytest.approx(20, abs=1)
  assert (left + right) / 2 == pytest.approx(14, abs=1) and (top + bottom) / 2 == pytest.approx(14, abs=1)
  before = ink_box(255 - image if is_dark else image)
  ratio = (before[2] - before[0]) / (before[3] - before[1])
  assert (right - left) / (bottom - top) == pytest.approx(ratio, abs=0.1)  # the aspect
  assert found.max() > 230 and found[[0, -1]].max() <= 2 and found[:, [0, -1]].max() <= 2
  np.testing.assert_array_equal(own_digits.normalise(found), found)


@pytest.mark.parametrize('stroke', [2, 4, 15, 80])
@pytest.mark.parametrize('is_upright', [True, False])
def test_a_bare_stroke(stroke, is_upright):
  page = np.full((600, 400), 255, np.uint8)
  page[50:530, 100 : 100 + stroke] = 0
  found = own_digits.normalise(page if is_upright else page.T)
  left, top, right, bottom = ink_box(found)
  sides = (right - left, bottom - top) if is_upright else (bottom - top, right - left)
  assert sides == (pytest.approx(max(1, 20 * stroke / 480), abs=1), pytest.approx(20, abs=1))
  assert found.max() > 190


def test_faint_ink_and_grey_paper():
  image = scan(3, 1, is_dark=True)
  faint = np.rint(120 + image.astype(float) * 60 / 255).astype(np.uint8)  # 120 on 180
  np.testing.assert_allclose(own_digits.normalise(faint).astype(int), own_digits.normalise(image), atol=8)


def test_what_has_mnists_form_stays_as_it_is(tmp_path):
  rng = np.random.default_rng(0)
  rows = []
  for label in range(10):
    for _ in range(4):
      image = np.zeros((28, 28), np.uint8)
      image[4:24, 8 : 12 + label] = rng.integers(100, 256, (20, 4 + label))
      rows.append((label, image))
  header = 'label,' + ','.join(f'pixel{i}' for i in range(784))
  with_names = write_csv(tmp_path / 'a.csv', rows, header)
  bare = write_csv(tmp_path / 'b.csv', rows[::-1])
  for path in (with_names, bare):
    options = OPTIONS | {'kind': 'csv'}
    parts = [own_digits.load(str(path), split=split, **options) for split in SPLITS]
    found = {(int(label), image.tobytes()) for part in parts for label, image in zip(*part[1::-1], strict=True)}
    assert found == {(label, image.tobytes()) for label, image in rows}
  assert parts[0].origins[0].startswith(f'{bare}, row ')


def test_a_folder_is_a_bank(folder):
  banks = {
    split: glyphs.from_own_digits(split, Alphabet(), kind='folder', path=str(folder), held_out=(0.2, 0.2))
    for split in SPLITS
  }
  counts = np.array([bank.counts[0] for bank in banks.values()])
  assert counts.shape == (3, 10) and counts.min() == 1 and (counts.sum(0) == 6).all() and counts[0].mean() > 2.5
  for bank in banks.values():
    for label, image in zip(bank.labels, bank.images, strict=True):
      every = [own_digits.normalise(scan(label - 1, i, is_dark=i % 2 == 0, size=(90 + 10 * i, 80))) for i in range(6)]
      assert any(np.array_equal(image, one) for one in every)
  least = own_digits.load(str(folder), split='validation', **(OPTIONS | {'held_out': (0.01, 0.01)}))
  assert np.bincount(least.labels).tolist() == [1] * 10
  few = glyphs.from_own_digits('test', Alphabet('73'), kind='folder', path=str(folder), held_out=(0.2, 0.2))
  assert few.counts.tolist() == [[1, 1]]
  with pytest.raises(InputError, match="a bank of the kind 'folder' has digits alone"):
    glyphs.from_own_digits('test', Alphabet('01-'), kind='folder', path=str(folder), held_out=(0.2, 0.2))


def test_copies_stay_together_and_splits_depend_on_the_images_and_the_seed(tmp_path):
  images = {digit: [scan(digit, seed) for seed in range(12)] for digit in '0123456789'}
  for digit, all_of_it in images.items():
    (tmp_path / digit / 'more').mkdir(parents=True)
    for i, image in enumerate(all_of_it):
      Image.fromarray(image).save(tmp_path / digit / f'{i}.png')
      # The same again, moved and with its ink the other way round: the same digit.
      Image.fromarray(255 - np.pad(image, ((9, 0), (0, 5)), constant_values=255)).save(
        tmp_path / digit / 'more' / f'{11 - i}.png'
      )
  load = lambda split, **changes: own_digits.load(str(tmp_path), split=split, **(OPTIONS | changes))
  sets = [{image.tobytes() for image in load(split).images} for split in SPLITS]
  expected = {own_digits.normalise(image).tobytes() for all_of_it in images.values() for image in all_of_it}
  assert set.union(*sets) == expected and sum(map(len, sets)) == len(expected) > 100  # none in two
  assert sum(len(load(split).images) for split in SPLITS) == 240
  assert {image.tobytes() for image in load('test', seed=1).images} != sets[2]
  (tmp_path / '3' / '0.png').rename(tmp_path / '3' / 'zz.png')
  assert [{image.tobytes() for image in load(split).images} for split in SPLITS] == sets


def test_no_image_changes_sides_when_others_are_added():
  images = np.random.default_rng(0).integers(0, 256, (2000, 28, 28), np.uint8)
  labels = np.arange(2000) % 10
  split = lambda count, held_out: own_digits.split_classes(
    own_digits.Digits(images[:count], labels[:count], ('here',) * count), seed=0, held_out=held_out, where='here'
  )
  every = split(2000, (0.1, 0.2))
  np.testing.assert_allclose(np.bincount(every) / 2000, [0.7, 0.1, 0.2], atol=0.025)
  np.testing.assert_array_equal(split(1500, (0.1, 0.2)), every[:1500])
  for held_out in ((0.4, 0.4), (0.5, 0.49), (0.01, 0.01)):  # of few, each split has one
    for count in (30, 40, 60):
      found = split(count, held_out)
      assert all(set(found[labels[:count] == digit]) == {0, 1, 2} for digit in range(10))


def test_ink_of_any_size_takes_little_memory():
  bar = np.zeros((40, 60_000), np.uint8)
  bar[10:30, 100:-100] = 255
  tracemalloc.start()
  found = own_digits.normalise(bar)
  assert tracemalloc.get_traced_memory()[1] < 100e6  # of some ten floats a pixel
  tracemalloc.stop()
  assert found.shape == (28, 28) and (found[14, 5:23] > 150).all() and found[:12].max() == found[17:].max() == 0


def test_ink_that_is_averaged_first_is_as_it_was(monkeypatch):
  large = np.kron(scan(5, 1, is_dark=False, size=(100, 80)), np.ones((20, 20), np.uint8))
  found = own_digits.normalise(large).astype(int)
  monkeypatch.setattr(own_digits, '_LARGE', 10_000)
  assert abs(found - own_digits.normalise(large)).max() <= 12


def test_the_faintest_ink_is_read():
  """Two neighbouring grey levels, whose difference as floats may be below a level."""
  for level in range(255):
    image = np.full((40, 40), level, np.uint8)
    image[10:30, 15:25] += 1
    assert own_digits.normalise(image).max() > 200


@pytest.mark.parametrize(
  'change, message',
  [
    (lambda d: [f.unlink() for f in (d / '4').iterdir()], r'has no image of 4: put some into .*/4'),
    (lambda d: [(d / '4' / f'{i}.{"png" if i % 3 else "bmp"}').unlink() for i in range(1, 6)], 'has 1 different image'),
    (lambda d: (d / 'four').mkdir(), "holds the folder 'four': a class of digits is called 0, 1"),
    (lambda d: (d / '4' / '1.png').write_bytes(b'\x89PNG'), r'4/1\.png is a damaged or incomplete PNG'),
    (lambda d: Image.new('L', (9, 9), 80).save(d / '4' / '1.png'), r'4/1\.png shows nothing'),
    (lambda d: Image.fromarray(scan(5, 1, is_dark=False, size=(100, 80))).save(d / '4' / 'x.png'), r'5/1.png is 5 and'),
  ],
)
def test_wrong_folders(tmp_path, change, message):
  change(write_folder(tmp_path / 'digits', wanted='0123456789'))
  with pytest.raises(InputError, match=message) as caught:
    own_digits.load(str(tmp_path / 'digits'), split='train', **OPTIONS)
  assert '\n' not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
  'second, message',
  [
    ('7,' + ','.join(['0'] * 783), 'row 3 has 784 columns instead of 785'),
    ('7,' + ','.join(['0'] * 783 + ['256']), 'row 3 has the pixel 256: pixels are whole, 0 to 255'),
    ('7,' + ','.join(['-1'] + ['0'] * 783), 'row 3 has the pixel -1'),
    ('7,' + ','.join(['0.5'] + ['0'] * 783), 'row 3 has the pixel 0.5'),
    ('7,' + ','.join(['x'] + ['0'] * 783), "row 3 holds 'x', which is no number"),
    ('10,' + ','.join(['0'] * 784), 'row 3 has the label 10, which is no digit'),
    ('7,' + ','.join(['9'] * 784), 'row 3 shows nothing'),
  ],
)
def test_wrong_rows(tmp_path, second, message):
  path = tmp_path / 'pixels.csv'
  image = np.zeros((28, 28), int)
  image[4:24, 10:14] = 255
  write_csv(path, [(1, image)], header='label,' + ','.join(map(str, range(784))))
  path.write_text(path.read_text() + second + '\n')
  with pytest.raises(InputError, match=message) as caught:
    own_digits.load(str(path), split='train', **(OPTIONS | {'kind': 'csv'}))
  assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize('header', ['label,pixels', 'y,p0,p1', ',p0,p1', 'label,' + ','.join(map(str, range(784)))])
def test_a_line_of_names_is_no_digit(tmp_path, header):
  path = tmp_path / 'pixels.csv'
  path.write_text(header + '\n')
  with pytest.raises(InputError, match='holds no row'):
    own_digits.load(str(path), split='train', **(OPTIONS | {'kind': 'csv'}))


@pytest.mark.parametrize('label', ['1O', 'O', '', '0x1'])
def test_a_wrong_label_is_no_line_of_names(tmp_path, label):
  path = tmp_path / 'pixels.csv'
  path.write_text(label + ',0' * 784 + '\n')
  with pytest.raises(InputError, match=f"row 1 holds '{label}', which is no number"):
    own_digits.load(str(path), split='train', **(OPTIONS | {'kind': 'csv'}))


def test_a_folder_that_cannot_be_read(folder, refuse):
  refuse('3')
  with pytest.raises(InputError, match=r'the folder .*/3 cannot be read: Permission denied'):
    own_digits.load(str(folder), split='train', **OPTIONS)


def test_nothing_there(tmp_path):
  (tmp_path / 'empty.csv').write_text('label,pixels\n')
  for kind, path, message in (
    ('folder', '', "'folder' are your own: give config.data.glyph_path"),
    ('folder', str(tmp_path / 'none'), 'there is no folder of digits'),
    ('csv', str(tmp_path / 'none.csv'), 'there is no file of pixels'),
    ('csv', str(tmp_path), 'cannot be read: Is a directory'),
    ('csv', str(tmp_path / 'empty.csv'), 'holds no row'),
  ):
    with pytest.raises(InputError, match=message):
      own_digits.load(path, split='train', **(OPTIONS | {'kind': kind}))
  none = own_digits.Digits(np.zeros((0, 28, 28)), np.zeros(0), ())
  with pytest.raises(InputError, match=r'config.data.held_out: \(0.5, 0.5\) must be two shares'):
    own_digits.split_classes(none, seed=0, held_out=(0.5, 0.5), where='')


def test_training_draws_from_them_and_says_so(folder):
  config = mnist_config.get_config('tiny')
  config.data.update(glyphs='folder', glyph_path=str(folder), held_out=(0.2, 0.2))
  built = experiment.build(config)
  banks = [source.constants for source in (built.train, built.validation.source, built.tests['test'].source)]
  assert sum(len(bank.images) for bank in banks) == 60 and min(len(bank.images) for bank in banks) >= 10
  train = banks[0]
  report = f'train: {len(train.images)} glyphs of 10 symbols in 1 style: {folder}\nchecksum of the glyphs of train: '
  assert built.train.report.startswith(report) and built.tests['test'].name == 'strings-v1 (own glyphs)'
  again = [sources.report(bank, split, str(folder)) for bank, split in zip(banks, SPLITS, strict=True)]
  assert ''.join(again) == built.report and built.report.count('checksum') == 3
  again = again[0]
  changed = train.images.copy()
  changed[7, 14, 14] ^= 1
  other = sources.report(train.replace(images=changed), 'train', str(folder))
  assert other.splitlines()[0] == again.splitlines()[0] and other.splitlines()[1] != again.splitlines()[1]


@pytest.mark.parametrize('changes', [{'split_seed': 1}, {'held_out': (0.4, 0.2)}, {}], ids=str)
def test_they_are_split_as_the_config_says(folder, changes):
  config = mnist_config.get_config('tiny')
  usual = {'split_seed': 0, 'held_out': (0.2, 0.2)}
  config.data.update(glyphs='folder', glyph_path=str(folder), **usual | changes)
  found = feeds.of(config).train(config, Alphabet()).constants.images
  of = lambda options: glyphs.from_own_digits('train', Alphabet(), kind='folder', path=str(folder), **options).images
  np.testing.assert_array_equal(found, of(usual | changes))
  assert np.array_equal(found, of(usual)) == (not changes)


def test_digits_that_have_changed_are_read_anew(tmp_path):
  folder = write_folder(tmp_path / 'digits')
  threes = lambda found: {image.tobytes() for image in found.images[found.labels == 3]}
  before = threes(own_digits.load(str(folder), split='train', **OPTIONS))
  for i, file in enumerate(sorted((folder / '3').iterdir())):
    Image.fromarray(scan(3, seed=50 + i)).save(file)
  assert before and not before & threes(own_digits.load(str(folder), split='train', **OPTIONS))
