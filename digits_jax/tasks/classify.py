"""Naming single symbols: a classifier with label smoothing, the most probable symbols listed."""

import functools

import jax
import jax.numpy as jnp
import optax

from digits_jax.alphabet import Alphabet
from digits_jax.errors import InputError
from digits_jax.models import digit
from digits_jax.tasks.base import Decoded, Task, make_score, tabulate

MODEL = digit.Digit
OPTIONS = ('n_best', 'label_smoothing')  # beside the fields of MODEL
METHOD = 'the most probable symbols'  # of `read`, for people
TOP = 5  # of `is_in_top_5`


def make(*, alphabet: Alphabet, n_best: int, label_smoothing: float, **model) -> Task:
  """The task.

  Args:
    n_best: the symbols that `score` lists, at most all of the alphabet.
    label_smoothing: in [0, 1), of each training target, spread over all symbols (Szegedy et al. 2016, section 7).
    model: the fields of `models.digit.Digit` but for its symbols.

  loss metrics: `infeasible` (1 where a label is no single symbol and costs nothing). Outputs of predict: {'logits':
  float32[B, A]}. score is made by `base.make_score` (a symbol is a number of length 1), the loss without smoothing,
  with `is_in_top_5`.
  """
  module = MODEL(symbols=len(alphabet.symbols), **model)
  apply = lambda params, images, keys=None: module.apply({'params': params}, images, keys)

  def init(key, batch):
    slots = batch.labels.shape[1]
    if slots > 1:
      raise InputError(
        f'the task classify names one symbol, and numbers have up to {slots}: set synth.number.max_length=1, '
        'and that of each of config.tests, or another config.task'
      )
    return module.init(key, batch.images)['params']

  def task_loss(params, batch, keys):
    targets, is_feasible = _targets(batch.labels, batch.label_lengths)
    logits = apply(params, batch.images, keys)
    smoothed = optax.smooth_labels(jax.nn.one_hot(targets, logits.shape[1]), label_smoothing)
    losses = optax.softmax_cross_entropy(logits, smoothed)
    return jnp.where(is_feasible, losses, 0.0), {'infeasible': 1.0 - is_feasible.astype(jnp.float32)}

  def predict(params, images):
    return {'logits': apply(params, images)}

  score_reading = make_score(functools.partial(read, n_best=n_best), log_prob)

  def score(outputs, batch):
    targets, is_feasible = _targets(batch.labels, batch.label_lengths)
    _, top = jax.lax.top_k(outputs['logits'], min(TOP, outputs['logits'].shape[1]))
    is_top = jnp.any(top == targets[:, None], 1)
    return score_reading(outputs, batch) | {'is_in_top_5': is_top & is_feasible}

  return Task(
    init=init,
    loss=task_loss,
    predict=predict,
    score=score,
    table=tabulate(module),
    read=read,
    log_prob=log_prob,
    locate=locate,
    head='head',
  )


def read(outputs, *, n_best: int, beams: int = 0, min_length: int = 0, max_length: int | None = None) -> Decoded:
  """The n most probable symbols, each a reading of length 1; nothing is said of where it stands."""
  del beams
  if min_length > 1 or max_length == 0:
    raise InputError('this model reads one symbol in each image: no other length can be asked for')
  logits = outputs['logits']
  log_probs, listed = jax.lax.top_k(jax.nn.log_softmax(logits), min(n_best, logits.shape[1]))
  labels, lengths = (listed + 1)[:, :, None], jnp.ones_like(listed)
  first, last, posteriors = locate(outputs, labels[:, 0], lengths[:, 0])
  return Decoded(labels, lengths, log_probs, jnp.zeros(logits.shape[0]), first, last, posteriors)


def log_prob(outputs, labels, label_lengths) -> jax.Array:
  """Exact log-probability float32[B] of each number; -inf of one that is no single symbol."""
  targets, is_feasible = _targets(labels, label_lengths)
  log_probs = jnp.take_along_axis(jax.nn.log_softmax(outputs['logits']), targets[:, None], 1)[:, 0]
  return jnp.where(is_feasible, log_probs, -jnp.inf)


def locate(outputs, labels, label_lengths) -> tuple[jax.Array, jax.Array, jax.Array]:
  """As `Task.locate` has it: nothing is said of where a symbol stands. labels: int32[B, 1]."""
  nowhere = jnp.full(labels.shape, -1)
  return nowhere, nowhere, jnp.exp(log_prob(outputs, labels, label_lengths))[:, None]


def _targets(labels, label_lengths):
  """The index of the target logit, int32[B], and whether the label is one symbol, bool[B]."""
  is_feasible = label_lengths == 1
  return jnp.where(is_feasible, labels[:, 0] - 1, 0), is_feasible
