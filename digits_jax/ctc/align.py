"""Where each symbol of a labelling stands in the frames, and how likely the labelling is.

Assumes blank 0 and labels right-padded. Source: the lattice of Graves et al, "Connectionist temporal classification",
ICML 2006, section 4.1, with the maximum in place of the sum (Viterbi).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from digits_jax.alphabet import BLANK
from digits_jax.ctc.loss import ctc_loss, floor_logits


class Alignment(NamedTuple):
  """The most probable alignment of each labelling. Padding slots, and all of an infeasible one, hold -1, -1, 0."""

  first: jax.Array  # int32[B, N], the first frame of each symbol
  last: jax.Array  # int32[B, N], its last frame, included
  posteriors: jax.Array  # float32[B, N] in [0, 1], the symbol's highest probability over its frames
  log_probs: jax.Array  # float32[B], of this one path, at most 0; -inf where infeasible


def align(logits: jax.Array, frame_mask: jax.Array, labels: jax.Array, lengths: jax.Array) -> Alignment:
  """Aligns a given labelling with its frames.

  Args:
    logits: float[B, T, K], unnormalised, class 0 the blank; computed in float32, floored as in the loss.
    frame_mask: bool[B, T], True keeps a frame; frames count from the first of all, masked or not.
    labels: int32[B, N], classes in [1, K); entries past the length are ignored.
    lengths: int32[B], 0 to N.
  """
  return Alignment(*jax.vmap(_align)(logits, frame_mask, labels, lengths))


def sequence_log_prob(logits: jax.Array, frame_mask: jax.Array, labels: jax.Array, lengths: jax.Array) -> jax.Array:
  """The log-probability of a labelling, summed over its alignments: float32[B], at most 0; arguments as in `align`.

  Minus the CTC loss where the labelling fits its frames, -inf where it does not.
  """
  loss = ctc_loss(logits, frame_mask, labels, lengths)
  return jnp.where(loss.is_feasible, -loss.loss, -jnp.inf)


def _align(logits, mask, labels, length):
  """One sequence: float[T, K], bool[T], int32[N], int32[]."""
  frames, slots = logits.shape[0], labels.shape[0]
  log_probs = jax.nn.log_softmax(floor_logits(logits))
  # The states of the lattice: blank, symbol, blank, symbol, ..., blank.
  states = jnp.zeros(2 * slots + 1, jnp.int32).at[1::2].set(labels)
  may_skip = (states != BLANK) & (states != jnp.roll(states, 2))

  def step(carry, frame):
    best, is_begun = carry
    score, is_kept = frame
    came = jnp.stack([best, _moved(best, 1), jnp.where(may_skip, _moved(best, 2), -jnp.inf)])  # [3, 2N + 1]
    # The first frame may be the first blank or the first symbol, which nothing comes before.
    back = jnp.where(is_begun, jnp.argmax(came, 0), 0)
    arrived = jnp.where(is_begun, jnp.max(came, 0), best) + score
    return (jnp.where(is_kept, arrived, best), is_begun | is_kept), jnp.where(is_kept, back, 0)

  start = jnp.where(jnp.arange(2 * slots + 1) < 2, 0.0, -jnp.inf)
  (best, is_begun), backs = jax.lax.scan(step, (start, jnp.bool_(False)), (log_probs[:, states], mask))
  # A path ends in the last blank or the last symbol. Where none fits, all is -inf, and it stays in that blank.
  end = 2 * length
  end = jnp.where((length > 0) & (best[end - 1] > best[end]), end - 1, end)
  _, path = jax.lax.scan(lambda state, back: (state - back[state], state), end, backs, reverse=True)  # [T]

  own = 2 * jnp.arange(slots) + 1
  is_mine = (path[None] == own[:, None]) & mask[None] & (jnp.arange(slots) < length)[:, None]  # [N, T]
  is_found = jnp.any(is_mine, 1)
  shares = jnp.where(is_mine, jnp.exp(log_probs[:, labels].T), 0.0)
  return (
    jnp.where(is_found, jnp.argmax(is_mine, 1), -1).astype(jnp.int32),
    jnp.where(is_found, frames - 1 - jnp.argmax(is_mine[:, ::-1], 1), -1).astype(jnp.int32),
    jnp.max(shares, 1, initial=0.0),
    jnp.where(is_begun | (length == 0), jnp.minimum(best[end], 0.0), -jnp.inf),
  )


def _moved(values, by):
  """float32[M] moved up by some indices, -inf in front."""
  return jnp.concatenate([jnp.full(by, -jnp.inf), values])[: values.shape[0]]
