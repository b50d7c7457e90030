"""CTC prefix beam search from scratch: the n best readings, each with the probability of the whole labelling.

Paths that collapse to one prefix are added, not maxed. With enough beams the search misses nothing; with few it may
miss a labelling, and some alignments of those that it finds, whose whole probabilities `rescore` computes. Written for
one sequence and vmapped; blank is class 0.

Prefixes are told apart exactly, never by a hash: a prefix is kept as its own digits, each in as many bits as a class
needs, side by side in 32-bit words. That code is the prefix (0 pads it, and no symbol is 0), so two prefixes have equal
codes if and only if they are equal, at every length allowed.

Source: Hannun, "Sequence Modeling with CTC", Distill 2017, section "Inference"; the ranking under length constraints
is ours (see `beam_search`).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from digits_jax.alphabet import BLANK
from digits_jax.ctc.align import sequence_log_prob
from digits_jax.ctc.lengths import allowed_futures
from digits_jax.ctc.loss import floor_logits

_WORD_BITS = 32


class BeamResult(NamedTuple):
  """The n best readings of each example, best first, all different; N = min(max_length, T), T without a maximum.

  Slots that no labelling fills have length 0 and log-probability -inf.
  """

  labels: jax.Array  # int32[B, n_best, N], classes, right-padded with 0
  lengths: jax.Array  # int32[B, n_best]
  log_probs: jax.Array  # float32[B, n_best], at most 0, summed over alignments; not conditioned on the constraint


@struct.dataclass
class Beams:
  """S prefixes of one sequence, all different where they are alive (`blank` or `symbol` above -inf)."""

  codes: jax.Array  # uint32[S, W], the prefixes
  lengths: jax.Array  # int32[S]
  last: jax.Array  # int32[S], the last class of each prefix, 0 of the empty one
  blank: jax.Array  # float32[S], log-probability of its paths that end in a blank
  symbol: jax.Array  # float32[S], of those that end in its last class


@functools.partial(jax.jit, static_argnames=('beams', 'n_best', 'min_length', 'max_length'))
def beam_search(
  logits: jax.Array,
  frame_mask: jax.Array,
  *,
  beams: int,
  n_best: int = 1,
  min_length: int = 0,
  max_length: int | None = None,
) -> BeamResult:
  """The n best readings of each example.

  Args:
    logits: float[B, T, K], unnormalised, class 0 the blank; computed in float32, -inf floored as in the loss. NaN
      gives readings without meaning.
    frame_mask: bool[B, T], True keeps a frame; masked frames may stand anywhere and hold anything.
    beams: S, prefixes kept after each frame.
    n_best: readings returned, at most `beams`.
    min_length, max_length: symbols that a reading may have, both included; None sets no upper limit.

  With a length constraint, prefixes are ranked by the exact probability that the reading starts with them and has an
  allowed length (their own times that of `lengths.allowed_futures`), so that those that can still become an allowed
  reading survive however narrow the beam is. Without one the second factor is 1.

  The log-probabilities are exact with enough beams. With few they are sums over the alignments that the search kept:
  never above the exact ones.

  Raises ValueError on hyper-parameters that make no sense.
  """
  if not 1 <= n_best <= beams:
    raise ValueError(f'n_best={n_best} must be at least 1 and at most beams={beams}')
  if min_length < 0 or (max_length is not None and max_length < min_length):
    raise ValueError(f'min_length={min_length} and max_length={max_length} must satisfy 0 <= min_length <= max_length')
  search = functools.partial(_search, beams=beams, n_best=n_best, min_length=min_length, max_length=max_length)
  return BeamResult(*jax.vmap(search)(logits, frame_mask))


def rescore(result: BeamResult, logits: jax.Array, frame_mask: jax.Array) -> BeamResult:
  """The same readings with their exact probabilities, best first; logits and frame_mask as in `beam_search`.

  On a CPU five readings a sequence cost about as much as a search with 10 beams.
  """
  score = jax.vmap(sequence_log_prob, in_axes=(None, None, 1, 1), out_axes=1)
  log_probs = score(logits, frame_mask, result.labels, result.lengths)
  log_probs = jnp.where(jnp.isneginf(result.log_probs), -jnp.inf, log_probs)
  order = jnp.argsort(-log_probs, axis=1, stable=True)  # [B, n_best]
  pick = lambda values: jnp.take_along_axis(values, order, 1)
  return BeamResult(jnp.take_along_axis(result.labels, order[:, :, None], 1), pick(result.lengths), pick(log_probs))


def _search(logits, mask, *, beams, n_best, min_length, max_length):
  """One sequence: float[T, K], bool[T] -> labels [n_best, N], lengths [n_best], log_probs [n_best]."""
  frames, classes = logits.shape
  slots = frames if max_length is None else min(max_length, frames)
  log_probs = jax.nn.log_softmax(floor_logits(logits))
  futures = None
  if min_length or slots < frames:
    futures = allowed_futures(log_probs, mask, min_length, slots)[1:]

  def step(state, frame):
    log_prob, is_kept, future = frame
    fresh = _step(state, log_prob, future, slots)
    return jax.tree.map(lambda new, old: jnp.where(is_kept, new, old), fresh, state), None

  state, _ = jax.lax.scan(step, _start(beams, classes, slots), (log_probs, mask, futures))
  return _finish(state, classes, slots, n_best, min_length)


def _start(beams, classes, slots):
  """The empty prefix with probability 1, and room for more."""
  words = -(-slots // _symbols_per_word(classes))
  nothing = jnp.full(beams, -jnp.inf)
  return Beams(
    codes=jnp.zeros((beams, words), jnp.uint32),
    lengths=jnp.zeros(beams, jnp.int32),
    last=jnp.full(beams, BLANK, jnp.int32),
    blank=nothing.at[0].set(0.0),
    symbol=nothing,
  )


def _step(state, log_prob, future, slots):
  """The best S prefixes after one more frame: float32[K], None or float32[K, N + 2]."""
  beams, classes = state.lengths.shape[0], log_prob.shape[0]
  symbols = jnp.arange(1, classes)
  total = jnp.logaddexp(state.blank, state.symbol)

  # A symbol that repeats the last one is a new symbol only after a blank.
  is_repeat = symbols[None] == state.last[:, None]  # [S, K-1]
  extended = jnp.where(is_repeat, state.blank[:, None], total[:, None]) + log_prob[None, 1:]
  extended = jnp.where(state.lengths[:, None] < slots, extended, -jnp.inf)

  # Where prefix p and prefix q = p + symbol both are in the beam, p's extension belongs to q.
  is_parent = _is_parent(state, total > -jnp.inf, classes)  # [S (q), S (p)]
  from_parent = jnp.where(state.last[:, None] == state.last[None], state.blank[None], total[None])  # [S, S]
  from_parent = jnp.max(jnp.where(is_parent, from_parent, -jnp.inf), 1)
  stay_blank = total + log_prob[BLANK]
  stay_symbol = jnp.logaddexp(state.symbol, from_parent) + log_prob[state.last]
  extended = jnp.where(_is_merged(is_parent, state.last, classes), -jnp.inf, extended)

  stayed = jnp.logaddexp(stay_blank, stay_symbol)
  ranks = jnp.concatenate([stayed, extended.reshape(-1)])
  if future is not None:
    lengths = jnp.minimum(state.lengths, slots)
    stayed = jnp.logaddexp(stay_blank + future[BLANK, lengths], stay_symbol + future[state.last, lengths])
    ranks = jnp.concatenate([stayed, (extended + future[1:, lengths + 1].T).reshape(-1)])
  _, chosen = jax.lax.top_k(ranks, beams)
  is_extended = chosen >= beams
  parent, symbol = jnp.divmod(chosen - beams, classes - 1)
  parent, symbol = jnp.where(is_extended, parent, chosen), symbol + 1

  lengths = state.lengths[parent]
  codes = state.codes[parent]
  appended = codes | _place(symbol, lengths, codes.shape[1], classes)
  return Beams(
    codes=jnp.where(is_extended[:, None], appended, codes),
    lengths=lengths + is_extended,
    last=jnp.where(is_extended, symbol, state.last[parent]),
    blank=jnp.where(is_extended, -jnp.inf, stay_blank[parent]),
    symbol=jnp.where(is_extended, extended[parent, symbol - 1], stay_symbol[parent]),
  )


def _finish(state, classes, slots, n_best, min_length):
  """The n best of the prefixes that are long enough."""
  log_probs = jnp.logaddexp(state.blank, state.symbol)
  log_probs = jnp.where(state.lengths >= min_length, log_probs, -jnp.inf)
  log_probs, chosen = jax.lax.top_k(log_probs, n_best)
  is_used = log_probs > -jnp.inf
  labels = jnp.where(is_used[:, None], _unpack(state.codes[chosen], classes, slots), BLANK)
  return labels, jnp.where(is_used, state.lengths[chosen], 0), jnp.minimum(log_probs, 0.0)


def _is_parent(state, is_alive, classes):
  """[q, p]: prefix q is prefix p and one symbol more: bool[S, S]."""
  at_last = _place(jnp.full_like(state.last, -1), state.lengths - 1, state.codes.shape[1], classes)
  without_last = state.codes & ~at_last  # [S, W]
  is_equal = jnp.all(without_last[:, None] == state.codes[None], -1)
  return is_equal & (is_alive & (state.lengths > 0))[:, None]


def _is_merged(is_parent, last, classes):
  """[p, symbol - 1]: that extension of p is in the beam already: bool[S, K - 1]."""
  symbols = jnp.arange(1, classes)
  words, bits = jnp.divmod(symbols, _WORD_BITS)
  own_words, own_bits = jnp.divmod(last, _WORD_BITS)
  is_word = own_words[:, None] == jnp.arange(classes // _WORD_BITS + 1)[None]  # [S, V]
  own = jnp.where(is_word, _shift(1, own_bits)[:, None], 0)
  # No two prefixes in the beam are equal, so that a sum of bits is their union.
  taken = jnp.sum(jnp.where(is_parent[:, :, None], own[:, None], 0), 0, dtype=jnp.uint32)  # [S, V]
  return (taken[:, words] >> bits.astype(jnp.uint32)[None]) & 1 == 1


def _place(symbols, positions, words, classes):
  """The code of a symbol alone at its position: int32[S], int32[S] -> uint32[S, W]; -1 sets all its bits."""
  per_word = _symbols_per_word(classes)
  bits = _WORD_BITS // per_word
  symbols = symbols.astype(jnp.uint32) & ((1 << bits) - 1)
  word, offset = jnp.divmod(positions, per_word)
  return jnp.where(jnp.arange(words)[None] == word[:, None], _shift(symbols, offset * bits)[:, None], 0)


def _unpack(codes, classes, slots):
  """uint32[S, W] -> int32[S, N]."""
  per_word = _symbols_per_word(classes)
  bits = _WORD_BITS // per_word
  offsets = (jnp.arange(per_word) * bits).astype(jnp.uint32)
  symbols = (codes[:, :, None] >> offsets[None, None]) & jnp.uint32((1 << bits) - 1)  # [S, W, symbols per word]
  return symbols.reshape(codes.shape[0], -1)[:, :slots].astype(jnp.int32)


def _shift(values, bits):
  return jnp.asarray(values, jnp.uint32) << bits.astype(jnp.uint32)


def _symbols_per_word(classes):
  """How many symbols fit a word of the code: classes 0 to K - 1 take the same bits each."""
  return _WORD_BITS // max((classes - 1).bit_length(), 1)
