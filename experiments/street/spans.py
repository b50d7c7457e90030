"""Where the frames of a reader's digits stand: python -m experiments.street.spans [--workdir=RUN] --config=FILE

Reads EXAMPLES validation images of a config, whose digits' boxes are known, once each, without zooms. Of the numbers
that are read rightly: where the middle of a digit's span lies, 0 being the left of its box and 1 the right.
"""

import numpy as np

from digits_jax import command
from digits_jax.errors import InputError

command.config_flag()
_WORKDIR = command.workdir_flag()
EXAMPLES = 400


def main(arguments):
  if arguments:
    raise InputError(f'unexpected argument {arguments[0]!r}: all is said by flags')
  config = command.experiment_config()

  from digits_jax.data import sources
  from digits_jax.reading import evaluation, trained

  run = trained.load(_WORKDIR.value, zooms=())
  if run.config.task != 'read_ctc':
    raise InputError(f'{run.config.name} reads by {run.config.task}: this is about the frames of read_ctc')
  (fixed,) = evaluation.config_sets(run, config, split='validation').values()
  batch = sources.draw_examples(fixed, np.arange(min(EXAMPLES, fixed.examples)))
  outputs = run.task.predict(run.params, batch.images)
  read = run.task.read(outputs, beams=run.config.evaluation.beams, n_best=1)
  pixels = batch.images.shape[2] / outputs['logits'].shape[1]  # a frame
  middles = (np.asarray(read.first) + np.asarray(read.last) + 1) / 2 * pixels
  places = []
  for i, length in enumerate(batch.label_lengths):
    if read.lengths[i, 0] == length and (read.labels[i, 0, :length] == batch.labels[i, :length]).all():
      left, right = batch.boxes[i, :length, 0], batch.boxes[i, :length, 2]
      places += ((middles[i, :length] - left) / (right - left)).tolist()
  if not places:
    raise InputError('no number was read rightly: train the run for longer, or name the config that it was trained on')
  low, middle, high = np.percentile(places, [5, 50, 95])
  inside = np.mean((np.array(places) >= 0) & (np.array(places) <= 1))
  print(f'{len(places)} digits: {inside:.1%} inside, median {middle:.2f}, nine of ten from {low:.2f} to {high:.2f}')


if __name__ == '__main__':
  command.run(main)
