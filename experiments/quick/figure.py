"""Draws the picture of the README: the first numbers of a run's test set and what the run's best parameters read.

python experiments/quick/figure.py runs/quick docs/readings.png
"""

import pathlib
import sys

import numpy as np
from ml_collections import ConfigDict

from digits_jax import drawing
from digits_jax.data import sources
from digits_jax.training import checkpoint, experiment, loop, rundir, scoring, states

COUNT = 24


def main(workdir, out):
  """Reads the first COUNT examples of the run's set `test`, in order, none left out."""
  config = ConfigDict(rundir.read_config(workdir))
  config.tests.test.examples = COUNT
  built = experiment.build(config)
  checkpoints = checkpoint.Checkpoints(workdir)
  state, _ = loop.start(built, checkpoints)
  params = checkpoints.restore_best(states.reading_params(state))
  fixed = built.tests['test']
  records = scoring.make_scorer(built.task, fixed, batch_size=COUNT)(params)
  decode = built.alphabet.decode
  truths = [decode(row, length) for row, length in zip(records['labels'], records['label_length'], strict=True)]
  reads = [decode(row, length) for row, length in zip(records['predicted'], records['predicted_length'], strict=True)]
  images = sources.draw_examples(fixed, np.arange(COUNT)).images
  drawing.readings_sheet(out, images, truths, reads, title=f'the first {COUNT} of {fixed.name}')


if __name__ == '__main__':
  if len(sys.argv) != 3:
    sys.exit('which? Give the directory of a run and the PNG file that is to be drawn')
  main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
