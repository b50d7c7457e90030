"""Trains and tests the experiment of a config: python -m digits_jax.main --config=configs/fonts.py:quick

Fields are changed by flags, e.g. --config.steps=500. A --workdir that holds a run of the same config resumes it.
"""

import os
import pathlib

from absl import flags

from digits_jax import command, processes
from digits_jax.errors import InputError

command.config_flag()
_WORKDIR = command.workdir_flag('Run directory, to make or to go on with; default: runs/<config name>.')
_PROFILE = flags.DEFINE_integer('profile', 0, 'Trace this many steps with jax.profiler, into WORKDIR/profile.', 0)


def main(argv):
  """Builds, trains, tests. Returns 0, or 130 or 143 when interrupted."""
  if len(argv):
    raise InputError(f'unexpected argument {argv[0]!r}: fields are changed by flags such as --config.steps=500')
  config = command.experiment_config()
  processes.connect()

  from digits_jax.training import checkpoint, experiment, finish, loop, parallel, rundir

  workdir = pathlib.Path(_WORKDIR.value or os.path.join('runs', config.name))
  lead = parallel.is_lead()
  checkpoints = checkpoint.Checkpoints(workdir)

  def build():
    built = experiment.build(config)
    table = layer_table(built)
    loop.check_start(built, checkpoints)
    return built, table, built.report

  built, table, data = parallel.together(build, 'the config or its data')
  rundir.open_run(workdir, config, is_lead=lead)
  parallel.together(lambda: rundir.check_data(workdir, data), f'the data of {workdir}')
  with rundir.locked(workdir, is_lead=lead):
    if lead:
      describe(built, table, data, workdir)
    if received := loop.train(built, workdir, checkpoints, profile_steps=_PROFILE.value):
      return 128 + received
    result = finish.finish(built, workdir, checkpoints, is_lead=lead)
    checkpoints.close()
  if lead:
    report(result, workdir)
  return 0


def layer_table(built):
  """The model's layers as text; raises InputError where it does not fit its images or numbers."""
  import jax

  jax.eval_shape(built.initial_state)
  return built.task.table(jax.random.key(0), built.zero_batch)


def describe(built, table, data, workdir):
  """Prints the resolved config, what was found of data and the layer table, and stores the latter two."""
  import jax

  from digits_jax.training import rundir

  rundir.write_text(workdir / 'model.txt', table)
  print(built.config)
  if data:
    rundir.write_text(workdir / 'data.txt', data)
    print(data)
  print(table)
  print(f'{jax.device_count()} x {jax.devices()[0].device_kind}; run directory: {workdir}', flush=True)


def report(result, workdir):
  """Prints what the run came to."""
  from digits_jax import metrics

  for name, test in result['tests'].items():
    print(f'{name} ({test["set"]}): {metrics.describe(test, result["temperature"])}')
  print(f'{result["steps"]} steps in {result["seconds"]:.0f} s; everything is in {workdir}')


if __name__ == '__main__':
  command.run(main)
