"""A small SVHN, made in the official format: prepared without TensorFlow, read back byte by byte."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from digits_jax.data import svhn, svhn_builder, svhn_shards
from digits_jax.data.download import Archive
from digits_jax.errors import InputError
from tests.data import made_svhn, svhn_files
from tests.data.test_download import serving

ROW = svhn_files.row
STACK = [{'label': label, 'left': 10, 'top': top, 'width': 8, 'height': 9} for label, top in ((4, 12), (7, 22), (2, 2))]
TRAIN = {
  '1.png': ROW('19'),
  '2.png': ROW('100', left=-2),  # leaves the photo
  '3.png': ROW('25')[::-1],  # listed from right to left
  '4.png': STACK,
  '5.png': ROW('123456', left=1, width=4),
}
SIZE = (36, 40)
CLIPPED = {'2.png': [(0, 5, 4, 14), (4, 5, 10, 14), (10, 5, 16, 14)]}
LABELS = {'1.png': '19', '2.png': '100', '3.png': '25', '4.png': '247', '5.png': '123456'}


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'default'))


def images_of(photos, first=0):
  return {name: svhn_files.png(*SIZE, first + i) for i, name in enumerate(photos)}


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """A folder with train and test, extracted and as archives (in `archives`)."""
  folder = tmp_path_factory.mktemp('made')
  (folder / 'archives').mkdir()
  for split, photos in (('train', TRAIN), ('test', {'1.png': ROW('7'), '2.png': ROW('80')})):
    where = svhn_files.write_folder(folder / split, photos, images_of(photos, len(split)))
    svhn_files.write_archive(folder / 'archives' / f'{split}.tar.gz', where)
  return folder


@pytest.fixture
def copied(made, tmp_path):
  """An extracted train to damage."""
  return shutil.copytree(made / 'train', tmp_path / 'in' / 'train')


def prepare(archives, data_dir, *wanted, **options):
  return svhn_builder.prepare(str(data_dir), str(archives), wanted=wanted or ('train',), mirrors=[], **options)


def examples(data_dir, split):
  """{name: example} as TFDS reads it, the PNG's bytes as they are."""
  import tensorflow_datasets as tfds

  source = tfds.data_source(
    'svhn_numbers', split=split, data_dir=str(data_dir), download=False, decoders={'image': tfds.decode.SkipDecoding()}
  )
  found = [source[i] for i in range(len(source))]
  names, labels = svhn.load_index(str(data_dir), split)
  assert names.tolist() == [one['name'] for one in found] and labels.tolist() == [one['label'] for one in found]
  return {one['name'].decode(): one for one in found}


@pytest.mark.parametrize('kind', ['archives', '.'])
def test_prepared(made, tmp_path, kind):
  assert prepare(made / kind, tmp_path, 'test', 'train', 'test') == ['test', 'train']
  found = examples(tmp_path, 'train')
  assert {name: one['image'] for name, one in found.items()} == images_of(TRAIN, 5)
  assert {name: one['label'].decode() for name, one in found.items()} == LABELS
  assert found['1.png']['boxes'].dtype == np.float32
  np.testing.assert_array_equal(found['1.png']['boxes'], [(4, 5, 10, 14), (10, 5, 16, 14)])
  np.testing.assert_array_equal(found['2.png']['boxes'], CLIPPED['2.png'])
  np.testing.assert_array_equal(found['3.png']['boxes'], found['1.png']['boxes'])
  np.testing.assert_array_equal(found['4.png']['boxes'], [(10, top, 18, top + 9) for top in (2, 12, 22)])
  assert {name: one['label'] for name, one in examples(tmp_path, 'test').items()} == {'1.png': b'7', '2.png': b'80'}
  record = svhn.records(str(tmp_path))['train']
  assert record['by_length'] == {'2': 2, '3': 2, '6': 1} and record['photos'] == 5
  assert (record['clipped'], record['reordered'], record['too_long'], record['unlisted']) == (1, 2, 0, 0)
  assert prepare(tmp_path / 'nowhere', tmp_path, 'train', 'test') == []  # both are there
  assert not list((tmp_path / 'svhn_numbers' / '1.0.0').glob('incomplete*'))


def test_tfds_decodes_the_photos(made, tmp_path):
  import tensorflow_datasets as tfds

  prepare(made, tmp_path)
  source = tfds.data_source('svhn_numbers', split='train', data_dir=str(tmp_path), download=False)
  assert {source[i]['image'].shape for i in range(len(source))} == {(*SIZE, 3)}


def test_needs_no_tensorflow(made, tmp_path):
  program = (
    'import sys\nfrom digits_jax.data import svhn_builder\n'
    "svhn_builder.prepare(sys.argv[1], sys.argv[2], wanted=['train'], mirrors=[])\n"
    "assert not sys.modules.keys() & {'tensorflow', 'jax'}\n"
  )
  subprocess.run([sys.executable, '-c', program, str(tmp_path), str(made)], check=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='reads the size of a process as Linux tells it')
def test_thousands_of_photos_take_little_memory(tmp_path):
  made_svhn.write(tmp_path, {'train': 3000})
  program = (
    'import sys\nfrom digits_jax.data import svhn_builder\n'
    "svhn_builder.prepare(sys.argv[1], sys.argv[1], wanted=['train'], mirrors=[])\n"
    # Not getrusage: what that tells begins with the size of the process that started this one.
    "print([int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM')][0] // 1024)\n"
  )
  done = subprocess.run([sys.executable, '-c', program, str(tmp_path)], check=True, capture_output=True, text=True)
  record = svhn.records(str(tmp_path))['train']
  assert record['photos'] == 3000 and sum(record['by_length'].values()) == 3000 and int(done.stdout) < 512


def test_long_numbers_are_left_out_and_counted(made, tmp_path):
  prepare(made, tmp_path, max_digits=5)
  record = svhn.records(str(tmp_path))['train']
  assert (record['too_long'], record['by_length']) == (1, {'2': 2, '3': 2})
  assert sorted(examples(tmp_path, 'train')) == ['1.png', '2.png', '3.png', '4.png']
  assert '; 1 of more than 5 digits left out' in svhn.summary(record)
  with pytest.raises(InputError, match=r'was prepared with --max_digits=5: say so too, or give another --data_dir'):
    prepare(made, tmp_path)


def test_a_box_outside_its_photo_leaves_it_out(copied, tmp_path):
  photos = TRAIN | {'2.png': ROW('12', left=SIZE[1] - 3), '3.png': ROW('3', top=SIZE[0])}
  svhn_files.write_digit_struct(copied / 'digitStruct.mat', photos.items())
  prepare(copied.parent, tmp_path)
  record = svhn.records(str(tmp_path))['train']
  assert record['outside'] == ['2.png', '3.png'] and sorted(examples(tmp_path, 'train')) == ['1.png', '4.png', '5.png']
  assert '2 left out for a box outside the photo, or without area (2.png, 3.png)' in svhn.summary(record)


def test_a_photo_without_boxes_is_counted(copied, tmp_path):
  (copied / '77.png').write_bytes(svhn_files.png(9, 9))
  prepare(copied.parent, tmp_path)
  record = svhn.records(str(tmp_path))['train']
  assert record['unlisted'] == 1 and '1 PNGs without boxes passed over' in svhn.summary(record)


def test_several_shards(made, tmp_path, monkeypatch):
  monkeypatch.setattr(svhn_shards, '_SHARD_BYTES', 1000)
  prepare(made / 'archives', tmp_path)
  record = svhn.records(str(tmp_path))['train']
  assert len(record['shard_photos']) > 1 and sum(record['shard_photos']) == 5
  assert {name: one['image'] for name, one in examples(tmp_path, 'train').items()} == images_of(TRAIN, 5)


def remove_photo(folder):
  (folder / '3.png').unlink()


def write_no_png(folder):
  (folder / '3.png').write_bytes(b'GIF89a' + bytes(100))


def cut_photo(folder):
  (folder / '3.png').write_bytes((folder / '3.png').read_bytes()[:-30])


def flip_a_bit(folder):
  content = bytearray((folder / '3.png').read_bytes())
  content[len(content) // 2] ^= 1
  (folder / '3.png').write_bytes(content)


def list_twice(folder):
  svhn_files.write_digit_struct(folder / 'digitStruct.mat', [*TRAIN.items(), ('3.png', ROW('3'))])


def list_none(folder):
  for photo in folder.glob('*.png'):
    photo.unlink()
  with h5py.File(folder / 'digitStruct.mat', 'w') as file:
    for name in ('name', 'bbox'):
      file.create_dataset(f'digitStruct/{name}', (0, 1), h5py.ref_dtype)


def mislabel(folder):
  svhn_files.write_digit_struct(folder / 'digitStruct.mat', [*TRAIN.items(), ('6.png', [ROW('3')[0] | {'label': 11}])])


def old_matlab(folder):
  (folder / 'digitStruct.mat').write_bytes(b'MATLAB 5.0 MAT-file'.ljust(999))


@pytest.mark.parametrize(
  'damage, problem',
  [
    (remove_photo, r'train lacks 1 of the 5 photos that its digitStruct\.mat lists, 3\.png first'),
    (write_no_png, r'train: 3\.png is not a PNG image'),
    (cut_photo, r'train: 3\.png is a damaged or incomplete PNG image'),
    (flip_a_bit, r'train: 3\.png is a damaged or incomplete PNG image'),
    (list_twice, r'digitStruct\.mat lists 3\.png twice'),
    (list_none, r'train has no photo to keep for the train split'),
    (mislabel, r'train: its digitStruct\.mat: a box of 6\.png cannot be read \(the labels \[11'),
    (old_matlab, r'train: its digitStruct\.mat is not a MATLAB 7\.3 \(HDF5\) file'),
  ],
)
@pytest.mark.parametrize('is_archive', [True, False])
def test_a_wrong_source_is_named_and_nothing_is_left(copied, tmp_path, damage, problem, is_archive):
  damage(copied)
  if is_archive:
    svhn_files.write_archive(copied.parent / 'train.tar.gz', copied)
    problem = problem.replace('train', r'train\.tar\.gz', 1) if problem.startswith('train') else problem
  with pytest.raises(InputError, match=problem) as caught:
    prepare(copied.parent, tmp_path)
  assert '\n' not in str(caught.value) and svhn.records(str(tmp_path)) == {}
  assert os.listdir(tmp_path / 'svhn_numbers' / '1.0.0') == []


def test_a_photo_that_is_there_twice(made, tmp_path):
  import tarfile

  content = svhn_files.png(*SIZE)
  again = tarfile.TarInfo('train/3.png')
  again.size = len(content)
  svhn_files.write_archive(tmp_path / 'train.tar.gz', made / 'train', [(again, content)])
  with pytest.raises(InputError, match=r'train\.tar\.gz holds the photo 3\.png twice'):
    prepare(tmp_path, tmp_path)


def test_a_run_that_ends_at_any_moment_leaves_whole_splits(made, tmp_path, monkeypatch):
  """Before each file that is moved to its place, and after the last."""
  prepare(made, tmp_path / 'whole', 'test')
  replace = os.replace
  for moves in range(1, 20):
    data_dir = shutil.copytree(tmp_path / 'whole', tmp_path / str(moves))
    left = iter(range(moves))

    def move(*paths, left=left):
      if next(left, None) is None:
        raise KeyboardInterrupt
      replace(*paths)

    monkeypatch.setattr(os, 'replace', move)
    is_whole = True
    try:
      prepare(made, data_dir)
    except KeyboardInterrupt:
      is_whole = False
    monkeypatch.setattr(os, 'replace', replace)
    assert ('train' in svhn.records(str(data_dir))) == is_whole
    assert sorted(examples(data_dir, 'test')) == ['1.png', '2.png']
    assert prepare(made, data_dir, 'train', 'test') == ([] if is_whole else ['train'])
    assert sorted(examples(data_dir, 'train')) == sorted(TRAIN)
    if is_whole:
      break
  assert is_whole and moves > 4


def test_a_killed_run_leaves_no_split(made, tmp_path):
  program = (
    'import os, sys\nfrom digits_jax.data import svhn_builder, svhn_shards\n'
    'svhn_shards.describe = lambda *_: os.kill(os.getpid(), 9)\n'
    "svhn_builder.prepare(sys.argv[1], sys.argv[2], wanted=['train'], mirrors=[])\n"
  )
  done = subprocess.run([sys.executable, '-c', program, str(tmp_path), str(made)], stderr=subprocess.PIPE)
  assert done.returncode == -9, done.stderr
  folder = tmp_path / 'svhn_numbers' / '1.0.0'
  assert any(name.startswith('incomplete.') for name in os.listdir(folder)) and svhn.records(str(tmp_path)) == {}
  with pytest.raises(InputError, match=r'there is no train split of SVHN in .*: `python -m digits_jax\.prepare svhn'):
    svhn.load_index(str(tmp_path), 'train')
  assert prepare(made, tmp_path) == ['train'] and sorted(examples(tmp_path, 'train')) == sorted(TRAIN)
  assert not any(name.startswith('incomplete.') for name in os.listdir(folder))


@pytest.mark.parametrize('name', ['svhn_numbers-train.array_record-00000-of-00001', 'svhn_numbers-train.index.npz'])
@pytest.mark.parametrize('is_cut', [True, False])
def test_a_damaged_split_is_named_and_made_again(made, tmp_path, name, is_cut, caplog):
  prepare(made, tmp_path, 'train', 'test')
  file = tmp_path / 'svhn_numbers' / '1.0.0' / name
  test = file.with_name('svhn_numbers-test.index.npz').stat().st_mtime_ns
  if is_cut:
    os.truncate(file, 100)
  else:
    file.unlink()
  with pytest.raises(InputError, match=rf'is incomplete, {name} (is missing|has 100 bytes).*prepares it again'):
    svhn.load_index(str(tmp_path), 'train')
  assert prepare(made, tmp_path, 'train', 'test') == ['train'] and 'its train split is made again' in caplog.text
  assert sorted(examples(tmp_path, 'train')) == sorted(TRAIN)
  assert file.with_name('svhn_numbers-test.index.npz').stat().st_mtime_ns == test


@pytest.mark.parametrize('name', ['svhn_numbers-train.array_record-00000-of-00001', 'svhn_numbers-train.index.npz'])
def test_damage_that_changes_no_size_is_found(made, tmp_path, name):
  prepare(made, tmp_path)
  file = tmp_path / 'svhn_numbers' / '1.0.0' / name
  content = bytearray(file.read_bytes())
  content[: len(content) // 2] = bytes(len(content) // 2)
  file.write_bytes(content)
  if name.endswith('npz'):
    with pytest.raises(InputError, match=r'index\.npz is damaged .*: prepare the data set again'):
      svhn.load_index(str(tmp_path), 'train')
  assert 'train' in prepare(made, tmp_path) and prepare(made, tmp_path) == []
  assert sorted(examples(tmp_path, 'train')) == sorted(TRAIN)


def test_the_same_archive_gives_the_same_bytes(made, tmp_path):
  program = (
    'import sys\nfrom digits_jax.data import svhn_builder\n'
    "svhn_builder.prepare(sys.argv[1], sys.argv[2], wanted=['test'], mirrors=[])\n"
  )
  for name, seed in (('a', '1'), ('b', '2')):
    line = [sys.executable, '-c', program, str(tmp_path / name), str(made)]
    subprocess.run(line, check=True, env=os.environ | {'PYTHONHASHSEED': seed}, capture_output=True)
  one, other = (svhn.records(str(tmp_path / name))['test'] for name in 'ab')
  assert one['checksums'] == other['checksums'] and one['digest'] == other['digest']


@pytest.mark.parametrize('name', ['dataset_info.json', 'metadata.json'])
@pytest.mark.parametrize('content', ['', '{"splits": 3}', '{"splits": [{"name": "train"}]}', '[]'])
def test_a_damaged_description_is_named(made, tmp_path, name, content):
  prepare(made, tmp_path)
  (tmp_path / 'svhn_numbers' / '1.0.0' / name).write_text(content)
  for use in (lambda: prepare(made, tmp_path), lambda: svhn.load_index(str(tmp_path), 'train')):
    with pytest.raises(InputError, match=r'the description of SVHN in .* is damaged: remove that folder'):
      use()


@pytest.mark.parametrize('field', ['source', 'files', 'photos', 'outside'])
def test_a_description_that_lacks_a_field_is_damaged(made, tmp_path, field):
  prepare(made, tmp_path)
  file = tmp_path / 'svhn_numbers' / '1.0.0' / 'metadata.json'
  record = json.loads(file.read_text())
  del record['train'][field]
  file.write_text(json.dumps(record))
  with pytest.raises(InputError, match=r'the description of SVHN in .* is damaged'):
    prepare(made, tmp_path)


def test_an_index_of_any_damage_is_named(made, tmp_path):
  """Of the directory at the end of an npz file one byte is another: numpy and zipfile raise kinds of their own."""
  prepare(made, tmp_path)
  file = tmp_path / 'svhn_numbers' / '1.0.0' / svhn.index('train')
  whole, kinds = file.read_bytes(), set()
  start = whole.index(b'PK\1\2')
  for i in range(start, len(whole)):
    file.write_bytes(whole[:i] + bytes([whole[i] ^ 0x15]) + whole[i + 1 :])
    try:
      svhn.load_index(str(tmp_path), 'train')
    except InputError as error:
      assert 'is damaged (' in str(error)
      kinds.add(type(error.__cause__).__name__)
  assert {'NotImplementedError', 'RuntimeError', 'BadZipFile'} <= kinds, kinds


def test_a_file_in_place_of_the_folder_of_archives(made, tmp_path):
  with pytest.raises(InputError, match=r'--archives=.*train\.tar\.gz is a file: give the folder that it lies in'):
    prepare(made / 'archives' / 'train.tar.gz', tmp_path)


def test_shards_of_another_preparation_are_not_listed(made, tmp_path):
  prepare(made, tmp_path)
  file = tmp_path / 'svhn_numbers' / '1.0.0' / 'metadata.json'
  record = json.loads(file.read_text())
  record['train']['shard_photos'] = [4]
  file.write_text(json.dumps(record))
  assert svhn.records(str(tmp_path)) == {} and prepare(made, tmp_path) == ['train']


def test_what_is_missing_is_downloaded(made, tmp_path):
  files = {f'{split}.tar.gz': (made / 'archives' / f'{split}.tar.gz').read_bytes() for split in ('train', 'test')}
  official = {
    name.removesuffix('.tar.gz'): Archive(name, len(content), hashlib.sha256(content).hexdigest())
    for name, content in files.items()
  }
  archives = tmp_path / 'archives'
  archives.mkdir()
  (archives / 'train.tar.gz').write_bytes(files['train.tar.gz'])
  with serving(files) as server:
    server.cuts = [200]
    wanted = ('train', 'test')
    made_now = svhn_builder.prepare(
      str(tmp_path), str(archives), wanted=wanted, mirrors=[server.url], official=official
    )
  assert made_now == ['train', 'test'] and server.requests == [('/test.tar.gz', None), ('/test.tar.gz', 'bytes=200-')]
  records = svhn.records(str(tmp_path))
  assert [records[split]['source'] for split in wanted] == ['train.tar.gz', 'test.tar.gz']
  with pytest.raises(InputError, match=r'cannot download extra\.tar\.gz .*put it at .*/archives/extra\.tar\.gz'):
    svhn_builder.prepare(
      str(tmp_path),
      str(archives),
      wanted=['extra'],
      mirrors=['http://127.0.0.1:9/'],
      official=official | {'extra': Archive('extra.tar.gz', 1, '0')},
    )


def test_an_archive_of_another_size_is_said(made, tmp_path):
  prepare(made / 'archives', tmp_path)
  size = (made / 'archives' / 'train.tar.gz').stat().st_size
  said = f'5 photos from train.tar.gz of {size:,} bytes (the official one has 404,141,560)'
  assert svhn.summary(svhn.records(str(tmp_path))['train']).startswith(said)


@pytest.mark.parametrize('wanted', [['trian'], ['train', ''], []])
def test_an_unknown_split(made, tmp_path, wanted):
  with pytest.raises(InputError, match='SVHN has the splits train, test, extra, not '):
    svhn_builder.prepare(str(tmp_path), str(made), wanted=wanted)


def test_no_number_is_left_out_of_the_test(tmp_path):
  made_svhn.write(tmp_path / 'made', {'train': 20, 'test': 20})
  prepare(tmp_path / 'made', tmp_path, 'train', 'test', max_digits=1)
  found = svhn.records(str(tmp_path))
  assert found['train']['too_long'] > 0 and set(found['train']['by_length']) == {'1'}
  assert found['test']['too_long'] == 0 and found['test']['photos'] == 20 and len(found['test']['by_length']) > 1


def test_a_file_system_without_locks(made, tmp_path, monkeypatch):
  def refuse(handle, operation):
    raise OSError(errno.ENOLCK, 'No locks available')

  monkeypatch.setattr(fcntl, 'flock', refuse)
  assert prepare(made, tmp_path) == ['train']


def test_two_at_once(made, tmp_path):
  folder = tmp_path / 'svhn_numbers' / '1.0.0'
  folder.mkdir(parents=True)
  handle = os.open(folder, os.O_RDONLY)
  fcntl.flock(handle, fcntl.LOCK_EX)
  with pytest.raises(InputError, match='another process is preparing SVHN in'):
    prepare(made, tmp_path)
  os.close(handle)
  assert prepare(made, tmp_path) == ['train']


def test_a_full_disk_is_named(tmp_path):
  """A process may be forbidden files above a size; then writing fails as it does on a full disk."""
  photos = {f'{i}.png': ROW('12') for i in range(30)}
  noise = {name: svhn_files.png(80, 80, i) for i, name in enumerate(photos)}
  svhn_files.write_folder(tmp_path / 'train', photos, noise)
  program = (
    'import resource, signal, sys\nfrom digits_jax import errors\nfrom digits_jax.data import svhn_builder\n'
    'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))\n'
    'try:\n'
    "  svhn_builder.prepare(sys.argv[1], sys.argv[1], wanted=['train'], mirrors=[])\n"
    'except errors.InputError as error:\n'
    '  print(error)\n'
  )
  done = subprocess.run([sys.executable, '-c', program, str(tmp_path)], capture_output=True, text=True)
  assert done.stdout.startswith('cannot write the data set: ') and 'File too large' in done.stdout, done.stderr
  assert done.stdout.count('\n') == 1 and os.listdir(tmp_path / 'svhn_numbers' / '1.0.0') == []


def test_a_disk_that_fails_is_named(made, tmp_path, monkeypatch):
  def fail(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(os, 'fsync', fail)
  with pytest.raises(InputError, match=r'cannot prepare SVHN in .*: No space left on device'):
    prepare(made, tmp_path)


def test_the_test_does_not_ask_for_max_digits(tmp_path):
  """It is the same whatever they are."""
  made_svhn.write(tmp_path / 'made', {'train': 20, 'test': 20})
  assert prepare(tmp_path / 'made', tmp_path, 'test') == ['test']
  assert prepare(tmp_path / 'made', tmp_path, 'train', 'test', max_digits=1) == ['train']
