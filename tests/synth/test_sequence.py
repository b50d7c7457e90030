"""Every layout's boxes and labels against the pixels, all pixels against SciPy, one key -> one example."""

import functools

import jax
import numpy as np
import pytest
from scipy import ndimage

from digits_jax.data import sources
from digits_jax.errors import InputError
from digits_jax.synth import sequence
from tests.synth import specs

TURNED = {'scale': (0.8, 1.3), 'rotation_degrees': 20.0, 'slant_degrees': 10.0, 'slant_jitter_degrees': 5.0}
WHOLE = {'zoom': (0.7, 1.5), 'turn_degrees': 12.0, 'shear_degrees': 15.0, 'shift_px': 6.0}
WIDE = {'width': 200, 'height': 64}
CENTRES = {'spacing': 'centres', 'spacing_px': (18.0, 22.0), 'spacing_jitter_px': 2.0}
# One spec for each layout, plain and as distorted as it gets.
SPECS = {
  'gaps tight': specs.make(layout={'width': 81, 'height': 18, 'spacing_px': (0.0, 9.0), 'spacing_jitter_px': 1.0}),
  'gaps turned': specs.make(layout=WIDE | {'wander_px': 3.0, 'tilt_degrees': 6.0}, warp=TURNED),
  'gaps whole': specs.make(layout=WIDE, warp=TURNED | WHOLE),
  'centres tight': specs.make(layout=CENTRES | {'width': 92, 'height': 18, 'wander_px': 4.0}),
  'centres turned': specs.make(layout=WIDE | CENTRES | {'spacing_px': (28.0, 36.0), 'wander_px': 3.0}, warp=TURNED),
  'centres whole': specs.make(layout=WIDE | CENTRES | {'spacing_px': (28.0, 36.0)}, warp=TURNED | WHOLE),
  'centred': specs.make(layout={'spread_x': 0.0, 'spread_y': 0.0}),
  'grid': specs.make(layout={'kind': 'grid', 'height': 24}),
  'grid whole': specs.make(layout={'kind': 'grid', 'cell_px': 28, 'width': 140}, warp=TURNED | WHOLE),
  'stacked': specs.make(number={'min_length': 5}, layout={'kind': 'stacked', 'height': 24}),
  'stacked whole': specs.make(
    number={'min_length': 5}, layout={'kind': 'stacked', 'cell_px': 28, 'width': 140, 'height': 28}, warp=TURNED | WHOLE
  ),
  'overlapping': specs.make(layout={'spacing_px': (-12.0, 0.0), 'spacing_jitter_px': 2.0}),
}
with_specs = pytest.mark.parametrize('name', SPECS)


def corners_of(bank, ids, maps):
  """Corners float[N, 4, 2] of the glyphs' ink boxes, about their anchors, after the maps; by hand."""
  height, width = bank.images.shape[1:]
  left, top, right, bottom = bank.boxes[ids].T.astype(np.float64)
  corners = np.stack([[left, top], [right, top], [right, bottom], [left, bottom]]).transpose(2, 0, 1)  # [N, 4, 2]
  return np.stack(
    [m @ (c - [width / 2, height / 2]).T for m, c in zip(maps.astype(np.float64), corners, strict=True)]
  ).transpose(0, 2, 1)


@with_specs
def test_boxes_and_labels_against_the_pixels(name):
  spec, (batch, _) = SPECS[name], specs.draw(SPECS[name])
  slots = spec.number.max_length
  for image, labels, length, boxes in zip(
    batch.images[..., 0], batch.labels, batch.label_lengths, batch.boxes, strict=True
  ):
    assert spec.number.min_length <= length <= slots
    assert (labels[:length] > 0).all() and not labels[length:].any() and not boxes[length:].any()
    left, top, right, bottom = boxes[:length].astype(int).T
    assert np.array_equal(boxes, boxes.astype(int))
    assert (
      (left >= 0).all() and (top >= 0).all() and (right <= image.shape[1]).all() and (bottom <= image.shape[0]).all()
    )
    middles = (left + right) / 2
    is_overlapping = name == 'overlapping'
    if not is_overlapping and 'whole' not in name:
      assert (np.diff(middles) > 0).all()
    in_a_box = np.zeros(image.shape, bool)
    for i in range(length):
      in_a_box[top[i] : bottom[i], left[i] : right[i]] = True
      crop = image[top[i] : bottom[i], left[i] : right[i]]
      # The glyphs are at least 6 * 0.7 * 0.8 pixels wide, so the block's own grey is met in the middle of its box.
      if not is_overlapping:
        read = crop[crop.shape[0] // 2, crop.shape[1] // 2] * 255
        assert np.abs(read - specs.level(labels[i])) < 1, (read, labels[i])
      is_ink = crop >= 0.5 * specs.level(labels[i]) / 255 - 1e-4
      assert is_ink[0].any() and is_ink[-1].any() and is_ink[:, 0].any() and is_ink[:, -1].any()
    assert in_a_box[image >= 0.5 * specs.level(10) / 255].all()


@with_specs
def test_no_digit_leaves_the_canvas(name):
  spec, bank = SPECS[name], specs.blocks()
  _, lengths, ids, maps, anchors = specs.draw(spec)[1]
  for length, glyph, linear, anchor in zip(lengths, ids, maps, anchors, strict=True):
    points = corners_of(bank, glyph[:length], linear[:length]) + anchor[:length, None]
    assert points.min() > -1e-3 and (points < np.array([spec.layout.width, spec.layout.height]) + 1e-3).all()


@with_specs
def test_every_pixel_against_scipy(name):
  spec, bank = SPECS[name], specs.blocks()
  batch, arranged = specs.draw(spec)
  y, x = np.mgrid[: spec.layout.height, : spec.layout.width] + 0.5
  for image, length, ids, maps, anchors in zip(batch.images[:8, ..., 0], *(a[:8] for a in arranged[1:]), strict=True):
    want = np.zeros(image.shape)
    for glyph, linear, anchor in zip(ids[:length], maps[:length], anchors[:length], strict=True):
      at = np.linalg.inv(linear.astype(np.float64)) @ np.stack([(x - anchor[0]).ravel(), (y - anchor[1]).ravel()])
      at = (at[::-1] + 20 / 2 - 0.5).reshape(2, *x.shape)
      ink = ndimage.map_coordinates(np.pad(bank.images[glyph].astype(np.float64), 3), at + 3, order=1, mode='constant')
      want = np.maximum(want, ink / 255)
    np.testing.assert_allclose(image, want, atol=2e-4)


@pytest.mark.parametrize('name', ['gaps turned', 'centres whole'])
def test_elastic_strokes_keep_the_order_and_the_canvas(name):
  bent = specs.changed(SPECS[name], warp={'elastic_px': 0.7, 'stroke_frac': (-0.3, 0.4)})
  batch, (_, lengths, ids, maps, anchors) = specs.draw(bent)
  for boxes, labels, length, glyph, linear, anchor in zip(
    batch.boxes, batch.labels, lengths, ids, maps, anchors, strict=True
  ):
    points = corners_of(specs.blocks(), glyph[:length], linear[:length]) + anchor[:length, None]
    straight = np.concatenate([points.min(1), points.max(1)], 1)
    # A bend of at most 3 deviations in each axis, mapped; half a pixel of rounding and of stroke.
    room = 3 * 0.7 * np.abs(linear[:length]).sum(2).max() + 1.5
    assert np.abs(boxes[:length] - straight).max() < room
    assert (boxes[:length, 2:] > boxes[:length, :2]).all() and (labels[:length] > 0).all()


def test_patch_holds_every_warped_digit():
  """The same numbers in patches twice as large: nothing was cut off."""
  spec, bank = specs.changed(SPECS['gaps whole'], warp={'stroke_frac': (1.0, 1.0)}), specs.blocks()
  larger = functools.partial(sequence.example, spec=spec, patch=2 * sequence.plan(bank, spec))
  want = specs.compiled(jax.vmap(larger, in_axes=(0, None)))(specs.keys(64), bank)
  batch, _ = specs.draw(spec)
  np.testing.assert_allclose(batch.images, want.images, atol=1e-4)
  np.testing.assert_array_equal(batch.boxes, want.boxes)


@pytest.mark.parametrize('name', ['gaps tight', 'centres tight'])
def test_a_wide_line_gives_up_spacing_alone(name):
  """Digits keep their size; a pressed line fills its canvas, and digits keep their order."""
  spec, bank = SPECS[name], specs.blocks()
  _, lengths, ids, maps, anchors = specs.arrange(spec, count=400)
  np.testing.assert_allclose(maps, np.broadcast_to(np.eye(2), maps.shape), atol=1e-5)
  boxes = bank.boxes[ids] - 10 + np.tile(anchors, 2)
  full = 0
  for length, box, anchor in zip(lengths, boxes, anchors, strict=True):
    steps, gaps = np.diff(anchor[:length, 0]), box[1:length, 0] - box[: length - 1, 2]
    assert gaps.min(initial=0) > -1 - 1e-3 if name == 'gaps tight' else steps.min(initial=9) > 9 - 1e-3
    width = box[:length, 2].max() - box[:length, 0].min()
    full += abs(width - spec.layout.width) < 1e-3
  assert full > 20, full


def test_overlaps_leave_half_of_the_narrower_digit():
  spec, bank = SPECS['overlapping'], specs.blocks()
  _, lengths, ids, _, anchors = specs.arrange(spec, count=400)
  overlapping = 0
  for length, glyph, anchor in zip(lengths, ids, anchors, strict=True):
    left, _, right, _ = (bank.boxes[glyph[:length]] - 10 + np.tile(anchor[:length], 2)).T
    assert (np.diff(left) > 0).all() and (np.diff(right) > 0).all()
    inks = right - left
    depth = right[:-1] - left[1:]
    assert (depth <= np.minimum(inks[1:], inks[:-1]) / 2 + 1e-3).all()
    overlapping += np.sum(depth > 0.5)
  assert overlapping > 400


def test_font_digits_in_their_boxes():
  """Each crop is most like the glyph of its label, of the ten of its face."""
  spec, bank = specs.make(layout={'height': 64, 'width': 128, 'spacing_px': (1.0, 8.0)}), specs.fonts()
  batch, (_, _, ids, *_) = specs.draw(spec, has_fonts=True)
  faces = np.stack([thumbnail(image, np.asarray(sequence.ink_box(image / 255.0))) for image in bank.images])
  faces = faces.reshape(-1, 10, faces.shape[1])  # one glyph a symbol in each style
  for image, labels, length, boxes, glyph in zip(
    batch.images[..., 0], batch.labels, batch.label_lengths, batch.boxes, ids, strict=True
  ):
    for label, box in zip(labels[:length], boxes[:length], strict=True):
      distances = np.linalg.norm(faces[glyph[0] // 10] - thumbnail(image, box), axis=1)
      assert np.argmin(distances) + 1 == label, distances


def thumbnail(image, box):
  """The ink in a box, stretched to 12x12, and its size."""
  left, top, right, bottom = box.astype(int)
  crop = image[top:bottom, left:right].astype(np.float64)
  small = ndimage.zoom(crop / crop.max(), 12 / np.array(crop.shape), order=1, grid_mode=True, mode='nearest')
  return np.append(small.ravel(), crop.shape)


@pytest.mark.parametrize(('height', 'width'), [(24, 128), (27, 131)])
def test_undistorted_digit_is_its_glyph_exactly(height, width):
  """Scale 1, no turn, anchors on whole pixels: grid cells show the glyph images bit for bit."""
  spec, bank = specs.make(layout={'kind': 'grid', 'height': height, 'width': width}), specs.blocks()
  batch, (_, lengths, ids, _, anchors) = specs.draw(spec)
  for image, length, glyph, anchor in zip(batch.images[..., 0], lengths, ids, anchors, strict=True):
    want = np.zeros(image.shape, np.uint8)
    for i in range(length):
      x, y = anchor[i].astype(int) - 10
      want[y : y + 20, x : x + 20] = bank.images[glyph[i]]
    np.testing.assert_allclose(255 * image, want, atol=1e-4, rtol=0)


@pytest.mark.parametrize(('amount', 'change'), [(1.0, ndimage.grey_dilation), (-1.0, ndimage.grey_erosion)])
def test_strokes_are_a_pixel_wider_or_narrower_on_each_side(amount, change):
  spec = specs.make(layout={'kind': 'grid', 'height': 24}, warp={'stroke_frac': (amount, amount)})
  batch, (_, lengths, ids, _, anchors) = specs.draw(spec, count=16)
  cross, glyphs = ndimage.generate_binary_structure(2, 1), specs.blocks().images
  for image, length, glyph, anchor in zip(batch.images[..., 0], lengths, ids, anchors, strict=True):
    want = np.zeros(image.shape, np.uint8)
    for i in range(length):
      x, y = anchor[i].astype(int) - 10
      want[y : y + 20, x : x + 20] = change(glyphs[glyph[i]], footprint=cross)
    np.testing.assert_allclose(255 * image, want, atol=1e-4, rtol=0)


def test_a_number_without_spread_stands_in_the_middle():
  spec = SPECS['centred']
  batch, (_, lengths, _, _, anchors) = specs.draw(spec)
  is_free = []
  for length, boxes, at in zip(lengths, batch.boxes, anchors, strict=True):
    left, right = boxes[:length, 0].min(), boxes[:length, 2].max()
    is_free.append(left > 1 and right < spec.layout.width - 1)  # of the edges of the canvas
    if is_free[-1]:
      np.testing.assert_allclose(at[:length].mean(0), [60, 20], atol=1e-3)
  assert np.mean(is_free) > 0.8


@pytest.mark.parametrize('length', [1, 3, 5])
def test_grid_starts_in_every_cell_that_fits(length):
  spec = specs.make(number={'min_length': length, 'max_length': length}, layout={'kind': 'grid', 'height': 24})
  *_, anchors = specs.arrange(spec, count=1500)
  starts = (anchors[:, 0, 0] - 12) / 24
  assert np.array_equal(starts, starts.astype(int))
  np.testing.assert_allclose(np.diff(anchors[..., 0]), 24)
  counts = np.bincount(starts.astype(int), minlength=6 - length)
  assert len(counts) == 6 - length
  assert (np.abs(counts - 1500 / len(counts)) < 4 * np.sqrt(1500 / len(counts))).all()


def test_stacked_fills_the_cells_from_the_left_of_a_centred_row():
  spec = specs.make(number={'min_length': 3, 'max_length': 3}, layout={'kind': 'stacked', 'height': 30, 'width': 84})
  *_, anchors = specs.arrange(spec, count=20)
  np.testing.assert_array_equal(anchors, np.broadcast_to([[18, 15], [42, 15], [66, 15]], (20, 3, 2)))


@pytest.mark.slow
def test_key_makes_the_example_whatever_the_batch():
  spec = specs.make(clutter={'blobs': 3}, photo={'noise': (0.0, 0.1), 'inversion': 0.5})
  source = sources.synthetic(specs.blocks(), spec)
  keys = specs.keys(64)
  draw = jax.jit(jax.vmap(source.example, in_axes=(0, None, 0)))
  whole = jax.device_get(draw(keys, source.constants, source.feed(0, 0, 64)))
  assert whole.mask.all()
  for count in (1, 7):
    other = specs.compiled(jax.vmap(source.example, in_axes=(0, None, 0)))
    some = other(keys[:count], source.constants, source.feed(3, 100, count))  # ids and steps are in the key alone
    for name in ('images', 'labels', 'label_lengths', 'boxes', 'mask'):
      tolerance = 1e-5 if name == 'images' else 0
      np.testing.assert_allclose(getattr(some, name), getattr(whole, name)[:count], atol=tolerance, rtol=0)
  order = np.random.default_rng(0).permutation(64)
  mixed = draw(keys[order], source.constants, source.feed(0, 0, 64))
  np.testing.assert_array_equal(mixed.images, whole.images[order])
  plain = source.example(keys[5], source.constants, np.int32(5))
  np.testing.assert_allclose(plain.images, whole.images[5], atol=1e-5)
  np.testing.assert_array_equal(plain.boxes, whole.boxes[5])
  two = jax.pmap(jax.vmap(source.example, in_axes=(0, None, 0)), in_axes=(0, None, 0))(
    keys[:16].reshape(2, 8), source.constants, source.feed(0, 0, 16).reshape(2, 8)
  )
  np.testing.assert_allclose(np.reshape(two.images, (16, *whole.images.shape[1:])), whole.images[:16], atol=1e-5)
  np.testing.assert_array_equal(np.reshape(two.boxes, (16, 5, 4)), whole.boxes[:16])
  flat = whole.images.reshape(64, -1)
  assert len(np.unique(flat, axis=0)) == 64


def test_source_feeds_ids_and_checks_the_fit():
  source = sources.synthetic(specs.blocks(), specs.make())
  ids = source.feed(7, 32, 5)
  assert ids.dtype == np.int32 and ids.tolist() == [32, 33, 34, 35, 36]
  assert source.feed(0, 0, 0).shape == (0,)
  with pytest.raises(InputError, match='canvas is 40x79: raise'):
    sources.synthetic(specs.blocks(), specs.make(layout={'width': 79, 'spacing_px': (0.0, 1.0)}))


def test_styles_and_glyphs_are_drawn_evenly():
  """All digits of a number share a style; each style, and each glyph of a symbol, comes equally often."""
  bank = specs.blocks()
  labels, lengths, ids, *_ = specs.arrange(specs.make(), count=3000)
  is_used = np.arange(5) < lengths[:, None]
  assert np.array_equal(bank.labels[ids][is_used], labels[is_used])
  styles = np.where(is_used, ids // 30, ids[:, :1] // 30)
  assert (styles == styles[:, :1]).all()
  assert abs(styles[:, 0].mean() - 0.5) < 4 * 0.5 / np.sqrt(3000)
  counts = np.bincount(ids[is_used], minlength=60)
  mean = is_used.sum() / 60
  assert (np.abs(counts - mean) < 5 * np.sqrt(3 * mean)).all()  # of a style, all digits of a number: clustered
