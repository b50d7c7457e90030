"""What a reader's own confidence is worth: n-best accuracy, accuracy against coverage, calibration.

Rates are plain NumPy over per-example records on the host. Examples of equal confidence stand or fall together, so
that no figure depends on their order.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

RECORDS = {
  'confidence': 'float32: the probability of the reading as a labelling, in [0, 1]',
  'rank': 'int32: index of the label in the list of readings, from 0; n_best where it is not there',
  'n_best': 'int32: the length of that list, the same for all examples',
}

BINS = 15  # of the calibration error


def rank(labels: jax.Array, length: jax.Array, candidates: jax.Array, candidate_lengths: jax.Array) -> jax.Array:
  """The rank of one label in its list: int32[N], int32[], int32[n, M], int32[n] -> int32[], n where it is not there.

  Entries past the length are ignored; an unused slot of the list has length -1.
  """
  shared = min(labels.shape[0], candidates.shape[1])
  is_outside = jnp.arange(shared) >= length
  is_equal = jnp.all((candidates[:, :shared] == labels[None, :shared]) | is_outside[None], axis=1)  # [n]
  is_label = is_equal & (candidate_lengths == length)
  return jnp.where(jnp.any(is_label), jnp.argmax(is_label), candidates.shape[0]).astype(jnp.int32)


def summarise(records: Mapping[str, np.ndarray]) -> dict:
  """The rates that follow from RECORDS and `is_right`, each of shape [examples] with at least one example.

  Returns n_best_accuracy, {n as a string: share of labels among the first n readings}; coverage_at_98 and
  coverage_at_99, see `coverage_at`; calibration_error. All are fractions in [0, 1], in plain Python numbers.
  """
  curve = accuracy_coverage(records['confidence'], records['is_right'])
  return {
    'n_best_accuracy': n_best_accuracy(records['rank'], int(np.max(records['n_best']))),
    'coverage_at_98': coverage_at(0.98, *curve),
    'coverage_at_99': coverage_at(0.99, *curve),
    'calibration_error': calibration_error(records['confidence'], records['is_right']),
  }


def n_best_accuracy(ranks: np.ndarray, n_best: int) -> dict[str, float]:
  """{'1': share of int[examples] that are below 1, '2': ..., up to n_best}."""
  return {str(n): float(np.mean(ranks < n)) for n in range(1, n_best + 1)}


def accuracy_coverage(confidence: np.ndarray, is_right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """How right those readings are that are at least so sure, for each confidence that occurs, highest first.

  Args: confidence float[examples], is_right bool[examples], at least one example.

  Returns (coverage, accuracy), float64[thresholds] each: the share of examples at or above the threshold, increasing to
  1, and the share of right ones among them. Source: Goodfellow et al, "Multi-digit number recognition from Street View
  imagery using deep convolutional neural networks", ICLR 2014, section 5.
  """
  counts, rights = _by_confidence(confidence, is_right)
  seen = np.cumsum(counts[::-1])
  return seen / len(confidence), np.cumsum(rights[::-1]) / seen


def coverage_at(level: float, coverage: np.ndarray, accuracy: np.ndarray) -> float:
  """The largest coverage of the curve at an accuracy of at least `level`; 0 where there is none."""
  return float(np.max(coverage, where=accuracy >= level, initial=0.0))


def calibration_error(confidence: np.ndarray, is_right: np.ndarray) -> float:
  """The expected calibration error: |mean confidence - accuracy| in bins of (nearly) equal count, weighted by count.

  Args: confidence float[examples] in [0, 1], is_right bool[examples], at least one example.

  Sorted by confidence, the examples are split into BINS bins whose counts differ by at most one; fewer examples than
  bins are a bin each. Where a bin's end cuts through equal confidences, each of them counts as right in the share in
  which all of them are. Source: Guo et al, "On calibration of modern neural networks", ICML 2017, equation 3, with the
  bins of Nguyen and O'Connor, "Posterior calibration and exploratory analysis for natural language processing models",
  EMNLP 2015.
  """
  counts, rights = _by_confidence(confidence, is_right)
  gaps = np.sort(np.asarray(confidence, np.float64)) - np.repeat(rights / counts, counts)
  return float(sum(abs(part.sum()) for part in np.array_split(gaps, BINS)) / len(gaps))


def _by_confidence(confidence, is_right):
  """(examples, right ones), int64[values] each, of each value of the confidence, lowest first."""
  _, value, counts = np.unique(confidence, return_inverse=True, return_counts=True)
  return counts, np.bincount(value, np.asarray(is_right, bool), len(counts)).astype(np.int64)
