"""The hinge between what is learnt and how it is trained: a Task is some pure functions and a description.

The training loop never asks which task it runs. A new task is one new file in this folder, with MODEL, OPTIONS, METHOD
and make, and its row in the package's table; docs/design.md says what else it may need.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from digits_jax import confidence, metrics, structs

Params = Any

# Readings that a search lists at least, however few are wanted. They are ranked again by their exact probabilities.
LISTED = 5


class Decoded(NamedTuple):
  """The n best readings of each image, best first, and where the digits of the best one stand."""

  labels: jax.Array  # int32[B, n_best, N], classes, right-padded with 0; without a limit of length N is the frames
  lengths: jax.Array  # int32[B, n_best], 0 in unused slots
  log_probs: jax.Array  # float32[B, n_best], exact; -inf in unused slots; not conditioned on the constraint
  allowed_log_prob: jax.Array  # float32[B], that the reading has an allowed length
  first: jax.Array  # int32[B, N], frames of the best reading's symbols; -1 in the padding, or all not known
  last: jax.Array  # int32[B, N], included
  # float32[B, N], each symbol's own probability, the highest over its frames; 0 in the padding; of views, the mean
  posteriors: jax.Array


@dataclasses.dataclass(frozen=True)
class Task:
  """What is learnt.

  init: (key, batch) -> params. Raises InputError where the batch cannot fit the model.
  loss: (params, batch, keys) -> (float32[B], {name: float32[B]}): one loss and metrics per example, unreduced. keys
    key[B], one for each example, are what the model's own randomness is drawn from; with None it has none.
  predict: (params, images float32[B, H, W, C]) -> outputs, a pytree of arrays with leading axis B.
  score: (outputs, batch) -> {name: array[B, ...]}: per-example records, from which evaluation computes rates; among
    them `loss`, float32[B], which says how well the outputs, divided by a temperature or not, fit the batch.
  table: (key, batch) -> the layers with their shapes and parameters, as text for people.
  read: (outputs, *, beams, n_best, min_length, max_length) -> Decoded, for readers. At most n_best readings, of
    min_length to max_length symbols (None: no limit); beams are of a search, if there is one. Raises InputError where
    no reading can have such a length.
  log_prob: (outputs, labels int32[B, N], lengths int32[B]) -> float32[B], exact, of each number; -inf where it is none
    that the task can read.
  locate: (outputs, labels int32[B, N], lengths int32[B]) -> (first, last, posteriors) of `Decoded`, of each number, as
    if it had been read; N is that of `read`.
  head: the subtree of params with a class for each symbol: another alphabet's means nothing here.
  """

  init: Callable[[jax.Array, structs.Batch], Params]
  loss: Callable[[Params, structs.Batch, jax.Array | None], tuple[jax.Array, dict[str, jax.Array]]]
  predict: Callable[[Params, jax.Array], Any]
  score: Callable[[Any, structs.Batch], dict[str, jax.Array]]
  table: Callable[[jax.Array, structs.Batch], str]
  read: Callable[..., Decoded]
  log_prob: Callable[[Any, jax.Array, jax.Array], jax.Array]
  locate: Callable[[Any, jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]
  head: str


def make_score(
  read: Callable[[Any], Decoded], log_prob: Callable[[Any, jax.Array, jax.Array], jax.Array]
) -> Callable[[Any, structs.Batch], dict[str, jax.Array]]:
  """`Task.score` of what a task reads.

  Its records are those of `metrics.sequence_records` and `confidence.RECORDS`, `is_feasible`, `loss` (minus the
  log-probability of the label; 0 where the task cannot read it), and what was read, `predicted` with
  `predicted_length`.

  Args:
    read: (outputs) -> Decoded, the readings that are scored.
    log_prob: as in `Task`.
  """

  def score(outputs, batch):
    decoded = read(outputs)  # of which jit leaves out where the digits stand
    log_probs = log_prob(outputs, batch.labels, batch.label_lengths)
    is_feasible = ~jnp.isneginf(log_probs)  # NaN is not: it shall be seen in the loss
    is_used = decoded.log_probs > -jnp.inf
    lengths = jnp.where(is_used, decoded.lengths, -1)  # so that an unused slot is no empty number
    ranks = jax.vmap(confidence.rank)(batch.labels, batch.label_lengths, decoded.labels, lengths)
    predicted, predicted_lengths = decoded.labels[:, 0], decoded.lengths[:, 0]
    records = metrics.sequence_records(batch.labels, batch.label_lengths, predicted, predicted_lengths)
    return records | {
      'is_right': records['is_right'] & is_used[:, 0],
      'is_empty': records['is_empty'] & is_used[:, 0],
      'is_feasible': is_feasible,
      'loss': jnp.where(is_feasible, -log_probs, 0.0),
      'confidence': jnp.exp(decoded.log_probs[:, 0]),
      'rank': ranks,
      'n_best': jnp.full(lengths.shape[0], lengths.shape[1], jnp.int32),
      'predicted': predicted,
      'predicted_length': predicted_lengths,
    }

  return score


def tabulate(module: nn.Module) -> Callable[[jax.Array, structs.Batch], str]:
  """`Task.table` of a Linen module that takes a batch's images."""
  options = {'width': 120, 'force_terminal': False}
  return lambda key, batch: nn.tabulate(module, key, console_kwargs=options)(batch.images)


def divide(outputs: Any, temperature: jax.Array) -> Any:
  """The outputs of `predict` divided by float32[]: above 1, probabilities made from them are less sure."""
  return jax.tree.map(lambda leaf: leaf / temperature, outputs)
