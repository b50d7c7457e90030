"""digits_jax.main itself, with the real model: several processes, signals, and kill -9 at any time."""

import random
import shutil
import signal
import time

import pytest

from tests.training import runs

ARGUMENTS = (
  '--config=configs/fonts.py:tiny', '--config.steps_per_call=1', '--config.optim.schedule=plateau',
  '--config.optim.name=sgd', '--config.optim.learning_rate=0.01', '--config.selection.metric=loss',
)  # fmt: skip
NO_MNIST = '--config.data.glyphs=mnist', '--config.data.data_dir={none}'


def start(workdir, cache, *arguments, devices=2):
  return runs.start('digits_jax.main', *ARGUMENTS, f'--workdir={workdir}', *arguments, devices=devices, cache=cache)


@pytest.fixture(scope='module')
def whole(tmp_path_factory, cache):
  """12 steps on two devices without a break."""
  workdir = tmp_path_factory.mktemp('whole')
  ((code, output),) = runs.wait(start(workdir, cache, '--config.steps=12'))
  assert code == 0, output
  return workdir


@pytest.mark.slow
def test_kill_9_at_any_time(whole, tmp_path, cache):
  """Until a start gets through; whatever the moment, the next start goes on."""
  chance, kills = random.Random(0), 0
  checkpoints = tmp_path / 'checkpoints' / 'latest'
  while True:
    process = start(tmp_path, cache, '--config.steps=12')
    if kills < 5:
      done = set(checkpoints.glob('*')) if checkpoints.is_dir() else set()
      until = time.time() + 200
      while process.poll() is None and set(checkpoints.glob('*')) == done and time.time() < until:
        time.sleep(0.005)
      time.sleep(chance.uniform(0, 0.15))  # a save takes about 0.1 s
      process.send_signal(signal.SIGKILL)
    ((code, output),) = runs.wait(process)
    if code == 0:
      break
    assert code == -signal.SIGKILL, output
    kills += 1
  assert kills >= 2
  runs.assert_same_bits(whole, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp_path, cache, number):
  process = start(tmp_path, cache, '--config.steps=100000', '--config.checkpoint_every=100000')
  until = time.time() + 200
  while process.poll() is None and time.time() < until:
    if (tmp_path / 'metrics.jsonl').is_file() and (tmp_path / 'metrics.jsonl').stat().st_size:
      break
    time.sleep(0.05)
  process.send_signal(number)
  ((code, output),) = runs.wait(process)
  assert code == 128 + number, output
  assert 'everything is saved, and the same command continues' in output and 'Traceback' not in output
  step = int(runs.saved(tmp_path)['folder'])
  ((code, output),) = runs.wait(start(tmp_path, cache, f'--config.steps={step + 2}'))
  assert code == 0, output
  assert runs.result(tmp_path)['steps'] == step + 2


@pytest.mark.slow
def test_two_processes_by_hand(whole, tmp_path, cache):
  for steps in (6, 12):
    address = f'--coordinator=127.0.0.1:{runs.free_port()}'
    flags = (address, '--processes=2', f'--config.steps={steps}')
    pair = [start(tmp_path, cache, *flags, f'--process_id={i}', devices=1) for i in range(2)]
    (code, output), (other, heard) = runs.wait(*pair)
    assert (code, other) == (0, 0), output + heard
  assert 'plates-v1' in output and 'plates-v1' not in heard  # process 0 alone speaks
  a, b = runs.saved(whole), runs.saved(tmp_path)
  for name in a:
    if 'params' in name:
      assert a[name] == pytest.approx(b[name], rel=1e-3, abs=1e-4), name
  ours, theirs = runs.result(whole), runs.result(tmp_path)
  assert ours['tests']['test']['loss'] == pytest.approx(theirs['tests']['test']['loss'], rel=1e-3)
  assert ours['steps'] == theirs['steps'] == 12


@pytest.mark.slow
@pytest.mark.parametrize(
  'of_both, of_one, reason, told',
  [
    ([], NO_MNIST, 'prepare mnist', 'another process refuses the config or its data, and says why'),
    (['--config.init_from={run}'], NO_MNIST, 'prepare mnist', 'another process refuses the config or its data'),
    ([], ['--config.seed=1'], '(there -> here): seed: 0 -> 1. Give', 'refuses this config, data or code, and says why'),
    ([], ['--workdir={none}'], '/none is not the same folder in all', '/run, and says why'),
    ([], ['--cpu_devices=2'], '1 in process 0, 2 in process 1', 'and there are 1 in process 0, 2 in process 1'),
  ],
  ids=['data', 'data of a run that begins with another', 'the seed', 'the work directory', 'the number of devices'],
)
def test_what_one_process_refuses_ends_all_of_them(whole, tmp_path, cache, of_both, of_one, reason, told):
  flags = f'--coordinator=127.0.0.1:{runs.free_port()}', '--processes=2', *of_both
  fill = lambda given: [flag.format(none=tmp_path / 'none', run=whole) for flag in given]
  pair = [
    start(tmp_path / 'run', cache, *fill([*flags, f'--process_id={i}', *of_one[: len(of_one) * i]]), devices=1)
    for i in range(2)
  ]
  (code, output), (other, heard) = runs.wait(*pair, seconds=120)
  assert (code, other) == (2, 2), output + heard
  assert told in output and reason in heard
  assert 'Traceback' not in output + heard
  assert (tmp_path / 'run').exists() == ('--workdir={none}' in of_one)  # else it is not begun


@pytest.mark.slow
def test_what_one_process_meets_later_ends_it_in_a_sentence(whole, tmp_path, cache):
  shutil.copytree(whole, tmp_path / 'run')
  shutil.rmtree(tmp_path / 'run' / 'tensorboard')
  (tmp_path / 'run' / 'tensorboard').touch()
  flags = f'--coordinator=127.0.0.1:{runs.free_port()}', '--processes=2', '--config.steps=14'
  pair = [start(tmp_path / 'run', cache, *flags, f'--process_id={i}', devices=1) for i in range(2)]
  (code, output), (other, heard) = runs.wait(*pair, seconds=120)  # jax alone: five minutes
  assert code == 2 and other != 0, output + heard
  assert output.endswith(f'python -m digits_jax.main: File exists: {tmp_path}/run/tensorboard\n')
