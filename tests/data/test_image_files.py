"""Files <-> arrays: what is written comes back, and each broken file is one sentence."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from digits_jax.data import image_files
from digits_jax.errors import InputError


def _noise(*shape):
  return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _chunk(name, content):
  return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))


def _png(width, height, depth, colour_type, pixels):
  """A PNG made by hand, after the specification: one filter byte, then the pixels, per row."""
  header = struct.pack('>IIBBBBB', width, height, depth, colour_type, 0, 0, 0)
  stride = len(pixels) // height
  rows = b''.join(b'\0' + pixels[i : i + stride] for i in range(0, len(pixels), stride))
  start = b'\x89PNG\r\n\x1a\n' + _chunk(b'IHDR', header)
  return start + _chunk(b'IDAT', zlib.compress(rows)) + _chunk(b'IEND', b'')


def _refused(path, read=image_files.read_png):
  with pytest.raises(InputError) as caught:
    read(path)
  message = str(caught.value)
  assert str(path) in message and '\n' not in message and 'object at 0x' not in message
  return message


def test_to_uint8_rounds_clips_and_drops_a_single_channel():
  values = np.array([0.0, 0.4 / 255, 0.6 / 255, 127.6 / 255, 1.0, 1.2, -0.2], np.float32)
  grey = image_files.to_uint8(values.reshape(1, 7, 1))
  assert grey.dtype == np.uint8 and grey.shape == (1, 7)
  np.testing.assert_array_equal(grey[0], [0, 0, 1, 128, 255, 255, 0])
  assert image_files.to_uint8(np.zeros((4, 5, 3), np.float32)).shape == (4, 5, 3)


def test_to_uint8_gives_back_every_stored_value():
  stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
  np.testing.assert_array_equal(image_files.to_uint8(stored[..., None].astype(np.float32) / 255), stored)


@pytest.mark.parametrize(
  'image',
  [np.zeros((4, 5)), np.zeros((4, 5, 2)), np.zeros((4, 5, 1), np.uint8), np.full((4, 5, 1), np.nan)],
  ids=['no channel', 'two channels', 'integers', 'nan'],
)
def test_to_uint8_refuses_what_is_no_image(image):
  with pytest.raises(ValueError, match=r'image|float'):
    image_files.to_uint8(image)


@pytest.mark.parametrize('shape', [(7, 5), (7, 5, 3), (1, 1)])
def test_what_is_written_is_read_back_exactly(tmp_path, shape):
  image = _noise(*shape)
  image_files.write_png(tmp_path / 'a.png', image)
  read = image_files.read_png(tmp_path / 'a.png')
  assert read.dtype == np.uint8
  np.testing.assert_array_equal(read, image)
  np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'a.png')), image)


@pytest.mark.parametrize('image', [np.zeros((4, 5), np.float32), _noise(4, 5, 1), _noise(4, 5, 4)])
def test_write_png_refuses_other_arrays(tmp_path, image):
  with pytest.raises(ValueError, match='write_png takes'):
    image_files.write_png(tmp_path / 'a.png', image)
  assert not (tmp_path / 'a.png').exists()


@pytest.mark.parametrize(
  ('content', 'expected'),
  [
    (_png(4, 1, 2, 0, bytes([0b00011011])), [[0, 85, 170, 255]]),
    (_png(3, 1, 16, 0, struct.pack('>HHH', 65535, 257 * 7, 257 * 7 + 200)), [[255, 7, 8]]),
    (_png(2, 1, 8, 4, bytes([10, 255, 10, 0])), [[10, 255]]),
    (_png(2, 1, 8, 6, bytes([10, 20, 30, 255, 10, 20, 30, 0])), [[[10, 20, 30], [255, 255, 255]]]),
  ],
  ids=['2 bits', '16 bits', 'grey and alpha', 'colour and alpha'],
)
def test_other_kinds_of_png(tmp_path, content, expected):
  (tmp_path / 'a.png').write_bytes(content)
  np.testing.assert_array_equal(image_files.read_png(tmp_path / 'a.png'), expected)


def test_a_palette_becomes_its_colours(tmp_path):
  colours = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)
  Image.fromarray(colours).convert('P', palette=Image.Palette.ADAPTIVE).save(tmp_path / 'a.png')
  np.testing.assert_array_equal(image_files.read_png(tmp_path / 'a.png'), colours)


def test_missing_files_folders_and_other_kinds_of_file(tmp_path):
  assert 'there is no image' in _refused(tmp_path / 'missing.png')
  assert 'cannot be read' in _refused(tmp_path)
  (tmp_path / 'empty.png').write_bytes(b'')
  assert 'is empty' in _refused(tmp_path / 'empty.png')
  (tmp_path / 'text.png').write_text('filename,label\n')
  assert 'is not a PNG image' in _refused(tmp_path / 'text.png')
  Image.fromarray(_noise(8, 8)).save(tmp_path / 'photo.png', format='JPEG')
  assert 'is not a PNG image' in _refused(tmp_path / 'photo.png')


def test_a_file_cut_anywhere_is_refused(tmp_path):
  image_files.write_png(tmp_path / 'whole.png', _noise(6, 9, 3))
  content = (tmp_path / 'whole.png').read_bytes()
  for length in range(1, len(content) - 4):  # the last four bytes are the checksum of an empty chunk
    (tmp_path / 'a.png').write_bytes(content[:length])
    assert 'incomplete' in _refused(tmp_path / 'a.png')


def test_a_changed_byte_never_gives_other_pixels(tmp_path):
  image = _noise(6, 9)
  image_files.write_png(tmp_path / 'whole.png', image)
  content = (tmp_path / 'whole.png').read_bytes()
  refused = 0
  for position in range(len(content)):
    changed = bytearray(content)
    changed[position] ^= 0x10
    (tmp_path / 'a.png').write_bytes(changed)
    try:
      np.testing.assert_array_equal(image_files.read_png(tmp_path / 'a.png'), image)
    except InputError as error:
      assert '<_io' not in str(error)
      refused += 1
  assert refused > 0.9 * len(content)


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('side', [8_000, 12_000, 100_000])
def test_gigantic_files_are_refused_by_their_header(tmp_path, side):
  (tmp_path / 'a.png').write_bytes(_png(side, side, 1, 0, bytes(side)))
  assert f'{side} x {side} pixels' in _refused(tmp_path / 'a.png')


def test_the_largest_size_is_still_read(tmp_path, monkeypatch):
  monkeypatch.setattr(image_files, 'MAX_PIXELS', 20)
  image_files.write_png(tmp_path / 'a.png', _noise(4, 5))
  assert image_files.read_png(tmp_path / 'a.png').shape == (4, 5)
  image_files.write_png(tmp_path / 'b.png', _noise(3, 7))
  assert 'too large' in _refused(tmp_path / 'b.png')


LOSSLESS = {'PNG': {}, 'BMP': {}, 'TIFF': {}, 'WEBP': {'lossless': True}, 'GIF': {}}


@pytest.mark.parametrize('format', [*LOSSLESS, 'JPEG'])
def test_every_format_is_read_whatever_the_name(tmp_path, format):
  colours = np.kron(_noise(5, 7, 3), np.ones((8, 8, 1), np.uint8))
  image = colours[:, :, 0] if format == 'GIF' else colours  # which holds 256 colours
  options = LOSSLESS.get(format, {'quality': 100, 'subsampling': 0})
  Image.fromarray(image).save(tmp_path / 'a.xyz', format=format, **options)
  read = image_files.read_image(tmp_path / 'a.xyz')
  assert read.dtype == np.uint8
  if format == 'GIF' and read.ndim == 3:  # a palette of greys
    image = np.repeat(image[:, :, None], 3, 2)
  np.testing.assert_allclose(read.astype(int), image, atol=6 if format == 'JPEG' else 0)


@pytest.mark.parametrize('format', [*LOSSLESS, 'JPEG'])
@pytest.mark.filterwarnings('ignore')  # Pillow's, on a cut TIFF
def test_a_cut_file_of_every_format_is_refused(tmp_path, format):
  Image.fromarray(_noise(40, 60)).save(tmp_path / 'whole', format=format)
  content = (tmp_path / 'whole').read_bytes()
  for share in (0.002, 0.02, 0.1, 0.5, 0.9):
    (tmp_path / 'a').write_bytes(content[: max(1, int(share * len(content)))])
    _refused(tmp_path / 'a', image_files.read_image)


@pytest.mark.parametrize('format', [*LOSSLESS, 'JPEG'])
@pytest.mark.filterwarnings('ignore')
def test_damage_is_pixels_or_one_sentence(tmp_path, format):
  rng = np.random.default_rng(1)
  Image.fromarray(_noise(20, 30)).save(tmp_path / 'whole', format=format)
  content = (tmp_path / 'whole').read_bytes()
  for _ in range(60):
    changed = bytearray(content)
    for place in rng.integers(0, min(len(content), 200), 3):
      changed[place] = rng.integers(256)
    (tmp_path / 'a').write_bytes(changed)
    try:
      assert image_files.read_image(tmp_path / 'a').dtype == np.uint8
    except InputError as error:
      assert '\n' not in str(error)


def test_what_is_no_image_file(tmp_path):
  assert 'there is no image' in _refused(tmp_path / 'missing.jpg', image_files.read_image)
  with pytest.raises(InputError, match='no file can have this name'):
    image_files.read_image('one.png\0two.png')
  assert 'it is a folder' in _refused(tmp_path, image_files.read_image)
  (tmp_path / 'empty.jpg').write_bytes(b'')
  assert 'is empty' in _refused(tmp_path / 'empty.jpg', image_files.read_image)
  (tmp_path / 'text.jpg').write_text('filename,label\n')
  assert 'not an image of a kind that is read (PNG, JPEG,' in _refused(tmp_path / 'text.jpg', image_files.read_image)
  os.mkfifo(tmp_path / 'pipe.png')
  assert 'it is a device' in _refused(tmp_path / 'pipe.png', image_files.read_image)


@pytest.mark.filterwarnings('ignore')  # Pillow's, on the size
@pytest.mark.parametrize('side', [8_000, 12_000, 50_000])
def test_gigantic_files_of_other_formats_are_refused_by_their_header(tmp_path, side):
  header = struct.pack('<IiiHHIIiiII', 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
  (tmp_path / 'a.bmp').write_bytes(b'BM' + struct.pack('<IHHI', 54, 0, 0, 54) + header)
  assert 'is too large' in _refused(tmp_path / 'a.bmp', image_files.read_image)


@pytest.mark.parametrize('format', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
def test_images_stand_as_their_exif_data_say(tmp_path, format):
  image = np.zeros((16, 32), np.uint8)
  image[:8, :16] = 255  # bright at the top left
  exif = Image.Exif()
  exif[0x0112] = 6  # turn clockwise to see it
  Image.fromarray(image).save(tmp_path / 'a', format=format, exif=exif)
  with open(tmp_path / 'a', 'rb') as file:  # given a path, Pillow 13 maps an uncompressed turned TIFF wrongly
    for read in (image_files.read_image(tmp_path / 'a'), image_files.from_pillow(Image.open(file))):
      grey = read if read.ndim == 2 else read[:, :, 0]
      np.testing.assert_allclose(grey.astype(int), np.rot90(image, -1), atol=40)


@pytest.mark.parametrize('format', ['JPEG', 'PNG', 'TIFF'])
@pytest.mark.parametrize('orientation', range(1, 10))
def test_only_the_orientation_of_exif_data_counts(tmp_path, orientation, format):
  image = np.zeros((16, 32), np.uint8)
  image[:8, :16], image[8:, :16] = 255, 90
  exif = Image.Exif()
  exif[0x0112] = orientation
  Image.fromarray(image).save(tmp_path / 'a', format=format, exif=exif)
  with open(tmp_path / 'a', 'rb') as file:
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(file)))
  np.testing.assert_array_equal(image_files.read_image(tmp_path / 'a'), wanted)
  if format == 'TIFF':
    return
  entries = struct.pack('<HHII', 0x0112, 3, 1, orientation) + struct.pack('<HHII', 0x011A, 10, 1, 38)
  odd = b'Exif\0\0II*\0' + struct.pack('<IH', 8, 2) + entries + struct.pack('<Iii', 0, -72, 1)  # -72 pixels an inch
  Image.fromarray(image).save(tmp_path / 'b', format=format, exif=odd)
  np.testing.assert_array_equal(image_files.read_image(tmp_path / 'b'), wanted)
  with open(tmp_path / 'b', 'rb') as file:
    np.testing.assert_array_equal(image_files.from_pillow(Image.open(file)), wanted)


def test_the_first_frame_is_read(tmp_path):
  frames = [Image.fromarray(np.full((4, 5), value, np.uint8)) for value in (10, 200)]
  for name in ('a.gif', 'a.tif'):
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    assert set(image_files.read_image(tmp_path / name).ravel()) == {10}


@pytest.mark.parametrize(
  'image, expected',
  [
    (Image.fromarray(np.array([[0, 7 * 257, 65535]], np.uint16)), [[0, 7, 255]]),
    (Image.fromarray(np.array([[0, 7 * 257, 65535]], np.int32)), [[0, 7, 255]]),
    (Image.fromarray(np.zeros((1, 2), np.uint16)), [[0, 0]]),
    (Image.fromarray(np.array([[True, False]])), [[255, 0]]),
    (Image.new('CMYK', (2, 1), (0, 0, 0, 255)), [[[0, 0, 0], [0, 0, 0]]]),
    (Image.new('LA', (1, 1), (10, 0)), [[255]]),
    (Image.new('RGBa', (1, 1), (0, 0, 0, 0)), [[[255, 255, 255]]]),
  ],
  ids=['16 bits', '32 bits', 'black', '1 bit', 'CMYK', 'LA', 'RGBa'],
)
def test_kinds_of_pixels(image, expected):
  np.testing.assert_array_equal(image_files.from_pillow(image), expected)


def test_transparency_of_every_kind_lies_on_paper(tmp_path):
  """Dark ink on transparent paper that is as dark: it is seen on white."""
  ink = np.zeros((4, 6), bool)
  ink[1:3, 2:4] = True
  expected = np.where(ink, 0, 255)
  rgba = np.zeros((4, 6, 4), np.uint8)
  rgba[..., 3] = np.where(ink, 255, 0)
  palette = Image.fromarray(rgba).quantize(16)
  assert palette.mode == 'P' and 'transparency' not in palette.info
  np.testing.assert_array_equal(image_files.from_pillow(palette)[..., 0], expected)

  deep = Image.fromarray(np.where(ink, 3000, 0).astype(np.uint16))
  deep.save(tmp_path / 'deep.png', transparency=0)
  assert Image.open(tmp_path / 'deep.png').info['transparency'] == 0
  np.testing.assert_array_equal(image_files.read_png(tmp_path / 'deep.png'), np.where(ink, 12, 255))


def test_pale_ink_of_a_colour_is_laid_on_black():
  """Its blue differs from white by a fifth, its brightness by a fortieth."""
  rgba = np.zeros((4, 6, 4), np.uint8)
  rgba[1:3, 2:4] = (255, 255, 200, 255)
  assert image_files.from_pillow(Image.fromarray(rgba)).min() == 0


def test_what_pillow_cannot_bring_together_is_one_sentence(tmp_path):
  """A palette with transparency, taken for a page of one bit."""
  image = Image.fromarray(np.zeros((2, 2), np.uint8)).convert('P')
  image.info['transparency'] = b'\x00\xff'
  image = image.convert('1')
  image.info['transparency'] = b'\x00\xff'
  with pytest.raises(InputError, match='the image is damaged or incomplete: '):
    image_files.from_pillow(image)


@pytest.mark.parametrize(
  'image, problem',
  [
    (Image.new('F', (2, 2)), "of the kind 'F'"),
    (Image.new('HSV', (2, 2)), "of the kind 'HSV'"),
    (Image.fromarray(np.array([[70000]], np.int32)), 'outside 0 to 65535'),
    (Image.fromarray(np.array([[0, 255]], np.int32)), 'grey levels of 0 to 255 of 65535, all nearly black: scale them'),
    (Image.fromarray(np.array([[0, 4095]], np.uint16)), 'grey levels of 0 to 4095 of 65535'),
    (Image.fromarray(np.array([[7, 9]], np.uint16)), 'grey levels of 0 to 9 of 65535'),
    (Image.new('L', (0, 3)), '0 x 3 pixels shows nothing'),
    (Image.new('1', (10_000, 10_000)), 'too large: 10000 x 10000'),
  ],
)
def test_pixels_that_are_refused(image, problem):
  with pytest.raises(InputError, match=problem):
    image_files.from_pillow(image)


def test_a_pillow_image_stays_as_it_is(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6
  Image.fromarray(_noise(3, 9)).save(tmp_path / 'a.png', exif=exif)
  image = Image.open(tmp_path / 'a.png')
  assert image_files.from_pillow(image).shape == (9, 3)
  assert image.size == (9, 3) and image_files.from_pillow(image).shape == (9, 3)


def test_thumbnails():
  assert image_files.thumbnail(_noise(100, 400), 50, 100).shape == (25, 100)
  assert image_files.thumbnail(_noise(400, 100, 3), 50, 100).shape == (50, 12, 3)
  np.testing.assert_array_equal(image_files.thumbnail(_noise(20, 30), 50, 100), _noise(20, 30))


@pytest.mark.parametrize('shape', [(5, 7), (5, 7, 3)])
def test_bytes_of_a_png(tmp_path, shape):
  path = tmp_path / 'a.png'
  image_files.write_png(path, _noise(*shape))
  content = path.read_bytes()
  assert image_files.check_png('it', content) == (5, 7)
  np.testing.assert_array_equal(image_files.decode_png('it', content), _noise(*shape))
  for read in (image_files.check_png, image_files.decode_png):
    for cut in range(len(content) - 4):  # the last four bytes are the checksum of an empty chunk
      with pytest.raises(InputError, match=r'^a name .*(empty|PNG image)'):
        read('a name', content[:cut])
    for i in range(len(content) - 12):  # up to the last chunk, which is empty
      with pytest.raises(InputError, match=r'^a name '):
        read('a name', content[:i] + bytes([content[i] ^ 4]) + content[i + 1 :])


@pytest.mark.parametrize(
  ('side', 'problem'), [(0, 'its header makes no sense'), (100_000, '^it is too large: 100000 x 100000 pixels')]
)
def test_bytes_of_a_png_of_no_or_gigantic_size(side, problem):
  content = _png(side, 3, 8, 0, b'\0' * 3) if not side else _png(1, 1, 8, 0, b'\0')
  if side:
    header = struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0)
    content = content[:8] + _chunk(b'IHDR', header) + content[33:]
  for read in (image_files.check_png, image_files.decode_png):
    with pytest.raises(InputError, match=problem):
      read('it', content)
