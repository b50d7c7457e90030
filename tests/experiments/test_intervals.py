"""The picture of a table's rows: what is drawn of them, and what is said where nothing can be."""

import numpy as np
import pytest

from digits_jax.data import image_files
from tests.experiments import scripts

TABLE = """config,seed,test_set,sequence_accuracy,interval_low,interval_high,note
a,0,one,0.5,0.25,1.0,
a,1,one,0.9,0.8,0.95,
b,0,other,0.99,0.98,1.0,
"""


@pytest.fixture
def table(tmp_path):
  path = tmp_path / 'results.csv'
  path.write_text(TABLE)
  return path


def bars(path):
  """Where the intervals are drawn: (first column, one behind the last) of each, from the top."""
  picture = image_files.read_image(path).astype(int)
  is_bar = np.all(np.abs(picture - [157, 184, 210]) < 8, axis=-1)
  rows = [np.flatnonzero(row) for row in is_bar if row.sum() > 3]
  return list(dict.fromkeys((int(row[0]), int(row[-1]) + 1) for row in rows))


def test_the_rows_that_were_asked_for(table, tmp_path):
  found, one = {}, '--where=test_set=one'
  for name, chosen in (('all', []), ('one', [one]), ('seed', [one, '--where=seed=1'])):
    out = tmp_path / f'{name}.png'
    code, said, complaint = scripts.start('intervals.py', f'--out={out}', *chosen, table)
    assert (code, said) == (0, f'wrote {out}\n'), complaint
    found[name] = bars(out)
  assert [len(found[name]) for name in ('all', 'one', 'seed')] == [3, 2, 1]
  # 0.25 to 1 is five times as long as 0.8 to 0.95, and both 1 end in the same column.
  (first, end), (second, behind), (_, last) = found['all']
  assert (end - first) / (behind - second) == pytest.approx(5, rel=0.1) and abs(end - last) <= 1 and behind < end


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--out=OUT'], 'which tables?'),
    (['TABLE'], 'where to?'),
    (['--out=OUT', '--value=accuracy', 'TABLE'], "has no column 'accuracy'; it has config, seed, test_set"),
    (['--out=OUT', '--label={name}', 'TABLE'], "has no column 'name'"),
    (['--out=OUT', '--where=seed=7', 'TABLE'], 'no row has seed=7'),
    (['--out=OUT', '--value=note', 'TABLE'], 'must hold numbers'),
    (['--out=OUT', 'TABLE.none'], 'cannot read'),
    (['--out=OUT', '--label={', 'TABLE'], '--label={: '),
    (['--out=OUT', '--label={seed:d}', 'TABLE'], '--label={seed:d}: '),
    (['--out=OUT', '--label={config}', 'TABLE'], "2 rows are called 'a': give a --label that"),
    (['--out=OUT', 'TABLE', 'TABLE'], "(of a sweep's table --label='{run}, {test_set}', of several sweeps"),
  ],
)
def test_nothing_to_draw(table, tmp_path, arguments, message):
  filled = [argument.replace('OUT', str(tmp_path / 'x.png')).replace('TABLE', str(table)) for argument in arguments]
  code, said, complaint = scripts.start('intervals.py', *filled)
  assert (code, said) == (2, '') and complaint.count('\n') == 1 and message in complaint, complaint
  assert complaint.startswith('python experiments/intervals.py: ') and not (tmp_path / 'x.png').exists()


@pytest.mark.parametrize(
  ('content', 'message'), [(b'\xff', 'no CSV file in UTF-8'), (TABLE.encode() + b'c,1\n', 'fewer fields than')]
)
def test_a_table_that_is_none(table, tmp_path, content, message):
  table.write_bytes(content)
  code, said, complaint = scripts.start('intervals.py', f'--out={tmp_path / "x.png"}', table)
  assert (code, said) == (2, '') and complaint.count('\n') == 1 and message in complaint, complaint


def test_a_table_as_spreadsheets_write_it(table, tmp_path):
  table.write_bytes(b'\xef\xbb\xbf' + TABLE.encode())
  code, _, complaint = scripts.start('intervals.py', f'--out={tmp_path / "x.png"}', table)
  assert code == 0, complaint
