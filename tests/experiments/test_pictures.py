"""The scripts that draw one experiment's picture, and two that write files: what they draw, and what they refuse."""

import json

import pytest

from digits_jax.data import image_files
from tests.experiments import scripts
from tests.reading import runs

SHIPPED = scripts.ROOT / 'digits_jax' / 'pretrained' / 'street.npz'
FOLDER = scripts.ROOT / 'experiments'


@pytest.mark.parametrize('arguments', [['speed/plot.py'], ['greedy/plot.py', 'TABLE'], ['seconds/plot.py', 'TABLE']])
def test_what_lies_here_can_be_drawn(tmp_path, arguments):
  table = (FOLDER / arguments[0]).with_name('results.csv')
  filled = [argument.replace('TABLE', str(table)) for argument in arguments]
  code, said, complaint = scripts.start(*filled, tmp_path / 'x.png')
  assert (code, said) == (0, ''), complaint
  assert image_files.read_image(tmp_path / 'x.png').std() > 10


def test_a_run_from_before_a_later_field_can_be_drawn(tmp_path):
  synth = {'layout.height': runs.HEIGHT, 'layout.width': runs.WIDTH, 'number.min_length': 1, 'number.max_length': 3}
  run = runs.make_run(tmp_path / 'run', **{f'tests.test.synth.{field}': value for field, value in synth.items()})
  config = json.loads((run / 'config.json').read_text())
  del config['model']['is_standardised'], config['evaluation']['zooms']
  (run / 'config.json').write_text(json.dumps(config))
  code, said, complaint = scripts.start('quick/figure.py', run, tmp_path / 'x.png')
  assert (code, said) == (0, ''), complaint
  assert image_files.read_image(tmp_path / 'x.png').std() > 10
  config['tests'] = {'other': config['tests']['test']}
  (run / 'config.json').write_text(json.dumps(config))
  code, said, complaint = scripts.start('quick/figure.py', run, tmp_path / 'x.png')
  assert (code, said) == (2, '') and complaint.endswith('has no test set called test; it has other\n'), complaint


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['speed/plot.py'], 'where to? Give the PNG file'),
    (['speed/plot.py', 'OUT.txt'], 'ends with .png'),
    (['quick/figure.py'], 'which? Give the directory of a run'),
    (['quick/figure.py', 'NONE', 'OUT.png'], 'there is no run directory'),
    (['greedy/plot.py', 'NONE', 'OUT.png'], 'No such file or directory: '),
    (['greedy/plot.py', 'HERE/seconds/results.csv', 'OUT.png'], 'is not a table that experiments/greedy/compare.py'),
    (['seconds/plot.py', 'HERE/greedy/results.csv', 'OUT.png'], 'is not a table of the sweep of experiments/seconds'),
    (['seconds/plot.py', 'HERE/recurrence/results.csv', 'OUT.png'], 'is not a table of the sweep'),
    (['families/gather.py', '--root=NONE', '--out=OUT'], 'no font that can be used lies in usr/share/fonts there'),
    (['street/refit.py', '--config=configs/street.py:tiny', f'--workdir={SHIPPED}', '--out=NONE/x.npz'], 'no folder'),
  ],
)
def test_nothing_to_draw(tmp_path, arguments, message):
  names = {'OUT': tmp_path / 'x', 'NONE': tmp_path / 'none', 'HERE': FOLDER}
  filled = []
  for argument in arguments:
    for name, path in names.items():
      argument = argument.replace(name, str(path))
    filled.append(argument)
  code, said, complaint = scripts.start(*filled)
  assert (code, said) == (2, '') and message in complaint.splitlines()[-1] and 'Traceback' not in complaint, complaint
  assert not any(tmp_path.iterdir())
