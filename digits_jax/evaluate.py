"""Scores a trained run: python -m digits_jax.evaluate [--workdir=RUN] [--config=OTHER | --labels=FILE.csv]

RUN is a run directory or a file of weights; without it, the reader of house numbers that comes with the package, which
has no test sets of its own.
Without more it scores the run's own test sets, as the end of training did; --validation its validation set, by which
choices are made. --config=configs/NAME.py:ARGUMENT scores another config's sets. --labels=FILE.csv scores your
own images: columns filename,label, filenames relative to the CSV file; or a folder, as configs/own.py takes it, and of
given splits the test. Images of another size are placed on the run's canvas as `predict` does.

--zooms=1.08,1.16 replaces the run's config.evaluation.zooms; --zooms= looks at each image once.
--decoder=greedy replaces config.evaluation.decoder: the likeliest class of each frame, and no second reading.
--out=FILE.json writes the figures as result.json has them; --readings=FILE.csv what was read of each image (columns
image,label,text,confidence); --sheet=FILE.png draws images with what was read, errors first, the most confident
foremost. Of the last two there are FILE-NAME.csv and FILE-NAME.png of each test set where there are several.
"""

import pathlib
import sys
from collections.abc import Callable, Collection

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

_WORKDIR = command.reader_flag()
_CONFIG = command.config_flag()
_LABELS = command.path_flag(
  'labels', 'Your own images: a CSV file with the columns filename,label, or a folder as configs/own.py takes it.'
)
_VALIDATION = flags.DEFINE_bool('validation', False, "Score the config's validation set in place of its test sets.")
_DECODER = flags.DEFINE_enum('decoder', None, ['beam', 'greedy'], "What reads CTC's frames; default: the run's.")
_ZOOMS = command.zooms_flag()
_OUT = command.out_flag('JSON file for the figures.')
_READINGS = command.path_flag('readings', 'CSV file for what was read of each image.')
_SHEET = command.path_flag('sheet', 'PNG file for a sheet of images and what was read, errors first.')


def main(arguments):
  """Raises InputError on flags that do not go together, a run that cannot be read with, and sets it cannot read."""
  if arguments:
    raise InputError(f'unexpected argument {arguments[0]!r}: give your own images as --labels=FILE.csv')
  if _LABELS.value == '':
    raise InputError('--labels is empty: name a CSV file or a folder, or leave it out')
  if _CONFIG.value is not None and _LABELS.value:
    raise InputError('--config and --labels each say what to read: give one of them')
  if _VALIDATION.value and _LABELS.value:
    raise InputError('--validation and --labels each say what to read: give one of them')
  command.check_file('--out', _OUT.value, '.json')
  command.check_file('--readings', _READINGS.value, '.csv')
  command.check_file('--sheet', _SHEET.value, '.png')
  workdir = command.reader_path(_WORKDIR)

  from digits_jax import metrics
  from digits_jax.reading import evaluation, trained
  from digits_jax.training import checks, finish, rundir, scoring

  opened = trained.load(workdir, zooms=_ZOOMS.value, decoder=_DECODER.value)
  checks.check_decoder(opened.config)
  if _LABELS.value:
    sets = {'labels': evaluation.labelled_set(opened, _LABELS.value)}
    if evaluation.has_training_images(opened, _LABELS.value):
      print(f'{_LABELS.value} holds what the run was trained on: leave --labels out to score its test', file=sys.stderr)
  else:
    config = opened.config if _CONFIG.value is None else _CONFIG.value
    sets = evaluation.config_sets(opened, config, split='validation' if _VALIDATION.value else 'test')
    if config is opened.config and workdir is not None:
      report = ''.join(fixed.source.report for fixed in sets.values())
      rundir.check_test_data(pathlib.Path(workdir), report)
  sheets = file_names(_SHEET.value, sets, lambda path: command.check_sheet('--sheet', path))
  columns = ','.join(evaluation.COLUMNS)
  tables = file_names(_READINGS.value, sets, lambda path: command.check_table('--readings', path, columns))
  tests, records = {}, {}
  for name, fixed in sets.items():
    records[name] = evaluation.score(opened, fixed)
    tests[name] = {'set': fixed.name, 'seed': fixed.seed} | scoring.summarise(records[name])
    print(f'{name} ({fixed.name}): {metrics.describe(tests[name], opened.temperature)}', flush=True)
  if _OUT.value:
    reading = opened.config.evaluation
    result = {'step': opened.step, 'temperature': opened.temperature, 'decoder': reading.decoder}
    result |= {'zooms': list(reading.zooms), 'tests': tests}
    rundir.write_json(pathlib.Path(_OUT.value), result)
    print(f'wrote {_OUT.value}')
  for name, path in tables.items():
    rundir.write_text(path, evaluation.as_csv(opened, sets[name], records[name]))
    print(f'wrote {path}')
  for name, path in sheets.items():
    finish.draw_sheet(path, sets[name], records[name], opened.alphabet, opened.config.evaluation.sheet)
    print(f'wrote {path}')


def file_names(
  path: str | None, names: Collection[str], check: Callable[[str], None]
) -> dict[str, pathlib.Path]:
  """The file for each test set, each checked: `path`, or beside it where there are several; none where it is None."""
  if path is None:
    return {}
  path = pathlib.Path(path)
  files = {name: path if len(names) == 1 else path.with_stem(f'{path.stem}-{name}') for name in names}
  for file in files.values():
    check(str(file))
  return files


if __name__ == '__main__':
  command.run(main)
