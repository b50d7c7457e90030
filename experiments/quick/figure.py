"""Draws the picture of the README: the first numbers of a run's test set and what the run's best parameters read.

python experiments/quick/figure.py runs/quick docs/readings.png
"""

from digits_jax import command
from digits_jax.errors import InputError

COUNT = 24


def main(arguments):
  """Reads the first COUNT examples of the run's set `test`, in order, none left out.

  Raises InputError where there is no run, it has no such set, or there is nowhere to write to.
  """
  if len(arguments) != 2:
    raise InputError('which? Give the directory of a run and the PNG file that is to be drawn')
  workdir, out = arguments
  command.check_file('', out, '.png')

  import numpy as np

  from digits_jax import drawing
  from digits_jax.data import sources
  from digits_jax.reading import evaluation, trained

  opened = trained.load(workdir)
  if 'test' not in opened.config.tests:
    raise InputError(f'{workdir} has no test set called test; it has {", ".join(opened.config.tests)}')
  opened.config.tests.test.examples = COUNT
  fixed = evaluation.config_sets(opened, opened.config)['test']
  records = evaluation.score(opened, fixed)
  decode = opened.alphabet.decode
  truths = [decode(row, length) for row, length in zip(records['labels'], records['label_length'], strict=True)]
  reads = [decode(row, length) for row, length in zip(records['predicted'], records['predicted_length'], strict=True)]
  images = sources.draw_examples(fixed, np.arange(fixed.examples)).images
  drawing.readings_sheet(out, images, truths, reads, title=f'the first {fixed.examples} of {fixed.name}')


if __name__ == '__main__':
  command.run(main)
