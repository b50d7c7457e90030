"""An experiment that compiles in a moment: two symbols drawn as noisy patterns, read by a small network.

Everything around it (config, optimiser, loop, checkpoints, evaluation) is the project's own. The source draws on the
device from fed ids as real ones do, and some of its examples are masked, so that devices have unequal counts.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from configs import fonts
from digits_jax import structs
from digits_jax.alphabet import Alphabet
from digits_jax.data import sources
from digits_jax.data.sources import Source
from digits_jax.tasks.base import Decoded, Task, make_score
from digits_jax.training import optim
from digits_jax.training.experiment import Experiment

SLOTS, SIDE = 2, 6


def get_config(**changes):
  """configs/fonts.py:tiny at one step a call, with changes such as {'optim.name': 'sgd'}."""
  config = fonts.get_config('tiny')
  config.name = 'toy'
  config.steps_per_call = 1
  config.optim.schedule = 'plateau'
  config.optim.warmup_steps = 2
  config.update_from_flattened_dict(changes)
  return config


on_feed: list[Callable] = []  # called with each training step before it is fed


def build(config) -> Experiment:
  """The experiment. Equal configs share their parts, so that they can share compiled programs."""
  keys = ('name', 'schedule', 'learning_rate', 'warmup_steps', 'weight_decay', 'momentum', 'clip_norm')
  schedule, optimiser = _optimiser(**{key: config.optim[key] for key in keys})
  return Experiment(
    config=config,
    alphabet=Alphabet(config.alphabet),
    task=Task(init, loss, predict, score, table, read, log_prob, locate, head='out'),
    train=source(0.3, feed=_announced),
    validation=sources.FixedSet('validation', source(), 1, config.validation.examples),
    tests={'test': sources.FixedSet('toy-v1', source(), 2, config.tests.test.examples)},
    schedule=schedule,
    optimiser=optimiser,
  )


@functools.cache
def _optimiser(name, schedule, learning_rate, warmup_steps, **options):
  """Of the schedules that do not look at config.steps."""
  assert schedule in ('constant', 'plateau')
  made = optim.make_schedule(
    schedule, learning_rate=learning_rate, steps=0, warmup_steps=warmup_steps, cycle_steps=0, final_frac=0
  )
  return made, optim.make_optimiser(name, made, **options)


def _ids(step, first, count):
  return np.arange(first, first + count, dtype=np.int32)


def _announced(step, first, count):
  for call in on_feed:
    call(step)
  return _ids(step, first, count)


@functools.cache
def source(share_masked: float = 0.0, side: int = SIDE, feed: Callable = _ids) -> Source:
  """Patterns in noise; a share of the examples has a False mask."""
  patterns = np.random.default_rng(0).normal(size=(11, side, side)).astype(np.float32)

  def example(key, constants, item):
    k_label, k_length, k_noise, k_mask = jax.random.split(jax.random.fold_in(key, item), 4)
    length = jax.random.randint(k_length, (), 1, SLOTS + 1)
    labels = jnp.where(jnp.arange(SLOTS) < length, jax.random.randint(k_label, (SLOTS,), 1, 11), 0)
    image = jnp.concatenate(list(constants[labels]), axis=1)[:, :, None]
    image = jax.nn.sigmoid(image + 0.3 * jax.random.normal(k_noise, image.shape))
    mask = jax.random.uniform(k_mask) >= share_masked
    return structs.Batch(image, labels, length, jnp.zeros((SLOTS, 4)), mask)

  return Source(patterns, feed, example)


def init(key, batch):
  k_in, k_out = jax.random.split(key)
  size = batch.images[0].size
  return {
    'in': 0.2 * jax.random.normal(k_in, (size, 16)),
    'bias': jnp.zeros(16),
    'out': 0.2 * jax.random.normal(k_out, (16, SLOTS * 11)),
  }


def predict(params, images):
  hidden = jnp.tanh(images.reshape(len(images), -1) @ params['in'] + params['bias'][None])
  return {'logits': (hidden @ params['out']).reshape(-1, SLOTS, 11)}


def table(key, batch):
  return 'a toy\n'


def loss(params, batch, keys):
  logits = predict(params, batch.images)['logits']
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).sum(1)
  luck = jnp.zeros(len(losses)) if keys is None else jax.vmap(jax.random.uniform)(keys)
  return losses, {'empty': (logits.argmax(-1) == 0).all(1).astype(jnp.float32), 'luck': luck}


def read(outputs, *, n_best=1, **_):
  """The likeliest symbol at each slot."""
  log_probs = jax.nn.log_softmax(outputs['logits'])
  labels = log_probs.argmax(-1).astype(jnp.int32)
  lengths = (labels > 0).sum(1)
  best, free = log_probs.max(-1).sum(1), jnp.zeros(len(labels))
  return Decoded(labels[:, None], lengths[:, None], best[:, None], free, *locate(outputs, labels, lengths))


def log_prob(outputs, labels, lengths):
  return -optax.softmax_cross_entropy_with_integer_labels(outputs['logits'], labels).sum(1)


def locate(outputs, labels, lengths):
  nowhere = jnp.full(labels.shape, -1)
  return nowhere, nowhere, jnp.zeros(labels.shape)


def score(outputs, batch):
  """The records of a reader, and the images themselves."""
  return make_score(read, log_prob)(outputs, batch) | {'images': batch.images}
