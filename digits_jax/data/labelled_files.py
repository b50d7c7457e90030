"""Your own labelled images: a CSV file with the columns filename,label, or numbers in the names of the files.

Filenames are relative to the CSV file's folder. Assumes that somebody typed it: what is wrong is one sentence that
names the file and the line.
"""

import csv
import dataclasses
import os
import pathlib

from digits_jax.alphabet import Alphabet
from digits_jax.conventions import SPLITS
from digits_jax.data.image_files import SUFFIXES
from digits_jax.errors import InputError

COLUMNS = ('filename', 'label')
SPLIT_COLUMN = 'split'
NAMES = 'the names of the files'
UNFINISHED = 'labels.csv.tmp'  # in a folder that `synthesise` is writing, until its labels.csv is there


@dataclasses.dataclass(frozen=True)
class LabelledFiles:
  """Images that exist, each once, and the numbers in them; file i shows texts[i]."""

  paths: tuple[pathlib.Path, ...]
  texts: tuple[str, ...]
  splits: tuple[str, ...] = ()  # of SPLITS, for each file; () where nobody says
  origin: str = NAMES  # of the texts
  unlisted: tuple[pathlib.Path, ...] = ()  # images beside the CSV file that it has no row for


def find(path: str | os.PathLike, alphabet: Alphabet) -> LabelledFiles:
  """The labelled images of a folder (or of a CSV file), with their splits where these are given.

  A folder holds folders `train`, `validation` and `test`, each as follows; or `labels.csv`, with or without a column
  `split` of these names; or images called by their number, with anything behind an underscore: 12345.png, 12345_7.png.

  Raises InputError where there is none of that, or read_labels does.
  """
  path = pathlib.Path(os.path.expanduser(path))
  if os.path.isfile(path):
    return read_labels(path, alphabet, has_splits=True)
  if not os.path.isdir(path):
    raise InputError(f'there is no folder of labelled images {path}')
  if (path / 'labels.csv').is_file():
    return read_labels(path / 'labels.csv', alphabet, has_splits=True)
  given = [split for split in SPLITS if (path / split).is_dir()]
  if not given:
    return _read_names(path, alphabet)
  if missing := [split for split in SPLITS if split not in given]:
    raise InputError(f'{path} holds {" and ".join(given)} and no folder {missing[0]}: give all of {", ".join(SPLITS)}')
  paths, texts, splits, origins, unlisted = (), (), (), (), ()
  for split in SPLITS:
    file = path / split / 'labels.csv'
    found = read_labels(file, alphabet) if file.is_file() else _read_names(path / split, alphabet)
    paths, texts, splits = paths + found.paths, texts + found.texts, splits + (split,) * len(found.paths)
    origins, unlisted = (*origins, found.origin), unlisted + found.unlisted
  return LabelledFiles(paths, texts, splits, ', '.join(dict.fromkeys(origins)), unlisted)


def read_labels(path: str | os.PathLike, alphabet: Alphabet, *, has_splits: bool = False) -> LabelledFiles:
  """Reads a CSV file of labels, UTF-8, in its order; further columns are passed over, spaces around fields dropped.

  has_splits: a column `split` is not passed over.

  Raises InputError on a file that is missing, unreadable or without rows, and on the first row that lacks a field,
  names a file that was named before, or has a label with a character outside the alphabet; then on files that are
  missing, with how many are.
  """
  path = pathlib.Path(os.path.expanduser(path))
  rows = _read_rows(path)
  found, splits, missing = {}, [], []
  for line, filename, label, split in rows:
    where = f'{path}, line {line}'
    if has_splits and split not in (None, *SPLITS):
      raise InputError(f'{where}: the split is {split!r}, not one of {", ".join(SPLITS)}')
    if not filename or not label:
      raise InputError(f'{where}: the {COLUMNS[0 if not filename else 1]} is empty')
    file = pathlib.Path(os.path.normpath(path.parent / filename))
    if file in found:
      raise InputError(f'{where}: {filename} has a row before: label each image once')
    if not os.path.isfile(file):  # pathlib's raises on a name that is too long
      missing.append(f'{where}: there is no image {file}')
    try:
      alphabet.encode(label)
    except InputError as error:
      raise InputError(f'{where}: the label {error}') from None
    found[file] = label
    splits.append(split)
  if missing:
    raise InputError(missing[0] + f' (and {len(missing) - 1:,} more)' * (len(missing) > 1))
  if not found:
    raise InputError(f'{path} holds no row: write one for each image, such as 000.png,1234')
  given = tuple(splits) if has_splits and None not in splits else ()
  unlisted = tuple(file for file in _images(path.parent) if file not in found)
  return LabelledFiles(tuple(found), tuple(found.values()), given, path.name, unlisted)


def _read_names(path, alphabet):
  """The images in a folder, sorted, whose names begin with their numbers."""
  if (path / UNFINISHED).exists():  # those are called by their place in the set
    raise InputError(f'{path} is not complete: `synthesise` was interrupted there. Remove it, and make it again')
  if not (files := _images(path)):
    raise InputError(
      f'{path} holds no labelled image: it needs labels.csv (columns filename,label), or images called by their '
      'number, such as 12345.png or 12345_7.png'
    )
  texts = tuple(file.stem.split('_')[0] for file in files)
  for file, text in zip(files, texts, strict=True):
    try:
      if not text:
        raise InputError('is empty')
      alphabet.encode(text)
    except InputError as error:
      which = 'the number before the underscore' if '_' in file.stem else 'the name is no number:'
      raise InputError(f'{file}: {which} {error}; or write a labels.csv') from None
  return LabelledFiles(tuple(files), texts)


def _images(folder):
  """The images in a folder by their names' endings, sorted."""
  files = (pathlib.Path(os.path.normpath(file)) for file in sorted(folder.iterdir()))
  return [file for file in files if file.suffix.lower() in SUFFIXES and file.name[0] != '.' and file.is_file()]


def _read_rows(path):
  """[(line, filename, label, split or None)], spaces around the fields dropped; an empty line is no row."""
  try:
    with path.open(newline='', encoding='utf-8-sig') as file:
      reader = csv.DictReader(file, skipinitialspace=True, strict=True)
      columns = [name.strip().lower() for name in reader.fieldnames or ()]
      if missing := [name for name in COLUMNS if name not in columns]:
        raise InputError(
          f'{path} lacks the column {missing[0]}: its first line must be filename,label, with commas, and is '
          f'{",".join(columns)!r}'
        )
      if twice := [name for name in (*COLUMNS, SPLIT_COLUMN) if columns.count(name) > 1]:
        raise InputError(f'{path} has the column {twice[0]} more than once')
      reader.fieldnames = columns
      strip = lambda field: (field or '').strip()
      split_of = lambda row: strip(row[SPLIT_COLUMN]) if SPLIT_COLUMN in columns else None
      rows = []
      for row in reader:
        if reader.restkey in row:
          raise InputError(
            f'{path}, line {reader.line_num} has more fields than the first line: put one that holds a comma in quotes'
          )
        rows.append((reader.line_num, *(strip(row[name]) for name in COLUMNS), split_of(row)))
      return rows
  except FileNotFoundError as error:
    raise InputError(f'there is no file of labels {path}') from error
  except OSError as error:
    raise InputError(f'the labels {path} cannot be read: {error.strerror or error}') from error
  except UnicodeDecodeError as error:
    raise InputError(f"{path} is not in UTF-8, which spreadsheets call 'CSV UTF-8': {error}") from error
  except csv.Error as error:
    raise InputError(f'{path}, line {reader.reader.line_num}: not as CSV has it: {error}') from error
