"""A task that looks at each image several times: as it is, and from further away, its edges repeated around it.

The probability of a number is the mean of those that the views give it, exactly; the best readings are looked for
among the LISTED or more best of each view. That the predictions of several crops of a test image are averaged is from
Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS 2012,
section 4.1; what it is worth here is in experiments/street.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.errors import InputError
from digits_jax.tasks.base import LISTED, Decoded, Task, make_score

WIDEST = 2.0


def with_zooms(task: Task, zooms: Sequence[float], *, beams: int, n_best: int) -> Task:
  """The task whose `predict` looks at each image as it is and once for each of zooms; the rest follows from that.

  Args:
    task: what is learnt, one that reads; init, loss and table stay as they are.
    zooms: sides of what is seen, as multiples of the image's: above 1 up to WIDEST, the image in the middle.
    beams, n_best: of `score`, which lists readings by `read`.

  Leaves of outputs have the axes [B, 1 + zooms, ...]. `score` is made by `base.make_score`.

  Raises InputError on other zooms, and on more readings than beams.
  """
  if n_best > beams:
    raise InputError(f'config.evaluation.n_best={n_best} must be at most config.evaluation.beams={beams} with zooms')
  if wrong := [zoom for zoom in zooms if not 1 < zoom <= WIDEST]:
    raise InputError(f'config.evaluation.zooms: {wrong[0]:g} must be above 1 and at most {WIDEST:g}')

  def predict(params, images):
    seen = jnp.stack([images, *(widen(images, zoom) for zoom in zooms)], 1)  # [B, V, H, W, C]
    outputs = task.predict(params, seen.reshape(-1, *images.shape[1:]))
    return jax.tree.map(lambda leaf: leaf.reshape(*seen.shape[:2], *leaf.shape[1:]), outputs)

  def read(outputs, *, beams, n_best, min_length=0, max_length=None):
    look = functools.partial(task.read, beams=beams, min_length=min_length, max_length=max_length)
    seen = jax.vmap(functools.partial(look, n_best=min(beams, max(n_best, LISTED))), 1, 1)(outputs)
    flat = lambda leaf: leaf.reshape(leaf.shape[0], leaf.shape[1] * leaf.shape[2], *leaf.shape[3:])
    labels, lengths = flat(seen.labels), flat(seen.lengths)  # [B, M, N], [B, M]
    log_probs = jax.vmap(log_prob, (None, 1, 1), 1)(outputs, labels, lengths)
    is_new = _is_new(labels, lengths, flat(seen.log_probs) > -jnp.inf)
    log_probs, chosen = jax.lax.top_k(jnp.where(is_new, log_probs, -jnp.inf), min(n_best, labels.shape[1]))
    is_used = log_probs > -jnp.inf
    labels = jnp.where(is_used[:, :, None], jnp.take_along_axis(labels, chosen[:, :, None], 1), 0)
    lengths = jnp.where(is_used, jnp.take_along_axis(lengths, chosen, 1), 0)
    first, last, posteriors = locate(outputs, labels[:, 0], lengths[:, 0])
    return Decoded(labels, lengths, log_probs, _log_mean(seen.allowed_log_prob), first, last, posteriors)

  def log_prob(outputs, labels, lengths):
    return _log_mean(jax.vmap(task.log_prob, (1, None, None), 1)(outputs, labels, lengths))

  def locate(outputs, labels, lengths):
    first, last, posteriors = jax.vmap(task.locate, (1, None, None), 1)(outputs, labels, lengths)
    return first[:, 0], last[:, 0], jnp.mean(posteriors, 1)  # the image as it is knows the image's columns

  score = make_score(functools.partial(read, beams=beams, n_best=n_best), log_prob)
  return dataclasses.replace(task, predict=predict, score=score, read=read, log_prob=log_prob, locate=locate)


def widen(images: jax.Array, zoom: float) -> jax.Array:
  """float32[B, H, W, C]: images of that shape in the middle of zoom times the width and height, edges repeated."""
  rows, columns = (resampling(size, zoom) for size in images.shape[1:3])
  return jnp.einsum('ih,bhwc,jw->bijc', rows, images, columns, precision='highest')


def resampling(size: int, zoom: float) -> np.ndarray:
  """float32[size, size]: what each pixel of a line that is seen zoom times as wide holds of the line's own pixels.

  By a triangle filter as wide as the new pixels are, as Pillow's BILINEAR.
  """
  centres = zoom * (np.arange(size) + 0.5 - size / 2) + size / 2 - 0.5  # of the new pixels, among the old ones
  beyond = math.ceil(zoom * size)
  columns = np.arange(-beyond, size + beyond)
  weights = np.maximum(1 - np.abs(columns - centres[:, None]) / zoom, 0.0)
  weights /= weights.sum(1, keepdims=True)
  return (weights @ np.eye(size)[np.clip(columns, 0, size - 1)]).astype(np.float32)


def _is_new(labels, lengths, is_used):
  """Which readings, int32[B, M, N], int32[B, M], bool[B, M], are used and none of the earlier ones: bool[B, M]."""
  is_same = jnp.all(labels[:, :, None] == labels[:, None], -1) & (lengths[:, :, None] == lengths[:, None])
  return is_used & ~jnp.any(jnp.tril(is_same & is_used[:, None], -1), -1)


def _log_mean(log_probs):
  """The logarithm float32[B] of the mean over axis 1 of probabilities whose logarithms are float32[B, V]."""
  return jnp.minimum(jax.nn.logsumexp(log_probs, 1) - math.log(log_probs.shape[1]), 0.0)
