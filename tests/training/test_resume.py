"""A run that was stopped, killed or extended equals one that was not, bit for bit."""

import dataclasses
import json
import shutil
import signal
import time

import jax
import numpy as np
import pytest

from configs import fonts, own, street, svhn
from digits_jax.data import image_files, sources, svhn_builder
from digits_jax.errors import InputError
from digits_jax.training import checkpoint, experiment, finish, logbook, loop, rundir
from tests.data import made_svhn
from tests.training import runs, toy

# Averaging is on in configs/common.py. A plateau after every evaluation that is no better.
CHANGES = {'selection.metric': 'loss', 'selection.plateau_patience': 1, 'selection.min_delta': 0.5, 'log_every': 3}


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """{steps per call: a run of 6 steps without a break}."""
  folder = tmp_path_factory.mktemp('whole')
  for per_call in (1, 3):
    assert runs.run_toy(folder / str(per_call), steps=6, steps_per_call=per_call, **CHANGES) == 0
  return folder


@pytest.mark.parametrize('per_call', [1, 3])
def test_a_run_in_two_parts_equals_a_whole_one(whole, tmp_path, per_call):
  first = {'steps': 4, 'steps_per_call': per_call} | CHANGES
  assert runs.run_toy(tmp_path, **first) == 0
  assert float(runs.saved(tmp_path)["['progress']['selection']['rate_scale']"]) < 1  # or it would show nothing
  assert int(runs.saved(tmp_path)["['progress']['summed_steps']"]) == 1  # of a mean that is half-way
  assert runs.run_toy(tmp_path, **first | {'steps': 6}) == 0
  runs.assert_same_bits(whole / str(per_call), tmp_path)


def test_several_steps_in_one_call_are_the_same_steps(whole):
  for name, value in runs.saved(whole / '1').items():
    np.testing.assert_allclose(
      np.asarray(value, float), np.asarray(runs.saved(whole / '3')[name], float), rtol=1e-5, atol=1e-6, err_msg=name
    )


@pytest.mark.slow
def test_the_real_model_in_two_parts_equals_a_whole_one(tmp_path):
  """Convolutions and recurrence included; the toy's validation set has images of the same size."""
  config = fonts.get_config('tiny')
  config.update_from_flattened_dict({'steps_per_call': 1, 'optim.schedule': 'plateau'} | CHANGES)
  for synth in (config.synth, config.tests.test.synth):
    synth.number.update(min_length=1, max_length=2)
    synth.layout.update(height=32, width=64)
  validation = sources.FixedSet('validation', toy.source(side=32), 1, 12)
  assert_two_parts_equal_a_whole(tmp_path, dataclasses.replace(experiment.build(config), validation=validation))


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
  """A made SVHN, and a folder of images of one's own."""
  folder = tmp_path_factory.mktemp('photos')
  made_svhn.write(folder / 'archives', {'train': 20, 'test': 4})
  assert svhn_builder.prepare(str(folder), str(folder / 'archives'), wanted=['train', 'test'], mirrors=[])
  (folder / 'own').mkdir()
  rng = np.random.default_rng(0)
  for i in range(30):
    image_files.write_png(folder / 'own' / f'{i}.png', rng.integers(0, 256, (64, 128), np.uint8))
  return folder


@pytest.mark.slow
@pytest.mark.parametrize(
  'module, changes',
  [
    pytest.param(svhn, {'photos.keep': 'device'}, id='photos on the device'),
    pytest.param(svhn, {'photos.keep': 'host'}, id='photos on the host'),
    pytest.param(svhn, {'photos.keep': 'none', 'photos.workers': 2}, id='photos that threads decode'),
    pytest.param(own, {'data.held_out': (0.3, 0.3)}, id='images of a folder'),
    pytest.param(street, {}, id='scenes'),
  ],
)
def test_every_source_in_two_parts_equals_a_whole_one(tmp_path, photos, monkeypatch, module, changes):
  """An epoch ends within the run, and dropout is drawn."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  config = module.get_config('tiny')
  config.data.update(data_dir=str(photos), folder=str(photos / 'own') if module is own else '')
  config.update_from_flattened_dict({'steps_per_call': 1, 'model.recurrent': 'none', 'model.dropout': 0.2} | changes)
  assert_two_parts_equal_a_whole(tmp_path, experiment.build(config))


def assert_two_parts_equal_a_whole(folder, built):
  """4 steps at once, and 2 and then 2 more."""
  for name, lasts in (('whole', [4]), ('parts', [2, 4])):
    for steps in lasts:
      changed = built.config.copy_and_resolve_references()
      changed.steps = steps
      rundir.open_run(folder / name, changed)
      checkpoints = checkpoint.Checkpoints(folder / name)
      assert loop.train(dataclasses.replace(built, config=changed), folder / name, checkpoints) is None
      checkpoints.close()
  runs.assert_same_bits(folder / 'whole', folder / 'parts', has_result=False)


@pytest.mark.slow
@pytest.mark.parametrize(
  'die',
  [
    pytest.param(('feed', 1), id='before the first checkpoint'),
    pytest.param(('os.rename', 'latest/2.orbax-checkpoint-tmp/default'), id='in the first save'),
    pytest.param(('feed', 3), id='between checkpoints'),
    pytest.param(('os.rename', 'checkpoints/latest/4'), id='in a later save'),
    pytest.param(('os.rmdir', ''), id='while the old checkpoint is deleted'),
    pytest.param(('os.rename', 'checkpoints/best/4'), id='in the save of the best'),
    pytest.param(('shutil.rmtree', 'checkpoints/best/4'), id='before the old best is deleted'),
    pytest.param(('os.rename', 'result.json'), id='before the result'),
  ],
)
def test_kill_9_then_the_same_command_equals_a_whole_run(whole, tmp_path, cache, die):
  changes = {'steps': 6, 'steps_per_call': 1} | CHANGES
  ((code, output),) = runs.wait(runs.start_toy(tmp_path, die=die, cache=cache, **changes))
  assert code == -signal.SIGKILL, output
  if die == ('os.rmdir', ''):
    assert sorted(path.name for path in (tmp_path / 'checkpoints/latest').iterdir()) == ['2', '4']
  if die[0] == 'shutil.rmtree':
    assert len(list((tmp_path / 'checkpoints/best').iterdir())) == 2
  assert runs.run_toy(tmp_path, **changes) == 0
  runs.assert_same_bits(whole / '1', tmp_path)


def test_half_a_line_of_metrics_is_dropped(whole, tmp_path, monkeypatch):
  class Killed(BaseException):
    pass

  def write_half(book, record):
    if record['step'] == 4:
      book._file.write(json.dumps(record)[:30])
      raise Killed
    return write(book, record)

  write = logbook.Logbook._write
  changes = {'steps': 6, 'steps_per_call': 1} | CHANGES
  with monkeypatch.context() as patch, pytest.raises(Killed):
    patch.setattr(logbook.Logbook, '_write', write_half)
    runs.run_toy(tmp_path, **changes)
  with pytest.raises(json.JSONDecodeError):
    runs.logged(tmp_path)
  assert runs.run_toy(tmp_path, **changes) == 0
  runs.assert_same_bits(whole / '1', tmp_path)


@pytest.mark.parametrize(
  ('number', 'per_call', 'at'),
  [(signal.SIGTERM, 1, 1), (signal.SIGINT, 1, 4), (signal.SIGTERM, 1, 5), (signal.SIGINT, 3, 3)],
)
def test_a_signal_saves_and_the_same_command_goes_on(whole, tmp_path, capfd, number, per_call, at):
  handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
  sent = []

  def send(step):
    if step == at and not sent:  # a call of several steps is fed steps that it may leave to the next
      sent.append(step)
      signal.raise_signal(number)

  changes = {'steps': 6, 'steps_per_call': per_call} | CHANGES
  assert runs.run_toy(tmp_path, feed=send, **changes) == 128 + number
  step = int(runs.saved(tmp_path)["['state']['step']"])
  assert at - per_call < step <= at + per_call  # the call that it came in is ended, and no other begun
  assert f'interrupted at step {step}; everything is saved, and the same command continues' in capfd.readouterr().err
  assert not (tmp_path / 'result.json').exists()
  assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
  assert runs.run_toy(tmp_path, **changes) == 0
  runs.assert_same_bits(whole / str(per_call), tmp_path)


@pytest.mark.parametrize('left', ['half of its metadata', 'garbage as metadata', 'all but its metadata', 'nothing'])
def test_a_damaged_checkpoint_is_called_so(whole, tmp_path, left):
  shutil.copytree(whole / '1', tmp_path / 'run')
  (newest,) = (tmp_path / 'run/checkpoints/latest').iterdir()
  if left == 'nothing':
    shutil.rmtree(newest)
    newest.mkdir()
  else:
    (metadata,) = newest.rglob('_METADATA')
    content = {'half': metadata.read_bytes()[:10], 'garb': b'\x93\xff'}.get(left[:4])
    metadata.write_bytes(content) if content else metadata.unlink()
  with pytest.raises(InputError, match=rf'latest/{newest.name} is damaged: copy the run again, or start in another'):
    runs.run_toy(tmp_path / 'run', steps=12, steps_per_call=1, **CHANGES)


@pytest.mark.parametrize('kind', ['latest', 'best'])
def test_a_changed_byte_in_a_checkpoint_is_found(whole, tmp_path, kind):
  shutil.copytree(whole / '1', tmp_path / 'run')
  (newest,) = (tmp_path / 'run/checkpoints' / kind).iterdir()
  data = max((path for path in newest.rglob('*') if path.is_file()), key=lambda path: path.stat().st_size)
  content = bytearray(data.read_bytes())
  content[len(content) // 2] ^= 1
  data.write_bytes(content)
  checkpoints = checkpoint.Checkpoints(tmp_path / 'run')
  with pytest.raises(InputError, match=rf'{kind}/{newest.name} is damaged: copy the run again'):
    if kind == 'best':
      checkpoints.restore_best(checkpoints.best_shapes())
    else:
      runs.run_toy(tmp_path / 'run', steps=12, steps_per_call=1, **CHANGES)


def test_a_run_from_before_checksums_is_gone_on_with(whole, tmp_path, monkeypatch):
  def save(self, kind, step, tree):
    tree = jax.tree.map(np.asarray, jax.device_get(tree))
    self._managers[kind].save(step, args=self._ocp.args.StandardSave(tree), force=True)

  changes = {'steps_per_call': 1} | CHANGES
  with monkeypatch.context() as patch:
    patch.setattr(checkpoint.Checkpoints, '_save', save)
    assert runs.run_toy(tmp_path, **changes, steps=4) == 0
  assert runs.run_toy(tmp_path, **changes, steps=6) == 0
  runs.assert_same_bits(whole / '1', tmp_path)


def test_a_signal_during_validation_stops_there(whole, tmp_path, monkeypatch):
  summarise = loop.scoring.summarise

  def interrupted(records):
    signal.raise_signal(signal.SIGTERM)
    return summarise(records)

  changes = {'steps': 6, 'steps_per_call': 1} | CHANGES
  with monkeypatch.context() as patch:
    patch.setattr(loop.scoring, 'summarise', interrupted)
    assert runs.run_toy(tmp_path, **changes) == 128 + signal.SIGTERM
  assert int(runs.saved(tmp_path)["['state']['step']"]) == 2
  assert runs.run_toy(tmp_path, **changes) == 0
  runs.assert_same_bits(whole / '1', tmp_path)


def test_a_signal_during_the_last_save_is_not_lost(whole, tmp_path, monkeypatch):
  save = checkpoint.Checkpoints.save_latest

  def interrupted_save(self, step, *rest):
    save(self, step, *rest)
    if step == 6:
      signal.raise_signal(signal.SIGTERM)

  changes = {'steps': 6, 'steps_per_call': 1} | CHANGES
  with monkeypatch.context() as patch:
    patch.setattr(checkpoint.Checkpoints, 'save_latest', interrupted_save)
    assert runs.run_toy(tmp_path, **changes) == 128 + signal.SIGTERM
  assert not (tmp_path / 'result.json').exists()
  assert runs.run_toy(tmp_path, **changes) == 0
  runs.assert_same_bits(whole / '1', tmp_path)


@pytest.mark.parametrize('first', [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_after_a_signal_interrupts_at_once(first):
  # A shell's background job starts with Ctrl-C ignored.
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  with pytest.raises(KeyboardInterrupt), loop.Interrupts() as interrupts:
    signal.raise_signal(first)
    assert interrupts.received == first
    signal.raise_signal(signal.SIGINT)
  assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
  signal.signal(signal.SIGINT, before)


def test_a_finished_run_started_again_tests_again_and_changes_nothing(whole, tmp_path):
  changes = {'steps': 6, 'steps_per_call': 1} | CHANGES
  for _ in range(2):
    assert runs.run_toy(tmp_path, **changes) == 0
  runs.assert_same_bits(whole / '1', tmp_path)


def test_seconds_add_up_over_starts(tmp_path):
  slow = lambda step: time.sleep(0.1)
  for steps in (2, 4):
    assert runs.run_toy(tmp_path, feed=slow, steps=steps) == 0
  records = logbook.read_metrics(tmp_path / 'metrics.jsonl')
  seconds = [record['seconds'] for record in records]
  assert seconds == sorted(seconds) and seconds[-1] > 0.4
  assert json.loads((tmp_path / 'result.json').read_text())['seconds'] >= 0.4


def test_training_that_ended_is_left_alone_but_its_records_are_cut_back(tmp_path, capfd):
  """A run was extended, killed, and is then asked for its old number of steps."""
  assert runs.run_toy(tmp_path, steps=2) == 0
  shown = ('all fields: ', (tmp_path / 'model.txt').read_text())  # at the first start alone
  begun = capfd.readouterr().out
  assert all(part in begun for part in shown)
  records, content = runs.logged(tmp_path), runs.result(tmp_path)
  with (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write('{"kind": "train", "step": 3, "loss": 1.0}\n{"kind": "tra')
  assert runs.run_toy(tmp_path, steps=2) == 0
  resumed = capfd.readouterr().out
  assert f'run directory: {tmp_path}' in resumed and not any(part in resumed for part in shown)
  assert runs.logged(tmp_path) == records
  assert runs.result(tmp_path) == content


def test_the_best_is_made_again_where_a_run_died_between_the_two_saves(tmp_path, monkeypatch):
  class Killed(BaseException):
    pass

  def die(self, step, params):
    raise Killed

  with monkeypatch.context() as patch, pytest.raises(Killed):
    patch.setattr(checkpoint.Checkpoints, 'save_best', die)
    runs.run_toy(tmp_path, steps=2)
  built = toy.build(toy.get_config(steps=2))
  checkpoints = checkpoint.Checkpoints(tmp_path)
  assert checkpoints.latest_step() == 2 and checkpoints.best_step() is None
  assert loop.train(built, tmp_path, checkpoints) is None
  assert finish.finish(built, tmp_path, checkpoints)['best_step'] == 2
  checkpoints.close()


def test_constants_of_the_tests_hold():
  assert jax.device_count() == 2 and toy.get_config().optim.average_decay > 0


def test_seconds_are_counted_once(tmp_path):
  began = time.perf_counter()
  assert runs.run_toy(tmp_path, feed=lambda step: time.sleep(0.2), steps=4, checkpoint_every=1, eval_every=4) == 0
  assert 0.6 <= json.loads((tmp_path / 'result.json').read_text())['seconds'] <= time.perf_counter() - began
