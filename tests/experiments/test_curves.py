"""The picture of several runs: what is drawn of them, and what is said where nothing can be."""

import json

import numpy as np
import pytest

from digits_jax.data import image_files
from tests.experiments import scripts


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """Two runs, of which one rises and one stays."""
  folder = tmp_path_factory.mktemp('runs')
  for name, accuracies in (('rising', (0.0, 0.5, 1.0)), ('level', (0.25, 0.25, 0.25))):
    (folder / name).mkdir()
    records = [{'kind': 'train', 'step': 5, 'loss': 3.0, 'seconds': 3.0}]
    for step, accuracy in zip((10, 20, 30), accuracies, strict=True):
      records.append({'kind': 'validation', 'step': step, 'sequence_accuracy': accuracy, 'seconds': 6.0 * step})
      records[-1]['interval'] = [0.0, 1.0]
    (folder / name / 'metrics.jsonl').write_text(''.join(json.dumps(record) + '\n' for record in records))
  return folder


def test_a_picture_of_two_runs(runs, tmp_path):
  pictures = {}
  for name, chosen in (('both', ['rising', 'level']), ('rising', ['rising'])):
    out = tmp_path / f'{name}.png'
    drawn = [runs / run for run in chosen]
    code, said, complaint = scripts.start('curves.py', f'--out={out}', '--against=minutes', *drawn)
    assert (code, said) == (0, f'wrote {out}\n'), complaint
    pictures[name] = image_files.read_image(out)
  # Only where both are drawn does a second colour stand level over the whole width.
  is_orange = {name: (picture[..., 0] > 200) & (picture[..., 2] < 80) for name, picture in pictures.items()}
  assert is_orange['both'].sum(1).max() > 300 and not is_orange['rising'].any()
  is_blue = (pictures['both'][..., 2] > 150) & (pictures['both'][..., 0] < 80)
  rows = np.flatnonzero(is_blue[:, : is_blue.shape[1] // 2].any(1))  # the left half, below the middle of the picture
  assert rows.max() > is_blue.shape[0] // 2


def test_a_run_that_diverged_is_left_out(runs, tmp_path):
  diverged = tmp_path / 'diverged'
  diverged.mkdir()
  (diverged / 'metrics.jsonl').write_text('{"kind": "train", "step": 5, "loss": 3.0}\n')
  reason = f'{diverged}/metrics.jsonl has no validation records\n'
  out = tmp_path / 'x.png'
  code, said, complaint = scripts.start('curves.py', f'--out={out}', diverged, runs / 'rising', tmp_path / 'none')
  assert (code, said) == (0, f'wrote {out}\n') and out.is_file()
  assert complaint.startswith(f'left out: {reason}left out: there is no {tmp_path}/none/'), complaint
  assert complaint.count('\n') == 2
  code, said, complaint = scripts.start('curves.py', f'--out={out}', diverged)
  assert (code, said, complaint) == (2, '', f'python experiments/curves.py: {reason}')


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--out=OUT'], 'which runs?'),
    (['RUNS/rising'], 'where to?'),
    (['--out=OUT', '--field=accuracy', 'RUNS/rising'], "records with a 'accuracy'; they have sequence_accuracy"),
    (['--out=OUT', '--field=interval', 'RUNS/rising'], "records with a 'interval'; they have sequence_accuracy\n"),
    (['--out=OUT', 'RUNS/none'], 'there is no'),
    (['--out=OUT.pdf', 'RUNS/rising'], 'ends with .png'),
  ],
)
def test_nothing_to_draw(runs, tmp_path, arguments, message):
  filled = [argument.replace('OUT', str(tmp_path / 'x.png')).replace('RUNS', str(runs)) for argument in arguments]
  code, said, complaint = scripts.start('curves.py', *filled)
  assert (code, said) == (2, '') and complaint.count('\n') == 1 and message in complaint, complaint
  assert complaint.startswith('python experiments/curves.py: ')
