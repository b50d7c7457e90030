"""experiments/street/annotations.py: the percentiles of known boxes."""

from tests.data import svhn_files
from tests.experiments import scripts


def box(left, top, width, height):
  return {'label': 1, 'left': left, 'top': top, 'width': width, 'height': height}


def test_what_it_measures(tmp_path):
  """Two digits level, 10 high and 5 wide, half a height apart; a photo with a box without area is passed over."""
  pair, flat = [box(0, 0, 5, 10), box(10, 0, 5, 10)], [box(0, 0, 5, 0), box(10, 50, 5, 0)]
  svhn_files.write_digit_struct(tmp_path / 'digitStruct.mat', [('1.png', pair), ('2.png', flat), ('3.png', pair)])
  code, said, complaint = scripts.start('street/annotations.py', tmp_path / 'digitStruct.mat')
  assert code == 0, complaint
  found = dict(line.split(': ') for line in said.splitlines()[1:])
  assert said.startswith('2 photos, 4 digits;')
  assert {name: set(values.split(', ')) for name, values in found.items()} == {
    'height of a digit, pixels': {'10.00'},
    'width of a digit by its height': {'0.50'},
    'gap to the next digit, in heights': {'0.50'},
    'turn of a number, degrees from level': {'0.00'},
  }


def test_nothing_to_measure(tmp_path):
  svhn_files.write_digit_struct(tmp_path / 'digitStruct.mat', [('1.png', [box(0, 0, 5, 10)])])
  for arguments, message in (
    ([], 'which file?'),
    ([tmp_path / 'none.mat'], 'there is no file'),
    ([tmp_path / 'digitStruct.mat'], 'lists no number of two digits'),
  ):
    code, said, complaint = scripts.start('street/annotations.py', *arguments)
    assert (code, said) == (2, '') and complaint.count('\n') == 1 and message in complaint, complaint
