"""Trains and tests the experiment of a config: python -m digits_jax.main --config=configs/fonts.py:quick

Fields are changed by flags, e.g. --config.steps=500. A --workdir that holds a run of the same config resumes it.
"""

import os
import pathlib
import re
import socket

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

command.config_flag()
_WORKDIR = command.workdir_flag('Run directory, to make or to go on with; default: runs/<config name>.')
_PROFILE = flags.DEFINE_integer('profile', 0, 'Trace this many steps with jax.profiler, into WORKDIR/profile.', 0)
_DISTRIBUTED = flags.DEFINE_bool('distributed', False, 'Several processes: find them as Slurm or a TPU pod tells.')
_COORDINATOR = flags.DEFINE_string('coordinator', None, 'Several processes by hand: HOST:PORT of process 0.')
_PROCESSES = flags.DEFINE_integer('processes', None, 'How many processes, with --coordinator.', 1)
_PROCESS_ID = flags.DEFINE_integer('process_id', None, 'Which one this is, from 0, with --coordinator.', 0)


def main(argv):
  """Builds, trains, tests. Returns 0, or 130 or 143 when interrupted."""
  if len(argv):
    raise InputError(f'unexpected argument {argv[0]!r}: fields are changed by flags such as --config.steps=500')
  config = command.experiment_config()
  connect()

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


def connect():
  """Joins the other processes, where flags say that there are some."""
  by_hand = (_COORDINATOR.value, _PROCESSES.value, _PROCESS_ID.value)
  if any(value is not None for value in by_hand):
    if None in by_hand or _DISTRIBUTED.value:
      raise InputError(
        '--coordinator, --processes and --process_id belong together: give all three, without --distributed'
      )
    if not _PROCESS_ID.value < _PROCESSES.value:
      raise InputError(f'--process_id={_PROCESS_ID.value} is not one of --processes={_PROCESSES.value}, from 0')
    if not re.fullmatch(r'.+:\d{1,5}', _COORDINATOR.value):
      raise InputError(f'--coordinator={_COORDINATOR.value} is not HOST:PORT, such as host0:9876')
    if _PROCESS_ID.value == 0:
      check_port(int(_COORDINATOR.value.rpartition(':')[2]))
    join(_COORDINATOR.value, _PROCESSES.value, _PROCESS_ID.value)
  elif _DISTRIBUTED.value:
    try:
      join()
    except ValueError as error:
      raise InputError(
        f'--distributed finds neither Slurm nor a TPU pod here ({error}): give --coordinator, --processes, --process_id'
      ) from error


def check_port(port):
  """Raises InputError where process 0 cannot listen: gRPC would end all of it by a segmentation fault."""
  try:
    socket.create_server(('', port)).close()
  except (OSError, OverflowError) as error:
    reason = error.strerror if isinstance(error, OSError) else 'ports go to 65535'
    raise InputError(
      f'--coordinator={_COORDINATOR.value}: process 0 cannot listen on that port ({reason}); give another, or end the '
      'run that has it'
    ) from error


def join(*where):
  """jax.distributed.initialize, with SIGTERM left to the training loop."""
  import jax

  jax.config.update('jax_enable_preemption_service', False)
  jax.distributed.initialize(*where)


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
