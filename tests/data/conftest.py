"""What several modules of data are tested on."""

import os

import pytest

from digits_jax.data import svhn_builder
from tests.data import svhn_files


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """A small SVHN, prepared, of svhn_files.COUNTS photos."""
  folder = tmp_path_factory.mktemp('svhn')
  for first, (split, count) in enumerate(svhn_files.COUNTS.items()):
    photos = {f'{i}.png': svhn_files.row(str(7 * i + first), left=3 + i % 5, width=5) for i in range(1, count)}
    photos[f'{count}.png'] = svhn_files.row('123456', left=0, width=5)
    contents = {name: svhn_files.png(30 + i % 7, 40, 100 * first + i) for i, name in enumerate(photos)}
    svhn_files.write_folder(folder / 'in' / split, photos, contents)
  svhn_builder.prepare(str(folder), str(folder / 'in'), wanted=list(svhn_files.COUNTS), mirrors=[])
  return str(folder)


@pytest.fixture
def cache(tmp_path, monkeypatch):
  """A folder of caches that is this test's own."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  return tmp_path / 'cache' / 'digits_jax'


@pytest.fixture
def refuse(monkeypatch):
  """Call it with the end of a folder's path: nobody may list that folder any more, not even root."""
  scandir = os.scandir

  def refuse(end):
    def listed(path):
      if str(path).endswith(end):
        raise PermissionError(13, 'Permission denied', path)
      return scandir(path)

    monkeypatch.setattr(os, 'scandir', listed)

  return refuse
