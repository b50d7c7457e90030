"""Greedy (best-path) decoding: the likeliest class of each frame, repeats merged, blanks dropped.

Assumes blank 0. It scores one path; a labelling's probability is summed over all its paths, so the best
path's labelling need not be the best labelling.

Source: Graves et al, "Connectionist temporal classification", ICML 2006, section 3.2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from digits_jax.alphabet import BLANK
from digits_jax.ctc.loss import floor_logits


class GreedyResult(NamedTuple):
  """One reading per example; N = T label slots."""

  labels: jax.Array  # int32[B, N], classes, right-padded with 0
  lengths: jax.Array  # int32[B]
  log_probs: jax.Array  # float32[B], of the best path (not of the labelling), at most 0


def greedy_decode(logits: jax.Array, frame_mask: jax.Array) -> GreedyResult:
  """Reads each example's best path.

  Args:
    logits: float[B, T, K], unnormalised, class 0 the blank; computed in float32. -inf is floored as in the
      loss; among equal logits the lowest class wins.
    frame_mask: bool[B, T], True keeps a frame. Masked frames are skipped wherever they stand, so equal digits
      on both sides of one are merged.
  """
  return jax.vmap(_decode)(logits, frame_mask)


def _decode(logits: jax.Array, frame_mask: jax.Array) -> GreedyResult:
  log_probs = jax.nn.log_softmax(floor_logits(logits))  # [T, K]
  path = _to_front(jnp.argmax(log_probs, axis=1), frame_mask)
  previous = jnp.concatenate([jnp.full(1, BLANK), path[:-1]])
  is_start = (path != BLANK) & (path != previous)
  log_prob = jnp.sum(jnp.where(frame_mask, jnp.max(log_probs, axis=1), 0.0))
  return GreedyResult(_to_front(path, is_start), jnp.sum(is_start, dtype=jnp.int32), log_prob)


def _to_front(classes: jax.Array, keep: jax.Array) -> jax.Array:
  """The kept classes in their order, blanks behind them: int[T], bool[T] -> int32[T]."""
  frames = keep.shape[0]
  slots = jnp.where(keep, jnp.cumsum(keep) - 1, frames)  # `frames` is out of range: dropped
  return jnp.full(frames, BLANK, jnp.int32).at[slots].set(classes.astype(jnp.int32), mode='drop')
