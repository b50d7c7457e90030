"""The run directory: which config and which data it belongs to, its lock, and files that are written whole.

What lies in it: docs/design.md, "The run directory".
"""

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Collection

from ml_collections import ConfigDict

from digits_jax.data import places
from digits_jax.errors import InputError, naming
from digits_jax.training import parallel

# What may change when a run is resumed: how long it goes on and how often it says so (the schedule follows `steps`; a
# run that ended at a step that is no multiple of `eval_every` has evaluated once more), and what changes no bit.
FREE_FIELDS = ('steps', 'log_every', 'eval_every', 'checkpoint_every', 'blank_patience', 'selection.patience')
FREE_FIELDS += ('data.data_dir', 'photos.keep', 'photos.workers', 'evaluation.batch_size', 'evaluation.sheet')
FREE_FIELDS += ('data.folder',)  # whose images `check_data` watches
# What may differ between the processes of a run: where data lies on a host, and how many threads read it.
HOST_FIELDS = ('data.data_dir', 'data.folder', 'photos.workers')
# Fields added since some runs were made, with the values that reproduce those runs.
LATER_FIELDS = {
  'evaluation.zooms': [], 'model.is_aligned': False, 'model.dropout': 0.0, 'model.is_standardised': True,
}  # fmt: skip


def open_run(workdir: pathlib.Path, config: ConfigDict) -> None:
  """Makes the directory a run of this config, or checks that it is one; the lead process does, the others wait.

  Raises InputError where it cannot be written, where another process trains in it, and where it holds a run whose
  config differs: with the fields that do.
  """
  parallel.in_all_processes(lambda: parallel.is_lead() and _open(workdir, config), f'the work directory {workdir}')


@contextlib.contextmanager
def locked(workdir: pathlib.Path):
  """Keeps other runs out of the directory while it is entered, by the lead process's `places.locked`.

  Raises InputError, in every process, where another run has it, and where it is not the same folder in all processes.
  """
  with contextlib.ExitStack() as stack:
    enter = lambda: parallel.is_lead() and stack.enter_context(_lock(workdir))
    parallel.in_all_processes(enter, f'the work directory {workdir}')
    _check_shared(workdir)
    yield


def _check_shared(workdir):
  """Raises InputError, in every process, where one does not see the file of a random name that the lead makes here."""
  with contextlib.ExitStack() as stack:
    make = lambda: parallel.is_lead() and stack.enter_context(tempfile.NamedTemporaryFile(dir=workdir)).name
    made = parallel.in_all_processes(make, f'the work directory {workdir}') or ''
    name = parallel.from_lead(os.path.basename(made))

    def check():
      if not (workdir / name).is_file():
        raise InputError(
          f'--workdir={workdir} is not the same folder in all processes: it must lie on a file system that they share'
        )

    parallel.in_all_processes(check, f'the work directory {workdir}')


def _lock(workdir):
  return places.locked(workdir, f'training in {workdir}', instead=', or choose another --workdir')


def _open(workdir, config):
  places.make_writable(workdir, f'the work directory {workdir}')
  with _lock(workdir):  # of two that begin at once, one finds the other's config
    _take(workdir, config)


def _take(workdir, config):
  """Checks that the directory is one of this config, or writes it there."""
  path = workdir / 'config.json'
  if path.is_file():
    differing = differences(read_config(workdir), plain(config))
    if differing:
      raise InputError(
        f'{workdir} holds a run of another config; these fields differ: {"; ".join(differing)}. '
        'Choose another --workdir, or put the fields back'
      )
  elif any(entry.name != '.config.json.tmp' for entry in workdir.iterdir()):
    raise InputError(f'{workdir} is not empty and holds no run: choose another --workdir')
  else:
    write_config(workdir, config)


def check_data(workdir: pathlib.Path, report: str) -> None:
  """Raises InputError where the directory's run was trained on other data than this report tells of (its checksums)."""
  before = _checksums_of_data(workdir)
  if before and before != checksums(report):
    raise InputError(
      f'{workdir} holds a run that was trained on other data: images, glyphs, numbers or splits have changed since. '
      'Choose another --workdir, with --config.init_from to begin with what this run learnt, or bring the data back'
    )


def check_test_data(workdir: pathlib.Path, report: str) -> None:
  """Raises InputError where this report, of some of the run's sets, has checksums that the run did not meet."""
  before = _checksums_of_data(workdir)
  if before and not set(checksums(report)) <= set(before):
    raise InputError(
      f'{workdir} holds a run of other data: images, glyphs, numbers or splits have changed since it was trained. '
      'Bring them back, or score what there is now by --labels=FILE.csv or --config=FILE'
    )


def _checksums_of_data(workdir):
  path = workdir / 'data.txt'
  return checksums(path.read_text(errors='replace')) if path.is_file() else []


def checksums(report: str) -> list[str]:
  """The lines of a report by which data are compared."""
  return [line for line in report.splitlines() if line.startswith('checksum')]


def write_config(workdir: pathlib.Path, config: ConfigDict) -> None:
  """Writes config.json; for a run that is resumed, once it is sure that this config goes on with it."""
  write_json(workdir / 'config.json', plain(config))


def read_config(workdir: pathlib.Path) -> dict:
  """The run's resolved config as plain fields; raises InputError where there is none."""
  path = workdir / 'config.json'
  if not path.is_file():
    raise InputError(f'{workdir} holds no run: there is no {path}')
  try:
    config = json.loads(path.read_text())
    if not isinstance(config, dict):
      raise ValueError('it holds no fields')
  except ValueError as error:  # of JSON, or of UTF-8
    raise InputError(f'{path} is damaged: {error}') from error
  return config


def with_later_fields(config: dict) -> dict:
  """The config of a run with the LATER_FIELDS that it does not have."""
  config = json.loads(json.dumps(config))
  for name, value in LATER_FIELDS.items():
    group, _, field = name.partition('.')
    if isinstance(config.get(group), dict):  # else it is damaged, and whoever needs the group says so
      config[group].setdefault(field, value)
  return config


def plain(config: ConfigDict) -> dict:
  """The config as json gives it back: tuples are lists."""
  return json.loads(json.dumps(config.to_dict()))


def differences(before: dict, now: dict, *, free: Collection[str] = FREE_FIELDS, prefix: str = '') -> list[str]:
  """The fields that differ and are not free to: 'field: before -> now'."""
  found = []
  for name in sorted(set(before) | set(now)):
    old, new = (fields.get(name, LATER_FIELDS.get(prefix + name, '(none)')) for fields in (before, now))
    if isinstance(old, dict) and isinstance(new, dict):
      found += differences(old, new, free=free, prefix=f'{prefix}{name}.')
    elif old != new and prefix + name not in free:
      found.append(f'{prefix}{name}: {old!r} -> {new!r}')
  return found


def write_json(path: pathlib.Path, content: dict) -> None:
  """As `write_text`."""
  write_text(path, json.dumps(content, indent=2) + '\n')


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes by rename: a reader sees the old file or the new one. Raises OSError, naming the file."""
  temporary = path.with_name(f'.{path.name}.tmp')
  with naming(path):
    temporary.write_text(text, errors='surrogateescape')  # paths need not be valid UTF-8
  os.replace(temporary, path)
