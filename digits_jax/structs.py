"""The pytrees that layers exchange, and the legend of dimension letters.

Letters: B batch, H W C image, T frames, K classes (alphabet + blank), N label slots, A symbols of the
alphabet, G glyphs, h w one glyph image, R styles (one font at one size, or one pool of handwriting), S beams.

Boxes are (left, top, right, bottom), half-open, in float pixels; x grows right, y grows down. In every mask
True means: keep. Class 0 is the blank; symbol a of the alphabet (from 0) is class a + 1.
"""

import jax
from flax import struct


@struct.dataclass
class GlyphBank:
  """Images of single symbols, sorted by (style, symbol).

  The symbol a of style r is any of the glyphs starts[r, a] ... starts[r, a] + counts[r, a] - 1. A glyph's
  anchor is the centre (w / 2, h / 2) of its image: the point that layouts place. For fonts all glyphs of a
  style share one baseline row and each is centred on its ink horizontally.
  """

  images: jax.Array  # uint8[G, h, w], ink 255 on paper 0
  labels: jax.Array  # int32[G], classes in [1, A]
  boxes: jax.Array  # float32[G, 4], each glyph's ink within its image
  starts: jax.Array  # int32[R, A]
  counts: jax.Array  # int32[R, A], at least 1 everywhere


FIELD_PX = 48  # side of a distance field
FIELD_UNIT = 36  # of its pixels are the height of the highest digit of a face, which is the unit of length
FIELD_REACH = 0.25  # units; a field tells distances to the edge as far as this


@struct.dataclass
class FieldBank:
  """Distance fields of fonts: the signed distance to each symbol's edge, positive inside, about its anchor."""

  fields: jax.Array  # uint8[R, A, 48, 48]; 128 on the edge, 255 a FIELD_REACH inside, 1 as far outside
  boxes: jax.Array  # float32[R, A, 4], each ink from its anchor, in units


@struct.dataclass
class Batch:
  """Images with their numbers. Without the leading B it is one example."""

  images: jax.Array  # float32[B, H, W, C] in [0, 1]
  labels: jax.Array  # int32[B, N], classes, right-padded with 0
  label_lengths: jax.Array  # int32[B]
  # float32[B, N, 4], the ink of each digit; of scenes and photos a box around it; then zeros. Nothing is trained with
  # them: tests and experiments/street/spans.py compare what was located with them.
  boxes: jax.Array
  mask: jax.Array  # bool[B], False for the padding of a last, incomplete batch
