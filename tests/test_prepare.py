"""`python -m digits_jax.prepare` as its user sees it: output, exit codes, errors; what a kill leaves."""

import os
import pathlib
import subprocess
import sys

import pytest

from digits_jax.data import mnist, mnist_builder
from digits_jax.errors import InputError
from tests.data import svhn_files
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
    (['svnh'], "there is no data set 'svnh' to prepare: did you mean 'svhn'?"),
    (['svhn', '--splits=trian'], "SVHN has the splits train, test, extra, not 'trian'"),
    (['svhn', '--max_digits=-1'], 'max_digits'),
    (['mnist', '--splits=test'], '--splits and --max_digits are of SVHN: leave them out'),
    (['mnist', '--max_digits=3'], '--splits and --max_digits are of SVHN: leave them out'),
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


def test_a_killed_preparation_leaves_no_data_set(run, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  (tmp_path / 'downloads').mkdir()
  for name, contents in FILES.items():
    (tmp_path / 'downloads' / name).write_bytes(contents)
  program = (
    'import os, sys\n'
    'from digits_jax.data import mnist_builder\n'
    'from digits_jax.data.download import Archive\n'
    'finish = mnist_builder.tfds.core.DatasetInfo.write_to_directory\n'
    'def die(info, folder):\n'
    '  finish(info, folder)\n'
    '  os.kill(os.getpid(), 9)\n'
    'mnist_builder.tfds.core.DatasetInfo.write_to_directory = die\n'
    f'mnist_builder.prepare(sys.argv[1], sys.argv[2], archives={ARCHIVES!r})\n'
  )
  code, _, err = run(str(tmp_path), str(tmp_path / 'downloads'), program=('-c', program))
  assert code == -9, err
  assert [name.startswith('incomplete.') for name in os.listdir(tmp_path / 'mnist')] == [True]
  with pytest.raises(InputError, match='there is no MNIST in'):
    mnist.load(str(tmp_path), 'train')
  assert mnist_builder.prepare(str(tmp_path), str(tmp_path / 'downloads'), mirrors=[], archives=ARCHIVES)
  assert len(mnist.load(str(tmp_path), 'train')[1]) == 55
  assert not list((tmp_path / 'mnist').glob('incomplete.*'))


@pytest.mark.parametrize('cut', [5, 100, -4])
def test_bad_gzip_is_named(tmp_path, cut):
  paths = [tmp_path / archive.name for archive in ARCHIVES['test']]
  paths[0].write_bytes(FILES[paths[0].name][:cut])
  with pytest.raises(InputError, match=r't10k-images-idx3-ubyte\.gz is not an idx file'):
    mnist_builder.read_pair(*map(str, paths))
  paths[0].write_bytes(b'<html>not found</html>')
  with pytest.raises(InputError, match='Not a gzipped file'):
    mnist_builder.read_pair(*map(str, paths))


def test_official_checksums_are_those_of_tfds():
  import tensorflow_datasets as tfds

  listed = pathlib.Path(tfds.__file__).parent / 'url_checksums' / 'mnist.txt'
  rows = [line.split('\t') for line in listed.read_text().splitlines() if '/cvdf-datasets/mnist/' in line]
  expected = {(url, int(size), sha256) for url, size, sha256, *_ in rows}
  ours = [archive for pair in mnist_builder.ARCHIVES.values() for archive in pair]
  assert {(mnist_builder.MIRRORS[0] + one.name, one.size, one.sha256) for one in ours} == expected


def test_svhn_from_archives_put_by_hand(run, tmp_path):
  made, data_dir = tmp_path / 'made', f'{tmp_path}/data'
  photos = {'1.png': svhn_files.row('10'), '2.png': svhn_files.row('123456', left=-1, width=4)}
  images = {name: svhn_files.png(30, 40, i) for i, name in enumerate(photos)}
  for split in ('train', 'test'):
    svhn_files.write_archive(made / f'{split}.tar.gz', svhn_files.write_folder(made / 'in' / split, photos, images))
  command = ('svhn', f'--data_dir={data_dir}', f'--archives={made}')
  program = ('-m', 'digits_jax.prepare')
  code, out, err = run(*command, '--splits=train', program=program)
  first, train, use = out.splitlines()
  assert (code, err) == (0, '') and first == f'SVHN, for non-commercial use, in {data_dir}/svhn_numbers/1.0.0:'
  assert train.startswith('train is prepared: 2 photos from train.tar.gz of ')
  assert train.endswith('; numbers by their digits: 1 of 2, 1 of 6; boxes that left the photo clipped in 1.')
  assert use == f'Train with it by --config.data.data_dir={data_dir}'
  code, out, err = run(*command, program=program)
  assert (code, err) == (0, '')
  assert [line.split(':')[0] for line in out.splitlines()[1:3]] == ['train was already prepared', 'test is prepared']
  code, out, err = run('svhn', f'--data_dir={data_dir}/few', f'--archives={made}', '--max_digits=5', program=program)
  assert (code, err) == (0, '') and out.splitlines()[1].endswith('; 1 of more than 5 digits left out.')


def test_svhn_without_network_says_where_to_put_what(run, tmp_path):
  program = ('-m', 'digits_jax.prepare')
  code, out, err = run('svhn', '--splits=extra,test', '--url=http://127.0.0.1:9/', program=program)
  folder = tmp_path / 'tfds' / 'downloads' / 'svhn'
  assert (code, out) == (2, '') and err.count('\n') == 1
  assert err.startswith('python -m digits_jax.prepare: cannot download extra.tar.gz (http://127.0.0.1:9/extra.tar.gz: ')
  way_out = f'get it from http://127.0.0.1:9/extra.tar.gz by hand and put it at {folder}/extra.tar.gz'
  assert err.endswith(f'{way_out}; also missing there: test.tar.gz\n')
