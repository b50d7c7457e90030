"""Trains a config over a product, a zip or a list of changes: one run directory each, and one table of all results.

python experiments/sweep.py --config=configs/fonts.py:quick --out=runs/rates \
  --vary optim.learning_rate 1e-3 2e-3 4e-3 --vary seed 0 1 2 --set steps=1500
python experiments/sweep.py --config=configs/fonts.py:quick --out=runs/sizes --zip \
  --vary batch_size 16 32 64 --vary steps 6000 3000 1500 -- --preallocate
python experiments/sweep.py --config=configs/street.py --out=runs/ablation --runs=experiments/street/ablation.json

--runs names a JSON file of runs and what each changes, {NAME: {FIELD: VALUE}}, such as an ablation's. Each run is
`python -m digits_jax.main --config=... --workdir=OUT/NAME` with its fields as flags; what stands behind `--` goes to
every run. The config file and all fields, each with its first value, are checked before any run. OUT/NAME.log holds
what it said. A run with a result.json is finished and skipped; one that was interrupted goes on from its last
checkpoint; one that fails is named, the others go on, the exit code is 1. So the same command finishes a sweep that
died. OUT/results.csv has a row for each test set of each finished run, also of those that earlier commands added to the
same sweep. A value that begins with a minus, such as -1,2, is given as "(-1,2)".

Runs follow each other, and a folder takes one sweep at a time. With several GPUs each has a sweep with an --out of its
own, started with its CUDA_VISIBLE_DEVICES; intervals.py draws the results.csv of all of them together.
"""

import argparse
import csv
import hashlib
import io
import itertools
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys

from digits_jax import command
from digits_jax.data import places
from digits_jax.errors import InputError

COLUMNS = (
  'run', 'revision', 'config', 'overrides', 'seed', 'steps', 'minutes', 'hardware', 'test_set', 'examples', 'right',
  'sequence_accuracy', 'interval_low', 'interval_high', 'character_error_rate', 'validation',
)  # fmt: skip
PRINTED = ('run', 'seed', 'steps', 'minutes', 'test_set', 'sequence_accuracy', 'interval_low', 'interval_high')
ENDINGS = ('.csv', '.json', '.log', '.tmp')  # of the files that lie beside the runs' directories
_TERMINALS = [stream for stream in (1, 2) if os.isatty(stream)]
_REVISION, _CPU = 'revision ', 'cpu '  # begin the first lines of what a log holds of each start


def main(arguments, extra):
  """Runs what is missing, writes and prints the table of what `parse` gives.

  Returns 0, 1 where a run failed, or 130, 143 or 129 where Ctrl-C, SIGTERM or SIGHUP stopped it. Raises InputError
  where --out cannot be written to, another sweep is in it, or it holds other runs.
  """
  out = pathlib.Path(arguments.out)
  places.make_writable(out, f'--out={out}')
  with places.locked(out, f'running the sweep in {out}', instead=', or choose another --out'):
    return run_all(out, arguments, extra)


def run_all(out, arguments, extra):
  """What `main` does in the sweep's folder, which no other process writes to."""
  runs = arguments.runs
  known, failed, stopped_by = open_sweep(out, arguments, runs), [], 0
  try:
    for i, (name, changes) in enumerate(runs.items()):
      print(f'[{i + 1}/{len(runs)}] {name}: ', end='', flush=True)
      if (out / name / 'result.json').is_file():
        print('finished before')
        continue
      code = train(out, name, arguments, changes, extra)
      is_done = code == 0 and (out / name / 'result.json').is_file()
      if not is_done:
        failed.append(name)
      log = out / f'{name}.log'
      print('done' if is_done else f'failed with exit code {code}, see {log}: {last_line(log)}')
  except KeyboardInterrupt as error:  # what is finished is in the table all the same
    stopped_by = error.args[0] if error.args else signal.SIGINT
    print()
  rows, damaged = [], []
  for name, changes in known.items():
    try:
      rows += rows_of(out, name, changes, arguments)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # of another version, or cut off
      damaged.append(f'{out / name}/result.json or config.json is damaged ({error!r}): remove {out / name}')
  write_table(out / 'results.csv', rows)
  print_table(rows)
  if failed:
    print(f'{len(failed)} of {len(runs)} runs failed: {", ".join(failed)}', file=sys.stderr)
  for sentence in damaged:
    print(sentence, file=sys.stderr)
  if stopped_by:
    return 128 + stopped_by
  return 1 if failed or damaged else 0


def parse(argv):
  """(arguments, whose `runs` are {name: {field: value}}, the flags behind `--`); exits with 2 where they are wrong."""
  end = argv.index('--') if '--' in argv else len(argv)
  own, extra = argv[:end], argv[end + 1 :]
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--config', required=True, help='the config that all runs start from')
  parser.add_argument('--out', required=True, help='folder of the sweep')
  which = parser.add_mutually_exclusive_group(required=True)
  which.add_argument('--vary', nargs='+', action='append', metavar=('FIELD', 'VALUE'), help='a field and its values')
  which.add_argument('--runs', metavar='FILE', help='JSON file of the runs by name, each with the fields it changes')
  parser.add_argument('--zip', action='store_true', help='first values together, second values together, ...')
  parser.add_argument('--set', nargs='+', action='extend', default=[], metavar='FIELD=VALUE', help='fields of all runs')
  arguments = parser.parse_args(own)
  if arguments.runs and arguments.zip:
    parser.error('--zip goes with --vary')
  arguments.vary = arguments.vary or []
  fields = [field for field, *_ in arguments.vary]
  if len(set(fields)) < len(fields):
    parser.error('a field is varied twice')
  if empty := [field for field, *values in arguments.vary if not values]:
    parser.error(f'--vary {empty[0]} has no values')
  if arguments.zip and len({len(values) for _, *values in arguments.vary}) > 1:
    parser.error('--zip takes as many values of each field')
  if wrong := [flag for flag in extra if flag.lstrip('-').startswith('config')]:
    parser.error(f'{wrong[0]} behind --: give fields of all runs as --set FIELD=VALUE')
  if wrong := [flag for flag in extra if flag.lstrip('-').startswith('workdir')]:
    parser.error(f'{wrong[0]} behind --: each run has a directory of its own in --out')
  if wrong := [one for one in arguments.set if '=' not in one]:
    parser.error(f'--set {wrong[0]} is not FIELD=VALUE')
  try:
    vary, is_zip = arguments.vary, arguments.zip
    arguments.runs = read_runs(arguments.runs) if arguments.runs else combinations(vary, is_zip=is_zip)
  except InputError as error:
    parser.error(str(error))
  return arguments, extra


def flags_of(arguments):
  """--config and a flag for each field that is set or changed, with its first value."""
  changed = {field: value for changes in reversed(arguments.runs.values()) for field, value in changes.items()}
  fields = [*arguments.set, *(f'{field}={value}' for field, value in changed.items())]
  return [f'--config={arguments.config}', *(f'--config.{field}' for field in fields)]


def read_runs(path):
  """{name: {field: value}} of a JSON file. Raises InputError where it is not just that."""
  try:
    runs = json.loads(pathlib.Path(path).read_text())
  except (OSError, ValueError) as error:
    raise InputError(f'--runs: {path} cannot be read as JSON: {error}') from error
  is_text = lambda changes: isinstance(changes, dict) and all(isinstance(value, str) for value in changes.values())
  if not isinstance(runs, dict) or not runs or not all(map(is_text, runs.values())):
    raise InputError(f'--runs: {path} is not {{NAME: {{FIELD: VALUE}}}}, each VALUE a text as in a command')
  if wrong := [name for name in runs if not re.fullmatch(r'[\w.,=+-]+', name) or name.strip('.') == '']:
    raise InputError(f'--runs: {path} has a run {wrong[0]!r}: names of folders are letters, digits, and . , = + - _')
  if wrong := [name for name in runs if name.endswith(ENDINGS)]:
    raise InputError(
      f'--runs: {path} has a run {wrong[0]!r}: names that end with {", ".join(ENDINGS)} are for files of the sweep'
    )
  return runs


def combinations(vary, *, is_zip):
  """{name: {field: value}} of `vary`, lists of a field and its values; of a product the last field changes fastest."""
  fields, values = [field for field, *_ in vary], [values for _, *values in vary]
  rows = zip(*values, strict=True) if is_zip else itertools.product(*values)
  runs = [dict(zip(fields, row, strict=True)) for row in rows]
  return {name_of(changes): changes for changes in runs}


def name_of(changes):
  """The run directory of the changes: readable, and another one for other changes."""
  text = ','.join(f'{field}={value}' for field, value in changes.items())
  name = re.sub(r'[^\w.,=+-]', '_', text)
  return name if name == text and len(name) < 100 else f'{name[:90]}-{hashlib.sha1(text.encode()).hexdigest()[:8]}'


def open_sweep(out, arguments, runs):
  """Checks that the folder is a sweep of the same runs: finished ones of another would be taken for these.

  Runs may be added. Returns all that the folder knows, {name: {field: value}}, those of earlier commands first. Raises
  InputError where their settings differ.
  """
  path, ours = out / 'sweep.json', {'config': arguments.config, 'set': sorted(arguments.set)}
  settings = lambda sweep: [f'--config={sweep["config"]}', *(f'--set {one}' for one in sweep['set'])]
  if path.is_file():
    try:
      theirs = json.loads(path.read_text())
      before, was, now = theirs.get('runs', {}), settings(theirs), settings(ours)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
      raise InputError(f'{path} is damaged ({error}): remove it, and give the command again as it was') from error
    if not any((out / name).is_dir() for name in before):  # nothing was ever trained: a command with a mistake, say
      before, was = {}, now
    differing = [f'{one} is missing' for one in was if one not in now]
    differing += [f'{one} is new' for one in now if one not in was]
    if differing:
      raise InputError(f'{out} holds a sweep of other settings: {", ".join(differing)}. Choose another --out')
    if changed := [name for name, changes in before.items() if runs.get(name, changes) != changes]:
      raise InputError(
        f'{out} has a run {changed[0]} that changes other fields: give it another name, or choose another --out'
      )
    runs = before | runs
  write(path, json.dumps(ours | {'runs': runs}) + '\n')
  return runs


def train(out, name, arguments, changes, extra):
  """Starts a run, or goes on with it, and waits for it; its exit code. KeyboardInterrupt ends the run, and goes on."""
  fields = [*arguments.set, *(f'{field}={value}' for field, value in changes.items())]
  line = [sys.executable, '-m', 'digits_jax.main', f'--config={arguments.config}', f'--workdir={out / name}']
  line += [f'--config.{field}' for field in fields] + extra
  process = None
  with (out / f'{name}.log').open('a') as log:
    print(f'{_REVISION}{revision()}\n{_CPU}{cpu()}\n{" ".join(line)}', file=log, flush=True)
    try:
      # In a session of its own, so that Ctrl-C comes to it once, through us.
      process = subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
      return process.wait()
    except KeyboardInterrupt:
      print(stop(process, name), file=sys.stderr)
      raise


def stop(process, name):
  """Ends a run (None: it had not started), and says how that went; a second Ctrl-C does not wait until it has saved."""
  if process is None:
    return f'stopped before {name} began'
  process.terminate()
  try:
    code = process.wait()
  except KeyboardInterrupt:
    process.kill()
    return f'stopped at once; the same command goes on with {name} from its last checkpoint'
  if code == 0:
    return f'stopped; {name} had ended, and the same command goes on with the others'
  if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
    return f'stopped; {name} has saved where it is: the same command goes on from there'
  return f'stopped; the same command goes on with {name} from its last checkpoint, or begins it'


def revision():
  """The commit of the code, with a + where files differ from it; '' outside a git checkout."""
  where = pathlib.Path(__file__).parent
  git = lambda *words: subprocess.run(['git', *words], cwd=where, capture_output=True, text=True, check=False)
  try:
    commit = git('rev-parse', '--short', 'HEAD').stdout.strip()
    return commit + '+' * bool(git('status', '--porcelain', '--untracked-files=no').stdout.strip())
  except FileNotFoundError:
    return ''


def last_line(log):
  """What a run said last."""
  lines = [line for line in log.read_text(errors='replace').replace('\r', '\n').splitlines() if line.strip()]
  return lines[-1]


def rows_of(out, name, changes, arguments):
  """A row for each test set of a finished run; none of another."""
  path = out / name / 'result.json'
  if not path.is_file():
    return
  result, config = (json.loads((out / name / file).read_text()) for file in ('result.json', 'config.json'))
  log = out / f'{name}.log'
  lines = log.read_text(errors='replace').splitlines() if log.is_file() else []
  last = lambda mark: next((line.removeprefix(mark) for line in reversed(lines) if line.startswith(mark)), '')
  processor = last(_CPU) if result['devices'].endswith('cpu') else ''
  for test in result['tests'].values():
    low, high = test['interval']
    yield {
      'run': name,
      'revision': last(_REVISION),
      'config': arguments.config,
      'overrides': ' '.join([*arguments.set, *(f'{field}={value}' for field, value in changes.items())]),
      'seed': config['seed'],
      'steps': result['steps'],
      'minutes': round(result['seconds'] / 60, 1),
      'hardware': result['devices'] + f', {processor}' * bool(processor),
      'test_set': test['set'],
      'examples': test['examples'],
      'right': round(test['sequence_accuracy'] * test['examples']),
      'sequence_accuracy': round(test['sequence_accuracy'], 4),
      'interval_low': round(low, 4),
      'interval_high': round(high, 4),
      'character_error_rate': round(test['character_error_rate'], 5),
      'validation': round(next(iter(result['validation'].values())), 4),
    }


def cpu():
  """The cores that this process, and so a run, may use, and what they are."""
  file = pathlib.Path('/proc/cpuinfo')
  found = re.search(r'model name\s*: (.*)', file.read_text()) if file.is_file() else None
  cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
  return f'{cores} cores ({found[1] if found else platform.processor()})'


def write_table(path, rows):
  """results.csv."""
  table = io.StringIO()
  writer = csv.DictWriter(table, COLUMNS, lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  write(path, table.getvalue())


def write(path, text):
  """Replaces a file as a whole: who reads it, or comes after a kill, sees the old text or the new one."""
  temporary = path.with_suffix('.tmp')
  temporary.write_text(text)
  temporary.replace(path)


def print_table(rows):
  """The columns that a person looks at."""
  cells = [PRINTED, *([str(row[column]) for column in PRINTED] for row in rows)]
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  for row in cells:
    print('  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def interrupt(number, _):
  """SIGTERM, and SIGHUP of a terminal that is closed, end a sweep as Ctrl-C does."""
  if number != signal.SIGTERM:
    for stream in _TERMINALS:  # what is printed there from now on would be an error
      os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
  raise KeyboardInterrupt(number)


if __name__ == '__main__':
  arguments, extra = parse(sys.argv[1:])
  for number in (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, 'SIGHUP') else [])):
    if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
      signal.signal(number, interrupt)
  command.config_flag()
  sys.argv[1:] = flags_of(arguments)  # checked by command.run; ml_collections looks for fields here alone
  sys.path[0] = os.getcwd()  # as in the runs: a config may import what lies there
  command.run(lambda _: main(arguments, extra))
