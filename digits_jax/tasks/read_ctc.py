"""Reading a number as a sequence: CRNN, CTC loss, beam search or greedy decoding."""

import functools

import jax
import jax.numpy as jnp

from digits_jax.alphabet import Alphabet
from digits_jax.ctc import align, beam, greedy, lengths, loss
from digits_jax.errors import InputError, check_name
from digits_jax.models import crnn
from digits_jax.tasks.base import LISTED, Decoded, Task, make_score, tabulate

MODEL = crnn.CRNN
OPTIONS = ('decoder', 'beams', 'n_best')  # beside the fields of MODEL
METHOD = 'CTC prefix beam search'  # of `read`, for people
DECODERS = ('beam', 'greedy')


def make(*, alphabet: Alphabet, decoder: str, beams: int, n_best: int, **model) -> Task:
  """The task.

  Args:
    decoder: what `score` reads with, one of DECODERS.
    beams, n_best: of 'beam', the prefixes kept and the readings listed; 'greedy' has a list of one.
    model: the fields of `models.crnn.CRNN` but for its classes.

  loss metrics: `infeasible` (1 where a label does not fit its frames and costs nothing), `empty` (1 where
  greedy decoding reads nothing). Outputs of predict: {'logits': float32[B, T, K]}. score is made by
  `base.make_score`.

  Raises InputError on an unknown decoder, and where beams do not suffice for n_best.
  """
  check_name('config.evaluation.decoder', decoder, DECODERS)
  if decoder == 'beam' and not 1 <= n_best <= beams:
    raise InputError(
      f'config.evaluation.n_best={n_best} must be at least 1 and at most config.evaluation.beams={beams}'
    )
  module = MODEL(classes=alphabet.classes, **model)
  apply = lambda params, images, keys=None: module.apply({'params': params}, images, keys)

  def init(key, batch):
    params = module.init(key, batch.images)['params']
    frames = jax.eval_shape(apply, params, batch.images).shape[1]
    slots = batch.labels.shape[1]
    # With one symbol all neighbours are equal, and need a blank between them.
    needed = slots if alphabet.classes > 2 else 2 * slots - 1
    if needed > frames:
      raise InputError(
        f'numbers of {slots} symbols do not fit the {frames} frames of this model: narrow model.patch and model.pools, '
        'take wider images, or leave longer numbers out'
      )
    return params

  def task_loss(params, batch, keys):
    logits = apply(params, batch.images, keys)
    ctc = loss.ctc_loss(logits, _all_frames(logits), batch.labels, batch.label_lengths)
    is_empty = jnp.all(jnp.argmax(logits, -1) == 0, axis=1)
    return ctc.loss, {
      'infeasible': 1.0 - ctc.is_feasible.astype(jnp.float32),
      'empty': is_empty.astype(jnp.float32),
    }

  def predict(params, images):
    return {'logits': apply(params, images)}

  read_to_score = functools.partial(read, beams=beams, n_best=n_best) if decoder == 'beam' else read_greedily
  return Task(
    init=init,
    loss=task_loss,
    predict=predict,
    score=make_score(read_to_score, log_prob),
    table=tabulate(module),
    read=read,
    log_prob=log_prob,
    locate=locate,
    head='head',
  )


def read(outputs, *, beams: int, n_best: int, min_length: int = 0, max_length: int | None = None) -> Decoded:
  """The n best by beam search, scored exactly, and the frames of the best one; arguments as in `ctc.beam`.

  They are the best of LISTED, as far as there are so many beams: the best one is the same for every n_best up to that.
  """
  logits, mask = outputs['logits'], _all_frames(outputs['logits'])
  _, frames, classes = logits.shape
  # With one symbol all neighbours are equal, and need a blank between them.
  longest = frames if classes > 2 else (frames + 1) // 2
  if min_length > longest:
    raise InputError(f'this model reads at most {longest} digits, and at least {min_length} are asked for')
  listed = max(n_best, min(LISTED, beams))
  found = beam.beam_search(logits, mask, beams=beams, n_best=listed, min_length=min_length, max_length=max_length)
  ranked = jax.tree.map(lambda leaf: leaf[:, :n_best], beam.rescore(found, logits, mask))
  if min_length or max_length is not None:
    allowed = lengths.length_log_prob(logits, mask, min_length=min_length, max_length=max_length)
  else:
    allowed = jnp.zeros(logits.shape[0])
  return _decoded(outputs, *ranked, allowed)


def read_greedily(outputs) -> Decoded:
  """The one reading that greedy decoding gives, scored exactly."""
  logits = outputs['logits']
  found = greedy.greedy_decode(logits, _all_frames(logits))
  log_probs = log_prob(outputs, found.labels, found.lengths)
  free = jnp.zeros(logits.shape[0])
  return _decoded(outputs, found.labels[:, None], found.lengths[:, None], log_probs[:, None], free)


def log_prob(outputs, labels, label_lengths) -> jax.Array:
  """Exact log-probability float32[B] of each number, summed over alignments."""
  logits = outputs['logits']
  return align.sequence_log_prob(logits, _all_frames(logits), labels, label_lengths)


def locate(outputs, labels, label_lengths) -> tuple[jax.Array, jax.Array, jax.Array]:
  """As `Task.locate` has it: of the most probable alignment."""
  logits = outputs['logits']
  located = align.align(logits, _all_frames(logits), labels, label_lengths)
  return located.first, located.last, located.posteriors


def _decoded(outputs, labels, label_lengths, log_probs, allowed_log_prob) -> Decoded:
  """Readings, and where the digits of the best one stand."""
  first, last, posteriors = locate(outputs, labels[:, 0], label_lengths[:, 0])
  return Decoded(labels, label_lengths, log_probs, allowed_log_prob, first, last, posteriors)


def _all_frames(logits):
  return jnp.ones(logits.shape[:2], bool)
