"""How many symbols a reading has: the exact distribution, summed over all labellings and alignments.

The number of symbols of a path depends on its past through its last class and the count so far, so a table over
(last class, symbols still to come), filled from the last frame backwards, holds all there is to know. The beam search
ranks prefixes by it where lengths are constrained.
"""

import jax
import jax.numpy as jnp

from digits_jax.alphabet import BLANK
from digits_jax.ctc.loss import floor_logits


def length_log_prob(
  logits: jax.Array, frame_mask: jax.Array, *, min_length: int = 0, max_length: int | None = None
) -> jax.Array:
  """The exact log-probability that a reading has min_length to max_length symbols: float32[B], at most 0.

  Args:
    logits: float[B, T, K], unnormalised, class 0 the blank; computed in float32, floored as in the loss.
    frame_mask: bool[B, T], True keeps a frame.
    min_length, max_length: symbols, both included; None sets no upper limit.

  Where no reading can have such a length (more symbols than frames) the result is -inf.
  """

  def one(logits, mask):
    log_probs = jax.nn.log_softmax(floor_logits(logits))
    return allowed_futures(log_probs, mask, min_length, max_length)[0, BLANK, 0]

  return jnp.minimum(jax.vmap(one)(logits, frame_mask), 0.0)


def allowed_futures(log_probs: jax.Array, mask: jax.Array, min_length: int, max_length: int | None) -> jax.Array:
  """Log-probability that a path ends with an allowed number of symbols, given where it stands.

  Args:
    log_probs: float32[T, K], normalised. mask: bool[T].

  Returns:
    float32[T + 1, K, N + 2]: entry [t, k, n] is for a path whose first t frames gave n symbols and ended in class k;
    N is max_length, or T where that is less; row n = N + 1 (too many symbols) is -inf.
  """
  frames, classes = log_probs.shape
  most = frames if max_length is None else min(max_length, frames)
  counts = jnp.arange(most + 2)
  at_end = jnp.where((counts >= min_length) & (counts <= most), 0.0, -jnp.inf)
  at_end = jnp.broadcast_to(at_end, (classes, most + 2))
  is_repeat = jnp.eye(classes, dtype=bool)[:, :, None]
  is_blank = (jnp.arange(classes) == BLANK)[None, :, None]

  def step(later, frame):
    log_prob, is_kept = frame
    one_more = jnp.concatenate([later[:, 1:], jnp.full((classes, 1), -jnp.inf)], 1)  # [K, N + 2]
    reached = jnp.where(is_blank | is_repeat, later[None], one_more[None])  # [K before, K now, N + 2]
    now = jax.nn.logsumexp(log_prob[None, :, None] + reached, axis=1)
    now = jnp.where(is_kept, now, later)
    return now, now

  _, table = jax.lax.scan(step, at_end, (log_probs, mask), reverse=True)
  return jnp.concatenate([table, at_end[None]])
