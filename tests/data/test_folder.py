"""Files of labels: what is read, and one sentence for each way in which they can be wrong."""

import pytest

from digits_jax.alphabet import Alphabet
from digits_jax.data import folder
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
  files = folder.read_labels(path, ALPHABET)
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
  assert folder.read_labels(write(content), ALPHABET) == folder.LabelledFiles((tmp_path / 'a.png',), ('12',))


def test_whole_paths_and_signs(write, tmp_path):
  path = write(f'filename,label\n{tmp_path}/a.png,-1.5\n')
  files = folder.read_labels(str(path), Alphabet('0123456789.-'))
  assert files == folder.LabelledFiles((tmp_path / 'a.png',), ('-1.5',))


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('', 'labels.csv lacks the column filename: its first line is filename,label'),
    ('a.png,12\n', 'lacks the column filename'),
    ('filename;label\na.png;12\n', 'lacks the column filename'),
    ('filename,text\na.png,12\n', 'lacks the column label'),
    ('filename,label\n', 'labels.csv holds no row'),
    ('filename,label\n\n\n', 'holds no row'),
    ('filename,label\na.png,12\nz.png,3\n', 'line 3: there is no image .*z.png'),
    ('filename,label\nmore,12\n', 'line 2: there is no image .*more'),
    ('filename,label\na.png,1x2\n', "line 2: the label '1x2' holds 'x', which is not in the alphabet '0123456789'"),
    ('filename,label\na.png\n', 'line 2: the label is empty'),
    ('filename,label\na.png, \n', 'line 2: the label is empty'),
    ('filename,label\n,12\n', 'line 2: the filename is empty'),
    ('filename,label\na.png,1\nmore/a.png,1\nmore/../a.png,2\n', 'line 4: more/../a.png has a row before'),
    (b'filename,label\na.png,\xff\n', 'labels.csv is no CSV file in UTF-8'),
    ('filename,label\na.png,"12\n', 'labels.csv is no CSV file in UTF-8: unexpected end'),
  ],
)
def test_wrong_files(write, content, message):
  with pytest.raises(InputError, match=message):
    folder.read_labels(write(content), ALPHABET)


def test_no_file(tmp_path):
  with pytest.raises(InputError, match=r'there is no file of labels .*none\.csv'):
    folder.read_labels(tmp_path / 'none.csv', ALPHABET)
  with pytest.raises(InputError, match=r'the labels .* cannot be read: Is a directory'):
    folder.read_labels(tmp_path, ALPHABET)
