"""Your own labelled images: a CSV file with the columns filename,label, as `synthesise` writes it too.

Filenames are relative to the CSV file's folder. Assumes that somebody typed it: what is wrong is one sentence that
names the file and the line.
"""

import csv
import dataclasses
import os
import pathlib

from digits_jax.alphabet import Alphabet
from digits_jax.errors import InputError

COLUMNS = ('filename', 'label')


@dataclasses.dataclass(frozen=True)
class LabelledFiles:
  """Images that exist, each once, and the numbers in them; file i shows texts[i]."""

  paths: tuple[pathlib.Path, ...]
  texts: tuple[str, ...]


def read_labels(path: str | os.PathLike, alphabet: Alphabet) -> LabelledFiles:
  """Reads a CSV file of labels, UTF-8, in its order; further columns are passed over, spaces around fields dropped.

  Raises InputError on a file that is missing, unreadable or without rows, and on the first row that lacks a field,
  names no file or one that was named before, or has a label with a character outside the alphabet.
  """
  path = pathlib.Path(path).expanduser()
  rows = _read_rows(path)
  found = {}
  for line, filename, label in rows:
    where = f'{path}, line {line}'
    if not filename or not label:
      raise InputError(f'{where}: the {COLUMNS[0 if not filename else 1]} is empty')
    file = pathlib.Path(os.path.normpath(path.parent / filename))
    if file in found:
      raise InputError(f'{where}: {filename} has a row before: label each image once')
    if not file.is_file():
      raise InputError(f'{where}: there is no image {file}')
    try:
      alphabet.encode(label)
    except InputError as error:
      raise InputError(f'{where}: the label {error}') from None
    found[file] = label
  if not found:
    raise InputError(f'{path} holds no row: write one for each image, such as 000.png,1234')
  return LabelledFiles(tuple(found), tuple(found.values()))


def _read_rows(path):
  """[(line, filename, label)] with spaces around the fields dropped; an empty line is no row."""
  try:
    with path.open(newline='', encoding='utf-8-sig') as file:
      reader = csv.DictReader(file, skipinitialspace=True, strict=True)
      columns = [name.strip() for name in reader.fieldnames or ()]
      if missing := [name for name in COLUMNS if name not in columns]:
        raise InputError(f'{path} lacks the column {missing[0]}: its first line is filename,label')
      reader.fieldnames = columns
      return [(reader.line_num, *((row[name] or '').strip() for name in COLUMNS)) for row in reader]
  except FileNotFoundError as error:
    raise InputError(f'there is no file of labels {path}') from error
  except OSError as error:
    raise InputError(f'the labels {path} cannot be read: {error.strerror or error}') from error
  except (UnicodeDecodeError, csv.Error) as error:
    raise InputError(f'{path} is no CSV file in UTF-8: {error}') from error
