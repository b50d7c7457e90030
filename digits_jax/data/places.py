"""Where data sets and caches lie on this machine, what lies in a folder, and how one process at a time writes there."""

import contextlib
import fcntl
import os
import pathlib
import tempfile
from collections.abc import Iterator

from digits_jax.errors import InputError


def data_folder(data_dir: str | None) -> str:
  """The folder of data sets: data_dir, or TFDS's default."""
  default = os.environ.get('TFDS_DATA_DIR') or os.path.join('~', 'tensorflow_datasets')
  return os.path.expanduser(data_dir or default)


def cache_folder() -> str:
  """Where decoded arrays are kept; safe to delete at any time."""
  base = os.environ.get('XDG_CACHE_HOME', '')
  base = base if os.path.isabs(base) else os.path.expanduser(os.path.join('~', '.cache'))
  return os.path.join(base, 'digits_jax')


def files_below(folder: str | os.PathLike) -> list[pathlib.Path]:
  """All files in a folder and in those inside it, sorted. Raises InputError on a folder that cannot be read."""

  def refuse(error):
    raise InputError(f'the folder {error.filename} cannot be read: {error.strerror}') from error

  return sorted(pathlib.Path(where, name) for where, _, names in os.walk(folder, onerror=refuse) for name in names)


def make_writable(folder: str | os.PathLike, called: str) -> None:
  """Makes a folder, if need be. Raises InputError, with what it is `called`, where nothing can be written into it."""
  try:
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
      pass
  except OSError as error:
    reason = 'it is a file' if os.path.isfile(folder) else error.strerror
    raise InputError(f'cannot write to {called}: {reason}') from error


@contextlib.contextmanager
def locked(path: str | os.PathLike, doing: str, *, instead: str = '') -> Iterator[None]:
  """Keeps other processes out of a folder, or a file that is made if need be, while it is entered.

  doing: what another process is then told that this one does. instead: what it may do but wait.

  Raises InputError where another process is in, and on a file that cannot be made. On a file system without locks it
  keeps nobody out.
  """
  try:
    handle = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR | os.O_CREAT, 0o666)
  except OSError as error:
    raise InputError(f'cannot write {path}: {error.strerror}') from error
  try:
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise InputError(f'another process is {doing}: wait for it{instead}') from error
    except OSError:  # no locks here
      pass
    yield
  finally:
    os.close(handle)
