"""`python -m digits_jax.export`: its flags, each in a process of its own."""

import os
import pathlib
import subprocess
import sys

import pytest

from digits_jax.export import stablehlo
from tests.export import runs

ROOT = pathlib.Path(__file__).parents[2]


def start(*arguments):
  """(exit code, stdout, stderr)."""
  line = [sys.executable, '-m', 'digits_jax.export', '--compilation_cache=', *map(str, arguments)]
  done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, env=os.environ)
  return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_a_reader_of_two_digits(tmp_path):
  workdir = runs.write_run(tmp_path / 'run', runs.make_config(recurrent='none'))
  out = tmp_path / 'new' / 'reader'
  flags = '--length=2', '--beams=3', '--nbest=2'
  code, told, err = start(f'--workdir={workdir}', f'--out={out}', '--format=stablehlo', *flags)
  assert (code, err) == (0, '')
  assert told.startswith(f'wrote {out} (0.') and told.count('\n') == 2
  assert 'it differs from the run by at most ' in told and ' on 64 images of ' in told
  assert os.listdir(out.parent) == ['reader']
  read, stored = stablehlo.load(out)
  decoding = {'method': 'CTC prefix beam search', 'beams': 3, 'n_best': 2, 'min_length': 2, 'max_length': 2}
  assert (stored['decoding'], stored['temperature']) == (decoding, runs.TEMPERATURE)
  assert (read(runs.draw_images(5))['lengths'] == 2).all()


@pytest.mark.parametrize(
  'arguments, problem',
  [
    ([], 'which run? Give its directory as --workdir=RUN'),
    (['--workdir=run'], 'where to? Give the file as --out=FILE'),
    (['--workdir=run', '--out=new'], 'in which format? Give --format=stablehlo, --format=onnx or --format=weights'),
    (['--workdir=run', '--out=new', '--format=tflite'], '--format=tflite: value should be one of <stablehlo|onnx|'),
    (['--workdir=run', '--out=new.onnx', '--format=weights'], 'new.onnx: .onnx is the ending of --format=onnx'),
    (['--workdir=run', '--out=new.NPZ', '--format=stablehlo'], 'new.NPZ: .npz is the ending of --format=weights'),
    (['--workdir=run', '--out=new', '--format=onnx', 'more'], "unexpected argument 'more'"),
    (['--workdir=run', '--out=new', '--format=onnx', '--nbest=2'], '--nbest is of the beam search'),
    (['--workdir=run', '--out=new', '--format=weights', '--length=2'], '--length is of the beam search, which weights'),
    (['--workdir=run', '--out=new', '--format=weights', '--zooms='], '--zooms is of views, which weights do not hold'),
    (['--workdir=run', '--out=new', '--format=stablehlo', '--length=2', '--max_length=3'], '--length sets both ends'),
    (['--workdir=run', '--out=new', '--format=stablehlo', '--beams=0'], '--beams=0: 0 is not a positive integer'),
  ],
)
def test_wrong_flags(arguments, problem):
  code, told, err = start(*arguments)
  assert (code, told) == (2, '') and problem in err
  assert err.startswith('python -m digits_jax.export: ') and err.count('\n') == 1
  assert not (ROOT / 'new').exists()


def test_help():
  code, told, err = start('--help')
  assert (code, err) == (0, '')
  assert 'python -m digits_jax.export' in told and '--beams' in told
  assert '  --format: <stablehlo|onnx|weights>: ' in told
