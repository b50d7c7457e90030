"""Draws one measure of several runs into one picture.

python experiments/curves.py --out=FILE.png [--kind=train --field=empty] [--against=minutes] RUN [RUN ...]

The measure is a field of metrics.jsonl: of validation (`sequence_accuracy`, which is the default, `loss`,
`character_error_rate`, ...) or of train (`loss`, `empty`, `learning_rate`, `gradient_norm`, ...). Each run is called by
its directory; one without such records, because it diverged before the first, say, is named and left out. A loss is
drawn on a logarithmic axis.
"""

import itertools
import pathlib
import sys

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

_OUT = command.out_flag('PNG file of the picture.')
_KIND = flags.DEFINE_enum('kind', 'validation', ['train', 'validation'], 'Which records.')
_FIELD = flags.DEFINE_string('field', 'sequence_accuracy', 'Which field of them.')
_AGAINST = flags.DEFINE_enum('against', 'step', ['step', 'minutes'], 'The horizontal axis.')


def main(arguments):
  """Writes the picture. Raises InputError where there is no run, no run with that field, or nowhere to write."""
  if not arguments:
    raise InputError('which runs? Give their directories')
  if not _OUT.value:
    raise InputError('where to? Give --out=FILE.png')
  command.check_file('--out', _OUT.value, '.png')
  series, missing = {}, []
  for workdir in arguments:
    try:
      series[workdir] = read(workdir)
    except InputError as error:
      missing.append(error)
  if not series:
    raise missing[0]
  for error in missing:
    print(f'left out: {error}', file=sys.stderr)

  from matplotlib.figure import Figure

  figure = Figure(figsize=(7.2, 4.2), dpi=120)
  axes = figure.subplots()
  styles = itertools.cycle(itertools.product(('-', '--', '-.', ':'), range(5)))
  for (workdir, (across, values)), (line, colour) in zip(series.items(), styles, strict=False):
    axes.plot(across, values, line, color=f'C{colour}', linewidth=1.6, label=pathlib.Path(workdir).name)
  if _FIELD.value == 'loss':
    axes.set_yscale('log')
  axes.set(xlabel='minutes' if _AGAINST.value == 'minutes' else 'step', ylabel=f'{_FIELD.value} ({_KIND.value})')
  axes.grid(color='#e4e4e4', linewidth=0.8)
  axes.spines[['top', 'right']].set_visible(False)
  axes.legend(frameon=False, fontsize=8)
  figure.tight_layout()
  figure.savefig(_OUT.value)
  print(f'wrote {_OUT.value}')


def read(workdir):
  """(steps or minutes, values) of a run."""
  from digits_jax.training import logbook

  path = pathlib.Path(workdir) / 'metrics.jsonl'
  records = [record for record in logbook.read_metrics(path) if record.get('kind') == _KIND.value]
  is_measure = lambda record, name: isinstance(record.get(name), int | float)  # intervals, say, are lists
  known = sorted({name for record in records for name in record if is_measure(record, name)} - {'step', 'seconds'})
  found = [record for record in records if is_measure(record, _FIELD.value)]
  if not found:
    which = f' with a {_FIELD.value!r}; they have {", ".join(known)}' if known else ''
    raise InputError(f'{path} has no {_KIND.value} records{which}')
  across = [record['seconds'] / 60 if _AGAINST.value == 'minutes' else record['step'] for record in found]
  return across, [record[_FIELD.value] for record in found]


if __name__ == '__main__':
  command.run(main)
