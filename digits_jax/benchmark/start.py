"""From the start of a process to its first training step, compiled anew and from the cache; what imports cost.

Everything runs in processes of its own, as a user starts it. The first step is there when the run's metrics.jsonl has
its first record; the process is then ended, and its run directory removed.
"""

import collections
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from digits_jax.benchmark import report
from digits_jax.errors import InputError

CONFIG = 'configs/fonts.py:tiny'
MODULES = (
  'digits_jax', 'digits_jax.main', 'digits_jax.predict', 'digits_jax.training.loop', 'digits_jax.reading.reader', 'jax'
)
HEAVY = (
  'jax', 'flax', 'optax', 'orbax', 'grain', 'tensorflow', 'tensorflow_datasets', 'tensorboardX', 'matplotlib', 'PIL',
  'fontTools', 'scipy', 'numpy', 'ml_collections',
)  # fmt: skip
PATIENCE = 300  # seconds that a first step may take
_LINE = re.compile(r'import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)')


def measure(*, repeats: int, config: str = CONFIG) -> dict:
  """All figures, in plain values that json can write.

  Returns:
    name, input (in words), hardware, and rows: what, seconds (the median) with fastest and slowest, heavy (the large
    packages among what was imported, those that took longest first, with milliseconds of their own modules).
    Rows are the first step of `config` without and with a compilation cache, and the imports of MODULES.
  """
  if not pathlib.Path(config.split(':')[0]).is_file():
    raise InputError(f'there is no {config.split(":")[0]} here: start in the folder of the project')
  with tempfile.TemporaryDirectory() as folder:
    cold, warm = [], []
    for i in range(repeats):
      cache = pathlib.Path(folder, f'cache-{i}')
      cold.append(first_step(config, cache)[0])
      warm.append(first_step(config, cache)[0])
    # In a run of its own: being watched costs time.
    imported = packages(first_step(config, cache, '-X', 'importtime')[1])
  rows = [_row('first step, compiled anew', cold, imported), _row('first step, compiled before', warm, imported)]
  for module in MODULES:
    seconds = [import_module(module)[0] for _ in range(repeats)]
    rows.append(_row(f'import {module}', seconds, packages(import_module(module, '-X', 'importtime')[1])))
  about = f'processes of their own, the first step of {config}'
  return {'name': 'start', 'input': about, 'hardware': report.hardware(), 'rows': rows}


def table(found: dict) -> str:
  """The figures for people."""
  columns = {
    'what': '{what}',
    's': '{seconds:.2f}',
    '(fastest - slowest)': '({fastest:.2f} - {slowest:.2f})',
    'milliseconds of large packages': '{heavy}',
  }
  return report.show(found, columns)


def first_step(config: str, cache: pathlib.Path, *options: str) -> tuple[float, str]:
  """Seconds from the start of `python -m digits_jax.main` to its first step, and what it wrote to stderr until then.

  Args:
    config: what --config takes; the run logs every step and does nothing else before its fourth.
    cache: folder of compiled programs; what is in it is not compiled again.
    options: of Python.

  Raises InputError, with its own words, where the run fails, and where it takes longer than PATIENCE.
  """
  with tempfile.TemporaryDirectory() as folder:
    metrics, errors = pathlib.Path(folder, 'run/metrics.jsonl'), pathlib.Path(folder, 'stderr')
    arguments = [f'--config={config}', f'--workdir={metrics.parent}', f'--compilation_cache={cache}']
    arguments += ['--config.steps=4', '--config.log_every=1', '--config.eval_every=4', '--config.checkpoint_every=4']
    command = [sys.executable, *options, '-m', 'digits_jax.main', *arguments]
    with errors.open('w') as stderr:
      began = time.perf_counter()
      process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
      while not _has_record(metrics):
        if process.poll() is not None or time.perf_counter() - began > PATIENCE:
          last = errors.read_text().strip().splitlines()[-1:]
          raise InputError(f'{" ".join(command)} came to no first step: {"".join(last) or "no word of why"}')
        time.sleep(0.005)
      seconds = time.perf_counter() - began
    finally:
      process.kill()
      process.wait()
    return seconds, errors.read_text()


def import_module(module: str, *options: str) -> tuple[float, str]:
  """Seconds of a process that imports the module, less those of one that imports nothing; and its stderr."""
  seconds, log = _process(f'import {module}', *options)
  return seconds - _process('pass')[0], log


def packages(log: str) -> dict[str, float]:
  """{package: seconds in its own modules} of what `python -X importtime` wrote, the slowest first."""
  seconds = collections.Counter()
  for line in log.splitlines():
    if found := _LINE.match(line):
      seconds[found[2].split('.')[0]] += int(found[1]) / 1e6
  return dict(seconds.most_common())


def _has_record(path):
  try:
    return '\n' in path.read_text()
  except FileNotFoundError:
    return False


def _process(program, *options):
  began = time.perf_counter()
  done = subprocess.run([sys.executable, *options, '-c', program], capture_output=True, text=True, check=True)
  return time.perf_counter() - began, done.stderr


def _row(what, seconds, imported):
  heavy = [f'{name} {1e3 * imported[name]:.0f}' for name in imported if name in HEAVY]
  return {
    'what': what,
    'seconds': round(statistics.median(seconds), 3),
    'fastest': round(min(seconds), 3),
    'slowest': round(max(seconds), 3),
    'heavy': ', '.join(heavy) or 'none',
  }
