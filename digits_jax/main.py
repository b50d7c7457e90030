"""Trains and tests the experiment of a config: python -m digits_jax.main --config=configs/fonts.py:quick

Fields are changed by flags, e.g. --config.steps=500. A --workdir that holds a run of the same config resumes it.
"""

import pathlib

from absl import flags
from ml_collections import config_flags

from digits_jax import command
from digits_jax.errors import InputError

_CONFIG = config_flags.DEFINE_config_file('config', None, 'The experiment: configs/NAME.py or configs/NAME.py:ARGUMENT.')
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the run is kept. Default: runs/<config name>.')
_DISTRIBUTED = flags.DEFINE_bool('distributed', False, 'Several processes: find the others as Slurm or a TPU pod tells.')
_COORDINATOR = flags.DEFINE_string('coordinator', None, 'Several processes by hand: HOST:PORT of process 0.')
_PROCESSES = flags.DEFINE_integer('processes', None, 'How many processes, with --coordinator.')
_PROCESS_ID = flags.DEFINE_integer('process_id', None, 'Which one this is, from 0, with --coordinator.')


def main(argv):
  """Builds, trains, tests. Returns 0, or 130 or 143 when interrupted."""
  if len(argv):
    raise InputError(f'unexpected argument {argv[0]!r}: fields are changed by flags such as --config.steps=500')
  config = _CONFIG.value
  if config is None:
    raise InputError('which experiment? Give --config=configs/fonts.py:quick, or another file of configs/')
  connect()

  from digits_jax.training import checkpoint, experiment, finish, loop, parallel, rundir

  workdir = pathlib.Path(_WORKDIR.value or pathlib.Path('runs') / config.name)
  lead = parallel.is_lead()
  built = experiment.build(config)
  rundir.open_run(workdir, config, is_lead=lead)
  if lead:
    describe(built, workdir)
  checkpoints = checkpoint.Checkpoints(workdir)
  if not loop.train(built, workdir, checkpoints):
    return 130
  result = finish.finish(built, workdir, checkpoints, is_lead=lead)
  checkpoints.close()
  if lead:
    report(result, workdir)
  return 0


def connect():
  """Joins the other processes, where flags say that there are some."""
  by_hand = (_COORDINATOR.value, _PROCESSES.value, _PROCESS_ID.value)
  if any(value is not None for value in by_hand):
    if None in by_hand:
      raise InputError('--coordinator, --processes and --process_id belong together: give all three')
    import jax

    jax.distributed.initialize(_COORDINATOR.value, _PROCESSES.value, _PROCESS_ID.value)
  elif _DISTRIBUTED.value:
    import jax

    jax.distributed.initialize()


def describe(built, workdir):
  """Prints the resolved config and the layer table, and stores the table."""
  import jax

  from digits_jax.training import loop

  table = built.task.table(jax.random.key(0), loop.first_batch(built))
  (workdir / 'model.txt').write_text(table)
  print(built.config)
  print(table)
  print(f'{jax.device_count()} x {jax.devices()[0].device_kind}; run directory: {workdir}', flush=True)


def report(result, workdir):
  """Prints what the run came to."""
  for name, test in result['tests'].items():
    low, high = test['interval']
    print(
      f'{name} ({test["set"]}): {test["sequence_accuracy"]:.2%} of {test["examples"]} numbers right '
      f'(95% interval {low:.2%} to {high:.2%}), character error rate {test["character_error_rate"]:.3%}'
    )
  print(f'{result["steps"]} steps in {result["seconds"]:.0f} s; everything is in {workdir}')


if __name__ == '__main__':
  command.run(main)
