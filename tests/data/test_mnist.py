"""A tiny MNIST: downloaded from a local server, prepared without TensorFlow, read back pixel by pixel."""

import gzip
import hashlib
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from digits_jax.data import mnist, mnist_builder, places
from digits_jax.data.download import Archive
from digits_jax.errors import InputError
from tests.data.test_download import serving

COUNTS = {'train': 60, 'test': 14}
PREFIX = {'train': 'train', 'test': 't10k'}


def tiny(seed=0):
  """{'train' and 'test': (images uint8[n, 28, 28], labels uint8[n])}: few, random, all different."""
  rng = np.random.default_rng(seed)
  return {
    split: (rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n).astype(np.uint8))
    for split, n in COUNTS.items()
  }


def idx_files(arrays):
  """MNIST's four .gz files, {name: bytes}, and the archives, {split: (images, labels)}, that match them."""
  files, archives = {}, {}
  for split, (images, labels) in arrays.items():
    raw = {
      f'{PREFIX[split]}-images-idx3-ubyte.gz': struct.pack('>4I', 0x803, *images.shape) + images.tobytes(),
      f'{PREFIX[split]}-labels-idx1-ubyte.gz': struct.pack('>2I', 0x801, len(labels)) + labels.tobytes(),
    }
    new = {name: gzip.compress(contents, mtime=0) for name, contents in raw.items()}
    files |= new
    archives[split] = tuple(Archive(name, len(z), hashlib.sha256(z).hexdigest()) for name, z in new.items())
  return files, archives


def prepare(arrays, data_dir):
  files, archives = idx_files(arrays)
  with serving(files) as server:
    return mnist_builder.prepare(str(data_dir), mirrors=[server.url], archives=archives), server.requests


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  monkeypatch.delenv('TFDS_DATA_DIR', raising=False)
  return tmp_path / 'cache' / 'digits_jax'


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tiny')
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('XDG_CACHE_HOME', str(folder / 'cache'))
    is_new, requests = prepare(tiny(), folder / 'data')
  assert is_new and len(requests) == 4
  return folder / 'data'


@pytest.fixture
def copied(prepared, tmp_path):
  return pathlib.Path(shutil.copytree(prepared, tmp_path / 'data'))


def as_set(images, labels):
  return {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}


def assert_same(one, two):
  for a, b in zip(one, two, strict=True):
    np.testing.assert_array_equal(a, b)


def test_prepared_is_tfds_mnist(prepared):
  import tensorflow_datasets as tfds

  for split, (images, labels) in tiny().items():
    source = tfds.data_source('mnist', data_dir=str(prepared), split=split, download=False)
    info = source.dataset_info
    assert (info.name, str(info.version), info.supervised_keys) == ('mnist', '3.0.1', ('image', 'label'))
    assert info.features['image'].shape == (28, 28, 1) and info.features['label'].num_classes == 10
    assert as_set([r['image'] for r in source], [r['label'] for r in source]) == as_set(images, labels)
  names = ['dataset_info.json', 'features.json']
  names += [f'mnist-{split}.array_record-00000-of-00001' for split in ('test', 'train')]
  assert sorted(os.listdir(prepared / 'mnist' / '3.0.1')) == names
  assert sorted(os.listdir(prepared)) == ['downloads', 'mnist']
  assert os.listdir(prepared / 'downloads') == ['mnist']


def test_load(prepared):
  splits = {split: mnist.load(str(prepared), split) for split in mnist.SPLITS}
  assert [len(labels) for _, labels in splits.values()] == [55, 5, 14]
  for images, labels in splits.values():
    assert images.dtype == np.uint8 and labels.dtype == np.int32 and images.shape == (len(labels), 28, 28)
  sets = {split: as_set(*arrays) for split, arrays in splits.items()}
  assert sets['test'] == as_set(*tiny()['test'])
  assert sets['train'] | sets['validation'] == as_set(*tiny()['train'])
  assert not sets['train'] & sets['validation']


def test_splits_do_not_depend_on_the_order_of_files(prepared, tmp_path):
  turned = {split: (images[::-1], labels[::-1]) for split, (images, labels) in tiny().items()}
  prepare(turned, tmp_path / 'turned')
  for split in mnist.SPLITS:
    assert_same(mnist.load(str(prepared), split), mnist.load(str(tmp_path / 'turned'), split))


def test_cache_is_used(prepared, cache, monkeypatch):
  first = mnist.load(str(prepared), 'train')
  monkeypatch.setattr(mnist, '_decode', lambda *_: pytest.fail('decoded again'))
  assert_same(first, mnist.load(str(prepared), 'train'))
  mnist.load(str(prepared), 'validation')
  assert [name.split('-')[1] for name in os.listdir(cache)] == ['train']


def test_cache_is_keyed_by_content(copied, tmp_path):
  before = mnist.load(str(copied), 'test')
  shutil.rmtree(copied)
  prepare(tiny(1), copied)
  images, labels = mnist.load(str(copied), 'test')
  assert as_set(images, labels) == as_set(*tiny(1)['test']) != as_set(*before)


@pytest.mark.parametrize('damage', ['empty', 'cut', 'flip', 'pickle'])
def test_damaged_cache_is_rebuilt(prepared, cache, damage):
  first = mnist.load(str(prepared), 'test')
  (file,) = cache.iterdir()
  whole = file.read_bytes()
  if damage == 'pickle':
    np.savez(file, images=np.array([{}], object), labels=first[1])
  else:
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    file.write_bytes({'empty': b'', 'cut': whole[:middle], 'flip': flipped}[damage])
  assert_same(first, mnist.load(str(prepared), 'test'))
  assert file.read_bytes() == whole and len(os.listdir(cache)) == 1


def test_unwritable_cache_is_logged(prepared, tmp_path, monkeypatch, caplog):
  (tmp_path / 'file').write_text('')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
  assert len(mnist.load(str(prepared), 'test')[1]) == 14
  assert 'cannot write' in caplog.text


def test_missing_is_one_sentence(tmp_path, monkeypatch):
  with pytest.raises(InputError) as caught:
    mnist.load(str(tmp_path / 'my data'), 'train')
  command = f"`python -m digits_jax.prepare mnist --data_dir='{tmp_path}/my data'`"
  there = f'there is no MNIST in {tmp_path}/my data/mnist/3.0.1'
  assert str(caught.value) == f'{there}: {command} downloads and prepares it'
  for name, value, there in (('HOME', 'home', 'home/tensorflow_datasets'), ('TFDS_DATA_DIR', 'tfds', 'tfds')):
    monkeypatch.setenv(name, str(tmp_path / value))
    with pytest.raises(InputError, match=r'`python -m digits_jax.prepare mnist` downloads') as caught:
      mnist.load(None, 'test')
    assert f'{tmp_path}/{there}/mnist/3.0.1' in str(caught.value)


@pytest.mark.parametrize(
  'name', ['dataset_info.json', 'features.json', 'mnist-train.array_record-00000-of-00001']
)
@pytest.mark.parametrize('is_cut', [True, False])
def test_damaged_is_named_and_prepared_again(copied, name, is_cut):
  file = copied / 'mnist' / '3.0.1' / name
  whole = file.read_bytes()
  if is_cut:
    file.write_bytes(whole[:-1000] if len(whole) > 2000 else whole[: len(whole) // 2])
  else:
    file.unlink()
  with pytest.raises(InputError, match=r'MNIST in .*prepare mnist --data_dir=.* prepares it again') as caught:
    mnist.load(str(copied), 'train')
  assert '\n' not in str(caught.value) and str(file.parent) in str(caught.value)
  assert is_cut or f'is incomplete, without {name.removesuffix("-00000-of-00001")}: ' in str(caught.value)
  is_new, requests = prepare(tiny(), copied)
  assert is_new and requests == []  # the downloads are still there
  assert len(mnist.load(str(copied), 'train')[1]) == 55
  assert (copied / 'mnist' / '3.0.1.damaged-1').is_dir()
  assert prepare(tiny(), copied) == (False, [])


def test_one_process_prepares_at_a_time(tmp_path):
  with places.locked(str(tmp_path), 'something else'), pytest.raises(InputError, match='another process is prep'):
    prepare(tiny(), tmp_path)
  assert prepare(tiny(), tmp_path)[0]


def test_tfrecord_is_refused_and_kept(tmp_path):
  folder = tmp_path / 'mnist' / '3.0.1'
  folder.mkdir(parents=True)
  (folder / 'mnist-train.tfrecord-00000-of-00001').write_bytes(b'')
  for call in (lambda: mnist.load(str(tmp_path), 'train'), lambda: prepare(tiny(), tmp_path)):
    with pytest.raises(InputError, match='only TensorFlow reads'):
      call()
  assert os.listdir(folder) == ['mnist-train.tfrecord-00000-of-00001']


def test_unknown_split(prepared):
  with pytest.raises(InputError, match="no split 'valid', only train, validation, test"):
    mnist.load(str(prepared), 'valid')


def _python(program, *arguments):
  return subprocess.run([sys.executable, '-c', program, *map(str, arguments)], capture_output=True, text=True)


def test_reading_needs_no_tensorflow_and_a_cached_one_no_tfds(prepared):
  program = (
    'import sys\n'
    'from digits_jax.data import mnist\n'
    'assert "tensorflow_datasets" not in sys.modules\n'
    'print(len(mnist.load(sys.argv[1], "test")[1]), "tensorflow_datasets" in sys.modules)\n'
    'assert not sys.modules.keys() & {"tensorflow", "jax"}\n'
  )
  assert _python(program, prepared).stdout == '14 True\n'
  assert _python(program, prepared).stdout == '14 False\n'


def _damaged_idx():
  """(what is wrong, in the error; file of the pair; its new contents before compression)."""
  images, labels = tiny()['test']
  header = struct.pack('>4I', 0x803, 14, 28, 28)
  yield 'starts with 0x00000801 instead of', 0, struct.pack('>4I', 0x801, 14, 28, 28) + images.tobytes()
  yield 'does not hold exactly 14 items', 0, header + images.tobytes()[:-1]
  yield 'does not hold exactly 14 items', 0, header + images.tobytes() + b'\0'
  yield 'ends within its header', 0, header[:10]
  yield r'of shape \(28, 27\)', 0, struct.pack('>4I', 0x803, 14, 28, 27) + images.tobytes()
  yield 'holds 4000000000 items', 0, struct.pack('>4I', 0x803, 4_000_000_000, 28, 28)
  yield 'holds 0 items', 1, struct.pack('>2I', 0x801, 0)
  yield '14 images but .* 13 labels', 1, struct.pack('>2I', 0x801, 13) + labels.tobytes()[:-1]
  yield 'the label 10, which is no digit', 1, struct.pack('>2I', 0x801, 14) + labels.tobytes()[:-1] + b'\n'


@pytest.mark.parametrize('problem, which, contents', list(_damaged_idx()))
def test_bad_idx_is_named(tmp_path, problem, which, contents):
  files, archives = idx_files(tiny())
  paths = [tmp_path / archive.name for archive in archives['test']]
  for path in paths:
    path.write_bytes(files[path.name])
  images, labels = mnist_builder.read_pair(*map(str, paths))
  np.testing.assert_array_equal(images, tiny()['test'][0])
  np.testing.assert_array_equal(labels, tiny()['test'][1])
  paths[which].write_bytes(gzip.compress(contents))
  with pytest.raises(InputError, match=problem) as caught:
    mnist_builder.read_pair(*map(str, paths))
  assert str(paths[which]) in str(caught.value)


def test_nothing_is_left_where_temporary_files_are(tmp_path, monkeypatch):
  (tmp_path / 'tmp').mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'tmp'))
  mnist_builder.Mnist(arrays={}, data_dir=str(tmp_path / 'data'))
  assert not list((tmp_path / 'tmp').iterdir())
