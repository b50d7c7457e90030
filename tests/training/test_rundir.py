"""Whose run a directory is, and what may change."""

import contextlib
import dataclasses
import json
import os

import jax
import pytest

from digits_jax.errors import InputError
from digits_jax.training import checkpoint, parallel, run, rundir
from tests.training import runs, toy


def open_run(workdir, **changes):
  rundir.open_run(workdir, toy.get_config(**changes))


def test_a_new_directory_gets_its_config(tmp_path):
  open_run(tmp_path / 'a' / 'b', seed=7)
  config = rundir.read_config(tmp_path / 'a' / 'b')
  assert config['seed'] == 7 and config['model']['widths'] == [8, 8]
  assert [path.name for path in (tmp_path / 'a' / 'b').iterdir()] == ['config.json']


def test_counts_of_steps_may_change(tmp_path):
  open_run(tmp_path)
  open_run(tmp_path, steps=9, log_every=1, eval_every=3, checkpoint_every=5)


def test_another_config_is_refused_with_the_fields_that_differ(tmp_path):
  open_run(tmp_path)
  with pytest.raises(InputError) as refusal:
    open_run(tmp_path, **{'seed': 3, 'optim.learning_rate': 0.5, 'steps': 9})
  message = str(refusal.value)
  assert 'optim.learning_rate: 0.002 -> 0.5; seed: 0 -> 3.' in message and 'steps' not in message
  assert rundir.read_config(tmp_path)['seed'] == 0


def test_fields_that_come_and_go_are_differences_too():
  before, now = {'a': 1, 'b': {'c': 2}}, {'b': {'c': 2, 'd': 3}}
  assert rundir.differences(before, now) == ['a: 1 -> \'(none)\'', "b.d: '(none)' -> 3"]
  assert rundir.differences({'x': {'steps': 1}}, {'x': {'steps': 2}}) == ['x.steps: 1 -> 2']  # free at the top alone


@pytest.mark.parametrize(
  ('group', 'field', 'value', 'complaint'),
  [
    ('evaluation', 'zooms', (1.1,), r'evaluation\.zooms: \[\] -> \[1\.1\]'),
    ('model', 'is_aligned', True, r'model\.is_aligned: False -> True'),
    ('model', 'dropout', 0.2, r'model\.dropout: 0\.0 -> 0\.2'),
    ('model', 'is_standardised', False, r'model\.is_standardised: True -> False'),
  ],
  ids=['zooms', 'is_aligned', 'dropout', 'is_standardised'],
)
def test_a_run_from_before_there_was_a_field_may_go_on(tmp_path, group, field, value, complaint):
  open_run(tmp_path)
  config = rundir.read_config(tmp_path)
  del config[group][field]
  rundir.write_json(tmp_path / 'config.json', config)
  open_run(tmp_path)
  with pytest.raises(InputError, match=complaint):
    open_run(tmp_path, **{f'{group}.{field}': value})


def test_a_directory_of_something_else_is_refused(tmp_path):
  (tmp_path / 'thesis.tex').touch()
  with pytest.raises(InputError, match='not empty and holds no run'):
    open_run(tmp_path)


def test_a_start_killed_while_it_wrote_the_config_is_no_obstacle(tmp_path):
  (tmp_path / '.config.json.tmp').write_text('{"se')
  open_run(tmp_path)
  assert rundir.read_config(tmp_path)['seed'] == 0


@pytest.mark.parametrize('content', [b'{"se', b'[]', b'{"name": "\xe9"}'])
def test_a_damaged_config_is_named(tmp_path, content):
  (tmp_path / 'config.json').write_bytes(content)
  with pytest.raises(InputError, match=r'config\.json is damaged'):
    open_run(tmp_path)


def test_one_run_at_a_time(tmp_path):
  enter = lambda: contextlib.ExitStack().enter_context(rundir.locked(tmp_path))
  refused = pytest.raises(InputError, match=r'another process is training in .*: wait')
  with rundir.locked(tmp_path), refused:
    enter()
  with rundir.locked(tmp_path):
    pass


def test_two_that_begin_at_once(tmp_path, monkeypatch):
  """One comes while the other writes its config: it hears of that, and not that the directory holds something else."""
  write, came = rundir.write_config, []

  def write_while_another_comes(workdir, config):
    if not came:
      came.append(True)
      with pytest.raises(InputError, match='another process is training in'):
        open_run(workdir)
    write(workdir, config)

  monkeypatch.setattr(rundir, 'write_config', write_while_another_comes)
  open_run(tmp_path / 'run')
  assert came and rundir.read_config(tmp_path / 'run')


def test_other_data_is_refused(tmp_path):
  rundir.check_data(tmp_path, 'checksum: 1\n')  # a new run
  (tmp_path / 'data.txt').write_text('7 images\nchecksum: 1\n')
  rundir.check_data(tmp_path, 'seven images\nchecksum: 1\n')
  with pytest.raises(InputError, match='trained on other data'):
    rundir.check_data(tmp_path, '7 images\nchecksum: 2\n')


def test_a_run_notes_its_data_and_goes_on_with_no_other(tmp_path):
  def go(report, steps, **options):
    built = toy.build(toy.get_config(steps=steps, eval_every=2))
    built = dataclasses.replace(built, train=dataclasses.replace(built.train, report=report))
    return run.train_and_evaluate(built, tmp_path, **options)

  go('checksum: 1\n', 4, profile_steps=2)
  assert (tmp_path / 'data.txt').read_text() == 'checksum: 1\n'
  assert len(list((tmp_path / 'profile').rglob('*.xplane.pb'))) == 1
  with pytest.raises(InputError, match='trained on other data'):
    go('checksum: 2\n', 6)


def test_what_changes_no_bit_may_change(tmp_path):
  open_run(tmp_path)
  changed = {'evaluation.batch_size': 4, 'photos.keep': 'host', 'photos.workers': 3}
  open_run(tmp_path, **changed, **{'data.data_dir': 'elsewhere', 'data.folder': 'elsewhere'})


def test_no_other_field_may_change():
  free = {
    'steps', 'log_every', 'eval_every', 'checkpoint_every', 'blank_patience', 'selection.patience', 'data.data_dir',
    'data.folder', 'photos.keep', 'photos.workers', 'evaluation.batch_size', 'evaluation.sheet',
  }  # fmt: skip

  def look(fields, prefix=''):
    for name, value in fields.items():
      if isinstance(value, dict):
        look(value, f'{prefix}{name}.')
        continue
      fields[name] = 'another'
      differing[prefix + name] = rundir.differences(before, now)
      fields[name] = value

  before, now, differing = rundir.plain(toy.get_config()), rundir.plain(toy.get_config()), {}
  look(now)
  assert len(differing) > 200 and {name for name, said in differing.items() if not said} == free


def test_a_path_below_a_file_cannot_be_written(tmp_path):
  (tmp_path / 'file').touch()
  for path, reason in ((tmp_path / 'file' / 'run', 'Not a directory'), (tmp_path / 'file', 'it is a file')):
    with pytest.raises(InputError, match=f'cannot write to the work directory {path}: {reason}'):
      open_run(path)


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_a_read_only_directory_cannot_be_written(tmp_path):
  tmp_path.chmod(0o500)
  with pytest.raises(InputError, match='cannot write to the work directory'):
    open_run(tmp_path)


@pytest.mark.parametrize('error', [InputError('no'), FileNotFoundError(2, 'gone', 'data.txt')])
def test_what_one_process_cannot_do_the_others_are_told(monkeypatch, error):
  told = []
  monkeypatch.setattr(parallel, 'any_process', lambda flag: told.append(flag) or flag)

  def make():
    raise error

  with pytest.raises(type(error)):
    parallel.in_all_processes(make, 'it')
  assert told == [True]


def test_a_run_to_begin_with_that_one_process_does_not_find_the_others_are_told_of(tmp_path, monkeypatch):
  told = []
  monkeypatch.setattr(parallel, 'any_process', lambda flag: told.append(flag) or flag)
  with pytest.raises(InputError, match=r'config\.init_from: .* holds no run'):
    run.train_and_evaluate(toy.build(toy.get_config(init_from=str(tmp_path / 'none'))), tmp_path / 'run')
  assert told == [True] and not (tmp_path / 'run').exists()


def test_another_process_takes_the_verdict_of_the_lead(tmp_path, monkeypatch):
  (tmp_path / 'thesis.tex').touch()
  monkeypatch.setattr(parallel, 'is_lead', lambda: False)
  rundir.open_run(tmp_path, toy.get_config())  # it looks at nothing itself
  monkeypatch.setattr(parallel, 'any_process', lambda flag: True)
  with pytest.raises(InputError, match='another process refuses the work directory'):
    rundir.open_run(tmp_path, toy.get_config())


def test_all_processes_take_what_the_lead_says(monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 2)  # of which this one has all devices
  assert parallel.from_lead('seed: 0 → 1') == 'seed: 0 → 1'


@pytest.mark.parametrize(
  'of_lead, reason',
  [
    ({}, None),
    ({'config': toy.get_config(**{'photos.workers': 2, 'data.folder': 'here'})}, None),
    ({'config': toy.get_config(steps=9, **{'photos.keep': 'host'})}, 'photos.keep: .* steps: 9 -> 4. Give the same'),
    ({'data': ['checksum: 2']}, 'has other data than process 0'),
    ({'code': '0'}, 'runs another digits_jax than process 0'),
  ],
  ids=['all alike', 'where data lies', 'fields', 'data', 'code'],
)
def test_a_process_that_differs_from_the_lead_is_refused(monkeypatch, of_lead, reason):
  if 'config' in of_lead:
    of_lead = {'config': rundir.plain(of_lead['config'])}
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  monkeypatch.setattr(parallel, 'from_lead', lambda text: json.dumps(json.loads(text) | of_lead))
  built = toy.build(toy.get_config(steps=4))
  built = dataclasses.replace(built, train=dataclasses.replace(built.train, report='7 images\nchecksum: 1\n'))
  with pytest.raises(InputError, match=reason) if reason else contextlib.nullcontext():
    run.check_alike(built)


def test_a_process_that_finds_another_step_or_folder_than_the_lead_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(parallel, 'from_lead', lambda text: '4')
  built = toy.build(toy.get_config())
  with pytest.raises(InputError, match=r'process 0 finds the run in .* at step 4, this one at step 0: wait'):
    run.check_run(built, tmp_path, checkpoint.Checkpoints(tmp_path))
  monkeypatch.setattr(parallel, 'from_lead', lambda text: '/elsewhere/tmp4')
  with pytest.raises(InputError, match=f'--workdir={tmp_path} is not the same folder'), rundir.locked(tmp_path):
    pass
  assert not list(tmp_path.iterdir())


def test_fewer_steps_than_were_done_are_refused_at_once_and_leave_the_run_as_it_was(tmp_path, capfd):
  assert runs.run_toy(tmp_path, steps=4) == 0
  before = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
  capfd.readouterr()
  with pytest.raises(InputError, match=r'at step 4 already and config\.steps is 2'):
    runs.run_toy(tmp_path, steps=2)
  assert {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()} == before
  assert json.loads((tmp_path / 'config.json').read_text())['steps'] == 4
  assert capfd.readouterr().out == ''


def test_a_larger_number_of_steps_is_written_down(tmp_path):
  assert runs.run_toy(tmp_path, steps=2) == 0
  assert runs.run_toy(tmp_path, steps=3) == 0
  assert rundir.read_config(tmp_path)['steps'] == 3
  assert runs.result(tmp_path)['steps'] == 3


@pytest.mark.parametrize(('size', 'nearest'), [(7, '6 or 8'), (1, '2'), (0, '2'), (-3, '2')])
def test_a_batch_that_devices_cannot_share_names_the_nearest(size, nearest):
  with pytest.raises(InputError, match=rf'batch_size={size} cannot be shared by 2 devices: the nearest is {nearest}$'):
    parallel.check_batch_size(size, 'config.batch_size')
  parallel.check_batch_size(8, 'config.batch_size')


def test_a_checkpoint_of_another_model_is_named(tmp_path):
  assert runs.run_toy(tmp_path, steps=2) == 0
  checkpoints = checkpoint.Checkpoints(tmp_path)
  state = toy.build(toy.get_config()).initial_state()
  wrong = {**state.params, 'in': state.params['in'][:5]}
  with pytest.raises(InputError, match=r"best/2 is of another shape: .*'in'\] is \(72, 16\) there and \(5, 16\) here"):
    checkpoints.restore_best(wrong)
  with pytest.raises(InputError, match='does not fit this model'):
    checkpoints.restore_best({**state.params, 'more': state.params['bias']})
  checkpoints.close()


def test_a_run_without_a_checkpoint_is_named(tmp_path):
  checkpoints = checkpoint.Checkpoints(tmp_path)
  with pytest.raises(InputError, match='best holds no complete checkpoint'):
    checkpoints.restore_best({})
  checkpoints.close()


def test_the_data_of_some_sets(tmp_path):
  (tmp_path / 'data.txt').write_text('train: 3\nchecksum of train: a\ntest: 2\nchecksum of test: b\n')
  rundir.check_test_data(tmp_path, 'test: 2\nchecksum of test: b\n')
  rundir.check_test_data(tmp_path / 'none', 'checksum of test: c\n')
  with pytest.raises(InputError, match=r'holds a run of other data: .* have changed since it was trained'):
    rundir.check_test_data(tmp_path, 'checksum of test: c\n')


def test_a_folder_of_images_may_move(tmp_path):
  """Its images are watched by their checksums."""
  of = lambda folder: {'data': {'folder': folder, 'split_seed': 0}}
  assert rundir.differences(of('a'), of('b')) == []
  assert rundir.differences(of('a'), {'data': {'folder': 'b', 'split_seed': 1}}) == ['data.split_seed: 0 -> 1']
