"""The distribution of lengths against all paths."""

import numpy as np
import pytest

from digits_jax.ctc import lengths
from tests.ctc import cases, oracle


@pytest.mark.parametrize('kind', cases.KINDS)
@pytest.mark.parametrize('shape', [(1, 2), (4, 4), (6, 3)], ids=str)
def test_equals_the_sum_over_labellings(shape, kind):
  rng, count = np.random.default_rng(0), 40
  logits, masks = cases.logits(rng, kind, (count, *shape)), cases.masks(rng, (count, shape[0]))
  exact = [cases.exact(*pair) for pair in zip(logits, masks, strict=True)]
  for low, high in [(0, None), (0, 0), (1, 2), (3, 3), (2, None), (9, 9)]:
    found = lengths.length_log_prob(logits, masks, min_length=low, max_length=high)
    inside = lambda label: low <= len(label) and (high is None or len(label) <= high)
    wanted = [oracle.log_sum([value for label, value in of.items() if inside(label)]) for of in exact]
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-5)


def test_masked_frames_are_not_read():
  rng = np.random.default_rng(1)
  logits, masks = cases.logits(rng, 'peaked', (5, 7, 4)), np.arange(7) != 3
  masks = np.broadcast_to(masks, (5, 7))
  broken = np.where(masks[:, :, None], logits, np.nan)
  np.testing.assert_array_equal(
    lengths.length_log_prob(broken, masks, min_length=2, max_length=3),
    lengths.length_log_prob(logits, masks, min_length=2, max_length=3),
  )
