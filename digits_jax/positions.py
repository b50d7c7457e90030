"""A number as its length and the symbol at each position, all independent: its probability, the n best, by length.

log P(number) = log P(length) + the sum of log P(symbol at position i) over its positions (Goodfellow et al. 2013,
section 3). Assumes logits of 0 to N symbols and of A symbols at N positions; symbol a is class a + 1. Computed in
float32; written for one number, mapped over the batch.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Found(NamedTuple):
  """The n best numbers of each example, best first."""

  labels: jax.Array  # int32[B, n, N], classes, right-padded with 0
  lengths: jax.Array  # int32[B, n]; 0 in unused slots
  log_probs: jax.Array  # float32[B, n], exact; -inf in unused slots


def log_prob(
  length_logits: jax.Array, symbol_logits: jax.Array, labels: jax.Array, label_lengths: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The log-probability float32[B] of each label and whether it has a place, bool[B]; 0, gradient too, where not.

  Args:
    length_logits: float[B, N + 1], unnormalised.
    symbol_logits: float[B, N, A], unnormalised.
    labels: int32[B, M], classes; M may differ from N. Entries past the length are ignored.
    label_lengths: int32[B]; those above N have no place.
  """
  return jax.vmap(_log_prob)(length_logits, symbol_logits, labels, label_lengths)


def _log_prob(length_logits, symbol_logits, labels, length):
  slots = min(len(labels), len(symbol_logits))
  is_feasible = length < len(length_logits)
  symbols = jax.nn.log_softmax(symbol_logits.astype(jnp.float32))[:slots]  # [slots, A]
  inside = jnp.arange(slots) < length
  chosen = jnp.take_along_axis(symbols, jnp.where(inside, labels[:slots] - 1, 0)[:, None], 1)[:, 0]
  of_length = jax.nn.log_softmax(length_logits.astype(jnp.float32))[jnp.where(is_feasible, length, 0)]
  return jnp.where(is_feasible, of_length + jnp.sum(jnp.where(inside, chosen, 0.0)), 0.0), is_feasible


def cross_entropy_to_uniform(length_logits: jax.Array, symbol_logits: jax.Array, label_lengths: jax.Array) -> jax.Array:
  """Of a uniform distribution over all lengths, and over all symbols at each position of a label: float32[B]."""
  of = lambda logits: -jnp.mean(jax.nn.log_softmax(logits.astype(jnp.float32)), -1)
  inside = jnp.arange(symbol_logits.shape[1])[None] < label_lengths[:, None]
  return of(length_logits) + jnp.sum(jnp.where(inside, of(symbol_logits), 0.0), 1)


def n_best(
  length_logits: jax.Array,
  symbol_logits: jax.Array,
  *,
  n: int,
  min_length: int = 0,
  max_length: int | None = None,
) -> Found:
  """The n numbers with the highest probability, exactly, among those of min_length to max_length symbols.

  max_length None sets no upper limit. Given its length, a number's symbols are independent, so that the n best of i + 1
  symbols are among the n best of i, each followed by any symbol; the n best of all lengths are among the n best of
  each. The probabilities are not conditioned on the limits.
  """
  find = lambda lengths, symbols: _n_best(lengths, symbols, n, min_length, max_length)
  return jax.vmap(find)(length_logits, symbol_logits)


def _n_best(length_logits, symbol_logits, n, min_length, max_length):
  positions, count = symbol_logits.shape
  symbol_log_probs = jax.nn.log_softmax(symbol_logits.astype(jnp.float32))
  length_log_probs = allowed(length_logits, min_length, max_length)  # [N + 1]

  def extend(best, position):
    labels, scores = best  # [n, N], [n]
    i, log_probs = position
    scores, chosen = jax.lax.top_k((scores[:, None] + log_probs[None]).reshape(-1), n)  # of [n * A]
    labels = labels[chosen // count].at[:, i].set(chosen % count + 1)
    return (labels, scores), (labels, scores)

  nothing = jnp.zeros((n, positions), jnp.int32), jnp.where(jnp.arange(n) == 0, 0.0, -jnp.inf)
  _, longer = jax.lax.scan(extend, nothing, (jnp.arange(positions), symbol_log_probs))
  labels, scores = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), nothing, longer)
  scores = scores + length_log_probs[:, None]  # [N + 1, n]
  log_probs, chosen = jax.lax.top_k(scores.reshape(-1), n)
  is_used = log_probs > -jnp.inf
  return Found(
    labels=jnp.where(is_used[:, None], labels.reshape(-1, positions)[chosen], 0),
    lengths=jnp.where(is_used, chosen // n, 0),
    log_probs=log_probs,
  )


def allowed(length_logits: jax.Array, min_length: int, max_length: int | None) -> jax.Array:
  """The log-probability float32[..., N + 1] of each length, -inf outside min_length to max_length (None: no limit)."""
  lengths = jnp.arange(length_logits.shape[-1])
  is_allowed = (lengths >= min_length) & (lengths <= (len(lengths) if max_length is None else max_length))
  log_probs = jax.nn.log_softmax(length_logits.astype(jnp.float32))
  return jnp.where(jnp.broadcast_to(is_allowed, log_probs.shape), log_probs, -jnp.inf)
