"""Files <-> arrays: the images that lie on a disk, always uint8, grey or RGB.

Assumes that what it reads was written by somebody else: nothing is decoded before its size is known, and
whatever a file does wrong is one sentence that names it.
"""

import contextlib
import io
import os
import stat
import struct
from collections.abc import Callable, Sequence

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from digits_jax.conventions import LUMA
from digits_jax.errors import InputError, reason

Path = str | os.PathLike[str]

# A decoded RGB image of this size takes 150 MB. Below the size at which Pillow itself begins to warn.
MAX_PIXELS = 50_000_000
THREADS = min(8, os.cpu_count() or 1)  # that load many images for a reader; each may hold one of MAX_PIXELS

# The kinds of file that are read, as Pillow calls them, and how their names end.
FORMATS = ('PNG', 'JPEG', 'BMP', 'GIF', 'TIFF', 'WEBP')
SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.gif', '.tif', '.tiff', '.webp')
OTHER_SUFFIXES = ('.heic', '.heif', '.avif', '.jxl', '.dng')  # photos of kinds that are not read

_LOST = 16 / 255  # ink whose contrast with its paper is less cannot be seen

# EXIF orientation -> what brings the image upright.
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_GREY_MODES = ('1', 'L')


def to_uint8(image: np.ndarray) -> np.ndarray:
  """The image as it is stored at rest.

  Args:
    image: float[H, W, C] in [0, 1], C is 1 or 3; what lies outside (by rounding) is clipped.

  Returns:
    uint8[H, W] for C = 1, uint8[H, W, 3] for C = 3; round(255 * value), halves to even.

  Raises:
    ValueError: another shape, an integer dtype, or a value that is not a number.
  """
  image = np.asarray(image)
  if image.ndim != 3 or image.shape[2] not in (1, 3):
    raise ValueError(f'an image has the shape [H, W, 1] or [H, W, 3], not {list(image.shape)}')
  if not np.issubdtype(image.dtype, np.floating):
    raise ValueError(f'to_uint8 takes floats in [0, 1], not {image.dtype}')
  if np.isnan(image).any():
    raise ValueError('an image holds values that are not numbers')
  pixels = np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
  return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def write_png(path: Path, image: np.ndarray) -> None:
  """Writes uint8[H, W] (grey) or uint8[H, W, 3] (RGB) without loss; the folder must exist.

  Raises:
    ValueError: another shape or dtype.
    OSError: the file cannot be written.
  """
  image = np.asarray(image)
  if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
    raise ValueError(f'write_png takes uint8[H, W] or uint8[H, W, 3], not {image.dtype}{list(image.shape)}')
  Image.fromarray(np.ascontiguousarray(image)).save(path, format='PNG')


def read_png(path: Path) -> np.ndarray:
  """Reads any PNG: uint8[H, W] if it is grey, uint8[H, W, 3] if it has colours or a palette.

  16 bits become 8 (and are refused where they hold no more than 12, all nearly black then), transparent pixels lie
  `on_paper`. Images of more than MAX_PIXELS pixels are refused before anything is decoded.

  Raises:
    InputError: the file is missing, unreadable, no PNG, damaged, cut short, or too large.
  """
  return _read(path, ('PNG',))


def read_image(path: Path) -> np.ndarray:
  """The same for every kind of FORMATS, whatever the file is called; of several frames or pages the first."""
  return _read(path, FORMATS)


def decode_png(name: str, content: bytes) -> np.ndarray:
  """The same as read_png for the bytes of a file, `name` being what an error calls it; turned by no EXIF data, since
  boxes that come with a photo are of the pixels as they lie."""
  _check_header(name, content[:24], ('PNG',))
  return _to_array(name, _decode(name, io.BytesIO(content), ('PNG',), is_turned=False))


def check_png(name: str, content: bytes) -> tuple[int, int]:
  """(height, width) of the bytes of a PNG whose checksums are right; its pixels are not decoded. Raises InputError."""
  _check_header(name, content[:24], ('PNG',))
  width, height = _opened(name, io.BytesIO(content), ('PNG',)).size
  return height, width


def from_pillow(image: Image.Image) -> np.ndarray:
  """The same for an image that Pillow has opened or made; it stays as it is.

  Raises:
    InputError: its file is damaged or cut short; it is too large, has no pixels, or pixels of an unusual kind.
  """
  _check_size('the image', *image.size)
  if not all(image.size):
    raise InputError(f'an image of {image.width} x {image.height} pixels shows nothing')
  try:
    return _to_array('the image', _upright(image))
  except InputError:
    raise
  except Exception as error:  # whatever Pillow raises where pixels and what it knows of them do not fit
    raise InputError(f'the image is damaged or incomplete: {reason(error)}') from error


def on_paper(lay: Callable[[int], np.ndarray]) -> np.ndarray:
  """A transparent image on white paper; on black where its ink would be lost on white, and is seen better there.

  Args:
    lay: gives the image on paper of brightness 1 or 0: uint8 in [0, 255] or floats in [0, 1].
  """
  grey = lambda pixels: pixels @ np.float32(LUMA) if pixels.ndim == 3 and pixels.shape[2] == 3 else pixels
  contrast = lambda pixels: float(np.ptp(grey(pixels))) / (255 if pixels.dtype == np.uint8 else 1)
  white = lay(1)
  if contrast(white) >= _LOST:
    return white
  black = lay(0)
  return black if contrast(black) > contrast(white) else white


def thumbnail(image: np.ndarray, height: int, width: int) -> np.ndarray:
  """The image uint8[H, W] or uint8[H, W, 3], made smaller, aspect kept, where it is larger than height x width."""
  small = Image.fromarray(image)
  small.thumbnail((width, height))
  return np.array(small)


def _read(path, formats: Sequence[str]):
  path = os.fspath(path)
  try:
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would wait for ever
      raise InputError(f'the image {path} cannot be read: it is a {"folder" if os.path.isdir(path) else "device"}')
    with open(path, 'rb') as file:
      _check_header(path, file.read(24), formats)
      return _to_array(path, _decode(path, file, formats))
  except FileNotFoundError as error:
    raise InputError(f'there is no image {path}') from error
  except InputError:
    raise
  except ValueError as error:  # a zero byte, or a character that no file name can have
    raise InputError(f'there is no image {path!r}: no file can have this name') from error
  except OSError as error:
    raise InputError(f'the image {path} cannot be read: {error.strerror or error}') from error


def _decode(path, file, formats, is_turned=True):
  """The decoded image, turned as its EXIF data say where `is_turned`."""
  image = _opened(path, file, formats)
  with _explained(path, formats):
    if image.format == 'PNG':
      file.seek(0)
      image = Image.open(file, formats=formats)  # again, for the checks have spent it
    image.load()
    return _upright(image) if is_turned else image


def _upright(image):
  """The image as its EXIF data turn it; no other tag is looked at, which may be wrong in a photo that is whole."""
  image.load()  # Pillow turns some formats itself, and then forgets that they were to be turned
  turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
  return image if turn is None else image.transpose(turn)


def _opened(path, file, formats):
  """The image with its header read, no larger than it may be; a PNG with its checksums checked, which spends it."""
  with _explained(path, formats):
    file.seek(0)
    image = Image.open(file, formats=formats)  # looks at the header alone
    _check_size(path, *image.size)
    if image.format == 'PNG':
      image.verify()  # decoding does not look at the checksums of the pixels
    return image


@contextlib.contextmanager
def _explained(path, formats):
  """Whatever Pillow raises within becomes one sentence."""
  try:
    yield
  except InputError:
    raise
  except UnidentifiedImageError as error:
    if formats == ('PNG',):
      raise InputError(f'{path} is a damaged or incomplete PNG image: its header makes no sense') from error
    raise InputError(f'{path} is {_kinds(formats)[0]}, or incomplete') from error
  except Image.DecompressionBombError as error:
    raise InputError(f'{path} is too large: at most {MAX_PIXELS:,} pixels are read') from error
  except Exception as error:  # a damaged file makes Pillow raise whatever its bytes lead to
    raise InputError(f'{path} is a damaged or incomplete {_kinds(formats)[1]}: {reason(error)}') from error


def _check_header(path, header, formats):
  """Looks at the first 24 bytes; of a PNG: signature, length and name of the first chunk, width, height."""
  if not header:
    raise InputError(f'{path} is empty, {_kinds(formats)[0]}')
  if header[:8] != _SIGNATURE[: len(header)]:
    if formats == ('PNG',):
      raise InputError(f'{path} is not a PNG image')
    return
  if len(header) < 24 or header[12:16] != b'IHDR':
    raise InputError(f'{path} is a damaged or incomplete PNG image: it ends or errs within its header')
  _check_size(path, *struct.unpack('>II', header[16:24]))


def _check_size(name, width, height):
  if width * height > MAX_PIXELS:
    raise InputError(
      f'{name} is too large: {width} x {height} pixels, at most {MAX_PIXELS:,} are read; scale it down, or crop it'
    )


def _kinds(formats):
  """What a file is not, and what it is."""
  if formats == ('PNG',):
    return 'not a PNG image', 'PNG image'
  return f'not an image of a kind that is read ({", ".join(formats)})', 'image'


def _to_array(name, image):
  """The pixels of a decoded image: uint8[H, W] or uint8[H, W, 3]."""
  if image.mode.startswith('I'):
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
      raise InputError(f'{name} holds grey levels outside 0 to 65535: which one is white?')
    is_clear = 'transparency' in image.info  # dark ink is seen on the paper behind it
    if 0 < values.max() < (2**8 if is_clear else 2**12):  # 8, 10 or 12 bits in a wider type, which would all be black
      raise InputError(
        f'{name} holds grey levels of 0 to {values.max()} of 65535, all nearly black: scale them to 65535, or make it '
        'an image of 8 bits'
      )
    grey = np.rint(values / np.float32(257)).astype(np.uint8)
    if not is_clear:
      return grey
    clear = values == image.info['transparency']
    return on_paper(lambda white: np.where(clear, np.uint8(255 * white), grey))
  if image.mode in ('F', 'LAB', 'HSV', 'La'):
    raise InputError(f'{name} holds pixels of the kind {image.mode!r}: convert it to grey or RGB first')
  if image.has_transparency_data:
    mode = 'L' if image.mode in ('LA', *_GREY_MODES) else 'RGB'
    clear = image.convert('RGBA')
    paper = lambda white: Image.new('RGBA', clear.size, (255 * white, 255 * white, 255 * white, 255))
    return on_paper(lambda white: np.array(Image.alpha_composite(paper(white), clear).convert(mode)))
  return np.array(image.convert('L' if image.mode in _GREY_MODES else 'RGB'))
