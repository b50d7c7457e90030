"""Files from the network: mirrors, resume, size and SHA-256.

Assumes that every file has a known size and checksum. Bytes stream through a file `path + '.part'`, which a
later call continues by an HTTP Range request; `path` itself appears only when its checksum was right.
"""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import NamedTuple

from absl import logging
from tqdm import tqdm

from digits_jax.data import places
from digits_jax.errors import InputError, reason

_TIMEOUT_SECONDS = 30
_PAUSE_SECONDS = 0.5
_CHUNK = 1 << 18


class Archive(NamedTuple):
  """One file of a data set: its name on every mirror and in the downloads folder, its bytes, its checksum."""

  name: str
  size: int
  sha256: str


def fetch_all(archives: Sequence[Archive], folder: str, *, mirrors: Sequence[str]) -> list[str]:
  """Fetches each archive into `folder` (see fetch) and returns their paths, in the same order.

  A mirror is an address to which the archive's name is added. Raises InputError naming all files that are
  still missing.
  """
  paths = [os.path.join(folder, archive.name) for archive in archives]
  for archive, path in zip(archives, paths, strict=True):
    urls = [mirror.rstrip('/') + '/' + archive.name for mirror in mirrors]
    try:
      fetch(urls, path, sha256=archive.sha256, size=archive.size)
    except InputError as error:
      others = [os.path.basename(other) for other in paths if other != path and not os.path.exists(other)]
      if not others:
        raise
      raise InputError(f'{error}; also missing there: {", ".join(others)}') from error
  return paths


def fetch(urls: Sequence[str], path: str, *, sha256: str, size: int) -> None:
  """Leaves at `path` the file with this checksum, downloading only what is not there yet.

  Args:
    urls: mirrors of the file, tried in turn.
    path: the file; its folder is made. A file that is already right costs one read and no network; a wrong
      one is moved to `path + '.wrong'`.
    sha256: its checksum, in hexadecimal.
    size: its bytes: more are never written.

  Raises InputError if no mirror delivers the right file: it says why, and where to put a copy by hand; and while
  another process downloads it.
  """
  failures = []
  if os.path.exists(path):
    fault = _fault(path, sha256, size)
    if fault is None:
      return
    os.replace(path, path + '.wrong')
    failures.append(f'the copy at {path} {fault} and is now called {os.path.basename(path)}.wrong')
    logging.warning(failures[-1])
  os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
  part = path + '.part'
  with places.locked(part, f'downloading {path}'):
    try:
      if not (os.path.exists(path) and _fault(path, sha256, size) is None):  # by another process, meanwhile
        _fetch(urls, path, part, sha256, size, failures)
    finally:
      if os.path.exists(part) and not _length(part):
        os.remove(part)


def _fetch(urls, path, part, sha256, size, failures):
  """As `fetch`, of a file that is not there; failures: what was met so far."""
  for address in urls:
    for _ in range(2):
      was_resumed = _length(part) > 0
      try:
        _download(address, part, size)
      except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, InputError):
          raise
        failures.append(f'{address}: {_reason(error)}')
        break
      fault = _fault(part, sha256, size)
      if fault is None:
        os.replace(part, path)
        return
      os.truncate(part, 0)
      if not was_resumed:
        failures.append(f'the file from {address} {fault} and was removed')
        break
  raise InputError(
    f'cannot download {os.path.basename(path)} ({"; ".join(failures)}): '
    f'get it from {urls[0]} by hand and put it at {path}'
  )


def _download(url, part, size):
  """Continues `part` until it is whole, over again as long as every attempt brings new bytes."""
  while True:
    before = _length(part)
    try:
      return _receive(url, part, size)
    except (OSError, http.client.HTTPException) as error:
      if isinstance(error, urllib.error.HTTPError):
        if error.code == 416 and before:
          return None  # nothing comes after these bytes: the checksum will tell whether they are the file
        raise
      if _length(part) <= before:
        raise
      time.sleep(_PAUSE_SECONDS)


def _receive(url, part, size):
  """One request. Raises OSError or HTTPException if the file is not whole after it."""
  start = _length(part)
  if start >= size:
    return
  headers = {'User-Agent': 'digits_jax'} | ({'Range': f'bytes={start}-'} if start else {})
  request = urllib.request.Request(url, headers=headers)
  with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
    if start and not (response.headers.get('Content-Range') or '').startswith(f'bytes {start}-'):
      start = 0  # the server does not know Range and sends the whole file
    promised = response.headers.get('Content-Length')
    total = start + int(promised) if promised else size
    if total != size:  # a page that says no, say: what came before is worth more
      raise ValueError(f'it sends {total:,} bytes instead of {size:,}')
    bar = tqdm(
      total=total,
      initial=start,
      desc=os.path.basename(part).removesuffix('.part'),
      unit='B',
      unit_scale=True,
      disable=None,
    )
    with _open(part, 'ab' if start else 'wb') as file, bar:
      while chunk := response.read1(_CHUNK):
        start += len(chunk)
        if start > size:
          raise ValueError(f'it sends more than the {size:,} bytes of the file')
        _write(file, chunk)
        bar.update(len(chunk))
  # http.client takes a connection that ends early for the end of the file.
  if start < total:
    raise ConnectionError(f'the connection was cut after {start:,} of {total:,} bytes')


def _open(path, mode):
  try:
    return open(path, mode, buffering=0)  # so that only write() can meet a full disk, never close()
  except OSError as error:
    raise InputError(f'cannot write {path}: {error.strerror}') from error


def _write(file, chunk):
  """Our own disk is not the network's fault: an error here ends the whole fetch."""
  try:
    chunk = memoryview(chunk)
    while chunk:
      chunk = chunk[file.write(chunk) :]
  except OSError as error:
    raise InputError(f'cannot write {file.name}: {error.strerror}') from error


def _fault(path, sha256, size):
  """What is wrong with the file, in words that follow its name, or None."""
  length = _length(path)
  if length != size:
    return f'has {length:,} bytes instead of {size:,}'
  with open(path, 'rb') as file:
    digest = hashlib.file_digest(file, 'sha256').hexdigest()
  return None if digest == sha256.lower() else f'has the wrong checksum (SHA-256 {digest}, not {sha256})'


def _length(path):
  return os.path.getsize(path) if os.path.exists(path) else 0


def _reason(error):
  if isinstance(error, urllib.error.HTTPError):
    return f'HTTP {error.code} {" ".join(str(error.reason).split())}'
  if isinstance(error, urllib.error.URLError):
    return str(error.reason)
  return reason(error)
