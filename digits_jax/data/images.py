"""Files <-> arrays: the images that lie on a disk, always uint8, grey or RGB.

Assumes that what it reads was written by somebody else: nothing is decoded before its size is known, and
whatever a file does wrong is one sentence that names it.
"""

import os
import struct
import zlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from digits_jax.errors import InputError

# A decoded RGB image of this size takes 150 MB. Below the size at which Pillow itself begins to warn.
MAX_PIXELS = 50_000_000

_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_GREY_MODES = ('1', 'L')
# What Pillow raises for damaged files.
_DECODE_ERRORS = (
  OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error,
  Image.DecompressionBombError,
)  # fmt: skip


def to_uint8(image):
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


def write_png(path, image):
  """Writes uint8[H, W] (grey) or uint8[H, W, 3] (RGB) without loss; the folder must exist.

  Raises:
    ValueError: another shape or dtype.
    OSError: the file cannot be written.
  """
  image = np.asarray(image)
  if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
    raise ValueError(f'write_png takes uint8[H, W] or uint8[H, W, 3], not {image.dtype}{list(image.shape)}')
  Image.fromarray(np.ascontiguousarray(image)).save(path, format='PNG')


def read_png(path):
  """Reads any PNG: uint8[H, W] if it is grey, uint8[H, W, 3] if it has colours or a palette.

  16 bits become 8, transparent pixels lie on white paper. Images of more than MAX_PIXELS pixels are refused
  before anything is decoded.

  Raises:
    InputError: the file is missing, unreadable, no PNG, damaged, cut short, or too large.
  """
  path = os.fspath(path)
  try:
    with open(path, 'rb') as file:
      _check_header(path, file.read(24))
      file.seek(0)
      try:
        # Decoding does not look at the checksums of the pixels; verify() does, but spends the image.
        Image.open(file, formats=('PNG',)).verify()
        file.seek(0)
        with Image.open(file, formats=('PNG',)) as image:
          return _to_array(image)
      except _DECODE_ERRORS as error:
        raise InputError(f'{path} is a damaged or incomplete PNG image: {_reason(error)}') from error
  except FileNotFoundError as error:
    raise InputError(f'there is no image {path}') from error
  except OSError as error:
    raise InputError(f'the image {path} cannot be read: {error.strerror or error}') from error


def _check_header(path, header):
  """Looks at the first 24 bytes: signature, length and name of the first chunk, width, height."""
  if not header:
    raise InputError(f'{path} is empty, not a PNG image')
  if header[:8] != _SIGNATURE[: len(header)]:
    raise InputError(f'{path} is not a PNG image')
  if len(header) < 24 or header[12:16] != b'IHDR':
    raise InputError(f'{path} is a damaged or incomplete PNG image: it ends or errs within its header')
  width, height = struct.unpack('>II', header[16:24])
  if width * height > MAX_PIXELS:
    raise InputError(f'{path} is too large: {width} x {height} pixels, at most {MAX_PIXELS:,} are read')


def _to_array(image):
  """Decodes one opened image: uint8[H, W] or uint8[H, W, 3]."""
  if image.mode.startswith('I'):
    return np.rint(np.asarray(image).astype(np.float32) / 257.0).astype(np.uint8)
  if 'A' in image.mode or 'transparency' in image.info:
    is_grey = image.mode in ('LA', *_GREY_MODES)
    image = image.convert('RGBA')
    paper = Image.new('RGBA', image.size, (255, 255, 255, 255))
    image = Image.alpha_composite(paper, image).convert('L' if is_grey else 'RGB')
  return np.array(image.convert('L' if image.mode in _GREY_MODES else 'RGB'))


def _reason(error):
  if isinstance(error, UnidentifiedImageError):  # its own message prints the file object
    return 'its header makes no sense'
  return ' '.join(str(error).split()) or type(error).__name__
