"""The CTC loss, safe for labels that do not fit and for logits of any size up to 1e20.

Assumes blank 0 and labels right-padded, as `alphabet.Alphabet.pack` makes them. True in a mask keeps.

A GPU waits for each frame's small kernels: one scan goes through the frames, from both ends at once, and its step is
a few operations that fuse; the gradient needs no second scan. The tests hold it against `optax.ctc_loss`, whose
gradient takes two scans of 27 fused operations a frame on a CPU in place of one of 5 (jax 0.10.2).

Source: Graves et al, "Connectionist temporal classification", ICML 2006, sections 4.1 and 4.2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from digits_jax.alphabet import BLANK

LOGIT_FLOOR = -1e5  # what -inf becomes: exp() of it is 0, yet the sum over many frames keeps its digits
_CACHE_BYTES = 3 * 2**20
_LOG_ZERO = -1e30  # finite, so that differences are no NaN; with -1e5 a forbidden path could beat an unlikely label


class CtcLoss(NamedTuple):
  """One loss per example, unreduced."""

  loss: jax.Array  # float32[B], at least 0; exactly 0, gradient too, where the label does not fit
  is_feasible: jax.Array  # bool[B], False where the label does not fit its valid frames


def ctc_loss(
  logits: jax.Array, frame_mask: jax.Array, labels: jax.Array, label_lengths: jax.Array
) -> CtcLoss:
  """Minus the log-probability of each label, summed over all its alignments.

  Args:
    logits: float[B, T, K], unnormalised, class 0 the blank; computed in float32 whatever the dtype. Entries
      below LOGIT_FLOOR, -inf among them, count as LOGIT_FLOOR and get no gradient. NaN and +inf give NaN, so
      that a broken model is noticed.
    frame_mask: bool[B, T], True keeps a frame; T is at least 1. Masked frames may hold anything, NaN too, and
      may stand anywhere.
    labels: int32[B, N], classes in [1, K); entries past the length are ignored.
    label_lengths: int32[B], 0 to N.
  """
  fits = is_feasible(labels, label_lengths, jnp.sum(frame_mask, axis=1))
  # The inner where of two: a gradient of 0 times a NaN inside would still be NaN.
  keep = frame_mask & fits[:, None]  # [B, T]
  logits = jnp.where(keep[:, :, None], floor_logits(logits), 0.0)
  inside = jnp.arange(labels.shape[1])[None] < label_lengths[:, None]  # [B, N]
  loss = _in_blocks(_minus_log_prob, logits, frame_mask, jnp.where(inside, labels, BLANK), label_lengths)
  return CtcLoss(jnp.where(fits, jnp.maximum(loss, 0.0), 0.0), fits)


def is_feasible(labels: jax.Array, label_lengths: jax.Array, frame_counts: jax.Array) -> jax.Array:
  """Whether each label fits its frames: bool[B].

  Args: labels int32[B, N], label_lengths int32[B], frame_counts int32[B] of valid frames.
  """
  return jax.vmap(_frames_needed)(labels, label_lengths) <= frame_counts


def floor_logits(logits: jax.Array) -> jax.Array:
  """Logits in float32 and no lower than LOGIT_FLOOR, so that -inf makes no NaN: float32, any shape."""
  return jnp.maximum(logits.astype(jnp.float32), LOGIT_FLOOR)


def _in_blocks(function, logits, frame_mask, labels, lengths):
  """function(...) -> float32[B], on a CPU in blocks of sequences whose scan keeps no more than fits a core's cache.

  1,024 sequences of 128 frames and 20 symbols take 72 ms in place of 150, of 32 and 20 19 ms in place of 31
  (`benchmark loss --repeats=25`, 2 cores of an Intel Xeon with 2 MiB each, jax 0.10.2).
  """
  count, frames = frame_mask.shape
  if jax.default_backend() != 'cpu' or not isinstance(count, int):  # an export's batch has no size yet
    return function(logits, frame_mask, labels, lengths)
  states = 2 * labels.shape[1] + 1
  most = max(16, _CACHE_BYTES // (frames * states * 2 * 4))  # both directions, float32
  size = max((size for size in range(1, min(count, most) + 1) if count % size == 0), default=0)
  if not 16 <= size < count:
    return function(logits, frame_mask, labels, lengths)
  blocks = jax.tree.map(lambda leaf: leaf.reshape(-1, size, *leaf.shape[1:]), (logits, frame_mask, labels, lengths))
  return jax.lax.map(lambda block: function(*block), blocks).reshape(count)


def _frames_needed(labels: jax.Array, length: jax.Array) -> jax.Array:
  """A frame for each digit, a blank between equal neighbours: int32[N], int32[] -> int32[]."""
  is_repeat = (labels[1:] == labels[:-1]) & (jnp.arange(1, labels.shape[0]) < length)
  return length + jnp.sum(is_repeat)


@jax.custom_vjp
def _minus_log_prob(logits, frame_mask, labels, lengths):
  """float32[B] of finite logits float32[B, T, K] and labels int32[B, N], BLANK behind their lengths."""
  log_probs = jax.nn.log_softmax(logits)
  states, _, emitted, best = _emissions(log_probs, labels)
  mask = jnp.swapaxes(frame_mask, 0, 1)[:, None]
  last, _ = _scan(states, jnp.zeros_like(lengths), emitted, mask)
  return -_ending(last, lengths) - jnp.sum(best * mask, (0, 1))


def _minus_log_prob_forward(logits, frame_mask, labels, lengths):
  log_probs = jax.nn.log_softmax(logits)
  states, one_hot, emitted, best = _emissions(log_probs, labels)
  mask, (_, height, count) = jnp.swapaxes(frame_mask, 0, 1)[:, None], emitted.shape
  # Beside each sequence the same one turned round, in time and in its states.
  last, history = _scan(
    jnp.concatenate([states, states[::-1]], -1),
    jnp.concatenate([jnp.zeros_like(lengths), height - 1 - 2 * lengths]),
    jnp.concatenate([emitted, emitted[::-1, ::-1]], -1),
    jnp.concatenate([mask, mask[::-1]], -1),
  )
  alphas, betas = history[:, :, :count], history[::-1, ::-1, count:]
  # Both count the emission of their frame. A path is in one state at each frame, so their shares add up to 1.
  occupancies = jax.nn.softmax(alphas + betas - emitted, axis=1)
  of_classes = jnp.einsum('tsb,bsk->btk', occupancies, one_hot, precision='highest')
  loss = -_ending(last[:, :count], lengths) - jnp.sum(best * mask, (0, 1))
  return loss, jnp.exp(log_probs) - of_classes


def _minus_log_prob_backward(gradient, d_loss):
  return gradient * d_loss[:, None, None], None, None, None


_minus_log_prob.defvjp(_minus_log_prob_forward, _minus_log_prob_backward)


def _emissions(log_probs, labels):
  """(states, one_hot, emitted, best).

  Returns:
    states: int32[S, B], those of each label, blanks between and around; S = 2N + 1.
    one_hot: float32[B, S, K], the class of each.
    emitted: float32[T, S, B], their log-probabilities less `best`, so that sums over frames keep their digits.
    best: float32[T, 1, B], the highest of each frame.
  """
  count, slots = labels.shape
  states = jnp.full((count, 2 * slots + 1), BLANK).at[:, 1::2].set(labels)
  one_hot = jax.nn.one_hot(states, log_probs.shape[2])
  # At the default precision a TPU or a GPU would round the factors to bf16 or TF32, here and in the gradient.
  emitted = jnp.einsum('btk,bsk->tsb', log_probs, one_hot, precision='highest')
  best = jnp.max(emitted, 1, keepdims=True)
  return states.T, one_hot, emitted - best, best


def _scan(states, starts, emitted, mask):
  """(last, all): log-probabilities [S, B] after the last frame, and [T, S, B], of all ways to stand in each state.

  Args: states int32[S, B]; starts int32[B], the state, a blank, in which each sequence stands before its first frame;
    emitted float32[T, S, B]; mask bool[T, 1, B].
  """
  indices = jnp.arange(len(states))[:, None]
  before = jnp.pad(states, ((2, 0), (0, 0)), constant_values=BLANK)[:-2]
  skip_cost = jnp.where((states != BLANK) & (states != before), 0.0, _LOG_ZERO)

  def step(here, frame):
    emitted, is_kept = frame
    padded = jnp.pad(here, ((2, 0), (0, 0)), constant_values=_LOG_ZERO)
    near, far = padded[1:-1], padded[:-2] + skip_cost
    high, low = jnp.maximum(here, near), jnp.minimum(here, near)
    top, middle = jnp.maximum(high, far), jnp.minimum(high, far)
    summed = top + jnp.log(1 + jnp.exp(middle - top) + jnp.exp(low - top))  # two exponentials in place of three
    here = jnp.where(is_kept, summed + emitted, here)
    return here, here

  return jax.lax.scan(step, jnp.where(indices == starts[None], 0.0, _LOG_ZERO), (emitted, mask))


def _ending(last, lengths):
  """float32[B]: the log-probability of standing in the last symbol or the blank behind it, of [2N + 1, B]."""
  behind = jnp.arange(len(last))[:, None] - 2 * lengths[None]
  return jax.nn.logsumexp(jnp.where((behind == 0) | (behind == -1), last, _LOG_ZERO), axis=0)
