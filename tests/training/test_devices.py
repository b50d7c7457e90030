"""The same numbers come out on one device, two, four, and on two processes of two devices."""

import json
import signal

import jax
import numpy as np
import pytest

from digits_jax.data import sources
from digits_jax.training import parallel
from tests.training import runs, toy

# Plain SGD: Adam's first steps are the gradient's sign, which turns rounding into a whole step.
CHANGES = {
  'optim.name': 'sgd', 'optim.momentum': 0.9, 'optim.learning_rate': 0.1, 'selection.metric': 'loss',
  'evaluation.batch_size': 10, 'batch_size': 8, 'steps': 8,
}  # fmt: skip


@pytest.mark.parametrize(('backend', 'wanted'), [('cpu', [1, 1, 7]), ('gpu', [10, 1, 7])])
def test_how_many_steps_are_in_a_call(monkeypatch, backend, wanted):
  monkeypatch.setattr(jax, 'default_backend', lambda: backend)
  assert [parallel.choose_steps_per_call(count) for count in (0, 1, 7)] == wanted


@pytest.fixture(scope='module')
def alone(tmp_path_factory, cache):
  """A run of 8 steps on one device."""
  workdir = tmp_path_factory.mktemp('alone')
  ((code, output),) = runs.wait(runs.start_toy(workdir, devices=1, cache=cache, **CHANGES))
  assert code == 0, output
  return workdir


@pytest.fixture(scope='module')
def pair(tmp_path_factory, cache):
  """The same on two processes of two devices each, in two starts of 4 steps."""
  workdir = tmp_path_factory.mktemp('pair')
  for steps in (4, 8):
    ended = runs.wait(*start_pair(workdir, cache=cache, **CHANGES | {'steps': steps}))
    assert [code for code, _ in ended] == [0, 0], ended
  return workdir


def start_pair(workdir, *, stop_at=None, **changes):
  """Two processes of two devices; the second one is sent SIGTERM before the step stop_at."""
  address = f'127.0.0.1:{runs.free_port()}'
  return [
    runs.start_toy(workdir, process=(address, 2, i), stop_at=stop_at if i else None, **changes) for i in range(2)
  ]


def assert_close(one, other):
  """Two runs, but for the order of sums."""
  assert one.keys() == other.keys()
  for name in one:
    if name != 'folder':
      np.testing.assert_allclose(one[name], other[name], rtol=2e-5, atol=2e-6, err_msg=name)


def assert_same_run(one, other):
  for kind in ('latest', 'best'):
    assert_close(runs.saved(one, kind), runs.saved(other, kind))
  ours, theirs = runs.logged(one), runs.logged(other)
  assert [(r['kind'], r['step']) for r in ours] == [(r['kind'], r['step']) for r in theirs] and len(ours) == 8
  for a, b in zip(ours, theirs, strict=True):
    assert_close(*({k: v for k, v in record.items() if isinstance(v, float)} for record in (a, b)))
  a, b = runs.result(one), runs.result(other)
  assert a['temperature'] == pytest.approx(b['temperature'], rel=2e-4)
  assert a['temperature_fit'] == pytest.approx(b['temperature_fit'], rel=1e-5)
  a, b = a['tests']['test'], b['tests']['test']
  for name in ('loss', 'calibration_error'):  # at temperatures found apart
    assert a.pop(name) == pytest.approx(b.pop(name), rel=1e-4)
  assert a == b


@pytest.mark.slow
def test_two_devices_equal_one(alone, tmp_path):
  assert runs.run_toy(tmp_path, **CHANGES) == 0
  assert_same_run(alone, tmp_path)


@pytest.mark.slow
def test_four_devices_equal_one(alone, tmp_path, cache):
  ((code, output),) = runs.wait(runs.start_toy(tmp_path, devices=4, cache=cache, **CHANGES))
  assert code == 0, output
  assert_same_run(alone, tmp_path)


@pytest.mark.slow
def test_two_processes_that_saved_and_restored_equal_one_device(alone, pair):
  assert_same_run(alone, pair)


@pytest.mark.slow
def test_two_processes_write_one_set_of_files(alone, pair):
  names = lambda workdir: sorted(
    str(path.relative_to(workdir))
    for path in workdir.rglob('*')
    if 'checkpoints' not in path.parts and 'tfevents' not in path.name
  )
  assert names(pair) == names(alone)
  assert len(list((pair / 'tensorboard').iterdir())) == 2  # one for each start
  assert json.loads((pair / 'result.json').read_text())['devices'] == '4 x cpu'


def test_unequal_devices_have_unequal_counts_of_valid_examples():
  """Or the tests above would not see that a mean of means is wrong."""
  built, key = toy.build(toy.get_config()), jax.random.key(0)
  ids = np.arange(8, dtype=np.int32)
  for step in range(4):
    draw = jax.jit(lambda constants, step: sources.draw_batch(built.train, key, constants, step, ids, ids).mask)
    mask = np.asarray(draw(built.train.constants, step))
    if mask[:4].sum() != mask[4:].sum():
      return
  pytest.fail('both halves of every batch have the same number of valid examples')


def replicas(tree):
  """[devices] flat arrays: what each device itself holds."""
  shards = [[np.asarray(shard.data).ravel() for shard in leaf.addressable_shards] for leaf in jax.tree.leaves(tree)]
  return [np.concatenate([leaf[device] for leaf in shards]) for device in range(jax.device_count())]


@pytest.mark.parametrize('per_call', [1, 3])
def test_all_replicas_hold_the_same_bits(per_call):
  built = toy.build(toy.get_config(**CHANGES))
  call = parallel.make_train_call(
    built.task, built.train, built.optimiser, built.schedule, batch_size=8, steps_per_call=per_call, average_decay=0.9
  )
  state = parallel.replicate(built.initial_state())
  constants = parallel.replicate((jax.random.key(0), built.train.constants))
  before = replicas(state.params)
  for step in range(0, 2 * per_call, per_call):
    state, rows, stop = call(state, constants, step, per_call, 1.0, False)
  assert int(stop) == 0
  for name, tree in (('params', state.params), ('averaged', state.averaged), ('metrics', rows)):
    first, second = replicas(tree)
    np.testing.assert_array_equal(first, second, err_msg=name)
  assert (replicas(state.params)[0] != before[0]).mean() > 0.9


def test_rows_after_the_count_are_zeros_and_the_count_is_obeyed():
  built = toy.build(toy.get_config(**CHANGES))
  call = parallel.make_train_call(
    built.task, built.train, built.optimiser, built.schedule, batch_size=8, steps_per_call=3, average_decay=0.9
  )
  constants = parallel.replicate((jax.random.key(0), built.train.constants))
  state, rows, stop = call(parallel.replicate(built.initial_state()), constants, 0, 2, 1.0, True)
  assert int(state.step) == 2 and int(stop) == 2  # both devices of this process
  loss = np.asarray(rows['loss'])
  assert (loss[:2] > 0).all() and loss[2] == 0


@pytest.mark.parametrize(('one', 'other'), [(1, 2), (2, 1)])
def test_a_checkpoint_opens_on_another_number_of_devices(alone, tmp_path, cache, one, other):
  run = {
    1: lambda **changes: runs.wait(runs.start_toy(tmp_path, devices=1, cache=cache, **changes))[0][0],
    2: lambda **changes: runs.run_toy(tmp_path, **changes),
  }
  assert run[one](**CHANGES | {'steps': 4}) == 0
  assert run[other](**CHANGES) == 0
  assert_same_run(alone, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('per_call', [1, 3])
def test_sigterm_to_one_process_stops_both_at_the_same_step(alone, tmp_path, cache, per_call):
  changes = {'steps_per_call': per_call} | CHANGES
  (code, output), (other, _) = runs.wait(*start_pair(tmp_path, stop_at=1, cache=cache, **changes))
  assert (code, other) == (128 + signal.SIGTERM, 128 + signal.SIGTERM), output
  step = int(runs.saved(tmp_path)["['state']['step']"])
  assert f'interrupted at step {step}; everything is saved' in output and 1 < step < 8
  assert not (tmp_path / 'result.json').exists()
  assert runs.run_toy(tmp_path, **changes) == 0  # here, on two devices
  assert_same_run(alone, tmp_path)


@pytest.mark.slow
def test_a_refused_work_directory_ends_both_processes(tmp_path, cache):
  (tmp_path / 'thesis.tex').touch()
  (lead, said), (other, heard) = runs.wait(*start_pair(tmp_path, cache=cache))
  assert lead != 0 and other != 0
  assert 'not empty and holds no run' in said and 'another process refuses the work directory' in heard
