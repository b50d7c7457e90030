"""Greedy decoding against a collapse in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.ctc.greedy import greedy_decode
from digits_jax.ctc.loss import ctc_loss
from tests.ctc import oracle

read_jitted = jax.jit(greedy_decode)


def frames_of(path, classes=11):
  """Logits [1, T, K] whose best path is `path`."""
  return 5.0 * jax.nn.one_hot(jnp.array([path]), classes)


def read(path):
  result = read_jitted(frames_of(path), jnp.ones((1, len(path)), bool))
  return result.labels[0, : result.lengths[0]].tolist()


@pytest.mark.parametrize('frames, classes', [(1, 3), (6, 2), (9, 3), (9, 11)])
def test_equals_python_collapse(frames, classes):
  rng = np.random.default_rng(frames)
  logits = rng.normal(0, 2, (1500, frames, classes)).astype(np.float32)
  frame_mask = rng.random((1500, frames)) < rng.choice([0.5, 0.9, 1.0], (1500, 1))
  logits[~frame_mask] = np.nan
  result = read_jitted(logits, frame_mask)
  assert result.labels.dtype == result.lengths.dtype == jnp.int32
  labels, lengths, log_probs = map(np.asarray, result)
  for i in range(1500):
    kept = oracle.log_softmax(logits[i][frame_mask[i]])
    want = oracle.collapse(kept.argmax(-1))
    assert labels[i].tolist() == list(want) + [0] * (frames - len(want)), i
    assert lengths[i] == len(want), i
    np.testing.assert_allclose(log_probs[i], kept.max(-1).sum(), rtol=1e-5, atol=1e-6)


def test_doubled_digits_survive_through_blanks():
  assert read([2, 1, 0, 1, 1, 4, 0, 4, 4, 0, 8, 0, 0, 8]) == [2, 1, 1, 4, 4, 8, 8]  # "1003377"
  assert read([2, 2, 2]) == [2]
  assert read([0, 0, 0]) == []


def test_masked_frames_are_skipped():
  logits = frames_of([3, 0, 3, 5])
  assert read_jitted(logits, jnp.array([[True, False, True, True]])).labels[0].tolist() == [3, 5, 0, 0]
  nothing = read_jitted(logits, jnp.zeros((1, 4), bool))
  assert nothing.lengths[0] == 0 and nothing.log_probs[0] == 0 and not nothing.labels.any()


def test_minus_inf_and_huge_logits():
  logits = jnp.array([[[-jnp.inf, 0.0, -jnp.inf], [1e4, -1e4, 0.0], [-jnp.inf] * 3]])
  result = read_jitted(logits, jnp.ones((1, 3), bool))
  assert result.labels[0].tolist() == [1, 0, 0]
  np.testing.assert_allclose(result.log_probs[0], -np.log(3), rtol=1e-6)  # the last frame is uniform


def test_bf16_logits_are_computed_in_float32():
  logits = jax.random.normal(jax.random.key(1), (20, 8, 11)).astype(jnp.bfloat16)
  low, high = (read_jitted(x, jnp.ones((20, 8), bool)) for x in (logits, logits.astype(jnp.float32)))
  assert low.log_probs.dtype == jnp.float32
  for a, b in zip(low, high, strict=True):
    np.testing.assert_array_equal(a, b)


def test_a_path_is_no_likelier_than_its_labelling():
  logits = jax.random.normal(jax.random.key(0), (200, 10, 4))
  frame_mask = jnp.ones((200, 10), bool)
  result = read_jitted(logits, frame_mask)
  loss, fits = jax.jit(ctc_loss)(logits, frame_mask, result.labels, result.lengths)
  assert fits.all()
  assert (result.log_probs <= -loss + 1e-4).all()
