"""Figures with what they were measured on, as files and as a table."""

import csv
import importlib.metadata
import io
import os
import pathlib
import platform
import string
from collections.abc import Mapping, Sequence


def hardware() -> dict[str, str | int]:
  """What the figures hold for: processor, cores that this process may use, Python, jax and its devices."""
  import jax

  return {
    'processor': _processor(),
    'cores': cores(),
    'devices': f'{jax.device_count()} x {jax.devices()[0].device_kind}',
    'python': platform.python_version(),
    'jax': jax.__version__,
  }


def cores() -> int:
  """CPU cores that this process may use."""
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()


def version(package: str) -> str:
  """Of an installed package."""
  return importlib.metadata.version(package)


def write(folder: pathlib.Path, found: Mapping) -> None:
  """Writes found['name'].json, all of it, and .csv, its found['rows'], if there are any; each file by rename."""
  from digits_jax.training import rundir

  path = folder / f'{found["name"]}.json'
  rundir.write_json(path, found)
  if not found['rows']:
    return
  lines = io.StringIO()
  writer = csv.DictWriter(lines, list(found['rows'][0]), lineterminator='\n')
  writer.writeheader()
  writer.writerows(found['rows'])
  rundir.write_text(path.with_suffix('.csv'), lines.getvalue())


def show(found: Mapping, columns: Mapping[str, str]) -> str:
  """The figures for people: what they hold for, then for each row one column {heading: format of its fields}.

  A cell whose field is None, or not in this row, stays empty.
  """
  rows = [[*columns], *([_cell(form, row) for form in columns.values()] for row in found['rows'])]
  about = ', '.join(f'{name} {value}' for name, value in found['hardware'].items())
  notes = ''.join(f'\n{name}: {value}' for name, value in found.get('notes', {}).items())
  return f'{found["name"]}: {found["input"]}; {about}{notes}\n{table(rows)}'


def table(rows: Sequence[Sequence[str]]) -> str:
  """Text with aligned columns; the first row is the heading, the first column is flushed left."""
  widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
  flush = lambda i, cell: cell.ljust(widths[i]) if i == 0 else cell.rjust(widths[i])
  return '\n'.join('  '.join(flush(i, cell) for i, cell in enumerate(row)).rstrip() for row in rows)


def _cell(form, row):
  fields = [name for _, name, _, _ in string.Formatter().parse(form) if name]
  return '' if any(row.get(name) is None for name in fields) else form.format(**row)


def _processor():
  """The processor's name; platform.processor() is empty or just 'x86_64' on many a Linux."""
  try:
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
  except OSError:
    return platform.processor() or platform.machine()
  names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
  return names[0] if names else platform.machine()
