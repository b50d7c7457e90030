"""Gives a file of weights the wider views of a config, and a temperature for them: how the shipped reader got its own.

python -m experiments.street.refit --config=configs/street.py --config.data.font_dir=FONTS/train --workdir=RUN.npz \
  --out=NEW.npz

Parameters stay as they are. The temperature is fitted on the config's validation set, as training does at its end.
"""

import pathlib

from digits_jax import command
from digits_jax.errors import InputError

_WORKDIR = command.workdir_flag('File of weights.')
_OUT = command.out_flag('File of weights to write.')
command.config_flag()


def main(arguments):
  """Raises InputError where flags are missing, there is nothing to read with, or --out cannot be written."""
  config = command.experiment_config()
  if arguments or not _WORKDIR.value or not _OUT.value:
    raise InputError('give the file of weights as --workdir, and the new one as --out')
  command.check_file('--out', _OUT.value, '.npz')

  import jax

  from digits_jax.reading import trained
  from digits_jax.training import feeds, temperature, weights

  opened = trained.load(_WORKDIR.value, zooms=config.evaluation.zooms)
  validation = feeds.of(config).validation(config, opened.alphabet)
  fitted = temperature.fit(opened.task, validation, opened.params, batch_size=config.evaluation.batch_size)
  about = {'step': opened.step, 'temperature': fitted.temperature, 'left_out': opened.left_out}
  params = jax.device_get(opened.params)
  weights.write(pathlib.Path(_OUT.value), config=opened.config.to_dict(), params=params, **about)
  losses = f'the loss of {validation.examples} was {fitted.loss_before:.4f} at 1, and is {fitted.loss_after:.4f}'
  print(f'temperature {fitted.temperature:.3f}: {losses}')


if __name__ == '__main__':
  command.run(main)
