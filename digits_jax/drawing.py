"""Arrays -> pictures for people: contact sheets and sheets of readings. Only here and in `charts` matplotlib draws.

matplotlib is imported by the functions that draw and used through its objects, never through pyplot: no
window, no global state. On a sheet each pixel of an image is a square of scale x scale pixels, the scale a
whole number, so that nothing is blurred. No meaning hangs on a colour alone, and the colours are those that
colour-blind people tell apart (Okabe and Ito 2008).
"""

import contextlib
import math
import os
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image

from digits_jax.data import image_files
from digits_jax.data.image_files import Path
from digits_jax.errors import naming

DPI = 100  # a font's point is 100 / 72 pixels
_SHEET_WIDTH, _IMAGE_SIDE, _CAPTION_WIDTH = 1760, 320, 320  # at most, unless one image is larger already
_MARGIN, _GAP, _LINE, _MARK = 20, 16, 22, 3
_NAME_WIDTH, _NAME_LINE = 160, 15
TILE, _BAR = (160, 320), 4  # a gallery's images, (height, width), and the bars beneath them
INK, GREY, _FRAME, _RED, BLUE, ORANGE = '#222222', '#666666', '#b8b8b8', '#c23b00', '#0072b2', '#d55e00'
_NOTHING, _OURS = '(nothing)', 'digits_jax'


def contact_sheet(
  path: Path, images: Sequence[np.ndarray], captions: Sequence[str], *, columns: int = 8, title: str | None = None
) -> None:
  """Draws images in rows, each with its caption beneath, into the PNG file `path` (its folder is made).

  Args:
    path: the file to write.
    images: float32[n, H, W, C] in [0, 1] or uint8[n, H, W, C], C is 1 or 3, n at least 1.
    captions: n strings of one line; an empty one shows as '(nothing)', a very long one loses its middle.
    columns: how many images stand side by side at most; fewer where the sheet would be too wide.
    title: a line above the images, or None.

  Raises:
    ValueError: no image, another shape or dtype, another number of captions, no column.
  """
  _check(images, columns, captions=captions)
  captions = [caption or _NOTHING for caption in captions]
  _draw_sheet(path, images, captions, [False] * len(images), columns, [title])


def readings_sheet(
  path: Path,
  images: Sequence[np.ndarray],
  truths: Sequence[str],
  readings: Sequence[str],
  *,
  notes: Sequence[str] | None = None,
  columns: int = 6,
  title: str | None = None,
  whole: tuple[int, int] | None = None,
) -> None:
  """Draws images with what was read in them, errors framed and in red; a line at the top counts them.

  Args:
    path: the PNG file to write; its folder is made.
    images: float32[n, H, W, C] in [0, 1] or uint8[n, H, W, C], C is 1 or 3, n at least 1.
    truths: n strings, the numbers in the images.
    readings: n strings, what was read; an empty one shows as '(nothing)'.
    notes: n strings, shown small beneath the captions, a long one without its middle; None: none.
    columns: as in contact_sheet.
    title: a line above the one that counts, or None.
    whole: (errors, images) of the set that these images are a part of; None where they are all.

  Raises:
    ValueError: no image, another shape or dtype, another number of strings, no column.
  """
  _check(images, columns, truths=truths, readings=readings, notes=readings if notes is None else notes)
  captions, is_wrong = [], []
  for truth, reading in zip(truths, readings, strict=True):
    is_wrong.append(reading != truth)
    captions.append(f'read {reading or _NOTHING} / is {truth or _NOTHING}' if is_wrong[-1] else truth or _NOTHING)
  drawn = sum(is_wrong)
  errors, count = whole or (drawn, len(images))
  summary = f'{errors:,} of {count:,} read wrongly'
  if len(images) < count:
    summary += f'; here {drawn:,} wrong, {len(images) - drawn:,} right'
  _draw_sheet(path, images, captions, is_wrong, columns, [title, summary], notes)


def gallery(
  path: Path,
  images: Sequence[np.ndarray],
  captions: Sequence[str],
  spans: Sequence[Sequence[tuple[float, float]]],
  *,
  names: Sequence[str] | None = None,
  columns: int = 6,
  title: str | None = None,
) -> None:
  """Draws images of any sizes in rows, beneath each a bar for every digit that was read, and its caption.

  Args:
    path: the PNG file to write; its folder is made.
    images: n arrays uint8[h, w] or uint8[h, w, 3], n at least 1; small ones are enlarged.
    captions: n strings, as in contact_sheet.
    spans: for each image the (left, right) of its digits, pixels of that image; neighbours have different colours.
    names: n strings, shown small beneath the captions, a long one without its middle; None: none.
    columns, title: as in contact_sheet.

  Raises:
    ValueError: no image, another number of captions, spans or names, no column.
  """
  from matplotlib.colors import to_rgb

  _check(images, columns, captions=captions, spans=spans, names=captions if names is None else names)
  blocks = []
  for image, bars in zip(images, spans, strict=True):
    pixels = image if image.ndim == 3 else image[:, :, None]
    scale = max(1, min(TILE[0] // image.shape[0], TILE[1] // image.shape[1]))
    block = np.full((scale * image.shape[0] + 2 * _BAR, scale * image.shape[1], 3), 255, np.uint8)
    block[: -2 * _BAR] = pixels.repeat(scale, 0).repeat(scale, 1)
    for i, (left, right) in enumerate(bars):
      left, right = round(scale * left), round(scale * right)
      block[-_BAR:, left : max(right, left + 1)] = np.rint(255 * np.asarray(to_rgb((BLUE, ORANGE)[i % 2])))
    blocks.append(block)
  height, width = (max(block.shape[axis] for block in blocks) for axis in (0, 1))
  tiles = np.full((len(blocks), height, width, 3), 255, np.uint8)
  for tile, block in zip(tiles, blocks, strict=True):
    top, left = height - block.shape[0], (width - block.shape[1]) // 2
    tile[top:, left : left + block.shape[1]] = block
  captions = [caption or _NOTHING for caption in captions]
  with warnings.catch_warnings():  # of letters that the font lacks, which are drawn as boxes
    warnings.filterwarnings('ignore', 'Glyph .* missing')
    _draw_sheet(path, tiles, captions, [False] * len(tiles), columns, [title], names)


def is_ours(path: Path) -> bool:
  """Whether the file was drawn by `save`."""
  try:
    with Image.open(path) as picture:
      return picture.info.get('Software') == _OURS
  except (OSError, ValueError, Image.DecompressionBombError):
    return False


def _check(images, columns, **strings):
  if len(images) < 1 or columns < 1:
    raise ValueError(f'a sheet has at least one image and one column, not {len(images)} and {columns}')
  for name, values in strings.items():
    if len(values) != len(images):
      raise ValueError(f'there are {len(images)} images but {len(values)} {name}')


def _draw_sheet(path, images, captions, is_marked, columns, heading, names=None):
  """is_marked: bool[n], True for a red frame and bold red caption; heading: lines or Nones, title first.

  names: n strings beneath the captions, or None.
  """
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.colors import to_rgb
  from matplotlib.figure import Figure

  images = _enlarge(images, columns)
  count, height, width, _ = images.shape
  figure = Figure(dpi=DPI)
  renderer = FigureCanvasAgg(figure).get_renderer()
  measure = lambda text, font: math.ceil(renderer.get_text_width_height_descent(_visible(text), font, False)[0])
  fonts = [_font(11.0, bold) for bold in is_marked]
  captions = [_shorten(*line, max(width, _CAPTION_WIDTH), measure) for line in zip(captions, fonts, strict=True)]
  small = _font(8.5, False)
  names = [_shorten(name, small, max(width, _NAME_WIDTH), measure) for name in names or ()]
  sizes = [_font(16.0, True)] + [_font(11.0, False)] * (len(heading) - 1)
  heading = [line for line in zip(heading, sizes, strict=True) if line[0]]
  cell = max([width, *map(measure, captions, fonts), *(measure(name, small) for name in names)]) + _GAP
  columns = min(columns, count, max(1, (_SHEET_WIDTH - 2 * _MARGIN) // cell))
  top = _MARGIN + (28 * len(heading) + 8 if heading else 0)
  row_height = height + _LINE + _GAP + (_NAME_LINE if names else 0)
  sheet_width = 2 * _MARGIN + max([columns * cell - _GAP, *(measure(*line) for line in heading)])
  sheet_height = top + math.ceil(count / columns) * row_height + _MARGIN - _GAP

  # [sheet_height, sheet_width, 3]: images and frames are set pixel by pixel, the text comes above them.
  sheet = np.full((sheet_height, sheet_width, 3), 255, np.uint8)
  figure.set_size_inches(sheet_width / DPI, sheet_height / DPI)

  def write(x, y, text, font, colour, align):
    # Baselines on whole pixels; matplotlib counts them from the bottom. A '$' is a '$'.
    corner = (x / sheet_width, (sheet_height - y) / sheet_height)
    figure.text(*corner, _visible(text), font=font, color=colour, ha=align, va='baseline', parse_math=False)

  for i, (text, font) in enumerate(heading):
    write(_MARGIN, _MARGIN + 15 + 27 * i, text, font, GREY if i else INK, 'left')
  for i, image in enumerate(images):
    y, x = top + i // columns * row_height, _MARGIN + i % columns * cell + (cell - _GAP - width) // 2
    frame, colour = (_MARK, _RED) if is_marked[i] else (1, _FRAME)
    border = np.rint(255 * np.asarray(to_rgb(colour))).astype(np.uint8)
    sheet[y - frame : y + height + frame, x - frame : x + width + frame] = border
    sheet[y : y + height, x : x + width] = image
    ink = _RED if is_marked[i] else INK
    write(x + width // 2, y + height + _LINE - 3, captions[i], fonts[i], ink, 'center')
    if names:
      write(x + width // 2, y + height + _LINE + _NAME_LINE - 4, names[i], small, GREY, 'center')
  figure.figimage(sheet, zorder=-1)
  save(figure, path)


def _enlarge(images, columns):
  """float[n, H, W, C] in [0, 1] or uint8[n, H, W, C] -> uint8[n, scale * H, scale * W, 3]."""
  images = np.asarray(images)
  if images.ndim != 4 or images.shape[3] not in (1, 3):
    raise ValueError(f'images have the shape [n, H, W, 1] or [n, H, W, 3], not {list(images.shape)}')
  if images.dtype != np.uint8:
    images = np.stack([image_files.to_uint8(image).reshape(image.shape) for image in images])
  count, height, width, _ = images.shape
  cell = (_SHEET_WIDTH - 2 * _MARGIN) // min(columns, count) - _GAP
  scale = max(1, min(min(cell, _IMAGE_SIDE) // width, _IMAGE_SIDE // height))
  return np.broadcast_to(images.repeat(scale, 1).repeat(scale, 2), (count, scale * height, scale * width, 3))


def _font(size, is_bold):
  from matplotlib.font_manager import FontProperties

  return FontProperties(family='DejaVu Sans', size=size, weight='bold' if is_bold else 'normal')


def _visible(text):
  """The text on one line, with a mark for what matplotlib cannot draw, as bytes of a path that is no UTF-8."""
  return ''.join(character if character.isprintable() else '?' for character in text)


def _shorten(text, font, width, measure):
  """Takes characters out of the middle until the text is at most `width` pixels wide."""
  kept = text[:200]
  while measure(text, font) > width:
    middle = len(kept) // 2
    kept = kept[:middle] + kept[middle + 1 :]
    text = kept[:middle] + '…' + kept[middle:]
  return text


def save(figure, path: Path) -> None:
  """Writes the figure into the PNG file `path`, by rename; its folder is made. Raises OSError, naming the file."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg

  os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
  # No version and no date inside: the same picture is the same file.
  temporary = f'{os.fspath(path)}.tmp'
  try:
    with naming(path):
      FigureCanvasAgg(figure).print_png(temporary, metadata={'Software': _OURS})
      os.replace(temporary, path)
  except OSError:
    with contextlib.suppress(FileNotFoundError):
      os.remove(temporary)
    raise
