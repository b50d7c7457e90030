"""Trains and tests the experiment of a config: python -m digits_jax.main --config=configs/fonts.py:quick

Fields are changed by flags, e.g. --config.steps=500. A --workdir that holds a run of the same config resumes it.
"""

import os
import signal

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

  from digits_jax import metrics
  from digits_jax.training import experiment, parallel, run

  parallel.check_devices()
  workdir = _WORKDIR.value or os.path.join('runs', config.name)
  built = parallel.in_all_processes(lambda: experiment.build(config), 'the config or its data')
  result = run.train_and_evaluate(built, workdir, profile_steps=_PROFILE.value)
  if isinstance(result, signal.Signals):
    return 128 + result
  if parallel.is_lead():
    for name, test in result['tests'].items():
      print(f'{name} ({test["set"]}): {metrics.describe(test, result["temperature"])}')
    print(f'{result["steps"]} steps in {result["seconds"]:.0f} s; everything is in {workdir}')
  return 0


if __name__ == '__main__':
  with processes.leaving():
    command.run(main)
