"""Reads the test set of CTC runs greedily and by the beam search, image by image: what does the search read more?

python experiments/greedy/compare.py --data_dir=DIR --out=experiments/greedy/results.csv RUN [RUN ...]

Both decoders have the same outputs of the same parameters. One row a run and decoder; `only` counts the numbers that it
reads and the other does not, p is McNemar's exact test of these, and seconds the median of three readings in turns.
"""

import csv
import pathlib
import statistics
import time

from digits_jax import command
from digits_jax.errors import InputError

_DATA_DIR = command.path_flag('data_dir', 'Where MNIST lies, for runs of it; default: as the run says.')
_OUT = command.out_flag('CSV file for the figures.')

DECODERS = ('greedy', 'beam')
ROUNDS = 3


def main(arguments):
  """Prints and writes the rows. Raises InputError where there is no run, or one of another task."""
  if not arguments:
    raise InputError('which runs? Give their directories')
  command.check_file('--out', _OUT.value, '.csv')
  rows = [row for workdir in arguments for row in compare(workdir)]
  if _OUT.value:
    with open(_OUT.value, 'w', newline='') as file:
      writer = csv.DictWriter(file, rows[0], lineterminator='\n')
      writer.writeheader()
      writer.writerows(rows)


def compare(workdir):
  """The rows of one run."""
  from scipy import stats

  from digits_jax import metrics
  from digits_jax.reading import evaluation, trained
  from digits_jax.training import scoring

  scorers, seconds = {}, {decoder: [] for decoder in DECODERS}
  for decoder in DECODERS:
    opened = trained.load(workdir, zooms=(), decoder=decoder)
    if _DATA_DIR.value:
      opened.config.data.data_dir = _DATA_DIR.value
    fixed = evaluation.config_sets(opened, opened.config)['test']
    scorers[decoder] = scoring.make_scorer(opened.task, fixed, batch_size=opened.config.evaluation.batch_size)
  records = {decoder: score(opened.params) for decoder, score in scorers.items()}  # compiled now
  for _ in range(ROUNDS):
    for decoder, score in scorers.items():
      began = time.perf_counter()
      score(opened.params)
      seconds[decoder].append(time.perf_counter() - began)

  is_right = {decoder: records[decoder]['is_right'].astype(bool) for decoder in DECODERS}
  only = {'greedy': int((is_right['greedy'] & ~is_right['beam']).sum())}
  only['beam'] = int((is_right['beam'] & ~is_right['greedy']).sum())
  p = stats.binomtest(only['beam'], sum(only.values())).pvalue if sum(only.values()) else 1.0
  for decoder in DECODERS:
    right, count = int(is_right[decoder].sum()), len(is_right[decoder])
    low, high = metrics.wilson(right, count)
    error_rate = metrics.summarise(records[decoder])['character_error_rate']
    row = {
      'run': pathlib.Path(workdir).name, 'config': opened.config.name, 'step': opened.step, 'test_set': fixed.name,
      'decoder': decoder, 'examples': count, 'right': right, 'sequence_accuracy': f'{right / count:.4f}',
      'interval_low': f'{low:.4f}', 'interval_high': f'{high:.4f}', 'character_error_rate': f'{error_rate:.5f}',
      'only': only[decoder], 'p': f'{p:.2g}', 'seconds': f'{statistics.median(seconds[decoder]):.2f}',
    }  # fmt: skip
    print(*row.values(), flush=True)
    yield row


if __name__ == '__main__':
  command.run(main)
