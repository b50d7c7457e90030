"""Wrong input as its user meets it: one clear sentence that names the thing and the way out, exit code 2."""

import errno
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import jax
import pytest
from absl import flags
from absl.testing import flagsaver

from configs import fonts, street
from digits_jax import command, main, processes
from digits_jax.errors import InputError
from digits_jax.training import checks, run, rundir

ROOT = pathlib.Path(__file__).resolve().parents[1]
TINY = '--config=configs/fonts.py:tiny'


def start(name, *arguments, folder=ROOT):
  """(exit code, stdout, stderr) of python -m digits_jax.NAME, in a process of its own."""
  line = [sys.executable, '-m', f'digits_jax.{name}', '--compilation_cache=', *map(str, arguments)]
  done = subprocess.run(
    line, cwd=folder, capture_output=True, text=True, timeout=120, env=os.environ | {'PYTHONPATH': str(ROOT)}
  )
  return done.returncode, done.stdout, done.stderr


def assert_one_sentence(code, out, err, *parts, name='main'):
  assert (code, out) == (2, ''), (code, out, err)
  assert err.startswith(f'python -m digits_jax.{name}: ') and err.count('\n') == 1 and 'Traceback' not in err
  for part in parts:
    assert part in err


@pytest.fixture
def call(monkeypatch, capfd, tmp_path):
  """The same within this process, for what is only known after jax and the glyphs are there."""
  monkeypatch.chdir(ROOT)
  for name in ('JAX_COMPILATION_CACHE_DIR', 'XLA_PYTHON_CLIENT_PREALLOCATE', 'TF_CPP_MIN_LOG_LEVEL'):
    monkeypatch.setenv(name, '')  # what the command sets is put back

  def call(*arguments):
    argv = ['main.py', '--compilation_cache=', *map(str, arguments)]
    monkeypatch.setattr(sys, 'argv', argv)
    with flagsaver.flagsaver():
      code = command._run(main.main, argv)
      flags.FLAGS.unparse_flags()
    return code, *capfd.readouterr()

  return call


@pytest.mark.parametrize(
  'arguments, parts',
  [
    ([], ['which experiment? Give --config=configs/fonts.py:quick']),
    (['--config=configs/font.py'], ["no config file 'configs/font.py'; did you mean configs/fonts.py?"]),
    (['--config=configs/nosuch.py'], ["no config file 'configs/nosuch.py'; configs has common.py, digit.py, fonts.py"]),
    (['--config=configs/nosuch.py'], ['street.py, svhn.py\n']),  # not testsets.py, which is no config
    (['--config=configs/svhn'], ["no config file 'configs/svhn'; did you mean configs/svhn.py?"]),
    (['--config=nowhere/x.py'], ["no config file 'nowhere/x.py': give --config=configs/NAME.py"]),
    (['--config='], ["no config file ''"]),
    (['--config'], ["no config file ''"]),
    (['--config=configs'], ["no config file 'configs'"]),
    (['--config=configs/testsets.py'], ['configs/testsets.py is no config file: it has no function get_config']),
    (['--config=configs/fonts.py:quikc'], ['configs/fonts.py:quikc', "no argument 'quikc'; did you mean 'quick'?"]),
    (['--config=configs/mnist.py:zzz'], ["no argument 'zzz'; it is one of strings, seven, notes, triplets, "]),
    (['--config=configs/common.py:x'], ['configs/common.py takes no argument after a colon']),
    ([TINY, '--config.stepz=3'], ["--config.stepz=3: there is no config field 'stepz'; did you mean 'steps'?"]),
    ([TINY, '--config.model.recurent', 'gru'], ["no config field 'recurent'; did you mean 'recurrent'?"]),
    ([TINY, '--config.modle.recurrent=gru'], ["no config field 'modle'; did you mean 'model'?"]),
    ([TINY, '--config.zzz.steps=3'], ["no config field 'zzz'; it is one of alphabet, augment, batch_size"]),
    ([TINY, '--config.steps.more=3'], ["no config field 'more'"]),
    ([TINY, '--config.steps=abc'], ['--config.steps=abc: it takes a whole number']),
    ([TINY, '--config.batch_size=2.5'], ['--config.batch_size=2.5: it takes a whole number']),
    ([TINY, '--config.optim.learning_rate=fast'], ['--config.optim.learning_rate=fast: it takes a number']),
    ([TINY, '--config.model.is_bidirectional=maybe'], ['it takes true or false']),
    ([TINY, '--config.model=1'], ['--config.model=1: it is a group of fields']),
    ([TINY, '--config.synth.photo.noise=(0.1,0.2'], ['noise=(0.1,0.2: it is no Python value (', 'was never closed']),
    ([TINY, '--config.steps', '--workdir=x'], ['--config.steps has no value: what follows it is --workdir=x']),
    (['--config.steps=4', TINY], ['--config.steps=4 changes a field of --config: give --config=FILE before it']),
    ([TINY, '--workdir', '--config.steps=3'], ['--workdir has no value: what follows it is --config.steps=3']),
    ([TINY, '--config.batch_size=0'], ['config.batch_size=0 must be at least 1']),
    (['--workdr=x'], ["Unknown command line flag 'workdr'", 'workdir', '(see python -m digits_jax.main --help)']),
    ([TINY, 'steps=3'], ["unexpected argument 'steps=3'", '--config.steps=500']),
    ([TINY, '--cpu_devices=0'], ['--cpu_devices=0: 0 is not a positive integer']),
    ([TINY, '--cpu_devices=two'], ['--cpu_devices=two: it takes a whole number']),
    ([TINY, '--memory_fraction=0.5'], ['--memory_fraction has no effect without --preallocate']),
    ([TINY, '--memory_fraction=2', '--preallocate'], ['--memory_fraction=2', '[0.01, 1.0]']),
    ([TINY, '--processes=2'], ['--coordinator, --processes and --process_id belong together']),
    ([TINY, '--coordinator=a:1', '--processes=2', '--process_id=2'], ['--process_id=2 is not one of --processes=2']),
    ([TINY, '--coordinator=a', '--processes=2', '--process_id=0'], ['--coordinator=a is not HOST:PORT']),
    ([TINY, '--processes=0'], ['--processes=0']),
    ([TINY, '--coordinator=a:70000', '--processes=2', '--process_id=1'], ['--coordinator=a:70000: ports go to 65535']),
  ],
)
def test_flags(arguments, parts):
  assert_one_sentence(*start('main', *arguments), *parts)


def test_a_port_that_is_taken():
  with socket.create_server(('', 0)) as listener:
    address = f'localhost:{listener.getsockname()[1]}'
    flags = f'--coordinator={address}', '--processes=2', '--process_id=0'
    assert_one_sentence(*start('main', TINY, *flags), address, 'process 0 cannot listen on that port (Address already')


@pytest.mark.parametrize(
  'line, parts',
  [
    ('config.optim.learning_rat = 3', ["line 4: there is no config field 'learning_rat'; did you mean 'learn"]),
    ('config.modle.patch = 3', ["line 4: there is no config field 'modle'; did you mean 'model'?"]),
    ('config.steps = "3" + 4', ['line 4: TypeError: can only concatenate str']),
    ('config.steps = stepz', ["line 4: NameError: name 'stepz' is not defined"]),
    ('config.steps = (3', ["line 4: '(' was never closed"]),
    ('config.steps = "many"', ['line 4: a field that holds a whole number is set to many']),
    ('config.optim = 3.5', ['line 4: a field that holds a group of fields is set to 3.5']),
    ('config.synth.warp.slant_degrees = (-9.0, 9.0)', ['line 4: a field that holds a number is set to (-9.0, 9.0)']),
    ('import nowhere', ["line 4: ModuleNotFoundError: No module named 'nowhere'"]),
    ('config.optim.lr = 3', ["line 4: there is no config field 'lr'; configs/common.py has all fields"]),
  ],
)
def test_a_config_file_with_a_mistake_names_the_line(tmp_path, line, parts):
  file = tmp_path / 'fork.py'
  head = 'from configs import common\ndef get_config():\n  config = common.get_config()\n'
  file.write_text(f'{head}  {line}\n  return config\n')
  assert_one_sentence(*start('main', f'--config={file}'), str(file), *parts)


@pytest.mark.parametrize(
  'line, problem',
  [
    ('return None', 'the get_config of this --config returns nothing: end it with `return config`'),
    ('config.model.unlock(); config.model.squeeze = 4', 'config.model.squeeze: no model has a field of this name'),
  ],
)
def test_a_config_file_that_means_nothing(tmp_path, line, problem):
  (tmp_path / 'fork.py').write_text(
    f'from configs import fonts\ndef get_config():\n  config = fonts.get_config("tiny")\n  {line}\n  return config\n'
  )
  code, _, err = start('main', f'--config={tmp_path / "fork.py"}', f'--workdir={tmp_path / "run"}')
  assert code == 2 and err.splitlines()[-1].startswith(f'python -m digits_jax.main: {problem}'), err
  assert not (tmp_path / 'run').exists()


def test_a_config_anywhere_imports_those_of_the_project(tmp_path):
  """From another folder, where the package is installed and `configs` is not."""
  (tmp_path / 'mine.py').write_text('from configs import fonts\nget_config = lambda: fonts.get_config("tinny")\n')
  line = [sys.executable, '-c', 'from digits_jax import command, main; command.run(main.main)', '--config=mine.py']
  startup = f'import sys; sys.path.insert(0, {str(ROOT)!r})'  # as an editable installation has it, but behind all else
  line[2] = f'{startup}; import digits_jax; sys.path.remove({str(ROOT)!r}); {line[2]}'
  done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {'PYTHONPATH': ''})
  assert done.returncode == 2 and "this config has no argument 'tinny'" in done.stderr, done.stderr


@pytest.mark.parametrize(
  'field, parts',
  [
    ('synth.layout.kind=strng', ["synth.layout.kind: there is no 'strng'; did you mean 'string'?"]),
    ('synth.layout.spacing=gap', ["synth.layout.spacing: there is no 'gap'; did you mean 'gaps'?"]),
    ('synth.layout.width=20', ['the canvas is 64x20: raise synth.layout.width and height']),
    ('synth.number.max_length=40', ['40 digits need up to', 'lower synth.number.max_length']),
    ('model.patch=4,32', ['numbers of 5 symbols do not fit the 4 frames of this model']),
    ('model.patch=5,4', ['64x128 cannot be cut into patches of 5x4: change model.patch']),
    ('model.pools=((3,1),(2,1))', ['change model.pools']),
    ('model.groups=3', ['model.widths: 8 features cannot be normalised in 3 model.groups']),
    ('model.widths=8,x', ['config.model.widths: ', 'is not a number']),
    ('model.widths=0,8', ['config.model.widths=(0, 8) must be at least 1']),
    ('model.recurrent=ltsm', ["model.recurrent: there is no 'ltsm'; did you mean 'lstm'?"]),
    ('model.dtype=float16', ["config.model.dtype: there is no 'float16'; it is float32 or bfloat16"]),
    ('optim.name=adamm', ["config.optim.name: there is no 'adamm'; did you mean 'adam"]),
    ('optim.schedule=cosin', ["config.optim.schedule: there is no 'cosin'; did you mean 'cosine'?"]),
    ('optim.learning_rate=0', ['config.optim.learning_rate=0.0 must be above 0']),
    ('selection.metric=accuracy', ["config.selection.metric: there is no 'accuracy'"]),
    ('task=read', ["config.task: there is no 'read'; did you mean 'read_ctc'?"]),
    ('task=classify', ['the task classify names one symbol, and numbers have up to 5: set synth.number.max_length=1']),
    ('model.positions=0', ['config.model.positions=0 must be at least 1']),
    ('model.widths=8.0,8', ['config.model.widths=(8.0, 8) must hold whole numbers']),
    ('model.dropout=1.0', ['config.model.dropout=1.0 must be in [0, 1)']),
    ('model.label_smoothing=1.0', ['config.model.label_smoothing=1.0 must be in [0, 1)']),
    ('optim.momentum=1.5', ['config.optim.momentum=1.5 must be in [0, 1)']),
    ('optim.learning_rate=nan', ['config.optim.learning_rate=nan must be above 0']),
    ('optim.learning_rate=inf', ['config.optim.learning_rate=inf must be above 0, and finite']),
    ('optim.weight_decay=nan', ['config.optim.weight_decay=nan must be at least 0']),
    ('tests.test.synth.layout.width=130', ['config.tests.test: a canvas of 64x130 cannot be cut into patches of 4x4']),
    ('selection.plateau_factor=2.0', ['config.selection.plateau_factor=2.0 must be above 0 and at most 1']),
    ('seed=-1', ['config.seed=-1 must be at least 0 and below 2**32']),
    ('validation.seed=2', ['config.validation.seed=2 is that of config.tests.test: give it another']),
    ('tests.test.seed=4294967298', ['config.tests.test.seed=4294967298 must be at least 0 and below 2**32']),
    ('synth.layout.height=32', ['config.tests.test: its images of 64x128 do not fit a model of 32x128']),
    ('tests.test.draw=glyph', ["config.tests: plates-v1 has draw='glyph'; it is numbers or glyphs"]),
    ('alphabet=01a', ["alphabet '01a' holds ['a']"]),
    ('photos.margin=-0.1', ['config.photos.margin=-0.1 must be at least 0']),
    ('photos.workers=-1', ['config.photos.workers=-1 must be at least 0']),
    ('init_subtrees=trunk', ['config.init_subtrees is set and config.init_from is empty']),
    ('steps=0', ['config.steps=0 must be at least 1']),
    ('evaluation.sheet=0', ['config.evaluation.sheet=0 must be at least 1']),
    ('tests.test.examples=0', ['config.tests.test.examples=0 must be at least 1']),
    ('batch_size=7', ['config.batch_size=7 cannot be shared by 2 devices: the nearest is 6 or 8']),
    ('data.glyphs=font', ["'font'", "did you mean 'fonts'?"]),
    ('data.font_sizes=20,big', ['config.data.font_sizes: ', 'is not a number']),
    ('synth.photo.noise=((0.1,0.2),(0.3,0.4))', ['config.synth.photo.noise: (0.1, 0.2) in ', ' is not a number']),
    ('synth.photo.noise=(False,True)', ['config.synth.photo.noise: False in (False, True) is not a number']),
    ('data.font_sizes=2', ['font size 2 is not a whole number from 6 to 256']),
    ('data.font_dir=/nowhere', ["font folder '/nowhere' does not exist"]),
    ('data.font_dir=docs', ["font folder 'docs' has no face that draws '0123456789'"]),
    ('data.test_families=Arial', ["test family 'Arial' is not one of", 'DejaVu']),
  ],
)
def test_config_fields(call, tmp_path, field, parts):
  assert_one_sentence(*call(TINY, f'--workdir={tmp_path / "run"}', f'--config.{field}'), *parts)
  assert not (tmp_path / 'run').exists()  # the corrected command may use the same folder


def test_steps_to_profile_are_handed_on(call, monkeypatch, tmp_path):
  def train_and_evaluate(built, workdir, **options):
    asked.append(options)
    return signal.SIGTERM

  asked = []
  monkeypatch.setattr(run, 'train_and_evaluate', train_and_evaluate)
  for arguments in ([], ['--profile=3']):
    assert call(TINY, f'--workdir={tmp_path}', *arguments)[0] == 128 + signal.SIGTERM
  assert asked == [{'profile_steps': 0}, {'profile_steps': 3}]


def test_missing_mnist_names_the_command(call, tmp_path):
  folder = f'--config.data.data_dir={tmp_path}'
  done = call('--config=configs/mnist.py:tiny', folder, f'--workdir={tmp_path / "run"}')
  assert_one_sentence(*done, f'no MNIST in {tmp_path}', f'`python -m digits_jax.prepare mnist --data_dir={tmp_path}`')


def test_missing_svhn_names_the_command_and_the_files(call, tmp_path):
  folder = f'--config.data.data_dir={tmp_path}'
  for argument, splits in (('', 'train,test'), (':extra', 'train,extra,test')):
    done = call(f'--config=configs/svhn.py{argument}', folder, f'--workdir={tmp_path / "run"}')
    command_line = f'`python -m digits_jax.prepare svhn --splits={splits} --data_dir={tmp_path}`'
    assert_one_sentence(*done, f'split of SVHN in {tmp_path}', command_line, 'train.tar.gz and ', '--archives=DIR')
  assert os.listdir(tmp_path) == []


def test_a_font_folder_without_a_usable_face_says_why(call, tmp_path):
  (tmp_path / 'broken.ttf').write_bytes(b'no font')
  done = call(TINY, f'--config.data.font_dir={tmp_path}', f'--workdir={tmp_path / "run"}')
  assert_one_sentence(*done, f"font folder '{tmp_path}' has no face", '1 refused: broken.ttf')


def test_the_work_directory_of_another_config(call, tmp_path):
  other = fonts.get_config('tiny')
  other.update(seed=3, steps=8)
  other.model.recurrent = 'gru'
  (tmp_path / 'config.json').write_text(json.dumps(rundir.plain(other)))
  done = call(TINY, f'--workdir={tmp_path}')
  assert_one_sentence(*done, str(tmp_path), "model.recurrent: 'gru' -> 'lstm'", 'seed: 3 -> 0', 'another --workdir')
  assert 'steps' not in done[2]  # may change
  assert os.listdir(tmp_path) == ['config.json']


def test_a_work_directory_of_something_else(call, tmp_path):
  (tmp_path / 'diary.txt').write_text('dear diary')
  assert_one_sentence(*call(TINY, f'--workdir={tmp_path}'), f'{tmp_path} is not empty and holds no run')
  assert os.listdir(tmp_path) == ['diary.txt']


def test_an_unwritable_work_directory(call, tmp_path):
  (tmp_path / 'file').write_text('')
  done = call(TINY, f'--workdir={tmp_path / "file" / "run"}')
  assert_one_sentence(*done, f'cannot write to the work directory {tmp_path / "file" / "run"}: Not a directory')


def test_a_late_error_is_one_sentence_in_a_process_of_its_own_too(tmp_path):
  (tmp_path / 'file').write_text('')
  shard = ['--cpu_devices=3', '--config.batch_size=8']
  assert_one_sentence(*start('main', TINY, *shard), 'config.batch_size=8 cannot be shared by 3 devices', '6 or 9')
  done = start('main', TINY, f'--workdir={tmp_path / "file"}')
  assert_one_sentence(*done, f'cannot write to the work directory {tmp_path / "file"}')


@pytest.mark.parametrize('name', ['main', 'synthesise', 'prepare', 'plots'])
@pytest.mark.parametrize('flag', ['--help', '-h'])
def test_help(name, flag, tmp_path):
  code, out, err = start(name, flag, folder=tmp_path)
  assert (code, err) == (0, '')
  assert f'python -m digits_jax.{name}' in out and '--compilation_cache' in out and '--[no]preallocate' in out
  wanted = {'main': '--config', 'synthesise': '--[no]distinct', 'prepare': '--data_dir', 'plots': '--workdir'}
  assert f'  {wanted[name]}: ' in out
  assert os.listdir(tmp_path) == []


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch):
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', '')

  def broken(arguments):
    raise ValueError('a defect')

  with flagsaver.flagsaver(), pytest.raises(ValueError, match='a defect'):
    command._run(broken, ['main.py', '--compilation_cache='])
  flags.FLAGS.unparse_flags()


def test_no_memory_is_one_sentence(monkeypatch, capsys):
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', '')
  ask = lambda arguments: jax.numpy.zeros(2**50).block_until_ready()
  with flagsaver.flagsaver():
    assert command._run(ask, ['main.py', '--compilation_cache=']) == 2
  flags.FLAGS.unparse_flags()
  said = capsys.readouterr().err
  assert said.count('\n') == 1 and 'no memory is left (' in said and 'use smaller batches' in said


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
def test_no_room_is_one_sentence(number, monkeypatch, capsys):
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', '')

  def full(arguments):
    raise OSError(number, os.strerror(number))  # as a write to a file that is open

  with flagsaver.flagsaver():
    assert command._run(full, ['main.py', '--compilation_cache=']) == 2
  flags.FLAGS.unparse_flags()
  assert capsys.readouterr().err == f'python -m digits_jax.main: {os.strerror(number)}\n'


def test_devices_of_the_tests():
  assert jax.device_count() == 2


@pytest.fixture
def prepared(monkeypatch):
  """What a command's flags leave in an environment that knows nothing yet."""
  names = ('XLA_PYTHON_CLIENT_PREALLOCATE', 'XLA_PYTHON_CLIENT_MEM_FRACTION', 'JAX_COMPILATION_CACHE_DIR')

  def prepare(*arguments, **known):
    monkeypatch.setattr(os, 'environ', {key: os.environ[key] for key in os.environ if key not in names} | known)
    with flagsaver.flagsaver():
      flags.FLAGS(['x', *arguments], known_only=True)
      command._prepare_environment()
      flags.FLAGS.unparse_flags()
    return [os.environ.get(name) for name in names]

  return prepare


@pytest.mark.parametrize(
  ('arguments', 'wanted'),
  [
    ([], ['false', None]),
    (['--preallocate'], ['true', None]),
    (['--nopreallocate'], ['false', None]),
    (['--preallocate', '--memory_fraction=0.5'], ['true', '0.5']),
  ],
)
def test_how_much_of_a_gpu_is_taken(prepared, arguments, wanted):
  assert prepared(*arguments)[:2] == wanted


@pytest.mark.parametrize(
  ('arguments', 'known', 'wanted'),
  [
    ([], {}, '~/.cache/digits_jax/xla'),
    ([], {'JAX_COMPILATION_CACHE_DIR': '/there'}, '/there'),
    (['--compilation_cache=~/own'], {'JAX_COMPILATION_CACHE_DIR': '/there'}, '~/own'),
    (['--compilation_cache='], {'JAX_COMPILATION_CACHE_DIR': '/there'}, None),
  ],
)
def test_where_compiled_programs_are_kept(prepared, arguments, known, wanted):
  assert prepared(*arguments, **known)[2] == (wanted and os.path.expanduser(wanted))


def test_process_1_waits_for_process_0(monkeypatch, capfd):
  joined = []
  monkeypatch.setattr(processes, 'join', lambda *where: joined.append(where))
  monkeypatch.setattr(processes, 'LONGEST_WAIT', 1)
  monkeypatch.setattr(processes, 'SILENT_WAIT', 0.1)
  with flagsaver.flagsaver(), socket.create_server(('127.0.0.1', 0)) as listener:
    address = f'127.0.0.1:{listener.getsockname()[1]}'
    flags.FLAGS(['x', f'--coordinator={address}', '--processes=2', '--process_id=1'], known_only=True)
    processes.connect()
    assert joined == [(address, 2, 1)] and capfd.readouterr().err == ''
    listener.close()
    with pytest.raises(InputError, match=f'--coordinator={address}: process 0 does not answer there .Connection refu'):
      processes.connect()
    assert capfd.readouterr().err == f'waiting for process 0 at {address} ...\n' and len(joined) == 1
    flags.FLAGS.unparse_flags()


class Left(Exception):
  """Instead of the end of this process."""


@pytest.mark.parametrize('joined', [True, False])
@pytest.mark.parametrize('error, code', [(SystemExit(2), 2), (SystemExit(0), None), (KeyError('a defect'), 1)])
def test_a_process_that_fails_leaves_the_others_in_time(monkeypatch, capfd, joined, error, code):
  """jax waits for them, forever as it seems here."""

  def leave(code):
    raise Left(code)

  monkeypatch.setattr(processes, 'LONGEST_LEAVE', 0.1)
  monkeypatch.setattr(jax.distributed, 'is_initialized', lambda: joined)
  monkeypatch.setattr(jax.distributed, 'shutdown', threading.Event().wait)
  monkeypatch.setattr(os, '_exit', leave)
  is_left = joined and code is not None
  with pytest.raises(Left if is_left else type(error)) as raised, processes.leaving():
    raise error
  assert raised.value.args == ((code,) if is_left else error.args)
  assert ("KeyError: 'a defect'" in capfd.readouterr().err) == (is_left and code == 1)


def test_distributed_where_nothing_says_how(monkeypatch):
  for name in list(os.environ):
    if name.startswith(('SLURM_', 'OMPI_', 'PMI', 'TPU_', 'KUBERNETES_', 'JAX_COORDINATOR')):
      monkeypatch.delenv(name)
  assert_one_sentence(*start('main', TINY, '--distributed'), '--distributed finds neither Slurm nor a TPU pod here')


def test_seeds_of_scenes_and_shares_of_rates():
  config = street.get_config('tiny')
  config.validation.seed = config.tests.test.seed
  with pytest.raises(InputError, match=r'config\.validation\.seed=.* is that of config\.tests\.'):
    checks.check_seeds(config)
  config.optim.final_frac = 1.5
  with pytest.raises(InputError, match=r'config\.optim\.final_frac=1\.5 must be in \[0, 1\]'):
    checks.check_training(config)
