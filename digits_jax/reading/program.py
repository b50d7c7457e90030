"""Images -> readings as one pure function: the network, the temperature, the beam search, the alignment.

The reader jits it; the export writes it to a file.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from digits_jax.ctc.align import align
from digits_jax.ctc.beam import beam_search, rescore
from digits_jax.ctc.lengths import length_log_prob


class Decoded(NamedTuple):
  """The n best readings of each image, best first, and where the digits of the best one stand."""

  labels: jax.Array  # int32[B, n_best, N], classes, right-padded with 0
  lengths: jax.Array  # int32[B, n_best]
  log_probs: jax.Array  # float32[B, n_best], exact; -inf in unused slots; not conditioned on the constraint
  allowed_log_prob: jax.Array  # float32[B], that the reading has an allowed length
  first: jax.Array  # int32[B, N], frames of the best reading's symbols; -1 in the padding
  last: jax.Array  # int32[B, N], included
  posteriors: jax.Array  # float32[B, N], each symbol's highest over its frames; 0 in the padding


def make_program(
  predict: Callable, *, beams: int, n_best: int, min_length: int = 0, max_length: int | None = None
) -> Callable[[Any, jax.Array, jax.Array], Decoded]:
  """Returns program(params, images float32[B, H, W, C], temperature float32[]) -> Decoded.

  Args:
    predict: a task's, whose outputs hold `logits`.
    beams, n_best, min_length, max_length: as in `ctc.beam.beam_search`.
  """

  def program(params, images, temperature):
    logits = predict(params, images)['logits'] / temperature
    mask = jnp.ones(logits.shape[:2], bool)
    found = beam_search(logits, mask, beams=beams, n_best=n_best, min_length=min_length, max_length=max_length)
    read = rescore(found, logits, mask)
    placed = align(logits, mask, read.labels[:, 0], read.lengths[:, 0])
    if min_length or max_length is not None:
      allowed = length_log_prob(logits, mask, min_length=min_length, max_length=max_length)
    else:
      allowed = jnp.zeros(logits.shape[0])
    return Decoded(*read, allowed, placed.first, placed.last, placed.posteriors)

  return program
