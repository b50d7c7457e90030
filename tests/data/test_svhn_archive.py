"""Archives and folders in the format of SVHN's full numbers, whole, damaged and hostile."""

import gzip
import io
import tarfile

import pytest

from digits_jax.data import svhn_archive
from digits_jax.errors import InputError
from tests.data import svhn_files

PHOTOS = {f'{i}.png': svhn_files.row(str(i)) for i in (1, 2, 10)}
IMAGES = {name: svhn_files.png(20 + i, 30, i) for i, name in enumerate(PHOTOS)}


@pytest.fixture
def folder(tmp_path):
  return svhn_files.write_folder(tmp_path / 'in' / 'train', PHOTOS, IMAGES)


@pytest.fixture
def archive(folder):
  return svhn_files.write_archive(folder.parent / 'train.tar.gz', folder)


def member(name, content=b'', kind=tarfile.REGTYPE, link=''):
  """A member of an archive and its content."""
  info = tarfile.TarInfo(name)
  info.size, info.type, info.linkname = len(content), kind, link
  return info, content


def read(source):
  return list(svhn_archive.photos(str(source), 'train'))


def test_find(folder, tmp_path):
  assert svhn_archive.find(str(folder.parent), 'train') == str(folder)
  assert svhn_archive.find(str(folder.parent), 'test') is None
  archive = svhn_files.write_archive(folder.parent / 'train.tar.gz', folder)
  assert svhn_archive.find(str(folder.parent), 'train') == str(archive)
  (tmp_path / 'test').mkdir()
  assert svhn_archive.find(str(tmp_path), 'test') is None  # it has no digitStruct.mat


def test_archive_and_folder_hold_the_same(folder, archive, tmp_path):
  assert read(archive) == read(folder) and dict(read(folder)) == IMAGES
  contents = []
  for source in (folder, archive):
    with open(svhn_archive.digit_struct(str(source), 'train', str(tmp_path)), 'rb') as file:
      contents.append(file.read())
  assert contents[0] == contents[1] == (folder / 'digitStruct.mat').read_bytes()


def test_other_files_are_passed_over(folder, tmp_path):
  more = [
    member(name, b'x') for name in ('train/see_bboxes.m', 'train/._1.png', 'test/7.png', '7.png', 'train/a/7.png')
  ]
  archive = svhn_files.write_archive(tmp_path / 'train.tar.gz', folder, more)
  assert dict(read(archive)) == IMAGES
  (folder / '7.png').mkdir()
  (folder / '.8.png').write_bytes(b'x')
  assert dict(read(folder)) == IMAGES


@pytest.mark.parametrize('name', ['./train/7.png', 'train//7.png', 'train/./7.PNG'])
def test_other_spellings_of_a_path(folder, tmp_path, name):
  archive = svhn_files.write_archive(tmp_path / 'train.tar.gz', folder, [member(name, b'x')])
  assert len(read(archive)) == len(IMAGES) + 1


@pytest.mark.parametrize(
  'hostile, problem',
  [
    (member('../climbed.png', b'x'), r"the path '\.\./climbed\.png', which leaves its folder"),
    (member('train/../../climbed.png', b'x'), 'which leaves its folder'),
    (member('/tmp/climbed.png', b'x'), 'which leaves its folder'),
    (member('train\\..\\climbed.png', b'x'), 'which leaves its folder'),
    (member('train/7.png', kind=tarfile.SYMTYPE, link='/etc/passwd'), "'train/7.png', which is a link or a device"),
    (member('train/7.png', kind=tarfile.LNKTYPE, link='../1.png'), 'a link or a device'),
    (member('train/7.png', kind=tarfile.FIFOTYPE), 'a link or a device'),
    (member('train/7.png', kind=tarfile.CHRTYPE), 'a link or a device'),
  ],
)
def test_hostile_members_are_refused(folder, tmp_path, hostile, problem):
  archive = svhn_files.write_archive(tmp_path / 'train.tar.gz', folder, [hostile])
  before = sorted(tmp_path.rglob('*'))
  with pytest.raises(InputError, match=problem) as caught:
    read(archive)
  assert str(archive) in str(caught.value) and sorted(tmp_path.rglob('*')) == before


def test_photos_are_bounded(archive, folder, monkeypatch):
  monkeypatch.setattr(svhn_archive, '_MOST_BYTES', 100)
  for source in (archive, folder):
    with pytest.raises(InputError, match=r'the photo 1\.png has [\d,]+ bytes, more than the 100'):
      read(source)


def test_the_list_of_boxes_is_bounded(archive, tmp_path, monkeypatch):
  monkeypatch.setattr(svhn_archive, '_MOST_STRUCT', 100)
  with pytest.raises(InputError, match=r'train\.tar\.gz: its digitStruct\.mat has [\d,]+ bytes, more than the 100'):
    svhn_archive.digit_struct(str(archive), 'train', str(tmp_path))
  assert not (tmp_path / 'digitStruct.mat').exists()


def test_damage_is_named(archive):
  whole = archive.read_bytes()
  cuts = [whole[:cut] for cut in (0, 1, 10, 500, 1500, len(whole) - 20, len(whole) - 8, len(whole) - 1)]
  checksum = whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]
  for content in (*cuts, checksum, whole[:1000] + bytes(50) + whole[1050:], b'<html>', b'PK\3\4' + whole):
    archive.write_bytes(content)
    with pytest.raises(
      InputError, match=r'train\.tar\.gz is damaged or incomplete \(.+\): remove it and get it'
    ) as caught:
      read(archive)
    assert '\n' not in str(caught.value)


def test_an_archive_that_is_none(archive):
  archive.write_bytes(gzip.compress(b'no tar' * 1000))
  with pytest.raises(InputError, match='is damaged or incomplete'):
    read(archive)


@pytest.mark.parametrize('split', ['test', 'extra'])
def test_the_archive_of_another_split(archive, tmp_path, split):
  with pytest.raises(InputError, match=rf'holds no {split}/digitStruct\.mat: is it the archive {split}\.tar\.gz'):
    svhn_archive.digit_struct(str(archive), split, str(tmp_path))


def test_nothing_is_remembered(tmp_path):
  """tarfile keeps a list of all members, which for 202,353 photos takes 200 MB."""
  archive = tmp_path / 'train.tar.gz'
  with tarfile.open(archive, 'w:gz') as tar:
    for i in range(50):
      info, content = member(f'train/{i}.png', b'x')
      tar.addfile(info, io.BytesIO(content))
  kept = []
  find = tarfile.TarFile.next

  def spy(tar):
    found = find(tar)
    kept.append(len(tar.members))
    return found

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tarfile.TarFile, 'next', spy)
    assert len(read(archive)) == 50
  assert max(kept) <= 1


@pytest.mark.parametrize('kind', [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_what_is_said_about_a_file_is_bounded(folder, tmp_path, kind):
  """tarfile reads it whole, and zeros take no room in an archive."""
  path = tmp_path / 'train.tar.gz'
  with gzip.open(path, 'wb') as file:
    info, _ = member('train/1.png', kind=kind)
    info.size = 1 << 30
    file.write(info.tobuf(tarfile.USTAR_FORMAT))
    file.write(bytes(1 << 20))
  with pytest.raises(InputError, match=r'is damaged or incomplete \(it says 1,073,741,824 bytes about one file\)'):
    read(path)


def test_long_names_are_read(folder, tmp_path):
  name = 'train/' + 'n' * 300 + '.png'
  for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
    with tarfile.open(tmp_path / 'train.tar.gz', 'w:gz', format=form) as tar:
      info, content = member(name, b'abc')
      tar.addfile(info, io.BytesIO(content))
    assert read(tmp_path / 'train.tar.gz') == [(name.removeprefix('train/'), b'abc')]
