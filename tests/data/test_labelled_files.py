"""Files of labels: what is read, and one sentence for each way in which they can be wrong."""

import pytest

from digits_jax.alphabet import Alphabet
from digits_jax.data import labelled_files
from digits_jax.data.labelled_files import LabelledFiles
from digits_jax.errors import InputError

ALPHABET = Alphabet()


@pytest.fixture
def write(tmp_path):
  """write(bytes or text) -> path of labels.csv beside three images, one of them in a folder."""
  (tmp_path / 'more').mkdir()
  for name in ('a.png', 'b, c.png', 'more/a.png'):
    (tmp_path / name).touch()

  def write(content):
    path = tmp_path / 'labels.csv'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path

  return write


def test_rows_in_their_order(write, tmp_path):
  path = write('filename,label\nmore/a.png,007\n"b, c.png",12\na.png,9\n')
  files = labelled_files.read_labels(path, ALPHABET)
  assert files.paths == (tmp_path / 'more' / 'a.png', tmp_path / 'b, c.png', tmp_path / 'a.png')
  assert files.texts == ('007', '12', '9')


@pytest.mark.parametrize(
  'content',
  [
    'filename,label\r\na.png,12\r\n',
    '\ufefffilename,label\na.png,12',  # as spreadsheets begin their files
    'filename, label\n a.png , 12 \n\n',
    'writer,label,filename\nMoser,12,a.png\n',
  ],
)
def test_what_spreadsheets_write(write, tmp_path, content):
  files = labelled_files.read_labels(write(content), ALPHABET)
  assert (files.paths, files.texts, files.splits) == ((tmp_path / 'a.png',), ('12',), ())


def test_whole_paths_and_signs(write, tmp_path):
  path = write(f'filename,label\n{tmp_path}/a.png,-1.5\n')
  files = labelled_files.read_labels(str(path), Alphabet('0123456789.-'))
  assert (files.paths, files.texts) == ((tmp_path / 'a.png',), ('-1.5',))


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('', "labels.csv lacks the column filename: its first line must be filename,label, with commas, and is ''"),
    ('a.png,12\n', 'lacks the column filename'),
    ('filename;label\na.png;12\n', "with commas, and is 'filename;label'"),
    ('filename,label,label\na.png,12,3\n', 'has the column label more than once'),
    ('filename,label,split,split\na.png,12,test,train\n', 'has the column split more than once'),
    ('filename,text\na.png,12\n', 'lacks the column label'),
    ('filename,label\n', 'labels.csv holds no row'),
    ('filename,label\n\n\n', 'holds no row'),
    ('filename,label\na.png,12\nz.png,3\n', 'line 3: there is no image .*z.png'),
    ('filename,label\nmore,12\n', 'line 2: there is no image .*more$'),
    ('filename,label\nz.png,1\na.png,12\ny.png,3\n', r'line 2: there is no image .*z\.png \(and 1 more\)'),
    ('filename,label\na.png,1x2\n', "line 2: the label '1x2' holds 'x', which is not in the alphabet '0123456789'"),
    ('filename,label\na.png\n', 'line 2: the label is empty'),
    ('filename,label\na.png, \n', 'line 2: the label is empty'),
    ('filename,label\n,12\n', 'line 2: the filename is empty'),
    ('filename,label\na.png,1\nmore/a.png,1\nmore/../a.png,2\n', 'line 4: more/../a.png has a row before'),
    (b'filename,label\na.png,\xff\n', "labels.csv is not in UTF-8, which spreadsheets call 'CSV UTF-8'"),
    ('filename,label\na.png,"12\n', 'labels.csv, line 2: not as CSV has it: unexpected end'),
    ('filename,label\na.png,1\n"a.png" ,"12"\n', 'labels.csv, line 3: not as CSV has it'),
    ('filename,label\na.png,1\nmore/a.png,1,234\n', 'line 3 has more fields than the first line: put .* in quotes'),
  ],
)
def test_wrong_files(write, content, message):
  with pytest.raises(InputError, match=message):
    labelled_files.read_labels(write(content), ALPHABET)


def test_no_file(tmp_path):
  with pytest.raises(InputError, match=r'there is no file of labels .*none\.csv'):
    labelled_files.read_labels(tmp_path / 'none.csv', ALPHABET)
  with pytest.raises(InputError, match=r'the labels .* cannot be read: Is a directory'):
    labelled_files.read_labels(tmp_path, ALPHABET)


def make(folder, *names):
  folder.mkdir(parents=True, exist_ok=True)
  for name in names:
    (folder / name).touch()


def test_numbers_in_file_names(tmp_path):
  make(tmp_path, '12345.png', '12345_7.png', '007_a_b.JPG', '.hidden.png', 'notes.txt')
  found = labelled_files.find(tmp_path, ALPHABET)
  assert [path.name for path in found.paths] == ['007_a_b.JPG', '12345.png', '12345_7.png']
  assert found.texts == ('007', '12345', '12345') and found.splits == found.unlisted == ()
  assert found.origin == 'the names of the files'
  make(tmp_path / 'signs', '-1.5_2.png')
  assert labelled_files.find(tmp_path / 'signs', Alphabet('0123456789.-')).texts == ('-1.5',)


def test_a_file_of_labels_comes_before_names(write, tmp_path):
  path = write('filename,label,split\na.png,12,test\nmore/a.png,3,train\n')
  paths, rest = (tmp_path / 'a.png', tmp_path / 'more' / 'a.png'), (tmp_path / 'b, c.png',)
  expected = LabelledFiles(paths, ('12', '3'), ('test', 'train'), origin='labels.csv', unlisted=rest)
  assert labelled_files.find(tmp_path, ALPHABET) == labelled_files.find(path, ALPHABET) == expected
  assert labelled_files.read_labels(path, ALPHABET).splits == ()  # an evaluation takes all of them
  write('Filename, LABEL, Split\na.png,12,test\nmore/a.png,3,train\n')
  assert labelled_files.find(tmp_path, ALPHABET) == expected
  write('filename,label\na.png,12\n')
  assert labelled_files.find(tmp_path, ALPHABET).splits == ()


def test_folders_of_splits(tmp_path):
  make(tmp_path / 'train', '1.png', '2.png')
  make(tmp_path / 'validation', '3.png')
  make(tmp_path / 'test', 'a.png')
  (tmp_path / 'test' / 'labels.csv').write_text('filename,label\na.png,44\n')
  make(tmp_path / 'test', 'b.png')
  found = labelled_files.find(tmp_path, ALPHABET)
  assert found.origin == 'the names of the files, labels.csv' and found.unlisted == (tmp_path / 'test' / 'b.png',)
  assert found.texts == ('1', '2', '3', '44') and found.splits == ('train', 'train', 'validation', 'test')
  (tmp_path / 'validation').rename(tmp_path / 'valid')
  with pytest.raises(InputError, match='holds train and test and no folder validation: give all of train, validation'):
    labelled_files.find(tmp_path, ALPHABET)


@pytest.mark.parametrize('where', ['.', 'train'])
def test_a_folder_that_synthesise_did_not_finish(tmp_path, where):
  for split in ('train', 'validation', 'test') if where == 'train' else '.':
    make(tmp_path / split, '000000.png', '000001.png')
  make(tmp_path / where, 'labels.csv.tmp')
  with pytest.raises(InputError, match=r'is not complete: `synthesise` was interrupted there\. Remove it'):
    labelled_files.find(tmp_path, ALPHABET)


@pytest.mark.parametrize(
  ('names', 'content', 'message'),
  [
    ([], None, 'holds no labelled image: it needs labels.csv .* such as 12345.png or 12345_7.png'),
    (['12.png', 'scan12.png'], None, r"scan12\.png: the name is no number: 'scan12' holds 's', which is not in"),
    (['12.png', 'scan_12.png'], None, r"scan_12\.png: the number before the underscore 'scan' holds 's'"),
    (['_7.png'], None, r'_7\.png: the number before the underscore is empty'),
    (['1.png'], 'filename,label,split\n1.png,1,valid\n', "line 2: the split is 'valid', not one of train, validation"),
    (['1.png'], 'filename,label,split\n1.png,1,\n', "line 2: the split is ''"),
  ],
)
def test_wrong_folders(tmp_path, names, content, message):
  make(tmp_path, *names)
  if content:
    (tmp_path / 'labels.csv').write_text(content)
  with pytest.raises(InputError, match=message):
    labelled_files.find(tmp_path, ALPHABET)
  with pytest.raises(InputError, match='there is no folder of labelled images'):
    labelled_files.find(tmp_path / 'none', ALPHABET)
