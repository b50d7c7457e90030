"""Draws what the beam search reads more than greedy decoding, against how good the run is: the picture of this folder.

python experiments/greedy/plot.py experiments/greedy/results.csv experiments/greedy/greedy.png
"""

import csv

from matplotlib.figure import Figure

from digits_jax import command
from digits_jax.errors import InputError

COLUMNS = {'config', 'decoder', 'examples', 'only', 'sequence_accuracy'}


def main(arguments):
  """Reads the rows of results.csv. Raises InputError where it is another table, or there is nowhere to write to."""
  if len(arguments) != 2:
    raise InputError('which? Give results.csv and the PNG file that is to be drawn')
  table, out = arguments
  command.check_file('', out, '.png')
  with open(table, newline='') as file:
    rows = list(csv.DictReader(file))
  is_table = rows and COLUMNS.issubset(rows[0])
  if not is_table or [row['decoder'] for row in rows] != ['greedy', 'beam'] * (len(rows) // 2):
    raise InputError(f'{table} is not a table that experiments/greedy/compare.py wrote')
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
  command.run(main)
