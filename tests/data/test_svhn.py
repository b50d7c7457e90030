"""A prepared SVHN: its parts, and its crops."""

import dataclasses
import hashlib
import os
import pathlib
import shutil
import time

import numpy as np
import pytest

from digits_jax.data import crop, image_files, svhn, svhn_builder, svhn_crops
from digits_jax.data.crop import CropSpec
from digits_jax.errors import InputError
from tests.data import svhn_files
from tests.data.svhn_files import COUNTS

SPEC = CropSpec(size=16)
pytestmark = pytest.mark.usefixtures('cache')


def members(selection):
  return set(zip(selection.splits, selection.rows, strict=True))


def test_parts(data_dir):
  both = ('train', 'extra')
  parts = {part: svhn.select(data_dir, both, part) for part in svhn.PARTS}
  assert (
    members(parts['train']) | members(parts['validation']) == members(parts['all']) and len(parts['all'].rows) == 90
  )
  assert not members(parts['train']) & members(parts['validation'])
  assert 1 <= len(parts['validation'].rows) <= 20
  for selection in parts.values():
    for split, row, text, file in zip(
      selection.splits, selection.rows, selection.texts, selection.files, strict=True
    ):
      names, labels = svhn.load_index(data_dir, split)
      assert labels[row].decode() == text and f'{split}/{names[row].decode()}' == file
  assert parts['all'].too_long == 0 and '123456' in parts['all'].texts


def test_what_is_validation_stays_so_with_more_photos(data_dir):
  alone = members(svhn.select(data_dir, ('train',), 'validation'))
  assert alone == {one for one in members(svhn.select(data_dir, ('extra', 'train'), 'validation')) if one[0] == 'train'}
  other = svhn.select(data_dir, ('train',), 'validation', seed=1)
  assert members(other) != alone


def test_the_share_of_validation(data_dir):
  assert svhn.select(data_dir, ('train', 'extra'), 'train', validation_frac=0.0).texts
  half = len(svhn.select(data_dir, ('train', 'extra'), 'validation', validation_frac=0.5).rows)
  assert 25 < half < 65
  with pytest.raises(InputError, match="no photo of SVHN is left in the part 'validation' of train"):
    svhn.select(data_dir, ('train',), 'validation', validation_frac=0.0)


def test_long_numbers_are_left_out(data_dir):
  short = svhn.select(data_dir, ('train', 'extra'), 'all', max_digits=5)
  assert short.too_long == 2 and len(short.rows) == 88 and '123456' not in short.texts


def test_the_order_is_that_of_hashes_not_of_files(data_dir, tmp_path):
  shuffled = tmp_path / 'in'
  shutil.copytree(pathlib.Path(data_dir) / 'in' / 'train', shuffled / 'train')
  svhn_files.write_archive(shuffled / 'train.tar.gz', shuffled / 'train')  # photos by name as text: 1, 10, 11, ...
  shutil.rmtree(shuffled / 'train')
  svhn_builder.prepare(str(tmp_path), str(shuffled), wanted=['train'], mirrors=[])
  assert svhn.select(data_dir, ('train',), 'train').texts == svhn.select(str(tmp_path), ('train',), 'train').texts
  texts = svhn.select(data_dir, ('train',), 'all').texts
  assert list(texts) != sorted(texts) and list(texts) != [str(7 * i) for i in range(1, 60)] + ['123456']


def test_parts_are_fixed_for_good(data_dir):
  """A tenth, and the order, by BLAKE2b of 'split/name' with the seed as its key, read as a big-endian fraction."""

  def place(split, name):
    digest = hashlib.blake2b(f'{split}/{name}'.encode(), digest_size=8, key=b'5').hexdigest()
    return int(digest, 16) / 2**64

  found = [
    (place(split, f'{i}.png'), split, f'{i}.png') for split in ('train', 'extra') for i in range(1, COUNTS[split] + 1)
  ]
  for part, is_in in (('validation', lambda at: at < 0.1), ('train', lambda at: at >= 0.1)):
    selection = svhn.select(data_dir, ('train', 'extra'), part, seed=5)
    names = {split: svhn.load_index(data_dir, split)[0] for split in ('train', 'extra')}
    got = [(split, names[split][row].decode()) for split, row in zip(selection.splits, selection.rows, strict=True)]
    assert got == [(split, name) for at, split, name in sorted(found) if is_in(at)]


def test_unknown_splits_and_parts(data_dir):
  for splits in ((), ('train', 'train'), ('valid',)):
    with pytest.raises(InputError, match='name some of them once'):
      svhn.select(data_dir, splits, 'train')
  with pytest.raises(InputError, match="the parts train, validation, all, not 'test'"):
    svhn.select(data_dir, ('train',), 'test')


def test_a_missing_split_says_how_to_get_it(tmp_path):
  remedy = rf'prepare svhn --splits=extra --data_dir={tmp_path}` prepares it, from extra\.tar\.gz, downloaded or in a '
  for use in (
    lambda: svhn.select(str(tmp_path), ('extra',), 'all'),
    lambda: svhn_crops.cached(str(tmp_path), 'extra', SPEC),
  ):
    with pytest.raises(InputError, match=remedy):
      use()
  with pytest.raises(InputError, match=r'no train and no test split .*--splits=train,test .* and test\.tar\.gz'):
    svhn.check(str(tmp_path), 'train', 'test')


def test_crops_by_index(data_dir):
  crops = svhn_crops.Crops(data_dir, 'train', SPEC)
  names, labels = svhn.load_index(data_dir, 'train')
  assert len(crops) == 60
  for i in (59, 0, 7):
    record = crops[i]
    photo = image_files.read_png(pathlib.Path(data_dir) / 'in' / 'train' / names[i].decode())
    rows = svhn_files.row(
      '1' * len(labels[i]), left=0 if len(labels[i]) == 6 else 3 + int(names[i].split(b'.')[0]) % 5, width=5
    )
    boxes = np.array([(b['left'], b['top'], b['left'] + 5, b['top'] + b['height']) for b in rows], np.float32)
    image, inside = crop.crop(photo, boxes, SPEC)
    np.testing.assert_array_equal(record['image'], image)
    np.testing.assert_array_equal(record['boxes'][: len(boxes)], inside)
    assert not record['boxes'][len(boxes) :].any()
  with pytest.raises(InputError, match=r'train: 60\.png has 6 digits, there are slots for 5'):
    [svhn_crops.Crops(data_dir, 'train', dataclasses.replace(SPEC, slots=5))[i] for i in range(60)]


def test_grey_photos_and_damaged_ones(tmp_path):
  photos = {'1.png': svhn_files.row('1'), '2.png': svhn_files.row('2')}
  folder = svhn_files.write_folder(tmp_path / 'train', photos, {name: svhn_files.png(30, 40) for name in photos})
  image_files.write_png(folder / '1.png', np.arange(1200, dtype=np.uint8).reshape(30, 40))
  svhn_builder.prepare(str(tmp_path), str(tmp_path), wanted=['train'], mirrors=[])
  image = svhn_crops.Crops(str(tmp_path), 'train', SPEC)[0]['image']
  assert image.shape == (16, 16, 3) and (image == image[:, :, :1]).all()
  shard = next((tmp_path / 'svhn_numbers' / '1.0.0').glob('*array_record*'))
  content = shard.read_bytes()
  at = content.index(b'IDAT', content.index(b'IDAT') + 4) + 20
  shard.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
  with pytest.raises(InputError, match=r'SVHN in .*, train: photo 1 cannot be read \(.+\): prepare the data set again'):
    svhn_crops.Crops(str(tmp_path), 'train', SPEC)[1]


@pytest.mark.parametrize('workers', [0, 2])
def test_the_cache_holds_the_same_crops(data_dir, cache, monkeypatch, workers):
  monkeypatch.setattr(svhn_crops, '_PART', 25)
  crops = svhn_crops.Crops(data_dir, 'train', SPEC)
  bank = svhn_crops.cached(data_dir, 'train', SPEC, workers=workers)
  assert bank.dtype == SPEC.dtype and isinstance(bank, np.memmap)
  np.testing.assert_array_equal(bank, np.stack([crops[i] for i in range(60)]))
  (file,) = cache.iterdir()
  before = file.stat()
  monkeypatch.setattr(svhn_crops, 'Crops', lambda *_: pytest.fail('cropped again'))
  np.testing.assert_array_equal(svhn_crops.cached(data_dir, 'train', SPEC), bank)
  assert file.stat() == before


def test_each_data_set_and_each_crop_has_its_own_cache(data_dir, cache, tmp_path):
  for spec in (SPEC, CropSpec(size=16, is_square=True), CropSpec(size=8), CropSpec(size=16, margin=0.5)):
    svhn_crops.cached(data_dir, 'test', spec)
  svhn_crops.cached(data_dir, 'extra', SPEC)
  assert len(os.listdir(cache)) == 5
  folder = pathlib.Path(data_dir) / 'in' / 'extra'
  shutil.copytree(folder, tmp_path / 'in' / 'test')  # the photos of another split under its name
  svhn_builder.prepare(str(tmp_path), str(tmp_path / 'in'), wanted=['test'], mirrors=[])
  assert len(svhn_crops.cached(str(tmp_path), 'test', SPEC)) == COUNTS['extra'] and len(os.listdir(cache)) == 6


def test_a_cache_that_is_not_finished_is_not_used(data_dir, cache, monkeypatch):
  def stop(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(svhn_crops.os, 'replace', stop)
  with pytest.raises(KeyboardInterrupt):
    svhn_crops.cached(data_dir, 'test', SPEC)
  assert os.listdir(cache) == []


def test_a_cache_that_is_damaged_is_made_again(data_dir, cache, caplog):
  whole = np.array(svhn_crops.cached(data_dir, 'test', SPEC))
  (file,) = cache.iterdir()
  os.truncate(file, 3000)
  np.testing.assert_array_equal(svhn_crops.cached(data_dir, 'test', SPEC), whole)
  assert 'cropping again' in caplog.text and [path.name for path in cache.iterdir()] == [file.name]


def test_what_killed_processes_left_is_removed_after_a_day(data_dir, cache):
  for name, hours in (('svhn.old', 25), ('svhn.new', 1)):
    (cache / name).mkdir(parents=True)
    (cache / name / 'crops.npy').write_bytes(b'0' * 9)
    os.utime(cache / name, (time.time() - 3600 * hours,) * 2)
  svhn_crops.cached(data_dir, 'test', SPEC)
  assert not (cache / 'svhn.old').exists() and (cache / 'svhn.new').exists()


def test_a_cache_that_cannot_be_written(data_dir, tmp_path, monkeypatch):
  (tmp_path / 'file').write_text('')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
  with pytest.raises(InputError, match=r'cannot keep cropped photos in .*: '):
    svhn_crops.cached(data_dir, 'test', SPEC)
