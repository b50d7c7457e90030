"""Draws what the beam search reads more than greedy decoding, against how good the run is: the picture of this folder.

python experiments/greedy/plot.py experiments/greedy/results.csv experiments/greedy/greedy.png
"""

import csv
import sys

from matplotlib.figure import Figure


def main(table, out):
  """Reads the rows of results.csv."""
  with open(table, newline='') as file:
    rows = list(csv.DictReader(file))
  figure = Figure(figsize=(6.4, 3.6), dpi=120)
  axes = figure.subplots()
  runs = [(row, other) for row, other in zip(rows[::2], rows[1::2], strict=True)]  # greedy, beam
  for config in sorted({row['config'] for row, _ in runs}):
    found = [(greedy, beam) for greedy, beam in runs if greedy['config'] == config]
    read = [100 * float(greedy['sequence_accuracy']) for greedy, _ in found]
    more = [100 * (int(beam['only']) - int(greedy['only'])) / int(beam['examples']) for greedy, beam in found]
    axes.plot(read, more, 'o', label=config, markersize=6, alpha=0.8)
  axes.set(xlabel='numbers right by greedy decoding (%)', ylabel='more by the search (points)')
  axes.axhline(0, color='#888888', linewidth=0.8)
  axes.grid(color='#e4e4e4', linewidth=0.8)
  axes.spines[['top', 'right']].set_visible(False)
  axes.legend(frameon=False)
  figure.tight_layout()
  figure.savefig(out)


if __name__ == '__main__':
  if len(sys.argv) != 3:
    sys.exit('which? Give results.csv and the PNG file that is to be drawn')
  main(*sys.argv[1:])
