"""Reading a number as its length and the symbol at each position, after Goodfellow et al. 2013; exact n-best."""

import functools

import jax
import jax.numpy as jnp

from digits_jax import positions
from digits_jax.alphabet import Alphabet
from digits_jax.errors import InputError
from digits_jax.models import multidigit
from digits_jax.tasks.base import Decoded, Task, make_score, tabulate

MODEL = multidigit.MultiDigit
OPTIONS = ('n_best', 'label_smoothing')  # beside the fields of MODEL
METHOD = 'exact: length and symbols are independent given the image'  # of `read`, for people


def make(*, alphabet: Alphabet, n_best: int, label_smoothing: float, **model) -> Task:
  """The task.

  Args:
    n_best: the readings that `score` lists.
    label_smoothing: in [0, 1), of each training target, the length's and each symbol's, spread over all.
    model: the fields of `models.multidigit.MultiDigit` but for its symbols.

  loss metrics: `infeasible` (1 where a label has more symbols than positions and costs nothing), `empty` (1 where the
  likeliest length is 0). Outputs of predict: `multidigit.Heads`. score is made by `base.make_score`, the
  loss without smoothing.
  """
  module = MODEL(symbols=len(alphabet.symbols), **model)
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
      even = positions.cross_entropy_to_uniform(*heads, batch.label_lengths)
      losses = (1 - label_smoothing) * losses + label_smoothing * jnp.where(is_feasible, even, 0.0)
    return losses, {
      'infeasible': 1.0 - is_feasible.astype(jnp.float32),
      'empty': (jnp.argmax(heads.lengths, -1) == 0).astype(jnp.float32),
    }

  read_here = functools.partial(read, is_aligned=module.is_aligned)
  return Task(
    init=init,
    loss=task_loss,
    predict=apply,
    score=make_score(functools.partial(read_here, n_best=n_best), log_prob),
    table=tabulate(module),
    read=read_here,
    log_prob=log_prob,
    locate=functools.partial(locate, is_aligned=module.is_aligned),
    head='symbols',
  )


def read(
  outputs, *, n_best: int, beams: int = 0, min_length: int = 0, max_length: int | None = None, is_aligned: bool = False
) -> Decoded:
  """The n best, exactly; no search. Of an aligned model the frames are its strips; others know none."""
  del beams
  slots = outputs.symbols.shape[1]
  if min_length > slots:
    raise InputError(f'this model reads at most {slots} digits, and at least {min_length} are asked for')
  found = positions.n_best(*outputs, n=n_best, min_length=min_length, max_length=max_length)
  allowed = jax.nn.logsumexp(positions.allowed(outputs.lengths, min_length, max_length), -1)
  first, last, posteriors = locate(outputs, found.labels[:, 0], found.lengths[:, 0], is_aligned=is_aligned)
  return Decoded(found.labels, found.lengths, found.log_probs, allowed, first, last, posteriors)


def log_prob(outputs, labels, label_lengths) -> jax.Array:
  """Exact log-probability float32[B] of each number; -inf of one of more symbols than positions."""
  log_probs, is_feasible = positions.log_prob(*outputs, labels, label_lengths)
  return jnp.where(is_feasible, log_probs, -jnp.inf)


def locate(outputs, labels, label_lengths, *, is_aligned: bool = False) -> tuple[jax.Array, jax.Array, jax.Array]:
  """As `Task.locate` has it: symbol i stands in strip i of an aligned model; others do not say where.

  labels: int32[B, N], N the positions.
  """
  numbers = jnp.arange(labels.shape[1])[None]
  inside = numbers < label_lengths[:, None]
  chosen = jnp.where(inside, labels - 1, 0)[:, :, None]
  posteriors = jnp.take_along_axis(jax.nn.softmax(outputs.symbols), chosen, 2)[:, :, 0]
  strips = jnp.where(inside & is_aligned, numbers, -1)
  return strips, strips, jnp.where(inside, posteriors, 0.0)
