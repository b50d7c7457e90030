"""Runs of the toy, here or in a process of its own, and what their directories hold.

python -m tests.training.runs '{"workdir": ..., "changes": {...}, ...}' trains and tests as digits_jax.main does; the
options are those of `start_toy`.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
TIMES = ('seconds', 'images_per_second', 'test_seconds')


def run(workdir, built):
  """Trains and tests an experiment; returns what digits_jax.main would exit with."""
  from digits_jax.training import run

  result = run.train_and_evaluate(built, workdir)
  return 128 + result if isinstance(result, signal.Signals) else 0


def run_toy(workdir, *, feed=None, **changes):
  """The same with the toy; `feed` is called with each training step before it is fed."""
  from tests.training import toy

  toy.on_feed[:] = [feed] if feed else []
  try:
    return run(workdir, toy.build(toy.get_config(**changes)))
  finally:
    toy.on_feed.clear()


def saved(workdir, kind='latest'):
  """{path of a leaf: array} of a run's checkpoint, but for the seconds; the step where it lies is 'folder'."""
  import jax
  import orbax.checkpoint as ocp

  (folder,) = (path for path in (pathlib.Path(workdir) / 'checkpoints' / kind).iterdir() if path.name.isdigit())
  leaves = jax.tree.leaves_with_path(ocp.PyTreeCheckpointer().restore(folder / 'default'))
  named = {jax.tree_util.keystr(path): leaf for path, leaf in leaves} | {'folder': folder.name}
  for name in ("['progress']['seconds']", "['checksum']"):  # the latter is of the former too
    named.pop(name, None)
  return named


def logged(workdir):
  """The records of metrics.jsonl without times; each line must be whole."""
  lines = (pathlib.Path(workdir) / 'metrics.jsonl').read_text().splitlines()
  return [_timeless(json.loads(line)) for line in lines]


def result(workdir):
  """result.json without times and devices."""
  content = _timeless(json.loads((pathlib.Path(workdir) / 'result.json').read_text()))
  content.pop('devices')
  return content


def assert_same_bits(one, other, *, has_result=True):
  """That two runs have the same checkpoints, records and figures; times apart."""
  import numpy as np

  for kind in ('latest', 'best'):
    a, b = saved(one, kind), saved(other, kind)
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    for name in a:
      np.testing.assert_array_equal(a[name], b[name], err_msg=f'{kind}: {name}')
  np.testing.assert_equal(logged(one), logged(other))
  if has_result:
    np.testing.assert_equal(result(one), result(other))


def _timeless(record):
  return {name: value for name, value in record.items() if name not in TIMES}


def start(module, *arguments, devices=2, cache=None):
  """Starts python -m module; what it prints is in .stdout, text."""
  environment = os.environ | {
    'JAX_PLATFORMS': 'cpu',
    'XLA_FLAGS': f' --xla_force_host_platform_device_count={devices}',
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1',
    'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1',
  }
  if cache:
    environment['JAX_COMPILATION_CACHE_DIR'] = str(cache)
  command = [sys.executable, '-m', module, *arguments]
  return subprocess.Popen(
    command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
  )


def start_toy(workdir, *, devices=2, cache=None, die=None, stop_at=None, process=None, **changes):
  """Starts `run_toy` in a process of its own.

  die: (audit event, text that its arguments hold): SIGKILL there; ('feed', step): before that step is fed.
  stop_at: SIGTERM to itself before that step is fed. process: (coordinator, processes, process_id).
  """
  options = {'workdir': str(workdir), 'changes': changes, 'die': die, 'stop_at': stop_at, 'process': process}
  return start('tests.training.runs', json.dumps(options), devices=devices, cache=cache)


def wait(*processes, seconds=300):
  """[(exit code, output)] of processes; those that take longer are killed."""
  try:
    outputs = [process.communicate(timeout=seconds)[0] for process in processes]
  finally:
    for process in processes:
      process.kill()
  return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]


def free_port():
  with socket.socket() as listener:
    listener.bind(('127.0.0.1', 0))
    return listener.getsockname()[1]


def _main(*, workdir, changes, die, stop_at, process):
  if process:
    from digits_jax import processes

    processes.join(*process)
  kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
  event, text = die or (None, None)

  def feed(step):
    if event == 'feed' and step == text:
      kill()
    if step == stop_at:
      signal.raise_signal(signal.SIGTERM)

  def watch(name, arguments):  # Python reports every file that it renames or removes
    if name == event and text in ' '.join(map(str, arguments)):
      kill()

  if event and event != 'feed':
    sys.addaudithook(watch)
  return run_toy(workdir, feed=feed, **changes)


if __name__ == '__main__':
  sys.exit(_main(**json.loads(sys.argv[1])))
