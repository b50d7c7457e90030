"""digitStruct.mat, made in the layout of the official one: what is read, in which order, and each way to be wrong."""

import h5py
import numpy as np
import pytest

from digits_jax.data import digit_struct
from digits_jax.errors import InputError
from tests.data import svhn_files

PHOTOS = [
  ('1.png', svhn_files.row('19')),
  ('2.png', svhn_files.row('7', left=-1, top=0, width=3.5)),
  ('a photo.png', svhn_files.row('100200')),
]


@pytest.fixture
def path(tmp_path):
  path = tmp_path / 'digitStruct.mat'
  svhn_files.write_digit_struct(path, PHOTOS)
  return path


def boxes_of(rows):
  return np.array([(b['left'], b['top'], b['left'] + b['width'], b['top'] + b['height']) for b in rows], np.float32)


def test_read(path):
  photos = list(digit_struct.read(str(path)))
  assert digit_struct.count(path) == 3
  assert [(photo.name, photo.digits) for photo in photos] == [
    ('1.png', '19'),
    ('2.png', '7'),
    ('a photo.png', '100200'),
  ]
  for photo, (_, rows) in zip(photos, PHOTOS, strict=True):
    assert photo.boxes.dtype == np.float32
    np.testing.assert_array_equal(photo.boxes, boxes_of(rows))


def test_read_in_several_parts(path, monkeypatch):
  monkeypatch.setattr(digit_struct, '_ROWS', 2)
  assert [photo.name for photo in digit_struct.read(path)] == [name for name, _ in PHOTOS]


def test_a_list_without_photos(tmp_path):
  with h5py.File(tmp_path / 'none.mat', 'w') as file:
    for name in ('name', 'bbox'):
      file.create_dataset(f'digitStruct/{name}', (0, 1), h5py.ref_dtype)
  assert list(digit_struct.read(tmp_path / 'none.mat')) == [] and digit_struct.count(tmp_path / 'none.mat') == 0


# Boxes (left, top, right, bottom) in the order of the number that they show; most stand so in SVHN's training set.
ORDERS = {
  'side by side': [(246, 77, 327, 296), (323, 81, 419, 300)],
  'one above the other': [(201, 37, 272, 141), (203, 144, 253, 248)],
  'a stack that leans to the left': [(40, 0, 60, 40), (34, 42, 54, 82), (28, 84, 48, 124)],
  'a stack that leans to the right': [(111, 21, 154, 61), (121, 60, 154, 100), (129, 100, 162, 140)],
  'a stack with overlaps': [(70, 31, 91, 54), (71, 48, 94, 71)],
  'climbing at 65 degrees': [(110, 68, 133, 100), (120, 48, 143, 80), (129, 22, 159, 54)],
  'climbing, digits apart': [(124, 106, 142, 146), (140, 69, 170, 109), (160, 22, 182, 62)],
  'falling': [(115, 1, 146, 54), (128, 32, 167, 85), (145, 85, 184, 138)],
  'a large digit and two small ones': [(10, 0, 60, 90), (62, 0, 80, 40), (81, 50, 99, 90)],
  'a wide box over a narrow one': [(10, 10, 50, 40), (29, 12, 52, 41)],
  'one': [(3, 3, 9, 9)],
}


@pytest.mark.parametrize('name', ORDERS)
def test_reading_order(name):
  right = np.array(ORDERS[name], np.float32)
  for turn in range(len(right)):
    for listed in (np.roll(np.arange(len(right)), turn), np.roll(np.arange(len(right)), turn)[::-1]):
      order = digit_struct.reading_order(right[listed])
      np.testing.assert_array_equal(right[listed][order], right)


def test_equal_boxes_keep_their_order():
  assert digit_struct.reading_order(np.array([[1, 1, 5, 9]] * 3, np.float32)) == [0, 1, 2]


def test_clip():
  boxes = np.array([(-1, 2, 5, 9), (3, -4, 12, 30), (3, 3, 9, 9), (11, 3, 14, 9), (-9, -9, -1, -1)], np.float32)
  want = np.array([(0, 2, 5, 9), (3, 0, 10, 20), (3, 3, 9, 9), (10, 3, 10, 9), (0, 0, 0, 0)], np.float32)
  np.testing.assert_array_equal(digit_struct.clip(boxes, 20, 10), want)


def all_of(path):
  return list(digit_struct.read(path))


@pytest.mark.parametrize('use', [all_of, digit_struct.count])
def test_what_is_no_such_file(path, tmp_path, use):
  with pytest.raises(InputError, match=r'there is no file .*nowhere\.mat'):
    use(tmp_path / 'nowhere.mat')
  whole = path.read_bytes()
  old = tmp_path / 'old.mat'
  for content in (b'', b'MATLAB 5.0 MAT-file'.ljust(128) + bytes(1000), whole[:512]):
    old.write_bytes(content)
    with pytest.raises(InputError, match=r'old\.mat is not a MATLAB 7\.3 \(HDF5\) file'):
      use(old)
  for length in (520, len(whole) // 2):
    old.write_bytes(whole[:length])
    with pytest.raises(
      InputError, match=r'old\.mat: it cannot be read \(.+\): get it again'
    ) as caught:
      use(old)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('use', [all_of, digit_struct.count])
@pytest.mark.parametrize('name', ['name', 'bbox', ''])
def test_a_missing_list(path, use, name):
  with h5py.File(path, 'r+') as file:
    del file[f'digitStruct/{name}']
  with pytest.raises(InputError, match=r'digitStruct\.mat: digitStruct with its name and bbox cannot be read'):
    use(path)


def test_lists_of_different_lengths(path):
  with h5py.File(path, 'r+') as file:
    del file['digitStruct/bbox']
    file['digitStruct'].create_dataset('bbox', (2, 1), h5py.ref_dtype)
  with pytest.raises(InputError, match=r'they have the shapes \(3, 1\) and \(2, 1\)'):
    all_of(path)


def damage(path, i, change):
  """Lets change(file, group) alter the boxes of photo i."""
  with h5py.File(path, 'r+') as file:
    change(file, file[file['digitStruct/bbox'][i, 0]])


def replace(file, group, field, data):
  del group[field]
  group.create_dataset(field, data=data)


def delete_field(file, group):
  del group['top']


def text_as_number(file, group):
  replace(file, group, 'top', np.array([[b'high']]))


def too_many_numbers(file, group):
  replace(file, group, 'left', np.zeros((3, 1)))


def references_elsewhere(file, group):
  for i in range(2):
    group['height'][i, 0] = file['digitStruct'].ref


def null_references(file, group):
  del group['width']
  group.create_dataset('width', (2, 1), h5py.ref_dtype)


def fewer_references(file, group):
  kept = group['top'][:1]
  del group['top']
  group.create_dataset('top', data=kept, dtype=h5py.ref_dtype)


@pytest.mark.parametrize(
  'change',
  [delete_field, text_as_number, too_many_numbers, references_elsewhere, null_references, fewer_references],
)
def test_an_unreadable_box_is_named(path, change):
  damage(path, 0, change)
  with pytest.raises(
    InputError, match=r'digitStruct\.mat: a box of 1\.png cannot be read \(.+\): get it again'
  ) as caught:
    all_of(path)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  'field, value', [('left', np.nan), ('height', np.inf), ('width', 1e39), ('label', 11), ('label', 0), ('label', 1.5)]
)
@pytest.mark.parametrize('i, name', [(1, '2.png'), (2, 'a photo.png')])
def test_a_number_that_is_none(path, i, name, field, value):
  def change(file, group):
    cell = group[field] if i == 1 else file[group[field][3, 0]]
    cell[0, 0] = value

  damage(path, i, change)
  problem = (
    'the labels .* are not all 1 to 9, or 10' if field == 'label' else 'a place or a size is not a finite number'
  )
  with pytest.raises(InputError, match=rf'a box of {name} cannot be read \({problem}'):
    all_of(path)


def test_a_name_that_is_none(path):
  with h5py.File(path, 'r+') as file:
    file['digitStruct/name'][1, 0] = file['digitStruct'].ref
  with pytest.raises(InputError, match=r'digitStruct\.mat: the name of its photo 2 cannot be read'):
    all_of(path)


@pytest.mark.parametrize('photos, problem', [
  ([('n' * 5000 + '.png', svhn_files.row('12'))], 'a name has more than 4096 letters'),
  ([('1.png', svhn_files.row('1' * 65))], 'a photo has 65 digits, more than the 64 that are read'),
])  # fmt: skip
def test_what_a_photo_may_have_is_bounded(tmp_path, photos, problem):
  svhn_files.write_digit_struct(tmp_path / 'digitStruct.mat', photos)
  with pytest.raises(InputError, match=problem):
    all_of(tmp_path / 'digitStruct.mat')
