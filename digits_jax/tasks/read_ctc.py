"""Reading a number as a sequence: CRNN, CTC loss, greedy decoding."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from digits_jax import metrics
from digits_jax.alphabet import Alphabet
from digits_jax.ctc import greedy, loss
from digits_jax.errors import InputError
from digits_jax.models import crnn
from digits_jax.tasks.base import Task


def make(*, alphabet: Alphabet, **model) -> Task:
  """The task. `model` holds the fields of `models.crnn.CRNN` but for its classes.

  loss metrics: `infeasible` (1 where a label does not fit its frames and costs nothing), `empty` (1 where
  greedy decoding reads nothing). Outputs of predict: {'logits': float32[B, T, K]}. score gives the records of
  `metrics.sequence_records`, the loss, and what was read.
  """
  module = crnn.CRNN(classes=alphabet.classes, **model)
  apply = lambda params, images: module.apply({'params': params}, images)

  def init(key, batch):
    params = module.init(key, batch.images)['params']
    frames = jax.eval_shape(apply, params, batch.images).shape[1]
    slots = batch.labels.shape[1]
    if slots > frames:
      raise InputError(
        f'numbers of {slots} symbols do not fit the {frames} frames of this model: widen synth.layout.width, '
        'narrow model.patch and model.pools, or lower synth.number.max_length'
      )
    return params

  def task_loss(params, batch, key):
    del key  # the model has no randomness of its own
    logits = apply(params, batch.images)
    ctc = loss.ctc_loss(logits, _all_frames(logits), batch.labels, batch.label_lengths)
    is_empty = jnp.all(jnp.argmax(logits, -1) == 0, axis=1)
    return ctc.loss, {
      'infeasible': 1.0 - ctc.is_feasible.astype(jnp.float32),
      'empty': is_empty.astype(jnp.float32),
    }

  def predict(params, images):
    return {'logits': apply(params, images)}

  def score(outputs, batch):
    logits = outputs['logits']
    read = greedy.greedy_decode(logits, _all_frames(logits))
    ctc = loss.ctc_loss(logits, _all_frames(logits), batch.labels, batch.label_lengths)
    records = metrics.sequence_records(batch.labels, batch.label_lengths, read.labels, read.lengths)
    return records | {
      'is_feasible': ctc.is_feasible,
      'loss': ctc.loss,
      'predicted': read.labels,
      'predicted_length': read.lengths,
    }

  def table(params_key, batch):
    return nn.tabulate(module, params_key, console_kwargs={'width': 120, 'force_terminal': False})(batch.images)

  return Task(init, task_loss, predict, score, table)


def _all_frames(logits):
  return jnp.ones(logits.shape[:2], bool)
