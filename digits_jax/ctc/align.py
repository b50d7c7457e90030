"""Where each symbol of a labelling stands in the frames, and how likely the labelling is.

Assumes blank 0 and labels right-padded. Source: the lattice of Graves et al, "Connectionist temporal classification",
ICML 2006, section 4.1, with the maximum in place of the sum (Viterbi).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from digits_jax.alphabet import BLANK
from digits_jax.ctc.loss import ctc_loss, floor_logits, is_feasible


class Alignment(NamedTuple):
  """The most probable alignment of each labelling. Padding slots, and all of an infeasible one, hold -1, -1, 0."""

  first: jax.Array  # int32[B, N], the first frame of each symbol
  last: jax.Array  # int32[B, N], its last frame, included
  posteriors: jax.Array  # float32[B, N] in [0, 1], the mean probability of the symbol over its frames
  log_probs: jax.Array  # float32[B], of this one path, at most 0; -inf where infeasible


def align(logits: jax.Array, frame_mask: jax.Array, labels: jax.Array, lengths: jax.Array) -> Alignment:
  """Aligns a given labelling with its frames.

  Args:
    logits: float[B, T, K], unnormalised, class 0 the blank; computed in float32, floored as in the loss.
    frame_mask: bool[B, T], True keeps a frame; frames count from the first of all, masked or not.
    labels: int32[B, N], classes in [1, K); what stands behind a length is not read.
    lengths: int32[B], 0 to N.
  """
  fits = is_feasible(labels, lengths, jnp.sum(frame_mask, axis=1))
  return Alignment(*jax.vmap(_align)(logits, frame_mask, labels, lengths, fits))


def sequence_log_prob(
  logits: jax.Array, frame_mask: jax.Array, labels: jax.Array, lengths: jax.Array
) -> jax.Array:
  """The log-probability of a labelling, summed over its alignments: float32[B], at most 0; arguments as in `align`.

  Minus the CTC loss where the labelling fits its frames, -inf where it does not.
  """
  loss = ctc_loss(logits, frame_mask, labels, lengths)
  return jnp.where(loss.is_feasible, -loss.loss, -jnp.inf)


def _align(logits, mask, labels, length, fits):
  """One sequence: float[T, K], bool[T], int32[N], int32[], bool[]."""
  frames, slots = logits.shape[0], labels.shape[0]
  log_probs = jax.nn.log_softmax(floor_logits(logits))
  labels = jnp.where(jnp.arange(slots) < length, labels, BLANK)
  # States: blank, symbol, blank, symbol, ..., blank.
  states = jnp.zeros(2 * slots + 1, jnp.int32).at[1::2].set(labels)
  may_skip = (states != BLANK) & (states != jnp.roll(states, 2))
  scores = log_probs[:, states]  # [T, 2N + 1]

  def step(best, frame):
    score, is_kept = frame
    skipped = jnp.where(may_skip, _moved(best, 2), -jnp.inf)
    came = jnp.stack([best, _moved(best, 1), skipped])  # [3, 2N + 1]
    back = jnp.argmax(came, 0)
    return jnp.where(is_kept, jnp.max(came, 0) + score, best), jnp.where(is_kept, back, 0)

  # Before the first frame a path stands before the first blank, from where it can reach states 0 and 1.
  before = jnp.full(2 * slots + 1, -jnp.inf)
  is_first = jnp.cumsum(mask) == 1
  start = jnp.where(jnp.arange(2 * slots + 1) < 2, 0.0, -jnp.inf)

  def first_or_step(best, frame):
    score, is_kept, is_start = frame
    moved, back = step(best, (score, is_kept))
    moved = jnp.where(is_start & is_kept, start + score, moved)
    return moved, jnp.where(is_start & is_kept, 0, back)

  best, backs = jax.lax.scan(first_or_step, before, (scores, mask, is_first))
  end = 2 * length  # the last blank, or the last symbol
  end = jnp.where((length > 0) & (best[end - 1] > best[end]), end - 1, end)
  log_prob = jnp.where(jnp.any(mask), best[end], jnp.where(length == 0, 0.0, -jnp.inf))

  def trace(state, back):
    return state - back[state], state

  _, path = jax.lax.scan(trace, end, backs, reverse=True)  # [T], the state of each frame
  is_mine = (path == 2 * jnp.arange(slots)[:, None] + 1) & mask & fits  # [N, T]
  is_mine &= (jnp.arange(slots) < length)[:, None]
  found = jnp.any(is_mine, 1)
  first = jnp.where(found, jnp.argmax(is_mine, 1), -1)
  last = jnp.where(found, frames - 1 - jnp.argmax(is_mine[:, ::-1], 1), -1)
  shares = jnp.where(is_mine, jnp.exp(log_probs[:, labels].T), 0.0)  # [N, T]
  posteriors = jnp.sum(shares, 1) / jnp.maximum(jnp.sum(is_mine, 1), 1)
  return (
    first.astype(jnp.int32),
    last.astype(jnp.int32),
    posteriors,
    jnp.where(fits, jnp.minimum(log_prob, 0.0), -jnp.inf),
  )


def _moved(values, places):
  """float32[M] moved up by some places, -inf in front."""
  return jnp.concatenate([jnp.full(places, -jnp.inf), values[:-places]])
