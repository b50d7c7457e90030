"""Arrays -> pictures for people: contact sheets, sheets of readings, curves. Only here matplotlib draws.

matplotlib is imported by the functions that draw and used through its objects, never through pyplot: no
window, no global state. On a sheet each pixel of an image is a square of scale x scale pixels, the scale a
whole number, so that nothing is blurred. No meaning hangs on a colour alone, and the colours are those that
colour-blind people tell apart (Okabe and Ito 2008).
"""

import math
import os

import numpy as np

from digits_jax.data import images as image_files

_DPI = 100  # a font's point is 100 / 72 pixels
_SHEET_WIDTH, _IMAGE_SIDE, _CAPTION_WIDTH = 1760, 320, 320  # at most, unless one image is larger already
_MARGIN, _GAP, _LINE, _MARK = 20, 16, 22, 3
_TILE, _BAR = (160, 320), 4  # a gallery's images, (height, width), and the bars beneath them
_INK, _GREY, _FRAME, _RED, _BLUE, _ORANGE = '#222222', '#666666', '#b8b8b8', '#c23b00', '#0072b2', '#d55e00'
_NOTHING = '(nothing)'


def contact_sheet(path, images, captions, *, columns=8, title=None):
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


def readings_sheet(path, images, truths, readings, *, columns=6, limit=60, title=None):
  """Draws images with what was read in them: errors first, framed and in red, then the right ones.

  Args:
    path: the PNG file to write; its folder is made.
    images: float32[n, H, W, C] in [0, 1] or uint8[n, H, W, C], C is 1 or 3, n at least 1.
    truths: n strings, the numbers in the images.
    readings: n strings, what was read; an empty one shows as '(nothing)'.
    columns: as in contact_sheet.
    limit: how many images are drawn at most. A line at the top counts what was read and what is drawn.
    title: a line above that one, or None.

  Returns:
    The number of errors drawn: all of them, or `limit`.

  Raises:
    ValueError: no image, another shape or dtype, another number of strings, no column, a limit below 1.
  """
  _check(images, columns, truths=truths, readings=readings)
  if limit < 1:
    raise ValueError(f'limit is at least 1, not {limit}')
  is_wrong = np.array([reading != truth for truth, reading in zip(truths, readings, strict=True)])
  order = np.argsort(~is_wrong, kind='stable')[:limit]
  captions = []
  for reading, truth in ((readings[i] or _NOTHING, truths[i] or _NOTHING) for i in order):
    captions.append(reading if reading == truth else f'read {reading} / is {truth}')
  errors, drawn = int(is_wrong.sum()), int(is_wrong[order].sum())
  summary = f'{errors:,} of {len(images):,} read wrongly'
  if len(order) < len(images):
    summary += f'; here {drawn:,} wrong, {len(order) - drawn:,} right'
  _draw_sheet(path, np.asarray(images)[order], captions, is_wrong[order], columns, [title, summary])
  return drawn


def gallery(path, images, captions, spans, *, columns=6, title=None):
  """Draws images of any sizes in rows, beneath each a bar for every digit that was read, and its caption.

  Args:
    path: the PNG file to write; its folder is made.
    images: n arrays uint8[h, w] or uint8[h, w, 3], n at least 1; small ones are enlarged.
    captions: n strings, as in contact_sheet.
    spans: for each image the (left, right) of its digits, pixels of that image; neighbours have different colours.
    columns, title: as in contact_sheet.

  Raises:
    ValueError: no image, another number of captions or spans, no column.
  """
  from matplotlib.colors import to_rgb

  _check(images, columns, captions=captions, spans=spans)
  blocks = []
  for image, bars in zip(images, spans, strict=True):
    pixels = image if image.ndim == 3 else image[:, :, None]
    scale = max(1, min(_TILE[0] // image.shape[0], _TILE[1] // image.shape[1]))
    block = np.full((scale * image.shape[0] + 2 * _BAR, scale * image.shape[1], 3), 255, np.uint8)
    block[: -2 * _BAR] = pixels.repeat(scale, 0).repeat(scale, 1)
    for i, (left, right) in enumerate(bars):
      left, right = round(scale * left), round(scale * right)
      block[-_BAR:, left : max(right, left + 1)] = np.rint(255 * np.asarray(to_rgb((_BLUE, _ORANGE)[i % 2])))
    blocks.append(block)
  height, width = (max(block.shape[axis] for block in blocks) for axis in (0, 1))
  tiles = np.full((len(blocks), height, width, 3), 255, np.uint8)
  for tile, block in zip(tiles, blocks, strict=True):
    top, left = height - block.shape[0], (width - block.shape[1]) // 2
    tile[top:, left : left + block.shape[1]] = block
  _draw_sheet(path, tiles, [caption or _NOTHING for caption in captions], [False] * len(tiles), columns, [title])


def curves(path, records):
  """Draws loss against step, and sequence accuracy and character error rate against step, into a PNG file.

  Args:
    path: the PNG file to write; its folder is made.
    records: the lines of metrics.jsonl as dicts, in order: `kind` is 'train' (`step`, `loss`) or 'validation'
      (`step`, `sequence_accuracy`, `character_error_rate`, perhaps `loss`; rates are fractions). Other kinds
      and fields are passed over. A value that is missing or not finite leaves a gap; an empty panel says so.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(11.0, 4.2), dpi=_DPI)
  loss_axes, rate_axes = figure.subplots(1, 2)
  _draw_losses(loss_axes, records)
  _draw_rates(rate_axes, records)
  figure.tight_layout(pad=1.2, w_pad=3.0)
  _save(figure, path)


def coverage(path, curves):
  """Draws accuracy against coverage, as `confidence.accuracy_coverage` gives them, into a PNG file.

  Args:
    path: the PNG file to write; its folder is made.
    curves: {name of a test set: (coverage, accuracy)}, fractions float[m] each, coverage increasing; at least one.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(6.4, 4.2), dpi=_DPI)
  axes = figure.subplots()
  lowest = min(np.min(accuracy) for _, accuracy in curves.values())
  for i, (name, (covered, accuracy)) in enumerate(curves.items()):
    style = ('-', '--', '-.', ':')[i % 4]
    label = f'{name} ({100 * accuracy[-1]:.2f}% of all right)'
    colour = (_BLUE, _ORANGE, _INK, _GREY)[i % 4]
    axes.plot(100 * covered, 100 * accuracy, style, color=colour, linewidth=1.8, label=label, drawstyle='steps-pre')
  for level in (98, 99):
    if lowest < level / 100:
      axes.axhline(level, color=_GREY, linewidth=0.8, linestyle=(0, (2, 3)))
  axes.set_title('Accuracy of the readings that are kept', fontsize=12, fontweight='bold', color=_INK, loc='left')
  axes.set_xlabel('coverage: share of images kept, most confident first (%)', color=_INK)
  axes.set_ylabel('whole numbers right (%)', color=_INK)
  axes.set_xlim(0, 101)
  axes.set_ylim(100 * lowest - 0.05 * max(100 - 100 * lowest, 0.2), 100 + 0.05 * max(100 - 100 * lowest, 0.2))
  axes.spines[['top', 'right']].set_visible(False)
  axes.grid(color='#e4e4e4', linewidth=0.8)
  axes.legend(frameon=False, fontsize=9, loc='lower left')
  figure.tight_layout(pad=1.2)
  _save(figure, path)


def _check(images, columns, **strings):
  if len(images) < 1 or columns < 1:
    raise ValueError(f'a sheet has at least one image and one column, not {len(images)} and {columns}')
  for name, values in strings.items():
    if len(values) != len(images):
      raise ValueError(f'there are {len(images)} images but {len(values)} {name}')


def _draw_sheet(path, images, captions, is_marked, columns, heading):
  """is_marked: bool[n], True for a red frame and bold red caption; heading: lines or Nones, title first."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.colors import to_rgb
  from matplotlib.figure import Figure

  images = _enlarge(images, columns)
  count, height, width, _ = images.shape
  figure = Figure(dpi=_DPI)
  renderer = FigureCanvasAgg(figure).get_renderer()
  measure = lambda text, font: math.ceil(renderer.get_text_width_height_descent(text, font, False)[0])
  fonts = [_font(11.0, bold) for bold in is_marked]
  captions = [_shorten(*line, width, measure) for line in zip(captions, fonts, strict=True)]
  sizes = [_font(16.0, True)] + [_font(11.0, False)] * (len(heading) - 1)
  heading = [line for line in zip(heading, sizes, strict=True) if line[0]]
  cell = max([width, *map(measure, captions, fonts)]) + _GAP
  columns = min(columns, count, max(1, (_SHEET_WIDTH - 2 * _MARGIN) // cell))
  top = _MARGIN + (28 * len(heading) + 8 if heading else 0)
  row_height = height + _LINE + _GAP
  sheet_width = 2 * _MARGIN + max([columns * cell - _GAP, *(measure(*line) for line in heading)])
  sheet_height = top + math.ceil(count / columns) * row_height + _MARGIN - _GAP

  # [sheet_height, sheet_width, 3]: images and frames are set pixel by pixel, the text comes above them.
  sheet = np.full((sheet_height, sheet_width, 3), 255, np.uint8)
  figure.set_size_inches(sheet_width / _DPI, sheet_height / _DPI)

  def write(x, y, text, font, colour, align):
    # Baselines on whole pixels; matplotlib counts them from the bottom. A '$' is a '$'.
    place = (x / sheet_width, (sheet_height - y) / sheet_height)
    figure.text(*place, text, font=font, color=colour, ha=align, va='baseline', parse_math=False)

  for i, (text, font) in enumerate(heading):
    write(_MARGIN, _MARGIN + 15 + 27 * i, text, font, _GREY if i else _INK, 'left')
  for i, image in enumerate(images):
    y, x = top + i // columns * row_height, _MARGIN + i % columns * cell + (cell - _GAP - width) // 2
    frame, colour = (_MARK, _RED) if is_marked[i] else (1, _FRAME)
    border = np.rint(255 * np.asarray(to_rgb(colour))).astype(np.uint8)
    sheet[y - frame : y + height + frame, x - frame : x + width + frame] = border
    sheet[y : y + height, x : x + width] = image
    ink = _RED if is_marked[i] else _INK
    write(x + width // 2, y + height + _LINE - 3, captions[i], fonts[i], ink, 'center')
  figure.figimage(sheet, zorder=-1)
  _save(figure, path)


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


def _shorten(text, font, width, measure):
  """Takes characters out of the middle until the text fits an image `width` pixels wide, or its own limit."""
  kept = text[:200]
  while measure(text, font) > max(width, _CAPTION_WIDTH):
    middle = len(kept) // 2
    kept = kept[:middle] + kept[middle + 1 :]
    text = kept[:middle] + '…' + kept[middle:]
  return text


def _draw_losses(axes, records):
  from matplotlib import ticker

  steps, losses = _series(records, 'train', 'loss')
  losses = np.where(losses > 0, losses, math.nan)
  window = len(steps) // 50
  if window > 1:  # all values pale behind, their running mean in front
    axes.plot(steps, losses, color=_BLUE, alpha=0.3, linewidth=0.8)
    steps, losses = steps[window - 1 :], np.convolve(losses, np.full(window, 1 / window), 'valid')
  _plot(axes, steps, losses, _BLUE, 'o-', f'training (mean of {window})' if window > 1 else 'training')
  steps, losses = _series(records, 'validation', 'loss')
  _plot(axes, steps, np.where(losses > 0, losses, math.nan), _ORANGE, 's--', 'validation')
  if axes.lines:
    axes.set_yscale('log')
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter('{x:g}'))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
  _finish(axes, 'Loss', 'mean loss per image (log scale)', 'no loss recorded yet')


def _draw_rates(axes, records):
  for name, best, colour, style, label in (
    ('sequence_accuracy', np.nanmax, _BLUE, 'o-', 'whole numbers right (best {:.2f}%)'),
    ('character_error_rate', np.nanmin, _ORANGE, 's--', 'character error rate (lowest {:.2f}%)'),
  ):
    steps, rates = _series(records, 'validation', name)
    if np.isfinite(rates).any():
      _plot(axes, steps, 100 * rates, colour, style, label.format(100 * best(rates)))
  _finish(axes, 'Validation', 'share of numbers or characters (%)', 'no validation recorded yet')
  if axes.lines:
    axes.set_ylim(-2, max(102.0, 1.04 * axes.dataLim.y1))  # insertions push an error rate above 100%


def _plot(axes, steps, values, colour, style, label):
  if np.isfinite(values).any():
    style = style if len(steps) <= 60 else style[1:]  # no markers on a crowded line
    axes.plot(steps, values, style, color=colour, linewidth=1.8, markersize=4, label=label)


def _finish(axes, title, unit, excuse):
  from matplotlib import ticker

  axes.set_title(title, fontsize=12, fontweight='bold', color=_INK, loc='left')
  axes.set_xlabel('training step', color=_INK)
  axes.set_ylabel(unit, color=_INK)
  axes.spines[['top', 'right']].set_visible(False)
  if not axes.lines:
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, excuse, ha='center', va='center', color=_GREY, fontsize=11, transform=axes.transAxes)
    return
  axes.grid(color='#e4e4e4', linewidth=0.8)
  axes.set_xlim(0, 1.03 * max(1.0, axes.dataLim.x1))
  axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=6, integer=True))
  axes.xaxis.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
  axes.legend(frameon=False, fontsize=9)


def _series(records, kind, name):
  """(steps, values), float64[m] each: NaN for what is no finite number; no point without a step."""
  records = [record for record in records if record.get('kind') == kind and name in record]
  points = np.array([(_number(record.get('step')), _number(record[name])) for record in records])
  points = points.reshape(-1, 2)
  return points[np.isfinite(points[:, 0])].T


def _number(value):
  return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan


def _save(figure, path):
  from matplotlib.backends.backend_agg import FigureCanvasAgg

  os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
  # No version and no date inside: the same picture is the same file.
  FigureCanvasAgg(figure).print_png(path, metadata={'Software': None})
