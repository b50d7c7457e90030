"""Small runs with random parameters: in memory, and as a directory."""

import functools

import jax
import numpy as np

from configs import fonts, svhn
from digits_jax.alphabet import Alphabet
from digits_jax.reading import trained
from digits_jax.training import checkpoint, experiment, rundir

TEMPERATURE = 1.7
# No two sizes are equal, so that none can stand for another.
SMALL = {
  'patch': (2, 4), 'widths': (8, 12), 'pools': ((2, 1), (2, 2)), 'groups': 4, 'frame_features': 10,
  'recurrent_features': 6,
}  # fmt: skip


def make_config(**model):
  """A 24x48 canvas, which the fields of SMALL make 6 frames, and numbers of at most 2 digits."""
  config = fonts.get_config('tiny')
  config.model.update(SMALL | model)
  for synth in (config.synth, config.tests.test.synth):
    synth.number.update(min_length=1, max_length=2)
    synth.layout.update(height=24, width=48)
  config.data.font_sizes = (14,)
  return config


def random_params(config):
  """Parameters of the config's model, all of them random: none is 0 or 1, as many are when training begins."""
  shapes = jax.eval_shape(
    experiment.make_task(config, Alphabet(config.alphabet)).init, jax.random.key(0), trained.batch_shapes(config)
  )
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda leaf: rng.normal(scale=0.4, size=leaf.shape).astype(leaf.dtype), shapes)


@functools.cache
def make_run(**model):
  """A run as `reading.trained.load` gives it."""
  return as_run(make_config(**model))


@functools.cache
def make_photo_run():
  """The same of a reader of photos, 24x24 in colour."""
  config = svhn.get_config('tiny')
  config.model.update(SMALL | {'pools': ((2, 1), (2, 1))})
  config.augment.size = 24
  return as_run(config)


def as_run(config):
  alphabet = Alphabet(config.alphabet)
  task = experiment.make_task(config, alphabet)
  return trained.Run(config, alphabet, task, random_params(config), 7, TEMPERATURE)


def write_run(workdir, config, *, with_params=True):
  """The run directory of the config."""
  workdir.mkdir()
  rundir.write_config(workdir, config)
  if with_params:
    checkpoints = checkpoint.Checkpoints(workdir)
    checkpoints.save_best(7, random_params(config))
    checkpoints.close()
    rundir.write_json(workdir / 'result.json', {'best_step': 7, 'temperature': TEMPERATURE})
  return workdir


def draw_images(count, shape=(24, 48, 1)):
  return np.random.default_rng(1).uniform(size=(count, *shape)).astype(np.float32)
