"""Whether a written file computes what the run computes, on images of the run's own test."""

from collections.abc import Callable

import numpy as np

from digits_jax.data import canvas, sources
from digits_jax.errors import InputError
from digits_jax.reading import evaluation
from digits_jax.reading.trained import Run

IMAGES = 64
BATCHES = (1, IMAGES)  # two, so that the batch size really is free
TOLERANCE = 1e-3  # of a logit, a log-probability or a probability; anything else must be equal
HALF_TOLERANCE = 0.02  # of a confidence, where parameters are rounded to half precision


def draw_images(run: Run) -> tuple[np.ndarray, str]:
  """The first images of the run's test, float32[IMAGES, H, W, C], and in words what they are.

  Of another size, they are placed on the model's canvas. Where the data of the test is not there, it is noise.
  """
  try:
    test = evaluation.config_sets(run, run.config)['test']
  except InputError as error:
    noise = np.random.default_rng(0).uniform(size=(IMAGES, *run.canvas.shape)).astype(np.float32)
    return noise, f'noise, for its test cannot be drawn: {error}'
  images = sources.draw_examples(test, np.arange(IMAGES)).images
  if images.shape[1:] != run.canvas.shape:
    images = np.stack([canvas.load(image, run.canvas)[0] for image in images])
  return images, 'the test'


def compare(read: Callable, reference: Callable, images: np.ndarray, tolerance: float = TOLERANCE) -> float:
  """The largest difference between two functions images -> {name: array}.

  Raises InputError above the tolerance.
  """
  largest = 0.0
  for size in BATCHES:
    got, want = read(images[:size]), reference(images[:size])
    for name in want:
      difference = _difference(_steady(name, got[name]), _steady(name, want[name]))
      largest = max(largest, difference)
      if not difference <= tolerance:
        raise InputError(
          f'what was written does not compute what the run computes: {name} differs by {difference:.2g} at batch size '
          f'{size}, more than {tolerance:g}; it was removed'
        )
  return largest


def _steady(name, array):
  """Of readings the best alone: those behind it may change places where they are equally likely."""
  return np.asarray(array)[:, :1] if name in ('labels', 'lengths') else np.asarray(array)


def _difference(got, want):
  """The largest, infinite where shapes or NaNs or infinities differ."""
  if got.shape != want.shape:
    return np.inf
  with np.errstate(invalid='ignore'):
    apart = np.where(got == want, 0.0, np.abs(got.astype(np.float64) - want))  # -inf is equal to -inf
  return float(np.max(np.where(np.isnan(apart), np.inf, apart)))
