"""The command that redraws a run's curves, as a user starts it."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np

from digits_jax import charts
from digits_jax.data import image_files

ROOT = pathlib.Path(__file__).resolve().parents[1]


def _plots(*arguments):
  line = [sys.executable, '-m', 'digits_jax.plots', '--compilation_cache=', *map(str, arguments)]
  return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)


def _refused(*arguments):
  done = _plots(*arguments)
  assert done.returncode == 2, done.stderr
  assert done.stderr.count('\n') == 1 and done.stderr.startswith('python -m digits_jax.plots: ')
  return done.stderr


def test_curves_are_drawn_from_the_metrics_of_a_run(tmp_path):
  records = [{'kind': 'train', 'step': step, 'loss': 5.0 / step} for step in range(1, 40)]
  records.append({'kind': 'validation', 'step': 40, 'sequence_accuracy': 0.5, 'character_error_rate': 0.2})
  metrics = tmp_path / 'metrics.jsonl'
  metrics.write_text(''.join(json.dumps(record) + '\n' for record in records))
  done = _plots(f'--workdir={tmp_path}')
  assert done.returncode == 0, done.stderr
  picture = tmp_path / 'plots' / 'curves.png'
  assert str(picture) in done.stdout
  charts.curves(tmp_path / 'wanted.png', records)
  np.testing.assert_array_equal(image_files.read_png(picture), image_files.read_png(tmp_path / 'wanted.png'))


def test_a_broken_line_is_named(tmp_path):
  metrics = tmp_path / 'metrics.jsonl'
  metrics.write_text('{"kind": "train", "step": 1}\n{"kind": "tr\n{"kind": "train", "step": 5}\n')
  message = _refused(f'--workdir={tmp_path}')
  assert str(metrics) in message and re.search(r'\b2\b', message.replace(str(metrics), ''))
  assert not (tmp_path / 'plots').exists()


def test_a_run_without_records(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text('')
  assert f'{tmp_path}/metrics.jsonl holds no record' in _refused(f'--workdir={tmp_path}')
  assert not (tmp_path / 'plots').exists()


def test_a_missing_run_or_file_is_named(tmp_path):
  assert f'no run directory {tmp_path / "gone"}' in _refused(f'--workdir={tmp_path / "gone"}')
  assert f'there is no {tmp_path / "metrics.jsonl"}' in _refused(f'--workdir={tmp_path}')
  assert '--workdir=RUN' in _refused()
  assert 'unknown argument' in _refused(f'--workdir={tmp_path}', 'more')
