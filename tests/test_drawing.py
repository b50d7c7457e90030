"""The pictures: what is in the file, pixel by pixel."""

import math
import os

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from digits_jax import drawing
from digits_jax.data import image_files


def _noise(*shape):
  """Random images: no two are alike, so that each can be found again on a sheet."""
  return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _colour(name):
  return np.rint(255 * np.asarray(to_rgb(name))).astype(int)


def _packed(image):
  """uint8[..., 3] or uint8[..., 1] -> int32[...], one number per colour."""
  red, green, blue = np.moveaxis(np.broadcast_to(image, (*image.shape[:-1], 3)).astype(np.int32), -1, 0)
  return red << 16 | green << 8 | blue


def _find(sheet, image, scales=range(1, 21)):
  """(scale, top, left) of the one place where uint8[H, W, C] stands on the sheet, enlarged without blur."""
  sheet, image = _packed(sheet), _packed(image)
  found = []
  starts = np.argwhere(sheet[:-1, :-1] == image[0, 0])
  for scale in scales:
    block = image.repeat(scale, 0).repeat(scale, 1)
    height, width = block.shape
    for top, left in starts:
      if left + width <= sheet.shape[1] and (sheet[top, left : left + width] == block[0]).all():
        part = sheet[top : top + height, left : left + width]
        if part.shape == block.shape and (part == block).all():
          found.append((scale, int(top), int(left)))
  assert len(found) == 1
  return found[0]


@pytest.mark.parametrize(
  ('shape', 'columns', 'expected'),
  [
    ((1, 28, 28, 1), 8, 1),
    ((13, 32, 128, 3), 6, 6),
    ((200, 9, 20, 3), 8, 8),
    ((7, 64, 288, 3), 8, 5),
    ((3, 90, 20, 1), 2, 2),
  ],
)
def test_a_contact_sheet_shows_every_pixel_in_order(tmp_path, shape, columns, expected):
  count, height, width, _ = shape
  images = _noise(*shape)
  path = tmp_path / 'new' / 'sheet.png'
  drawing.contact_sheet(path, images, [f'{i}' for i in range(count)], columns=columns, title='A title')
  sheet = image_files.read_png(path)
  assert sheet.shape[1] <= 1760
  checked = sorted({0, 1, expected - 1, expected, count - 1} & set(range(count)))
  scale, top, left = _find(sheet, images[0])
  places = {i: _find(sheet, images[i], [scale]) for i in checked}
  columns = min(expected, count)
  rows = math.ceil(count / columns)
  assert sheet.shape[0] > rows * (scale * height + 12) and sheet.shape[1] > columns * scale * width
  for i, (_, y, x) in places.items():
    assert (y == top) == (i < columns) and (x == left) == (i % columns == 0)
    caption = sheet[y + scale * height + 2 : y + scale * height + 22, x : x + scale * width]
    inked = np.flatnonzero((caption.max(-1) < 100).any(0))  # dark columns: the caption, centred
    assert abs((inked[0] + inked[-1]) / 2 - scale * width / 2) < 4
  assert (sheet[: top - 4].max(-1) < 100).any(), 'the title stands above the images'


def test_a_small_image_is_enlarged(tmp_path):
  images = _noise(8, 28, 28, 1)
  drawing.contact_sheet(tmp_path / 'sheet.png', images, ['7'] * 8)
  assert _find(image_files.read_png(tmp_path / 'sheet.png'), images[3])[0] >= 4


def test_floats_and_bytes_give_the_same_file(tmp_path):
  images = _noise(3, 8, 8, 1)
  drawing.contact_sheet(tmp_path / 'a.png', images, ['1', '2', '3'])
  drawing.contact_sheet(tmp_path / 'b.png', images.astype(np.float32) / 255, ['1', '2', '3'])
  assert (tmp_path / 'a.png').read_bytes() == (tmp_path / 'b.png').read_bytes()


def test_captions_are_taken_literally_and_kept_short(tmp_path):
  images = _noise(2, 28, 28, 1)
  drawing.contact_sheet(tmp_path / 'a.png', images, ['$\\frac{$', '12' * 400], title='$\\frac{$')
  assert image_files.read_png(tmp_path / 'a.png').shape[1] < 800
  drawing.contact_sheet(tmp_path / 'b.png', images, ['', '1'])
  drawing.contact_sheet(tmp_path / 'c.png', images, ['(nothing)', '1'])
  assert (tmp_path / 'b.png').read_bytes() == (tmp_path / 'c.png').read_bytes()


def test_errors_are_red(tmp_path):
  images = _noise(6, 10, 30, 3)
  truths = ['128', '5', '77', '900', '3', '4']
  readings = ['128', '5', '7', '900', '', '4']
  drawing.readings_sheet(tmp_path / 'a.png', images, truths, readings, columns=2)
  sheet = image_files.read_png(tmp_path / 'a.png')
  places = [_find(sheet, image) for image in images]
  assert sorted(range(6), key=lambda i: places[i][1:]) == list(range(6))
  for i, (scale, top, left) in enumerate(places):
    frame = sheet[top - 1, left - 1].astype(int)
    caption = sheet[top + 10 * scale + 4 : top + 10 * scale + 22, left : left + 30 * scale].astype(int)
    is_red = bool((np.abs(caption - _colour('#c23b00')).sum(-1) < 10).any())
    assert is_red == (truths[i] != readings[i])
    np.testing.assert_array_equal(frame, _colour('#c23b00' if is_red else '#b8b8b8'))


def test_the_words_of_a_readings_sheet(tmp_path, monkeypatch):
  drawn = []
  monkeypatch.setattr(drawing, '_draw_sheet', lambda *arguments: drawn.append(arguments))
  truths, readings = ['1', '128', '', '5'], ['1', '123', '8', '']
  images = _noise(4, 8, 8, 1)
  drawing.readings_sheet(tmp_path / 'a.png', images, truths, readings, title='Test')
  assert drawn[0][2] == ['1', 'read 123 / is 128', 'read 8 / is (nothing)', 'read (nothing) / is 5']
  assert drawn[0][5] == ['Test', '3 of 4 read wrongly']
  drawing.readings_sheet(tmp_path / 'a.png', images, truths, readings, whole=(1200, 5000))
  assert drawn[1][5] == [None, '1,200 of 5,000 read wrongly; here 3 wrong, 1 right']
  drawing.readings_sheet(tmp_path / 'a.png', images, truths, readings, notes=list('abcd'))
  assert drawn[2][6] == ['a', 'b', 'c', 'd'] and drawn[1][6] is None


def test_sheets_refuse_what_does_not_fit(tmp_path):
  path, images = tmp_path / 'a.png', _noise(2, 8, 8, 1)
  with pytest.raises(ValueError, match='2 images but 1 captions'):
    drawing.contact_sheet(path, images, ['1'])
  with pytest.raises(ValueError, match='2 images but 3 readings'):
    drawing.readings_sheet(path, images, ['1', '2'], ['1', '2', '3'])
  with pytest.raises(ValueError, match='at least one image'):
    drawing.contact_sheet(path, images[:0], [])
  with pytest.raises(ValueError, match='one column'):
    drawing.contact_sheet(path, images, ['1', '2'], columns=0)
  with pytest.raises(ValueError, match='shape'):
    drawing.contact_sheet(path, images[..., 0], ['1', '2'])
  assert not path.exists()


def test_a_name_that_is_no_utf_8_can_be_drawn(tmp_path):
  name = os.fsdecode(b'caf\xe9')
  drawing.contact_sheet(tmp_path / 'sheet.png', _noise(8, 8, 1)[None], [name], title=name)
  assert image_files.read_png(tmp_path / 'sheet.png').std() > 5


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs /dev/full')
def test_a_full_disk_leaves_the_sheet_that_was_there(tmp_path):
  path = tmp_path / 'sheet.png'
  drawing.contact_sheet(path, _noise(1, 8, 8, 1), ['1'])
  before = path.read_bytes()
  os.symlink('/dev/full', tmp_path / 'sheet.png.tmp')
  with pytest.raises(OSError, match='No space left on device') as caught:
    drawing.contact_sheet(path, _noise(2, 8, 8, 1), ['1', '2'])
  assert caught.value.filename == str(path) and path.read_bytes() == before
  assert [entry.name for entry in tmp_path.iterdir()] == ['sheet.png']


def test_a_gallery_has_names_beneath_its_captions(tmp_path):
  pictures, captions = [_noise(160, 160), 255 - _noise(160, 160)], ['12', '7']
  names = ['scan.png', 'a\nb' + 50 * '数' + os.fsdecode(b'\xe9.png')]
  drawing.gallery(tmp_path / 'without.png', pictures, captions, [[], []])
  drawing.gallery(tmp_path / 'with.png', pictures, captions, [[], []], names=names)
  without, sheet = (image_files.read_png(tmp_path / name) for name in ('without.png', 'with.png'))
  assert sheet.shape == (without.shape[0] + 15, without.shape[1], 3)  # a line more, and no wider
  for picture in pictures:
    scale, top, left = _find(sheet, picture[:, :, None])
    line = sheet[top + scale * 160 + 31 : top + scale * 160 + 43, left : left + scale * 160]
    inked = np.flatnonzero((line.max(-1) < 160).any(0))
    assert inked.size > 20 and abs((inked[0] + inked[-1]) / 2 - scale * 80) < 5


def test_a_gallery_shows_every_image_and_a_bar_beneath_each_digit(tmp_path):
  pictures = [_noise(30, 100), _noise(160, 20, 3), _noise(12, 320)]
  spans = [[(10.0, 20.5), (20.5, 30.0)], [(3.0, 3.1)], []]
  path = tmp_path / 'new' / 'gallery.png'
  drawing.gallery(path, pictures, ['12  98.0%', '7', ''], spans, title='3 images')
  sheet = image_files.read_png(path)
  blue, orange = ((sheet == _colour(colour)).all(-1) for colour in ('#0072b2', '#d55e00'))
  for i, picture in enumerate(pictures):
    scale, top, left = _find(sheet, picture if picture.ndim == 3 else picture[:, :, None])
    assert scale == (3, 1, 1)[i]
    height, width = picture.shape[:2]
    beneath = (slice(top + scale * height, top + scale * height + 10), slice(left, left + scale * width))
    bars = [set(np.nonzero(colour[beneath].any(0))[0].tolist()) for colour in (blue, orange)]
    assert bars == [[set(range(30, 62)), set(range(62, 90))], [{3}, set()], [set(), set()]][i]
  with pytest.raises(ValueError, match='2 names'):
    drawing.gallery(path, pictures, ['1', '2', '3'], spans, names=['a', 'b'])
  with pytest.raises(ValueError, match='spans'):
    drawing.gallery(path, pictures, ['1', '2', '3'], spans[:2])
  with pytest.raises(ValueError, match='at least one image'):
    drawing.gallery(path, [], [], [])
