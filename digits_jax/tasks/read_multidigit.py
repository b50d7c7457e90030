"""Reading a number as its length and the symbol at each position, after Goodfellow et al. 2013; exact n-best."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from digits_jax import confidence, metrics, positions
from digits_jax.alphabet import Alphabet
from digits_jax.errors import InputError
from digits_jax.models import multidigit
from digits_jax.tasks.base import Decoded, Task, check_smoothing

OPTIONS = ('n_best',)  # of config.evaluation
FIELDS = ('patch', 'widths', 'pools', 'groups', 'kernel', 'maxout', 'dense_features', 'positions')  # of model
FIELDS += ('dropout', 'label_smoothing', 'dtype')


def make(*, alphabet: Alphabet, n_best: int, label_smoothing: float, **model) -> Task:
  """The task.

  Args:
    n_best: the readings that `score` lists.
    label_smoothing: share of each training target, of the length and of each symbol, that is spread over all.
    model: the fields of `models.multidigit.MultiDigit` but for its symbols.

  loss metrics: `infeasible` (1 where a label has more symbols than positions and costs nothing), `empty` (1 where the
  likeliest length is 0). Outputs of predict: `multidigit.Heads`. score gives the records of `metrics.sequence_records`
  and of `confidence.RECORDS`, the loss without smoothing, and what was read.

  Raises InputError on a label_smoothing outside [0, 1).
  """
  check_smoothing(label_smoothing)
  module = multidigit.MultiDigit(symbols=len(alphabet.symbols), **model)
  apply = lambda params, images, keys=None: module.apply({'params': params}, images, keys)

  def init(key, batch):
    slots = batch.labels.shape[1]
    if slots > module.positions:
      raise InputError(
        f'numbers of {slots} symbols do not fit the {module.positions} positions of this model: raise '
        'model.positions, or lower synth.number.max_length'
      )
    return module.init(key, batch.images)['params']

  def task_loss(params, batch, keys):
    heads = apply(params, batch.images, keys)
    log_probs, is_feasible = positions.log_prob(*heads, batch.labels, batch.label_lengths)
    losses = -log_probs
    if label_smoothing:
      even = positions.cross_entropy_of_even(*heads, batch.label_lengths)
      losses = (1 - label_smoothing) * losses + label_smoothing * jnp.where(is_feasible, even, 0.0)
    return losses, {
      'infeasible': 1.0 - is_feasible.astype(jnp.float32),
      'empty': (jnp.argmax(heads.lengths, -1) == 0).astype(jnp.float32),
    }

  def score(outputs, batch):
    log_probs, is_feasible = positions.log_prob(*outputs, batch.labels, batch.label_lengths)
    found = positions.n_best(*outputs, n=n_best)
    predicted, predicted_lengths = found.labels[:, 0], found.lengths[:, 0]
    records = metrics.sequence_records(batch.labels, batch.label_lengths, predicted, predicted_lengths)
    return records | {
      'is_feasible': is_feasible,
      'loss': -log_probs,
      'confidence': jnp.exp(found.log_probs[:, 0]),
      'rank': jax.vmap(confidence.rank)(batch.labels, batch.label_lengths, found.labels, found.lengths),
      'n_best': jnp.full(len(predicted), n_best, jnp.int32),
      'predicted': predicted,
      'predicted_length': predicted_lengths,
    }

  def table(params_key, batch):
    return nn.tabulate(module, params_key, console_kwargs={'width': 120, 'force_terminal': False})(batch.images)

  return Task(init, task_loss, apply, score, table, read)


def read(outputs, *, beams: int, n_best: int, min_length: int = 0, max_length: int | None = None) -> Decoded:
  """The n best, exactly; no search, and no places: the model does not say where a symbol stands."""
  del beams
  slots = outputs.symbols.shape[1]
  if min_length > slots:
    raise InputError(f'this model reads at most {slots} digits, and min_length is {min_length}')
  found = positions.n_best(*outputs, n=n_best, min_length=min_length, max_length=max_length)
  best, nowhere = found.labels[:, 0], jnp.full(found.labels[:, 0].shape, -1)
  posteriors = jnp.take_along_axis(jax.nn.softmax(outputs.symbols), jnp.maximum(best - 1, 0)[:, :, None], 2)[:, :, 0]
  return Decoded(
    labels=found.labels,
    lengths=jnp.maximum(found.lengths, 0),
    log_probs=found.log_probs,
    allowed_log_prob=jax.nn.logsumexp(positions.allowed(outputs.lengths, min_length, max_length), -1),
    first=nowhere,
    last=nowhere,
    posteriors=jnp.where(best > 0, posteriors, 0.0),
  )
