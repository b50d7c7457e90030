"""The CTC loss: optax's, made safe for labels that do not fit and for logits of any size.

Assumes blank 0 and labels right-padded, as `alphabet.Alphabet.check` has checked on the host. Masks say what
True keeps: optax's paddings (1 = padding) appear in this file alone.

Source: Graves et al, "Connectionist temporal classification", ICML 2006, through `optax.ctc_loss`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

LOGIT_FLOOR = -1e5  # what -inf becomes: exp() of it is 0, yet the sum over many frames keeps its digits
_LOG_ZERO = -1e30  # with optax's -1e5, forbidden paths undercut a label whose digits cost 1e5 together


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
    labels: int32[B, N], classes in [1, K); what stands behind a label's length is not read.
    label_lengths: int32[B], 0 to N.
  """
  fits = is_feasible(labels, label_lengths, jnp.sum(frame_mask, axis=1))
  # The inner where of two: a gradient of 0 times a NaN inside would still be NaN.
  keep = frame_mask & fits[:, None]  # [B, T]
  logits = jnp.where(keep[:, :, None], floor_logits(logits), 0.0)
  inside = jnp.arange(labels.shape[1])[None] < label_lengths[:, None]  # [B, N]
  # optax picks log-probabilities by a matrix product, which a TPU or a GPU would round to bf16 or TF32.
  with jax.default_matmul_precision('highest'):
    loss = optax.ctc_loss(
      logits,
      1.0 - frame_mask.astype(jnp.float32),
      jnp.where(inside, labels, 0),
      1.0 - inside.astype(jnp.float32),
      log_epsilon=_LOG_ZERO,
    )
  return CtcLoss(jnp.where(fits, jnp.maximum(loss, 0.0), 0.0), fits)


def is_feasible(labels: jax.Array, label_lengths: jax.Array, frame_counts: jax.Array) -> jax.Array:
  """Whether each label fits its frames: bool[B].

  Args: labels int32[B, N], label_lengths int32[B], frame_counts int32[B] of valid frames.
  """
  return jax.vmap(_frames_needed)(labels, label_lengths) <= frame_counts


def floor_logits(logits: jax.Array) -> jax.Array:
  """Logits in float32 and no lower than LOGIT_FLOOR, so that -inf makes no NaN: float32, any shape."""
  return jnp.maximum(logits.astype(jnp.float32), LOGIT_FLOOR)


def _frames_needed(labels: jax.Array, length: jax.Array) -> jax.Array:
  """A frame for each digit, a blank between equal neighbours: int32[N], int32[] -> int32[]."""
  is_repeat = (labels[1:] == labels[:-1]) & (jnp.arange(1, labels.shape[0]) < length)
  return length + jnp.sum(is_repeat)
