"""One run and one reader for all tests of reading."""

import pytest

from digits_jax import Reader
from tests.reading import runs


@pytest.fixture(scope='session')
def workdir(tmp_path_factory):
  return runs.make_run(tmp_path_factory.mktemp('reading') / 'run')


@pytest.fixture(scope='session')
def reader(workdir):
  return Reader.load(workdir, beams=8)
