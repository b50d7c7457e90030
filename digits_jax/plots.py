"""Redraws the curves of a run from its metrics: python -m digits_jax.plots --workdir=RUN

Reads RUN/metrics.jsonl and writes RUN/plots/curves.png, also while the run is still training.
"""

import os

from digits_jax import command
from digits_jax.errors import InputError

_WORKDIR = command.workdir_flag('Run directory.')


def main(arguments):
  """Raises InputError: no run directory, no metrics in it, no record, or a line of them that cannot be read."""
  from digits_jax import charts
  from digits_jax.training import logbook

  if arguments:
    raise InputError(f'unknown argument {arguments[0]!r}: the run directory is given as --workdir=RUN')
  workdir = command.run_directory(_WORKDIR)
  if not os.path.isdir(workdir):
    raise InputError(f'there is no run directory {workdir}')
  picture = os.path.join(workdir, 'plots', 'curves.png')
  metrics = os.path.join(workdir, 'metrics.jsonl')
  records = logbook.read_metrics(metrics)
  if not records:
    raise InputError(f'{metrics} holds no record: a run writes the first after config.log_every steps')
  charts.curves(picture, records)
  print(f'wrote {picture}')


if __name__ == '__main__':
  command.run(main)
