"""Beam search decoders behind one face: ours, and the peers that are installed.

Each gets its input in the layout that it likes best before the clock runs, and hands out what its user would get from
it. Peers that take one sequence at a time are called in a loop, as their users do.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from digits_jax.benchmark import report


@dataclasses.dataclass(frozen=True)
class Decoder:
  """One decoder on one batch of logits."""

  name: str
  version: str
  decode: Callable[[int], object]  # (beams) -> its own result, complete when it returns
  read: Callable[[object], list[tuple[int, ...]]]  # that result -> the best labelling of each sequence, in classes


def ours(logits: np.ndarray, *, is_exact: bool = False) -> Decoder:
  """`ctc.beam.beam_search`; is_exact: as `read_ctc.read` uses it, each probability made exact, as no peer's is.

  logits: float32[B, T, K], blank 0.
  """
  import jax

  import digits_jax
  from digits_jax.ctc.beam import BeamResult, beam_search
  from digits_jax.tasks import read_ctc

  logits = jax.device_put(logits)
  mask = jax.device_put(np.ones(logits.shape[:2], bool))

  def read(result):
    labels, lengths = np.asarray(result.labels[:, 0]), np.asarray(result.lengths[:, 0])
    return [tuple(row[:length].tolist()) for row, length in zip(labels, lengths, strict=True)]

  @functools.partial(jax.jit, static_argnames='beams')
  def read_exactly(logits, beams):
    found = read_ctc.read({'logits': logits}, beams=beams, n_best=1)
    return BeamResult(found.labels, found.lengths, found.log_probs)  # where digits stand is left out, and not computed

  def decode(beams):
    return jax.block_until_ready(
      read_exactly(logits, beams) if is_exact else beam_search(logits, mask, beams=beams)
    )

  return Decoder('digits_jax, exact' if is_exact else 'digits_jax', digits_jax.__version__, decode, read)


def tensorflow(logits: np.ndarray) -> Decoder:
  """tf.nn.ctc_beam_search_decoder, on the CPU with all its threads. Raises ImportError where it is not installed."""
  import tensorflow as tf

  tf.config.set_visible_devices([], 'GPU')
  batch, frames, _ = logits.shape
  blank_last = tf.constant(np.moveaxis(np.roll(logits, -1, axis=2), 0, 1))  # [T, B, K]
  lengths = tf.fill([batch], frames)

  def read(result):
    labels = tf.sparse.to_dense(result[0][0], default_value=-1).numpy() + 1
    return [tuple(row[row > 0].tolist()) for row in labels]

  decode = lambda beams: tf.nn.ctc_beam_search_decoder(blank_last, lengths, beam_width=beams)
  return Decoder('TensorFlow', tf.__version__, decode, read)


def fast_ctc_decode(logits: np.ndarray) -> Decoder:
  """fast_ctc_decode.beam_search (Rust), no threshold. Raises ImportError where it is not installed."""
  import fast_ctc_decode

  shifted = np.exp(logits - logits.max(2, keepdims=True))
  probabilities = np.ascontiguousarray(shifted / shifted.sum(2, keepdims=True))
  alphabet = ''.join(chr(ord('0') + i) for i in range(logits.shape[2]))  # the first is its blank
  decode = lambda beams: [
    fast_ctc_decode.beam_search(one, alphabet, beam_size=beams, beam_cut_threshold=0.0) for one in probabilities
  ]
  read = lambda result: [tuple(ord(letter) - ord('0') for letter in text) for text, _ in result]
  return Decoder('fast-ctc-decode', report.version('fast-ctc-decode'), decode, read)


def flashlight(logits: np.ndarray) -> Decoder:
  """flashlight-text's lexicon-free decoder (C++), sums for maxima. Raises ImportError where it is not installed."""
  from flashlight.lib.text import decoder

  batch, frames, classes = logits.shape
  shifted = logits - logits.max(2, keepdims=True)
  log_probs = np.ascontiguousarray(shifted - np.log(np.exp(shifted).sum(2, keepdims=True)), np.float32)

  def decode(beams):
    options = decoder.LexiconFreeDecoderOptions(
      beam_size=beams,
      beam_size_token=classes,
      beam_threshold=1e9,
      lm_weight=0.0,
      sil_score=0.0,
      log_add=True,
      criterion_type=decoder.CriterionType.CTC,
    )
    search = decoder.LexiconFreeDecoder(options, decoder.ZeroLM(), -1, 0, [])
    return [search.decode(log_probs[i].ctypes.data, frames, classes)[0].tokens for i in range(batch)]

  return Decoder('flashlight-text', report.version('flashlight-text'), decode, lambda result: [*map(_collapse, result)])


PEERS = (tensorflow, flashlight, fast_ctc_decode)


def installed(logits: np.ndarray) -> list[Decoder]:
  """Ours, the search alone and with exact probabilities, then each peer that can be imported."""
  found = [ours(logits), ours(logits, is_exact=True)]
  for make in PEERS:
    try:
      found.append(make(logits))
    except ImportError:
      continue
  return found


def _collapse(path):
  """A path's labelling: repeats merged, blanks dropped."""
  return tuple(int(now) for before, now in zip([-1, *path], path, strict=False) if now != before and now > 0)
