"""Sweeps: which runs there are, what is skipped, what a crash leaves, and the table."""

import csv
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE = ROOT / 'experiments' / 'sweep.py'
TINY = '--config=configs/fonts.py:tiny'


def load():
  spec = importlib.util.spec_from_file_location('sweep', FILE)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


sweep = load()


def start(*arguments):
  """The script in a process of its own: (exit code, stdout, stderr)."""
  environment = os.environ | {'PYTHONPATH': str(ROOT), 'XLA_FLAGS': '--xla_backend_optimization_level=0'}
  line = [sys.executable, str(FILE), *map(str, arguments)]
  done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
  return done.returncode, done.stdout, done.stderr


def read(out):
  with (out / 'results.csv').open(newline='') as file:
    return list(csv.DictReader(file))


def finish(workdir, *, seed, accuracy):
  """What of a finished run the table is made from."""
  workdir.mkdir()
  test = {
    'set': 'plates-v1', 'examples': 200, 'sequence_accuracy': accuracy, 'interval': [accuracy - 0.1, accuracy + 0.05],
    'character_error_rate': 0.0123456,
  }  # fmt: skip
  result = {'steps': 7, 'seconds': 90.0, 'devices': '1 x cpu', 'validation': {'loss': 0.5}, 'tests': {'test': test}}
  (workdir / 'result.json').write_text(json.dumps(result))
  (workdir / 'config.json').write_text(json.dumps({'seed': seed}))


def test_products_and_zips():
  vary = [['seed', '0', '1'], ['model.widths', '(8,8)', '(16,16)']]
  assert sweep.combinations(vary, is_zip=False) == [
    {'seed': '0', 'model.widths': '(8,8)'},
    {'seed': '0', 'model.widths': '(16,16)'},
    {'seed': '1', 'model.widths': '(8,8)'},
    {'seed': '1', 'model.widths': '(16,16)'},
  ]
  assert sweep.combinations(vary, is_zip=True) == [
    {'seed': '0', 'model.widths': '(8,8)'},
    {'seed': '1', 'model.widths': '(16,16)'},
  ]


def test_every_combination_has_a_folder_name_of_its_own():
  assert sweep.name_of({'seed': '0', 'optim.learning_rate': '1e-3'}) == 'seed=0,optim.learning_rate=1e-3'
  strange = [sweep.name_of({'data.folder': value}) for value in ('/a/b', '/a_b', '/a/' + 'c' * 200, '(a b)')]
  assert len(set(strange)) == 4 and all('/' not in name and ' ' not in name and len(name) < 110 for name in strange)


@pytest.mark.parametrize(
  'arguments, message',
  [
    ([TINY, '--out=x'], 'the following arguments are required: --vary'),
    ([TINY, '--out=x', '--vary', 'seed'], '--vary seed has no values'),
    ([TINY, '--out=x', '--vary', 'seed', '1', '--vary', 'seed', '2'], 'a field is varied twice'),
    ([TINY, '--out=x', '--zip', '--vary', 'seed', '1', '--vary', 'steps', '2', '3'], '--zip takes as many values'),
    ([TINY, '--out=x', '--vary', 'seed', '1', '--set', 'steps'], '--set steps is not FIELD=VALUE'),
  ],
)
def test_wrong_arguments(capsys, arguments, message):
  with pytest.raises(SystemExit) as ended:
    sweep.main(arguments)
  assert ended.value.code == 2 and message in capsys.readouterr().err


def test_finished_runs_are_skipped_and_failed_ones_named(tmp_path):
  out = tmp_path / 'sweep'
  out.mkdir()
  finish(out / 'seed=3', seed=3, accuracy=0.875)
  arguments = [TINY, f'--out={out}', '--vary', 'seed', '3', 'three', '--set', 'steps=7']
  for _ in range(2):  # started again, it goes on: the one run is still finished, the other fails again
    code, said, complaint = start(*arguments)
    assert code == 1 and complaint == '1 of 2 runs failed: seed=three\n'
    assert '[1/2] seed=3: finished before\n' in said
    assert '[2/2] seed=three: failed with exit code 2' in said and 'it takes a whole number' in said
  (row,) = read(out)
  wanted = {
    'config': 'configs/fonts.py:tiny', 'overrides': 'steps=7 seed=3', 'seed': '3', 'steps': '7', 'minutes': '1.5',
    'test_set': 'plates-v1', 'examples': '200', 'right': '175', 'sequence_accuracy': '0.875', 'interval_low': '0.775',
    'interval_high': '0.925', 'character_error_rate': '0.01235', 'validation': '0.5',
  }  # fmt: skip
  assert wanted.items() <= row.items() and row['hardware'].startswith('1 x cpu, ')
  assert 'steps=7 seed=3' in said.splitlines()[-1] and '0.875' in said.splitlines()[-1]
  log = (out / 'seed=three.log').read_text()
  assert log.count('revision ') == 2 and '--config.steps=7 --config.seed=three' in log
  done = start(*arguments[:-1], 'steps=8')
  assert done[0] == 1 and 'choose another --out' in done[2]


@pytest.mark.slow
def test_a_sweep_of_tiny_runs(tmp_path):
  out = tmp_path / 'sweep'
  arguments = [TINY, f'--out={out}', '--vary', 'seed', '0', '1', '--vary', 'evaluation.beams', '5', '0']
  extra = ['--', '--compilation_cache=']
  code, said, complaint = start(*arguments, *extra)
  assert code == 1 and complaint.startswith('2 of 4 runs failed: ')
  assert 'config.evaluation.beams=0 must be at least 1' in said
  rows = read(out)
  assert [row['seed'] for row in rows] == ['0', '1'] and all(row['examples'] == '20' for row in rows)
  for row, seed in zip(rows, '01', strict=True):
    result = json.loads((out / f'seed={seed},evaluation.beams=5' / 'result.json').read_text())
    assert float(row['sequence_accuracy']) == result['tests']['test']['sequence_accuracy'] and row['steps'] == '4'
  assert start(*arguments, *extra)[1].count('finished before') == 2
