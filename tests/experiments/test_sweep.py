"""Sweeps: which runs there are, what is skipped, what a crash leaves, and the table."""

import ast
import csv
import importlib.util
import json
import os
import pathlib
import pty
import signal
import subprocess
import sys
import time
import types

import jax
import pytest

from configs import fonts, street
from digits_jax.alphabet import Alphabet
from digits_jax.data import places
from digits_jax.errors import InputError
from digits_jax.reading import trained
from digits_jax.synth.augment import AugmentSpec
from digits_jax.training import experiment, feeds

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
  assert list(sweep.combinations(vary, is_zip=False).values()) == [
    {'seed': '0', 'model.widths': '(8,8)'},
    {'seed': '0', 'model.widths': '(16,16)'},
    {'seed': '1', 'model.widths': '(8,8)'},
    {'seed': '1', 'model.widths': '(16,16)'},
  ]
  assert all(sweep.name_of(changes) == name for name, changes in sweep.combinations(vary, is_zip=False).items())
  assert list(sweep.combinations(vary, is_zip=True).values()) == [
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
    ([TINY, '--out=x'], 'one of the arguments --vary --runs is required'),
    ([TINY, '--out=x', '--vary', 'seed'], '--vary seed has no values'),
    ([TINY, '--out=x', '--vary', 'seed', '1', '--vary', 'seed', '2'], 'a field is varied twice'),
    ([TINY, '--out=x', '--zip', '--vary', 'seed', '1', '--vary', 'steps', '2', '3'], '--zip takes as many values'),
    ([TINY, '--out=x', '--vary', 'seed', '1', '--runs', 'x'], '--runs: not allowed with argument --vary'),
    ([TINY, '--out=x', '--zip', '--runs', 'x'], '--zip goes with --vary'),
    ([TINY, '--out=x', '--vary', 'seed', '1', '--', '--config.steps=3'], '--config.steps=3 behind --: give'),
    ([TINY, '--out=x', '--vary', 'seed', '1', '--', '--workdir=y'], '--workdir=y behind --: each run has a'),
    ([TINY, '--out=x', '--vary', 'seed', '1', '--set', 'steps'], '--set steps is not FIELD=VALUE'),
  ],
)
def test_wrong_arguments(capsys, arguments, message):
  with pytest.raises(SystemExit) as ended:
    sweep.parse(arguments)
  assert ended.value.code == 2 and message in capsys.readouterr().err


def test_set_takes_several_fields():
  line = [TINY, '--out=x', '--set', 'a=1', 'b=2', '--vary', 'seed', '1', '--set=c=3', '--', '-d']
  arguments, extra = sweep.parse(line)
  assert (arguments.set, extra) == (['a=1', 'b=2', 'c=3'], ['-d'])


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
  assert wanted.items() <= row.items() and row['hardware'] == '1 x cpu'  # of which no log says more
  assert said.splitlines()[-1].startswith('seed=3 ') and '0.875' in said.splitlines()[-1]
  log = (out / 'seed=three.log').read_text()
  assert log.count('revision ') == 2 and '--config.steps=7 --config.seed=three' in log
  finish(out / 'seed=5', seed=5, accuracy=0.75)  # a run that is added leaves the others in the table
  assert start(*arguments[:2], '--vary', 'seed', '5', '--set', 'steps=7')[0] == 0
  assert [row['run'] for row in read(out)] == ['seed=3', 'seed=5']
  (out / 'seed=5' / 'result.json').write_text('{"devices": "1 x cpu", "tests": []}')
  code, said, complaint = start(*arguments[:2], '--vary', 'seed', '5', '--set', 'steps=7')
  assert code == 1 and f'{out}/seed=5/result.json or config.json is damaged' in complaint and 'Trace' not in complaint
  assert [row['run'] for row in read(out)] == ['seed=3']
  code, _, complaint = start(*arguments[:-1], 'steps=8')
  refusal = 'a sweep of other settings: --set steps=7 is missing, --set steps=8 is new. Choose another --out'
  assert (code, complaint) == (2, f'python {FILE}: {out} holds {refusal}\n')


@pytest.mark.parametrize(
  'text, message',
  [
    ('{', 'cannot be read as JSON'),
    ('{}', 'is not {NAME'),
    ('{"a": {"seed": 1}}', 'each VALUE a text'),
    ('["a"]', 'is not {NAME'),
    ('{"../a": {}}', "has a run '../a'"),
    ('{"..": {}}', "has a run '..'"),
    ('{"results.csv": {}}', "has a run 'results.csv': names that end with .csv, .json, .log, .tmp are for files"),
    ('{"a": {}, "a.log": {}}', "has a run 'a.log'"),
  ],
)
def test_wrong_lists_of_runs(tmp_path, capsys, text, message):
  (tmp_path / 'runs.json').write_text(text)
  with pytest.raises(SystemExit) as ended:
    sweep.parse([TINY, '--out=x', f'--runs={tmp_path / "runs.json"}'])
  assert ended.value.code == 2 and message in capsys.readouterr().err


def test_listed_runs_have_their_names_and_keep_their_meaning(tmp_path, monkeypatch, capsys):
  out, runs, commands = tmp_path / 'out', tmp_path / 'runs.json', []

  class Run:
    def __init__(self, command, **_):
      commands.append(command)
      finish(pathlib.Path(command[4].removeprefix('--workdir=')), seed=0, accuracy=0.5)

    def wait(self):
      return 0

  monkeypatch.setattr(sweep, 'revision', lambda: 'abc')
  monkeypatch.setattr(sweep, 'cpu', lambda: '3 cores (the one that trained)')
  monkeypatch.setattr(sweep.subprocess, 'Popen', Run)
  arguments = [TINY, f'--out={out}', f'--runs={runs}', '--set', 'steps=7']
  runs.write_text('{"all": {}, "no_noise": {"synth.photo.noise": "(0,0)", "steps": "8"}}')
  assert sweep.main(*sweep.parse(arguments)) == 0
  assert [command[5:] for command in commands] == [
    ['--config.steps=7'], ['--config.steps=7', '--config.synth.photo.noise=(0,0)', '--config.steps=8'],
  ]  # fmt: skip
  assert [row['run'] for row in read(out)] == ['all', 'no_noise'] and 'no_noise' in capsys.readouterr().out
  monkeypatch.setattr(sweep, 'cpu', lambda: '2 cores (another)')  # goes on there
  runs.write_text('{"new": {"seed": "1"}}')  # added to those that there are
  assert sweep.main(*sweep.parse(arguments)) == 0 and len(commands) == 3
  trained, other = '1 x cpu, 3 cores (the one that trained)', '1 x cpu, 2 cores (another)'
  assert [(row['revision'], row['hardware']) for row in read(out)] == [*[('abc', trained)] * 2, ('abc', other)]
  runs.write_text('{"all": {"seed": "1"}}')
  with pytest.raises(InputError, match='run all that changes other fields'):
    sweep.main(*sweep.parse(arguments))
  for content in ('', '[]', '{}'):
    (out / 'sweep.json').write_text(content)
    with pytest.raises(InputError, match=r'sweep\.json is damaged'):
      sweep.main(*sweep.parse(arguments))
  assert len(commands) == 3


def test_every_run_of_the_ablation_can_be_drawn():
  runs = sweep.read_runs(ROOT / 'experiments' / 'street' / 'ablation.json')
  specs = {}
  for name, changes in runs.items():
    config = street.get_config()
    config.data.font_dir = 'fonts/train'
    values = {field: value if field == 'data.font_dir' else ast.literal_eval(value) for field, value in changes.items()}
    config.update_from_flattened_dict(values)
    specs[name] = feeds.street.spec(config, Alphabet(config.alphabet), 'train', AugmentSpec(**config.augment))
    assert name != 'shipped_fonts' or config.data.font_dir == ''
    assert (name != 'no_standardisation') == config.model.is_standardised
  assert specs.pop('shipped_fonts') == specs.pop('all_1') == specs.pop('no_standardisation') == specs['all']
  assert len(set(specs.values())) == len(specs) == 9


@pytest.mark.parametrize(('folder', 'count'), [('blank_trap/remedies', 8), ('seconds/runs', 10)])
def test_every_run_of_a_list_is_one_of_its_own(folder, count):
  runs = sweep.read_runs(ROOT / 'experiments' / f'{folder}.json')
  found = set()
  for changes in runs.values():
    config = fonts.get_config('quick')
    config.update_from_flattened_dict({field: ast.literal_eval(value) for field, value in changes.items()})
    task = experiment.make_task(config, Alphabet(config.alphabet))
    jax.eval_shape(task.init, jax.random.key(0), trained.batch_shapes(config))
    found.add(config.to_json_best_effort())
  assert len(found) == len(runs) == count


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_sweep_that_is_stopped_lets_its_run_save(tmp_path, number):
  # A trainer that takes a moment to save when it is asked to stop.
  (tmp_path / 'digits_jax').mkdir()
  (tmp_path / 'digits_jax' / '__init__.py').touch()  # found before the real one, wherever that lies
  (tmp_path / 'digits_jax' / 'main.py').write_text(
    'import pathlib, signal, sys, time\n'
    'def stop(*_):\n  time.sleep(0.5)\n  pathlib.Path("saved").touch()\n  sys.exit(143)\n'
    'signal.signal(signal.SIGTERM, stop)\npathlib.Path("begun").touch()\ntime.sleep(60)\n'
  )
  (tmp_path / 'mine.py').write_text('import ml_collections\nCONFIG = ml_collections.ConfigDict({"seed": 0})\n')
  (tmp_path / 'x.py').write_text('import mine\n\n\ndef get_config():\n  return mine.CONFIG\n')
  (tmp_path / 'out').mkdir()
  finish(tmp_path / 'out' / 'seed=0', seed=0, accuracy=0.5)
  line = [sys.executable, str(FILE), '--config=x.py', '--out=out', '--vary', 'seed', '0', '1', '2']
  default = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
  before = {one: signal.signal(one, handler) for one, handler in default.items()}  # a background job may ignore them
  terminal = pty.openpty() if number == signal.SIGHUP else ()  # it comes where this is closed
  streams = terminal[1:] * 2 or (subprocess.PIPE, subprocess.PIPE)
  process = subprocess.Popen(line, cwd=tmp_path, stdout=streams[0], stderr=streams[1], text=True)
  for one, handler in before.items():
    signal.signal(one, handler)
  until = time.time() + 60
  while not (tmp_path / 'begun').exists():
    assert process.poll() is None
    assert time.time() < until, 'no run has begun after 60 seconds'
    time.sleep(0.05)
  for end in terminal:
    os.close(end)
  process.send_signal(number)
  _, complaint = process.communicate(timeout=30)
  assert process.returncode == 128 + number
  assert [row['run'] for row in read(tmp_path / 'out')] == ['seed=0']
  saved = 'stopped; seed=1 has saved where it is: the same command goes on from there\n'
  assert complaint == (None if terminal else saved)
  assert (tmp_path / 'saved').exists() and not (tmp_path / 'out' / 'seed=2.log').exists()


def test_a_run_that_ends_well_without_a_result_has_failed(tmp_path, monkeypatch, capsys):
  def train(out, name, *_):
    (out / f'{name}.log').write_text('a trainer of another kind\n')
    return 0

  monkeypatch.setattr(sweep, 'train', train)
  assert sweep.main(*sweep.parse([TINY, f'--out={tmp_path / "out"}', '--vary', 'seed', '1'])) == 1
  assert 'failed with exit code 0, see ' in capsys.readouterr().out


def test_a_second_ctrl_c_waits_for_nothing():
  class Run:
    def terminate(self):
      self.is_told = True

    def wait(self):
      raise KeyboardInterrupt

    def kill(self):
      self.is_killed = True

  run = Run()
  assert sweep.stop(run, 'a').startswith('stopped at once; ') and run.is_told and run.is_killed
  run.wait = lambda: -9
  assert sweep.stop(run, 'a').startswith('stopped; the same command goes on with a from its last checkpoint')
  assert sweep.stop(None, 'a') == 'stopped before a began'


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


def test_the_revision_is_that_of_the_code(tmp_path, monkeypatch):
  """Not that of a repository that one starts it in."""
  here = sweep.revision()
  options = [part for option in ('user.name=a', 'user.email=a', 'commit.gpgsign=false') for part in ('-c', option)]
  for words in (['init', '-q'], [*options, 'commit', '-qm', 'a', '--allow-empty']):
    subprocess.run(['git', *words], cwd=tmp_path, check=True)
  monkeypatch.chdir(tmp_path)
  assert sweep.revision() == here


def test_a_command_with_a_mistake_keeps_nothing_from_being_put_right(tmp_path, monkeypatch):
  """Where no run was begun, its folder is nobody's."""
  options = lambda field: types.SimpleNamespace(config=TINY, set=[field])
  sweep.open_sweep(tmp_path, options('model.nope=3'), {'seed=0': {'seed': '0'}})
  assert sweep.open_sweep(tmp_path, options('steps=3'), {'seed=1': {'seed': '1'}}) == {'seed=1': {'seed': '1'}}
  (tmp_path / 'seed=1').mkdir()
  with pytest.raises(InputError, match='Choose another --out'):
    sweep.open_sweep(tmp_path, options('steps=4'), {'seed=1': {'seed': '1'}})


def test_a_folder_takes_one_sweep_at_a_time(tmp_path):
  out = tmp_path / 'out'
  out.mkdir()
  with places.locked(out, 'the first'):
    code, said, complaint = start(TINY, f'--out={out}', '--vary', 'seed', '1')
  sentence = f'another process is running the sweep in {out}: wait for it, or choose another --out'
  assert (code, said, complaint) == (2, '', f'python {FILE}: {sentence}\n') and not any(out.iterdir())


@pytest.mark.parametrize(('out', 'reason'), [(FILE, 'it is a file'), ('/proc/x', 'No such file or directory')])
def test_a_folder_that_cannot_be_written_to(out, reason):
  code, said, complaint = start(TINY, f'--out={out}', '--vary', 'seed', '1')
  assert (code, said, complaint) == (2, '', f'python {FILE}: cannot write to --out={out}: {reason}\n')


@pytest.mark.parametrize(
  ('config', 'fields', 'message'),
  [
    (TINY, ['--vary', 'optim.learning_rat', '1', '2'], "there is no config field 'learning_rat'; did you mean 'lear"),
    (TINY, ['--vary', 'seed', '1', '--set', 'steps=2', 'optm.x=1'], "no config field 'optm'; did you mean 'optim'?"),
    (TINY, ['--runs=RUNS'], '--config.sed=3: there is no config field'),
    ('--config=configs/font.py', ['--vary', 'seed', '1'], 'did you mean configs/fonts.py?'),
  ],
)
def test_a_field_that_is_none_starts_no_run(tmp_path, config, fields, message):
  (tmp_path / 'runs.json').write_text('{"a": {"seed": "1"}, "b": {"seed": "2", "sed": "3"}}')
  fields = [field.replace('RUNS', str(tmp_path / 'runs.json')) for field in fields]
  code, said, complaint = start(config, f'--out={tmp_path / "out"}', *fields)
  assert (code, said) == (2, '') and complaint.startswith(f'python {FILE}: ') and complaint.count('\n') == 1
  assert message in complaint and not (tmp_path / 'out').exists()
