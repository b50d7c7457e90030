"""The one exception for what a user can put right, and the words for what others say.

Its message is one clear sentence (or two) that names the thing and the way out. `command.run` prints it
without a traceback and exits with code 2; every other exception is a defect and keeps its traceback.
"""

import contextlib
import difflib
import os
from collections.abc import Collection


class InputError(ValueError):
  """Something given from outside (a config field, a file, a folder, a label) cannot be used as it is."""


def reason(error: Exception) -> str:
  """What a library's exception says, in one line."""
  return ' '.join(str(error).split()) or type(error).__name__


def first_line(error: Exception) -> str:
  """The first line of what a library's exception says, where the others are long."""
  return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]):
  """An OSError that names no file, as that of a full disk, names `path`."""
  try:
    yield
  except OSError as error:
    if error.filename is None:
      error.filename = os.fspath(path)
    raise


def suggest(name: str, known: Collection[str], otherwise: str | None = None) -> str:
  """What was meant by a name that is none of `known`: the nearest, or else all of them (or another hint)."""
  near = difflib.get_close_matches(str(name), known, 1)
  return f'did you mean {near[0]!r}?' if near else otherwise or f'it is one of {", ".join(known)}'


def check_name(field: str, name: str, known: Collection[str]) -> None:
  """Raises InputError, with a suggestion, unless `name`, the value of a field, is one of `known`."""
  if name not in known:
    raise InputError(f'{field}: there is no {name!r}; {suggest(name, known)}')
