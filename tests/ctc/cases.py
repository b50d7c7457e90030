"""Random logits of every kind that a model, healthy or broken, may give; small enough for all paths to be counted."""

import numpy as np

from digits_jax.ctc.loss import LOGIT_FLOOR
from tests.ctc import oracle

SHAPES = [(1, 2), (1, 4), (2, 2), (2, 40), (3, 3), (4, 4), (5, 2), (5, 3), (6, 3), (6, 4)]  # (T, K)
KINDS = ('flat', 'peaked', 'equal', 'minus infinity', 'huge')


def logits(rng, kind, shape):
  """float32 of the shape [..., T, K]."""
  values = rng.normal(size=shape)
  match kind:
    case 'peaked':
      values *= 5
    case 'equal':
      values = np.round(values)  # many ties
    case 'minus infinity':
      values[rng.random(shape) < 0.3] = -np.inf
    case 'huge':
      values *= 10.0 ** rng.integers(3, 20, size=shape[:-2] + (1, 1))
  return values.astype(np.float32)


def masks(rng, shape):
  """bool[n, T]; the first keeps nothing, the second everything, the others most frames."""
  kept = rng.random(shape) < 0.85
  kept[0], kept[1] = False, True
  return kept


def exact(logits, mask):
  """{labelling: log-probability} of one sequence, all paths counted."""
  floored = np.maximum(np.asarray(logits, np.float64), LOGIT_FLOOR)
  return oracle.labellings(oracle.log_softmax(floored)[mask])


def labelling_count(frames, classes):
  """How many labellings of T frames there can be, at most."""
  return sum((classes - 1) ** length for length in range(frames + 1))
