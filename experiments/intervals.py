"""Draws the rows of a results.csv as points with their intervals.

python experiments/intervals.py --out=FILE.png --label='{config}, seed {seed}' [--where='test_set=plates-v1'] \
  [--value=sequence_accuracy --low=interval_low --high=interval_high] TABLE.csv [TABLE.csv ...]

A row is called by --label, in which {NAME} is its column of that name, and no two rows the same: of tables that
sweep.py wrote, --label='{run}, {test_set}' tells them apart. --where chooses rows and may be repeated.
Accuracies are drawn in percent, other columns as they are, from 0.
"""

import collections
import csv
import string
import textwrap

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

_OUT = command.out_flag('PNG file of the picture.')
_LABEL = flags.DEFINE_string('label', '{config}, seed {seed}', 'What a row is called; {NAME} is its column NAME.')
_WHERE = flags.DEFINE_multi_string('where', [], 'COLUMN=TEXT: only rows of which this column is this text.')
_VALUE = flags.DEFINE_string('value', 'sequence_accuracy', 'The column that is drawn.')
_LOW = flags.DEFINE_string('low', 'interval_low', 'The column of the lower end of its interval.')
_HIGH = flags.DEFINE_string('high', 'interval_high', 'The column of the upper end.')


def main(arguments):
  """Writes the picture.

  Raises InputError where a table, column or row is missing, rows have the same label, or there is nowhere to write.
  """
  if not arguments:
    raise InputError('which tables? Give their CSV files')
  if not _OUT.value:
    raise InputError('where to? Give --out=FILE.png')
  command.check_file('--out', _OUT.value, '.png')
  found = [row for table in arguments for row in read(table)]
  if not found:
    raise InputError(f'no row has {" and ".join(_WHERE.value)}; leave --where out, or give another')
  label, count = collections.Counter(label for label, *_ in found).most_common(1)[0]
  if count > 1:
    raise InputError(
      f"{count} rows are called {label!r}: give a --label that tells them apart (of a sweep's table --label='{{run}}, "
      "{test_set}', of several sweeps also {config} and {overrides}), or choose among them by --where=COLUMN=TEXT"
    )

  from matplotlib.figure import Figure

  scale = 100 if _VALUE.value.endswith('accuracy') else 1
  labels = [textwrap.fill(label, 60, break_on_hyphens=False) for label, *_ in found]
  lines = max(label.count('\n') + 1 for label in labels)
  figure = Figure(figsize=(7.2, 0.9 + (0.17 + 0.18 * lines) * len(found)), dpi=120)
  axes = figure.subplots()
  for height, (_, value, low, high) in enumerate(found):
    axes.plot([scale * low, scale * high], [height, height], color='#9db8d2', linewidth=4, solid_capstyle='butt')
    axes.plot(scale * value, height, 'o', color='C0', markersize=5)
  axes.set_yticks(range(len(found)), labels)
  axes.invert_yaxis()
  axes.set_xlabel(_VALUE.value.replace('_', ' ') + (' (%)' if scale == 100 else ''))
  if scale == 1:
    axes.set_xlim(left=0)
  axes.grid(axis='x', color='#e4e4e4', linewidth=0.8)
  axes.set_axisbelow(True)
  axes.spines[['top', 'right']].set_visible(False)
  figure.savefig(_OUT.value, bbox_inches='tight')
  print(f'wrote {_OUT.value}')


def read(table):
  """The rows of a CSV file that were asked for: (label, value, low, high) each."""
  try:
    with open(table, newline='', encoding='utf-8-sig') as file:
      rows = list(csv.DictReader(file))
  except OSError as error:
    raise InputError(f'cannot read {table}: {error.strerror or error}') from error
  except (UnicodeDecodeError, csv.Error) as error:
    raise InputError(f'{table} is no CSV file in UTF-8: {error}') from error
  chosen = dict(condition.partition('=')[::2] for condition in _WHERE.value)
  try:
    used = [name for _, name, _, _ in string.Formatter().parse(_LABEL.value) if name is not None]
  except ValueError as error:
    raise InputError(f'--label={_LABEL.value}: {error}; a column stands there as {{NAME}}') from error
  missing = sorted({*chosen, *used, _VALUE.value, _LOW.value, _HIGH.value} - set(rows[0] if rows else ()))
  if missing:
    raise InputError(f'{table} has no column {missing[0]!r}; it has {", ".join(rows[0]) if rows else "no rows"}')
  found = []
  for row in rows:
    if all(row[name] == text for name, text in chosen.items()):
      if None in row.values():
        raise InputError(f'{table}: a row has fewer fields than the first line')
      try:
        numbers = [float(row[name]) for name in (_VALUE.value, _LOW.value, _HIGH.value)]
      except ValueError as error:
        raise InputError(f'{table}: {error}; a column that is drawn must hold numbers') from error
      try:
        found.append((_LABEL.value.format_map(row), *numbers))
      except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f'--label={_LABEL.value}: {error}; columns hold text') from error
  return found


if __name__ == '__main__':
  command.run(main)
