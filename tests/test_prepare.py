"""`python -m digits_jax.prepare` as its user sees it: what it prints, its exit codes, its errors."""

import os
import subprocess
import sys

import pytest

from digits_jax.data import mnist
from tests.data.test_download import serving
from tests.data.test_mnist import idx_files, tiny

FILES, ARCHIVES = idx_files(tiny())
# The command itself, expecting the tiny files instead of MNIST's own. Exits with 9 if it imports too much.
PROGRAM = f"""
import atexit, os, sys
atexit.register(lambda: os._exit(9) if sys.modules.keys() & {{'tensorflow', 'jax'}} else None)
from digits_jax import command, prepare
from digits_jax.data import mnist_builder
from digits_jax.data.download import Archive
mnist_builder.ARCHIVES = {ARCHIVES!r}
command.run(prepare.main, ['prepare.py', *sys.argv[1:]])
"""


@pytest.fixture
def run(tmp_path):
  folders = {'XDG_CACHE_HOME': str(tmp_path / 'cache'), 'TFDS_DATA_DIR': str(tmp_path / 'tfds')}

  def run(*arguments, program=('-c', PROGRAM)):
    command = [sys.executable, *program, *arguments]
    done = subprocess.run(command, env=os.environ | folders, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr

  return run


def test_prepare_then_already_prepared(run, tmp_path):
  data_dir, downloads = f'{tmp_path}/data', f'{tmp_path}/downloads'
  flags = ['mnist', f'--data_dir={data_dir}', f'--downloads={downloads}']
  place = f'in {data_dir}/mnist/3.0.1 (55 train, 5 validation, 14 test images).'
  use = f'Train with it by --config.data.data_dir={data_dir}\n'
  with serving(FILES) as server:
    code, out, err = run(*flags, f'--url={server.url}')
  assert (code, out) == (0, f'MNIST is prepared {place}\n{use}'), err
  assert sorted(os.listdir(downloads)) == sorted(FILES)
  assert run(*flags, '--url=http://127.0.0.1:9/') == (0, f'MNIST was already prepared {place}\n{use}', '')


def test_default_folder_and_files_put_by_hand(run, tmp_path, monkeypatch):
  code, out, err = run('mnist', '--url=http://127.0.0.1:9/')
  assert code == 2 and out == '' and 'Traceback' not in err and err.count('\n') == 1
  folder = tmp_path / 'tfds' / 'downloads' / 'mnist'
  first, *others = (archive.name for pair in ARCHIVES.values() for archive in pair)
  assert err.startswith(f'python -m digits_jax.prepare: cannot download {first} (http://127.0.0.1:9/')
  way_out = f'get it from http://127.0.0.1:9/{first} by hand and put it at {folder}/{first}'
  assert err.endswith(f'{way_out}; also missing there: {", ".join(others)}\n')
  for name, contents in FILES.items():
    (folder / name).write_bytes(contents)
  code, out, err = run('mnist', '--url=http://127.0.0.1:9/')
  assert code == 0 and out.endswith('Training finds it there by itself.\n'), err
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'tfds'))
  assert len(mnist.load(None, 'test')[1]) == 14


@pytest.mark.parametrize(
  'arguments, problem',
  [
    (['minst'], "there is no data set 'minst' to prepare: did you mean 'mnist'?"),
    ([], 'name one data set to prepare (mnist'),
    (['mnist', 'extra'], 'name one data set to prepare (mnist'),
    (['mnist', '--datadir=x'], "Unknown command line flag 'datadir'"),
  ],
)
def test_wrong_arguments(run, arguments, problem):
  code, out, err = run(*arguments, program=('-m', 'digits_jax.prepare'))
  assert (code, out) == (2, '') and problem in err and err.count('\n') == 1


def test_a_data_dir_that_is_a_file(run, tmp_path):
  (tmp_path / 'file').write_text('')
  code, _, err = run('mnist', f'--data_dir={tmp_path}/file')
  assert code == 2 and f'{tmp_path}/file' in err and err.count('\n') == 1
