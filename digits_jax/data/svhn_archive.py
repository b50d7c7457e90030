"""The files of one split of SVHN's full numbers: its tar.gz, streamed, or the folder that was extracted from it.

Assumes nothing about who made them. Nothing is ever extracted under a name that an archive gives.
"""

import contextlib
import gzip
import os
import pathlib
import shutil
import tarfile
import zlib
from collections.abc import Iterator

from digits_jax.errors import InputError, reason

DIGIT_STRUCT = 'digitStruct.mat'
_MOST_BYTES = 64 << 20  # of a photo; SVHN's largest has less than 4 MB
_MOST_STRUCT = 4 << 30  # of digitStruct.mat, with some 7 KB a photo: 1.4 GB of SVHN's largest
_MOST_ABOUT = 1 << 20  # bytes of what an archive says about a file, long names and the like: tarfile reads them whole
_ABOUT = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


class _Member(tarfile.TarInfo):
  """A member of an archive. What is said about a file in more than _MOST_ABOUT bytes is refused before it is read."""

  @classmethod
  def frombuf(cls, buf, encoding, errors):
    member = super().frombuf(buf, encoding, errors)
    if member.type in _ABOUT and member.size > _MOST_ABOUT:
      raise tarfile.ReadError(f'it says {member.size:,} bytes about one file')
    return member


def find(archives: str, split: str) -> str | None:
  """SPLIT.tar.gz or the folder SPLIT with its digitStruct.mat in the folder `archives`; None if neither is there."""
  archive, folder = os.path.join(archives, f'{split}.tar.gz'), os.path.join(archives, split)
  if os.path.isfile(archive):
    return archive
  return folder if os.path.isfile(os.path.join(folder, DIGIT_STRUCT)) else None


def digit_struct(source: str, split: str, work: str) -> str:
  """The path of the split's digitStruct.mat, copied into the folder `work` where the source is an archive.

  Raises InputError if there is none, or as `photos` does.
  """
  if os.path.isdir(source):
    return os.path.join(source, DIGIT_STRUCT)
  for name, size, file in _members(source, split):
    if name == DIGIT_STRUCT:
      if size > _MOST_STRUCT:
        raise InputError(f'{source}: its {name} has {size:,} bytes, more than the {_MOST_STRUCT:,} that are read')
      path = os.path.join(work, DIGIT_STRUCT)
      with open(path, 'wb') as copy, _explained(source):
        shutil.copyfileobj(file, copy, 1 << 20)
      return path
  raise InputError(f'{source} holds no {split}/{DIGIT_STRUCT}: is it the archive {split}.tar.gz of the full numbers?')


def photos(source: str, split: str) -> Iterator[tuple[str, bytes]]:
  """(name, content) of each PNG of the split, in the order of the archive, of a folder by name.

  An archive is read to its end, where gzip has its checksum. Raises InputError, naming the source, if it is
  damaged or cut short, holds a path that leaves its folder, a link or a device, or a photo of more than 64 MB.
  """
  for name, size, file in _files(source) if os.path.isdir(source) else _members(source, split):
    if name.lower().endswith('.png') and not name.startswith('.'):
      if size > _MOST_BYTES:
        raise InputError(f'{source}: the photo {name} has {size:,} bytes, more than the {_MOST_BYTES:,} that are read')
      with _explained(source):
        content = file.read()
      yield name, content


def _files(folder):
  for name in sorted(os.listdir(folder)):
    path = pathlib.Path(folder, name)
    if path.is_file():
      with path.open('rb') as file:
        yield name, path.stat().st_size, file


def _members(archive, split):
  """(name, bytes, file) of each file that is directly in the split's folder of the archive."""
  with contextlib.ExitStack() as stack:
    with _explained(archive):
      content = stack.enter_context(gzip.open(archive))
      tar = stack.enter_context(tarfile.open(fileobj=content, mode='r|', tarinfo=_Member))
    while member := _next(archive, tar):
      path = pathlib.PurePosixPath(member.name)
      if path.is_absolute() or '..' in path.parts or '\\' in member.name or '\0' in member.name:
        raise InputError(f'{archive} holds the path {member.name!r}, which leaves its folder: it is not used')
      if not (member.isfile() or member.isdir()):
        raise InputError(f'{archive} holds {member.name!r}, which is a link or a device: it is not used')
      if member.isfile() and path.parent == pathlib.PurePosixPath(split):
        yield path.name, member.size, tar.extractfile(member)
    with _explained(archive):
      while content.read(1 << 20):
        pass


def _next(archive, tar):
  with _explained(archive):
    tar.members.clear()  # it would remember every one
    return tar.next()


@contextlib.contextmanager
def _explained(source):
  try:
    yield
  except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
    if isinstance(error, OSError) and error.errno is not None:  # the disk's, not the archive's
      raise
    raise InputError(f'{source} is damaged or incomplete ({reason(error)}): remove it and get it again') from error
