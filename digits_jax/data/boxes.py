"""Boxes of what is in an image."""

import numpy as np


def from_mask(mask: np.ndarray) -> np.ndarray:
  """(left, top, right, bottom), half-open, of the True pixels of bool[..., h, w], one at least: int[..., 4]."""
  columns, rows = mask.any(-2), mask.any(-1)
  last = lambda held: held.shape[-1] - held[..., ::-1].argmax(-1)
  return np.stack([columns.argmax(-1), rows.argmax(-1), last(columns), last(rows)], -1)
