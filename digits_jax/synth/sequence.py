"""One key -> one number on a canvas.

Pure and written for one example: the same key, bank and spec give the same pixels on any device, in any batch, to the
last bits of float32, which the program that it becomes a part of may round in another way.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax import structs
from digits_jax.errors import InputError
from digits_jax.synth import clutter, layout, number, photo, warp
from digits_jax.synth.draw import uniform


@dataclasses.dataclass(frozen=True)
class SequenceSpec:
  """Everything static about a distribution of numbers."""

  number: number.NumberSpec
  layout: layout.LayoutSpec
  warp: warp.WarpSpec
  clutter: clutter.ClutterSpec
  photo: photo.PhotoSpec


def plan(bank: structs.GlyphBank, spec: SequenceSpec) -> int:
  """P, the static side of a digit's patch; raises InputError where the numbers cannot fit the canvas.

  Looks at the glyphs, so it runs on the host, once.
  """
  boxes, size = np.asarray(bank.boxes), bank.images.shape[1:]
  if spec.layout.kind != 'string' and spec.layout.cell_px < max(size) * spec.warp.scale[1]:
    raise InputError(
      f'glyph images of {size[0]}x{size[1]} pixels, scaled by {spec.warp.scale[1]}, do not fit a cell of '
      f'{spec.layout.cell_px}: raise synth.layout.cell_px or lower synth.warp.scale'
    )
  extents, inks = warp.largest_reach(boxes, size, spec.warp), warp.largest_ink(boxes, spec.warp)
  layout.check_fit(extents, inks, spec.number.max_length, spec.layout)
  return warp.patch_size(boxes, size, spec.warp)


def example(key: jax.Array, bank: structs.GlyphBank, *, spec: SequenceSpec, patch: int) -> structs.Batch:
  """One number: image float32[H, W, 1], labels int32[N], its length, and each digit's box float32[N, 4].

  A box bounds the pixels at least half as inked as the digit's darkest, before clutter and camera.

  Args:
    key: one key.
    bank: the glyphs.
    spec: the distribution; static.
    patch: `plan(bank, spec)`; static.
  """
  k_number, k_glyphs, k_maps, k_digits, k_place, k_render, k_clutter, k_photo = jax.random.split(key, 8)
  labels, length = number.draw(k_number, spec.number)
  glyphs = choose_glyphs(k_glyphs, labels, bank)  # [N]
  keys = (k_maps, k_digits, k_place)
  with jax.default_matmul_precision('highest'):  # a GPU would round places to TF32, a TPU to bfloat16
    maps, anchors = arrange(keys, bank.boxes[glyphs], bank.images.shape[1:], length, spec)
    ink, boxes = compose(k_render, bank.images[glyphs], maps, anchors, length, spec=spec, patch=patch)
  ink = clutter.blobs(k_clutter, ink, spec.clutter)
  image = photo.expose(k_photo, ink, spec.photo)
  return structs.Batch(image[:, :, None], labels, length, boxes, jnp.bool_(True))


def choose_glyphs(key: jax.Array, labels: jax.Array, bank: structs.GlyphBank) -> jax.Array:
  """Ids int32[N] of glyphs that show labels int32[N], all of one style; any id in the padding."""
  k_style, k_glyph = jax.random.split(key)
  style = jax.random.randint(k_style, (), 0, bank.starts.shape[0])
  symbol = jnp.maximum(labels - 1, 0)
  counts = bank.counts[style, symbol]
  return bank.starts[style, symbol] + jax.random.randint(k_glyph, labels.shape, 0, counts)


def arrange(
  keys: tuple[jax.Array, ...], boxes: jax.Array, size: tuple[int, int], length: jax.Array, spec: SequenceSpec
) -> tuple[jax.Array, jax.Array]:
  """How the first `length` glyphs are drawn, and where: maps float32[N, 2, 2] and anchors float32[N, 2].

  Args:
    keys: for the map of the whole number, for its digits, for their places.
    boxes: float32[N, 4], the inks in their glyph images.
    size: (h, w) of a glyph image.
    length: int32[].
    spec: the distribution; static.
  """
  k_maps, k_digits, k_place = keys
  linear, shift = warp.draw_number_map(k_maps, spec.warp)
  digit_maps = warp.draw_digit_maps(k_digits, boxes.shape[0], spec.warp)
  maps = jnp.einsum('ij,njk->nik', linear, digit_maps)
  own, extents = warp.reach(boxes, digit_maps, size), warp.reach(boxes, maps, size)
  anchors, fit = layout.place(k_place, own, extents, length, linear, shift, spec.layout)
  return fit * maps, anchors


def compose(
  key: jax.Array,
  glyphs: jax.Array,
  maps: jax.Array,
  anchors: jax.Array,
  length: jax.Array,
  *,
  spec: SequenceSpec,
  patch: int,
) -> tuple[jax.Array, jax.Array]:
  """The ink float32[H, W] in [0, 1] of the first `length` glyphs, and their boxes float32[N, 4].

  Overlapping inks keep the darker one. Glyphs are uint8[N, h, w], maps float32[N, 2, 2], anchors float32[N, 2].
  """
  slots, height, width = glyphs.shape[0], spec.layout.height, spec.layout.width
  k_bend, k_stroke = jax.random.split(key)
  render = lambda *digit: warp.render(*digit, patch, spec.warp)
  inks, corners = jax.vmap(render)(jax.random.split(k_bend, slots), glyphs, maps, anchors)  # [N, P, P], [N, 2]
  strokes = uniform(k_stroke, (slots,), spec.warp.stroke_frac)

  def assemble(inks, strokes, corners, length):
    if any(spec.warp.stroke_frac):
      inks = jax.vmap(warp.stroke)(inks, strokes)
    is_used = jnp.arange(slots) < length
    inks = jnp.where(is_used[:, None, None], inks, 0.0)
    corners = jnp.clip(corners, -patch, jnp.array([width, height])[None])
    boxes = jax.vmap(ink_box)(inks) + jnp.tile(corners, (1, 2)).astype(jnp.float32)
    limits = jnp.array([width, height, width, height], jnp.float32)
    boxes = jnp.where(is_used[:, None], jnp.clip(boxes, 0.0, limits[None]), 0.0)
    return paste(inks, corners, (height, width)), boxes

  # On a CPU image by image. There XLA makes a loop over images of any vmapped update of a window, at three times the
  # cost, and would resample a digit anew for each use of its ink; what a loop takes, it computes once, and before.
  if jax.default_backend() == 'cpu':
    assemble = jax.custom_batching.sequential_vmap(assemble)
  return assemble(inks, strokes, corners, length)


def paste(inks: jax.Array, corners: jax.Array, size: tuple[int, int]) -> jax.Array:
  """The canvas float32[size], (height, width), of inks float32[N, P, P] at corners int32[N, 2], (x, y).

  Where two overlap, the darker one is seen. Corners lie in [-P, width] and [-P, height].
  """
  patch = inks.shape[1]
  # The canvas has a margin of one patch on each side, so that no window is ever moved to fit.
  canvas = jnp.zeros((size[0] + 2 * patch, size[1] + 2 * patch))
  for ink, corner in zip(inks, corners, strict=True):
    at = (corner[1] + patch, corner[0] + patch)
    under = jax.lax.dynamic_slice(canvas, at, (patch, patch))
    canvas = jax.lax.dynamic_update_slice(canvas, jnp.maximum(under, ink), at)
  return canvas[patch:-patch, patch:-patch]


def ink_box(ink: jax.Array) -> jax.Array:
  """Box float32[4] of the pixels of ink float32[P, P] at least half as inked as the darkest."""
  is_ink = ink >= jnp.maximum(0.5 * jnp.max(ink), 1e-6)
  rows, columns = jnp.any(is_ink, 1), jnp.any(is_ink, 0)
  first = lambda line: jnp.argmax(line)
  last = lambda line: line.shape[0] - jnp.argmax(line[::-1])
  return jnp.stack([first(columns), first(rows), last(columns), last(rows)]).astype(jnp.float32)
