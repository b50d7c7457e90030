"""Naming single symbols: a classifier with label smoothing, the most probable symbols listed."""

import jax
import jax.numpy as jnp
import optax

from digits_jax.alphabet import Alphabet
from digits_jax.errors import InputError
from digits_jax.models import digit
from digits_jax.tasks.base import Decoded, Task, check_smoothing, records, tabulate

OPTIONS = ('n_best',)  # of config.evaluation
FIELDS = ('patch', 'widths', 'pools', 'groups', 'dense_features', 'dropout')  # of config.model
FIELDS += ('label_smoothing', 'is_standardised', 'dtype')
TOP = 5  # of `is_in_top_5`


def make(*, alphabet: Alphabet, n_best: int, label_smoothing: float, **model) -> Task:
  """The task.

  Args:
    n_best: the symbols that `score` lists, at most all of the alphabet.
    label_smoothing: share of each training target that is spread over all symbols (Szegedy et al. 2016, section 7).
    model: the fields of `models.digit.Digit` but for its symbols.

  loss metrics: `infeasible` (1 where a label is no single symbol and costs nothing). Outputs of predict: {'logits':
  float32[B, A]}. score gives `base.records` (a symbol is a number of length 1), the loss without smoothing, and
  `is_in_top_5`.

  Raises InputError on a label_smoothing outside [0, 1).
  """
  check_smoothing(label_smoothing)
  module = digit.Digit(symbols=len(alphabet.symbols), **model)
  apply = lambda params, images, keys=None: module.apply({'params': params}, images, keys)

  def init(key, batch):
    slots = batch.labels.shape[1]
    if slots > 1:
      raise InputError(
        f'the task classify names one symbol, and numbers have up to {slots}: set synth.number.max_length=1, or '
        'another config.task'
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

  def score(outputs, batch):
    targets, is_feasible = _targets(batch.labels, batch.label_lengths)
    log_probs = jax.nn.log_softmax(outputs['logits'])  # [B, A]
    count = log_probs.shape[1]
    listed_log_probs, listed = jax.lax.top_k(log_probs, min(n_best, count))
    losses = -jnp.take_along_axis(log_probs, targets[:, None], 1)[:, 0]
    is_top = jnp.any(jax.lax.top_k(log_probs, min(TOP, count))[1] == targets[:, None], 1)
    found = records(
      batch,
      labels=(listed + 1)[:, :, None],
      lengths=jnp.ones_like(listed),
      log_probs=listed_log_probs,
      losses=jnp.where(is_feasible, losses, 0.0),
      is_feasible=is_feasible,
    )
    return found | {'is_in_top_5': is_top & is_feasible}

  return Task(init, task_loss, predict, score, tabulate(module), read, log_prob, locate)


def read(outputs, *, beams: int, n_best: int, min_length: int = 0, max_length: int | None = None) -> Decoded:
  """The n most probable symbols, each a reading of length 1; nothing is said of where it stands."""
  del beams
  if min_length > 1 or max_length == 0:
    raise InputError('this model reads one symbol in each image: no other length can be asked for')
  logits = outputs['logits']
  log_probs, listed = jax.lax.top_k(jax.nn.log_softmax(logits), min(n_best, logits.shape[1]))
  labels, lengths = (listed + 1)[:, :, None], jnp.ones_like(listed)
  located = locate(outputs, labels[:, 0], lengths[:, 0])
  return Decoded(labels, lengths, log_probs, jnp.zeros(logits.shape[0]), *located)


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
  """The logits that are to win, int32[B], and whether the label is one symbol, bool[B]."""
  is_feasible = label_lengths == 1
  return jnp.where(is_feasible, labels[:, 0] - 1, 0), is_feasible
