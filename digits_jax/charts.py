"""What a run measured -> charts for people: loss and accuracy against step, accuracy against coverage.

The rules of `drawing` hold here too.
"""

import math
from collections.abc import Sequence

import numpy as np

from digits_jax.data.image_files import Path
from digits_jax.drawing import BLUE, DPI, GREY, INK, ORANGE, save


def curves(path: Path, records: Sequence[dict]) -> None:
  """Draws loss against step, and sequence accuracy and character error rate against step, into a PNG file.

  Args:
    path: the PNG file to write; its folder is made.
    records: the lines of metrics.jsonl as dicts, in order: `kind` is 'train' (`step`, `loss`) or 'validation'
      (`step`, `sequence_accuracy`, `character_error_rate`, perhaps `loss`; rates are fractions). Other kinds
      and fields are passed over. A value that is missing or not finite leaves a gap; an empty panel says so.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(11.0, 4.2), dpi=DPI)
  loss_axes, rate_axes = figure.subplots(1, 2)
  _draw_losses(loss_axes, records)
  _draw_rates(rate_axes, records)
  figure.tight_layout(pad=1.2, w_pad=3.0)
  save(figure, path)


def coverage(path: Path, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
  """Draws accuracy against coverage, as `confidence.accuracy_coverage` gives them, into a PNG file.

  Args:
    path: the PNG file to write; its folder is made.
    curves: {name of a test set: (coverage, accuracy)}, fractions float[m] each, coverage increasing; at least one.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(6.4, 4.2), dpi=DPI)
  axes = figure.subplots()
  lowest = min(np.min(accuracy) for _, accuracy in curves.values())
  for i, (name, (covered, accuracy)) in enumerate(curves.items()):
    style = ('-', '--', '-.', ':')[i % 4]
    label = f'{name} ({100 * accuracy[-1]:.2f}% of all right)'
    colour = (BLUE, ORANGE, INK, GREY)[i % 4]
    axes.plot(100 * covered, 100 * accuracy, style, color=colour, linewidth=1.8, label=label, drawstyle='steps-pre')
  for level in (98, 99):
    if lowest < level / 100:
      axes.axhline(level, color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
  axes.set_title('Accuracy of the readings that are kept', fontsize=12, fontweight='bold', color=INK, loc='left')
  axes.set_xlabel('coverage: share of images kept, most confident first (%)', color=INK)
  axes.set_ylabel('whole numbers right (%)', color=INK)
  axes.set_xlim(0, 101)
  axes.set_ylim(100 * lowest - 0.05 * max(100 - 100 * lowest, 0.2), 100 + 0.05 * max(100 - 100 * lowest, 0.2))
  axes.spines[['top', 'right']].set_visible(False)
  axes.grid(color='#e4e4e4', linewidth=0.8)
  axes.legend(frameon=False, fontsize=9, loc='lower left')
  figure.tight_layout(pad=1.2)
  save(figure, path)


def _draw_losses(axes, records):
  from matplotlib import ticker

  steps, losses = _series(records, 'train', 'loss')
  losses = np.where(losses > 0, losses, math.nan)
  window = len(steps) // 50
  if window > 1 and np.isfinite(losses).any():  # all values pale behind, their running mean in front
    axes.plot(steps, losses, color=BLUE, alpha=0.3, linewidth=0.8)
    steps, losses = steps[window - 1 :], np.convolve(losses, np.full(window, 1 / window), 'valid')
  _plot(axes, steps, losses, BLUE, 'o-', f'training (mean of {window})' if window > 1 else 'training')
  steps, losses = _series(records, 'validation', 'loss')
  _plot(axes, steps, np.where(losses > 0, losses, math.nan), ORANGE, 's--', 'validation')
  if axes.lines:
    axes.set_yscale('log')
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter('{x:g}'))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
  _finish(axes, 'Loss', 'mean loss per image (log scale)', 'no loss recorded yet')


def _draw_rates(axes, records):
  for name, best, colour, style, label in (
    ('sequence_accuracy', np.nanmax, BLUE, 'o-', 'whole numbers right (best {:.2f}%)'),
    ('character_error_rate', np.nanmin, ORANGE, 's--', 'character error rate (lowest {:.2f}%)'),
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

  axes.set_title(title, fontsize=12, fontweight='bold', color=INK, loc='left')
  axes.set_xlabel('training step', color=INK)
  axes.set_ylabel(unit, color=INK)
  axes.spines[['top', 'right']].set_visible(False)
  if not axes.lines:
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, excuse, ha='center', va='center', color=GREY, fontsize=11, transform=axes.transAxes)
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
