"""Draws wrong numbers against minutes of training, a line for each network: the picture of this folder.

python experiments/seconds/plot.py experiments/seconds/results.csv experiments/seconds/seconds.png
"""

import csv

from matplotlib import ticker
from matplotlib.figure import Figure

from digits_jax import command
from digits_jax.errors import InputError

COLUMNS = {'run', 'minutes', 'sequence_accuracy', 'interval_low', 'interval_high'}
STYLES = {
  'plain': ('o-', 'at full resolution'),
  'patches4': ('s--', 'patches of 4x4'),
  'patches2': ('^-.', 'patches of 2x2'),
}


def main(arguments):
  """Reads the rows of results.csv, whose runs are called NETWORK_STEPS.

  Raises InputError where it has no such rows, or there is nowhere to write to.
  """
  if len(arguments) != 2:
    raise InputError('which? Give results.csv and the PNG file that is to be drawn')
  table, out = arguments
  command.check_file('', out, '.png')
  with open(table, newline='') as file:
    rows = list(csv.DictReader(file))
  network_of = lambda row: row['run'].rpartition('_')[0]
  if not rows or not COLUMNS.issubset(rows[0]) or STYLES.keys().isdisjoint(map(network_of, rows)):
    raise InputError(f'{table} is not a table of the sweep of experiments/seconds/runs.json')
  figure = Figure(figsize=(6.4, 4.2), dpi=120)
  axes = figure.subplots()
  for network, (style, label) in STYLES.items():
    found = [row for row in rows if network_of(row) == network]
    minutes = [float(row['minutes']) for row in found]
    wrong, low, high = (
      [100 - 100 * float(row[name]) for row in found] for name in ('sequence_accuracy', 'interval_high', 'interval_low')
    )
    below, above = ([abs(a - b) for a, b in zip(wrong, ends, strict=True)] for ends in (low, high))
    axes.errorbar(minutes, wrong, yerr=(below, above), fmt=style, label=label, capsize=3, linewidth=1.8, markersize=5)
  axes.set(xscale='log', yscale='log', ylabel='numbers of 5 digits wrong (%)')
  axes.set_xlabel('minutes of training on one CPU core')
  for axis in (axes.xaxis, axes.yaxis):
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.StrMethodFormatter('{x:g}'))
    axis.set_minor_locator(ticker.NullLocator())
  axes.grid(color='#e4e4e4', linewidth=0.8)
  axes.spines[['top', 'right']].set_visible(False)
  axes.legend(frameon=False)
  figure.tight_layout()
  figure.savefig(out)


if __name__ == '__main__':
  command.run(main)
