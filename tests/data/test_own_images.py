"""Your own images in memory: the canvases of a reader, splits by pixels alone, and what the report says."""

import csv

import numpy as np
import pytest
from PIL import Image

from digits_jax.alphabet import Alphabet
from digits_jax.conventions import SPLITS
from digits_jax.data import canvas, image_files, own_images
from digits_jax.errors import InputError

SPEC = canvas.CanvasSpec(height=16, width=32, ink=1, ink_px=(4.0, 14.0))
OPTIONS = {'alphabet': Alphabet(), 'seed': 0, 'held_out': (0.2, 0.2), 'skips_unreadable': False}
COUNT = 60


def draw(seed, size):
  """uint8[h, w]: a block of ink on paper, noise, no two alike."""
  rng = np.random.default_rng(seed)
  image = rng.integers(0, 20, size).astype(np.uint8)
  image[size[0] // 4 : -size[0] // 4, 4 : 8 + seed % 5] = 255
  return image


def write(path, sizes=((16, 32), (24, 40), (16, 90))):
  """A folder of COUNT images with their numbers in their names; {name: image}."""
  path.mkdir()
  made = {f'{i * 37 % 1000}_{i}.png': draw(i, sizes[i % len(sizes)]) for i in range(COUNT)}
  for name, image in made.items():
    image_files.write_png(path / name, image)
  return made


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  path = tmp_path_factory.mktemp('own') / 'images'
  return path, write(path)


def load(path, **changes):
  return own_images.load(str(path), SPEC, **(OPTIONS | changes))


def by_split(found):
  return [{image.tobytes() for image in found.select(split)[0]} for split in SPLITS]


def test_images_are_placed_as_a_reader_places_them(made):
  path, images = made
  found = load(path)
  assert found.images.shape == (COUNT, 16, 32) and found.images.dtype == np.uint8
  expected = {}
  for name, image in images.items():
    placed = np.rint(255 * canvas.load(path / name, SPEC)[0][:, :, 0]).astype(np.uint8)
    expected[placed.tobytes()] = name.split('_')[0]
    if image.shape == (16, 32):
      np.testing.assert_array_equal(placed, image)  # a file of the canvas's size keeps its bytes
  assert {image.tobytes(): text for image, text in zip(found.images, found.texts, strict=True)} == expected
  parts = by_split(found)
  assert sum(map(len, parts)) == COUNT and set.union(*parts) == set(expected) and min(map(len, parts)) >= 5


def test_a_split_depends_on_pixels_and_seed_alone(made, tmp_path):
  path, images = made
  before = by_split(load(path))
  other = tmp_path / 'renamed'
  other.mkdir()
  for i, (name, image) in enumerate(reversed(images.items())):
    text = name.split('_')[0]
    Image.fromarray(image).save(other / f'{text}_{i}.bmp')
    if i % 3 == 0:
      Image.fromarray(image).save(other / f'{text}_copy{i}.png')
    if i % 3 == 1:
      Image.fromarray(draw(1000 + i, (20, 20))).save(other / f'5_new{i}.png')
  after = load(other)
  for mine, theirs in zip(before, by_split(after), strict=True):
    assert mine <= theirs  # no image has changed sides for those that came
  assert len(after.hashes) == COUNT + 40 and 'copies of another image: 20\n' in own_images.report(after, 'DIR')
  assert by_split(load(path, seed=1)) != before


def test_shares(made):
  hashes = [i.to_bytes(4) for i in range(5000)]
  counts = np.bincount(own_images.split_by_hash(hashes, seed=3, held_out=(0.1, 0.3)))
  np.testing.assert_allclose(counts, [3000, 500, 1500], atol=110)
  for wrong in ((0.5, 0.5), (0.0, 0.1), (0.1,)):
    with pytest.raises(InputError, match=r'config\.data\.held_out: .* must be two shares above 0'):
      own_images.split_by_hash(hashes, seed=3, held_out=wrong)


def test_given_splits_and_the_report(tmp_path):
  images = write(tmp_path / 'own')
  path, names = tmp_path / 'own', list(images)
  image_files.write_png(path / 'leak.png', images[names[0]])
  (path / 'broken.png').write_bytes(b'\x89PNG')
  for name in ('nobody_2.png', 'nobody.png'):
    image_files.write_png(path / name, images[names[1]])
  splits = ['train'] * 50 + ['validation'] * 6 + ['test'] * 4
  with (path / 'labels.csv').open('w', newline='') as file:
    rows = [(name, name.split('_')[0], split) for name, split in zip(names, splits, strict=True)]
    rows += [('leak.png', names[0].split('_')[0], 'test'), ('broken.png', '12', 'train')]
    csv.writer(file).writerows([('filename', 'label', 'split'), *rows])
  with pytest.raises(InputError, match=r'^1 of 62 images cannot be read: .*broken\.png .*--config\.data\.skip_unread'):
    load(path)
  found = load(path, skips_unreadable=True)
  assert [len(found.select(split)[1]) for split in SPLITS] == [50, 6, 5]
  assert set(found.select('validation')[1]) == {name.split('_')[0] for name in names[50:56]}
  texts = [name.split('_')[0] for name in names] + [names[0].split('_')[0]]
  lines = own_images.report(found, 'DIR').splitlines()
  assert lines[0] == f'61 images with {len(set(texts))} different numbers: DIR'
  assert lines[1:3] == ['numbers from labels.csv', 'images without a row: 2 (nobody.png, nobody_2.png)']
  del lines[1:3]
  assert lines[1] == 'splits: train 50, validation 6, test 5'
  ones, twos, threes = (sum(len(text) == n for text in texts) for n in (1, 2, 3))
  assert lines[2] == f'lengths: 1: {ones}, 2: {twos}, 3: {threes}'
  assert lines[3].startswith('characters: ') and f'7: {"".join(texts).count("7")}, ' in lines[3]
  assert lines[4] == 'sizes (height x width): 16 to 24 x 32 to 90, most often 16x32 (21 images)'
  assert lines[5:7] == ['copies of another image: 1', 'WARNING: 1 images of test are in train too']
  assert lines[7].startswith('checksum of images, numbers and splits: ') and lines[8] == 'unreadable files: 1'
  assert 'broken.png' in lines[9] and len(lines) == 10
  image_files.write_png(path / 'leak.png', images[names[50]])
  rows = (path / 'labels.csv').read_text()
  (path / 'labels.csv').write_text(rows.replace(f'leak.png,{texts[0]}', f'leak.png,{texts[50]}'))
  said = own_images.report(load(path, skips_unreadable=True), 'DIR')
  assert 'WARNING: 1 images of test are in validation too' in said and said.count('WARNING') == 1
  assert lines[7] not in said  # another data set


def test_one_image_with_two_labels(made, tmp_path):
  path = tmp_path / 'own'
  images = write(path)
  name, image = next(iter(images.items()))
  Image.fromarray(image).save(path / '999_x.bmp')
  with pytest.raises(InputError, match=r'says \d+ and .* says \d+, but they are the same image') as caught:
    load(path)
  assert name in str(caught.value) and '999_x.bmp says 999' in str(caught.value)


def test_too_few_and_none(made, tmp_path):
  path = tmp_path / 'few'
  path.mkdir()
  image_files.write_png(path / '1.png', draw(0, (16, 32)))
  with pytest.raises(InputError, match=r'no image at .* is for \w+: with so few images \(1\) give the splits yourself'):
    load(path)
  (path / '1.png').write_bytes(b'no image')
  with pytest.raises(InputError, match='none of the 1 images at'):
    load(path, skips_unreadable=True)
  with pytest.raises(InputError, match=r'which images\? Give --config\.data\.folder=DIR'):
    load('')


@pytest.mark.parametrize(('step', 'said'), [(1, '16 to 27 x 32'), (0, '16 x 32')])
def test_sizes_that_all_differ_or_none(tmp_path, step, said):
  for i in range(12):
    image_files.write_png(tmp_path / f'{i}.png', draw(i, (16 + step * i, 32)))
  assert f'sizes (height x width): {said}\n' in own_images.report(load(tmp_path, seed=2), 'DIR')


def test_the_same_bytes_in_another_shape_are_another_image(tmp_path):
  rng = np.random.default_rng(0)
  for i in range(12):
    image_files.write_png(tmp_path / f'{i}.png', rng.integers(0, 256, (16, 32), np.uint8))
  image_files.write_png(tmp_path / '77.png', image_files.read_png(tmp_path / '3.png').reshape(32, 16))
  spec, shares = canvas.CanvasSpec(16, 32, 0, (8.0, 14.0)), (0.3, 0.3)
  found = own_images.load(str(tmp_path), spec, alphabet=Alphabet(), seed=0, held_out=shares, skips_unreadable=False)
  assert len(set(found.hashes)) == 13
