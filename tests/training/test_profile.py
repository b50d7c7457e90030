"""Traces: which steps they hold, and that they change nothing."""

import jax
import pytest

from digits_jax.training import checkpoint, loop, profile, rundir
from tests.training import runs, toy


def train(workdir, **options):
  built = toy.build(toy.get_config(steps=6, eval_every=6))
  rundir.open_run(workdir, built.config)
  checkpoints = checkpoint.Checkpoints(workdir)
  assert loop.train(built, workdir, checkpoints, **options) is None
  checkpoints.close()


def test_a_trace_is_written_and_changes_nothing(tmp_path):
  train(tmp_path / 'plain')
  train(tmp_path / 'traced', profile_steps=2)
  assert not (tmp_path / 'plain/profile').exists()
  assert len(list((tmp_path / 'traced/profile').rglob('*.xplane.pb'))) == 1
  runs.assert_same_bits(tmp_path / 'plain', tmp_path / 'traced', has_result=False)


def test_a_finished_run_says_that_it_wrote_none(tmp_path, capsys):
  train(tmp_path)
  built, checkpoints = toy.build(toy.get_config(steps=6)), checkpoint.Checkpoints(tmp_path)
  assert loop.train(built, tmp_path, checkpoints, profile_steps=2) is None
  assert 'no trace was written: give another --workdir' in capsys.readouterr().out


@pytest.mark.parametrize(
  ('steps', 'per_call', 'last', 'wanted'),
  [(0, 1, 9, []), (2, 1, 9, [('start', 1), ('stop', 3)]), (3, 2, 8, [('start', 2), ('stop', 6)]),
   (9, 1, 4, [('start', 1), ('stop', 4)]), (2, 4, 4, [])],
)  # fmt: skip
def test_the_second_call_begins_it(monkeypatch, tmp_path, capsys, steps, per_call, last, wanted):
  found, step = [], 0
  monkeypatch.setattr(jax.profiler, 'start_trace', lambda folder: found.append(('start', step)))
  monkeypatch.setattr(jax.profiler, 'stop_trace', lambda: found.append(('stop', step)))
  trace = profile.Trace(tmp_path, steps=steps)
  while step < last:
    trace.before_call(step)
    step += per_call
    trace.after_call(step, state=())
  trace.close()
  assert found == wanted
  assert ('no trace was written' in capsys.readouterr().err) == (steps > 0 and not wanted)
