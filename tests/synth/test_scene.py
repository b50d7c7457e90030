"""Scenes: where the ink is, what numbers they show, and what each share of the paint changes."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import street
from digits_jax.alphabet import DIGITS, Alphabet
from digits_jax.data import distance_fields
from digits_jax.errors import InputError
from digits_jax.structs import FIELD_PX, FIELD_REACH, FIELD_UNIT
from digits_jax.synth import scene
from digits_jax.synth.augment import AugmentSpec
from digits_jax.synth.draw import Deck
from digits_jax.training.feeds import street as feed
from tests.synth import specs

SIZE, SLOTS = 54, 5


@functools.cache
def bank():
  return distance_fields.load(None, split='train', alphabet=Alphabet(DIGITS))


@functools.cache
def whole():
  """What configs/street.py draws."""
  return feed.spec(street.get_config(), Alphabet(DIGITS), 'train', AugmentSpec())


def changed(spec, **parts):
  return dataclasses.replace(
    spec, **{name: dataclasses.replace(getattr(spec, name), **to) for name, to in parts.items()}
  )


@functools.cache
def mapped(spec):
  return specs.compiled(jax.vmap(functools.partial(scene.example, spec=spec), (0, None)))


def draw(spec, count=48, seed=0):
  return jax.device_get(mapped(spec)(specs.keys(count, seed), bank()))


@functools.cache
def inked(shape):
  """For 64 keys: signed distances of the ink, boxes in pixels and lengths, as `scene.example` has them."""

  def one(key, bank):
    k_length, k_symbols, k_place = jax.random.split(key, 3)
    deck = Deck(k_place, 64)
    length = jax.random.randint(k_length, (), 1, SLOTS + 1)
    symbols = jax.random.randint(k_symbols, (SLOTS + scene.NEIGHBOURS,), 0, 10)
    placed = scene.arrange(deck, bank.boxes[3, symbols], length, SLOTS, shape)
    window = scene.choose_window(deck, placed, length, shape)
    places = scene.plane(window, placed, SIZE)
    ink, beside = scene.draw(bank.fields[3, symbols], placed, places, SLOTS)
    corners = (placed.boxes.reshape(-1, 2, 2) - window[None, None, :2]) / window[None, None, 2:] * SIZE
    return ink, beside, corners.reshape(-1, 4)[:SLOTS], length, placed.is_used[SLOTS:]

  return jax.device_get(specs.compiled(jax.vmap(one, (0, None)))(specs.keys(64), bank()))


def test_ink_fills_the_boxes_of_upright_numbers():
  shape = dataclasses.replace(
    whole().shape, scale=0.0, rotation_degrees=0.0, slant_degrees=0.0, stairs_degrees=0.0, turn_degrees=0.0,
    stacked=0.0, shear_degrees=0.0, perspective=0.0, weight=(0.0, 0.0), loose_x=(0.0, 0.0), loose_y=(0.0, 0.0),
    margin=(0.2, 0.2),
  )  # fmt: skip
  for ink, _, boxes, length, _ in zip(*inked(shape), strict=True):
    rows, columns = (np.flatnonzero((ink > 0).any(axis)) for axis in (1, 0))
    found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    used = boxes[:length]
    np.testing.assert_allclose(found, [*used[:, :2].min(0), *used[:, 2:].max(0)], atol=1.6)


def test_ink_stays_in_its_boxes_whatever_the_view():
  shape = dataclasses.replace(whole().shape, steep=0.5, stacked=0.3, weight=(0.0, 0.0), margin=(0.3, 0.3))
  at = np.arange(SIZE) + 0.5
  for ink, _, boxes, length, _ in zip(*inked(shape), strict=True):
    held = np.zeros((SIZE, SIZE), bool)
    for left, top, right, bottom in boxes[:length]:
      inside = lambda low, high: (at > low - 1) & (at < high + 1)
      box = inside(top, bottom)[:, None] & inside(left, right)[None]
      held |= box
      assert (ink > 0)[box].any()
    assert not (ink > 0)[~held].any()


def test_distances_go_on_beyond_a_digit_s_field():
  # Ink up to 0.62 units from the middle of a field whose border is 0.67 from it.
  half, at = np.array([0.62, 0.3]), (np.arange(FIELD_PX) + 0.5 - FIELD_PX / 2) / FIELD_UNIT
  signed = lambda x, y: np.where(
    (abs(x) < half[0]) & (abs(y) < half[1]), np.minimum(half[0] - abs(x), half[1] - abs(y)),
    -np.hypot(np.maximum(abs(x) - half[0], 0), np.maximum(abs(y) - half[1], 0)),
  )  # fmt: skip
  field = np.rint(128 + np.clip(signed(at[None], at[:, None]) / FIELD_REACH, -1, 1) * 127).astype(np.uint8)
  count = 1 + scene.NEIGHBOURS
  placed = types.SimpleNamespace(
    maps=np.tile(np.eye(2, dtype=np.float32), (count, 1, 1)), anchors=np.zeros((count, 2), np.float32), weight=0.0,
    is_used=np.arange(count) == 0,
  )  # fmt: skip
  x, y = places = np.stack(np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 60))).astype(np.float32)
  ink, _ = scene.draw(jnp.asarray(np.tile(field, (count, 1, 1))), placed, jnp.asarray(places), 1)
  near = abs(signed(x, y)) < 0.2  # as far as outlines go
  np.testing.assert_allclose(np.asarray(ink)[near], signed(x, y)[near], atol=0.05)  # a little further at corners


@pytest.mark.slow
def test_what_stands_beside_does_not_touch_the_number():
  shape = dataclasses.replace(whole().shape, neighbours=1.0, margin=(1.0, 1.0), weight=(0.0, 0.0))
  inks, besides, _, _, has_beside = inked(shape)
  assert has_beside.all()
  assert not ((inks > 0) & (besides > 0)).any()
  assert ((besides > 0).any((1, 2))).mean() > 0.9


@pytest.mark.slow
def test_stacked_numbers_read_from_the_top():
  shape = dataclasses.replace(whole().shape, stacked=1.0, turn_degrees=0.0, perspective=0.0, shear_degrees=0.0)
  _, _, boxes, lengths, _ = inked(shape)
  for rows, length in zip(boxes, lengths, strict=True):
    assert (np.diff(rows[:length, 1]) > 0).all()
    assert np.ptp(rows[:length, [0, 2]].mean(1)) < 20


def test_lengths_have_their_shares_and_numbers_their_split():
  spec = whole()
  one = specs.compiled(jax.vmap(lambda key: _labels(key, spec)))
  labels, lengths = jax.device_get(one(specs.keys(4000)))
  shares = np.bincount(lengths, minlength=SLOTS + 1)[1:] / 4000
  np.testing.assert_allclose(shares, np.array(spec.shape.lengths) / sum(spec.shape.lengths), atol=0.03)
  alphabet = Alphabet(DIGITS)
  for row, length in zip(labels[:500], lengths[:500], strict=True):
    text = alphabet.decode(row, length)
    assert len(text) == length and not row[length:].any()
    assert specs.split_of(text, alphabet) in (None, 'train')


def _labels(key, spec):
  batch = scene.example(key, jax.tree.map(jnp.asarray, bank()), spec=spec)
  return batch.labels, batch.label_lengths


@pytest.mark.slow
def test_one_key_is_one_image_in_any_batch():
  first = draw(whole(), 8)
  assert first.images.shape == (8, SIZE, SIZE, 3) and first.images.dtype == np.float32
  assert np.isfinite(first.images).all() and first.images.min() >= 0 and first.images.max() <= 1
  again = jax.device_get(mapped(whole())(specs.keys(8)[3:5], bank()))
  np.testing.assert_allclose(again.images, first.images[3:5], atol=2e-2)  # JPEG may round a coefficient the other way
  np.testing.assert_array_equal(again.labels, first.labels[3:5])
  assert np.abs(first.images[0] - first.images[1]).mean() > 0.02


OFF = {
  'outline': ('paint', {'outline': 0.0}), 'shadow': ('paint', {'shadow': 0.0}), 'relief': ('paint', {'relief': 0.0}),
  'plate': ('ground', {'plate': 0.0}), 'stripes': ('ground', {'stripes': 0.0}), 'edges': ('ground', {'edges': 0}),
  'strokes': ('ground', {'strokes': 0}), 'cast': ('ground', {'cast': 0.0}),
  'lit sides': ('paint', {'relief_strength': (0.0, 0.0)}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize('name', OFF)
def test_an_ingredient_that_is_left_out_changes_some_images_and_no_number(name):
  part, to = OFF[name]
  with_it, without = draw(whole()), draw(changed(whole(), **{part: to}))
  np.testing.assert_array_equal(with_it.labels, without.labels)
  np.testing.assert_allclose(with_it.boxes, without.boxes, atol=1e-4)
  moved = np.abs(with_it.images - without.images).max((1, 2, 3))
  assert (moved > 0.05).any() and (moved < 0.02).any()  # by chance, some have it; JPEG may round the other way


@pytest.mark.slow
def test_ink_differs_from_the_ground_by_the_contrast():
  flat = changed(
    whole(),
    shape={'neighbours': 0.0}, paint={'contrast': (0.5, 0.5), 'saturation': 0.0, 'outline': 0.0, 'shadow': 0.0,
    'relief': 0.0, 'worn': (0.0, 0.0)},
    ground={'texture': (0.0, 0.0), 'stripes': 0.0, 'gradient': 0.0, 'edges': 0, 'plate': 0.0, 'cast': 0.0,
    'strokes': 0},
    camera={'digit_px': (200.0, 200.0), 'blur_px': (0.0, 0.0), 'sharpening': 0.0, 'noise': (0.0, 0.0), 'jpeg': 0.0,
    'gamma': (1.0, 1.0), 'haze': 0.0},
  )  # fmt: skip
  images = draw(flat, 16).images
  np.testing.assert_allclose(images.max((1, 2, 3)) - images.min((1, 2, 3)), 0.5, atol=0.03)
  assert 4 <= sum(np.median(image) > image.mean() for image in images) <= 12  # dark ink, or bright


def test_decks_are_as_large_as_the_spec_asks():
  many = changed(whole(), number={'max_length': 30}, ground={'edges': 9, 'strokes': 9})
  many = changed(many, shape={'lengths': (1.0,) * 30})
  shapes = jax.eval_shape(functools.partial(scene.example, spec=many), jax.random.key(0), bank())
  assert shapes.images.shape == (SIZE, SIZE, 3) and shapes.labels.shape == (30,)


def test_a_bar_without_width_has_a_window():
  shape = dataclasses.replace(
    whole().shape, loose_x=(-0.1, -0.1), margin=(0.0, 0.0), rotation_degrees=0.0, slant_degrees=0.0, turn_degrees=0.0,
    shear_degrees=0.0, perspective=0.0,
  )  # fmt: skip
  deck = Deck(jax.random.key(0), 64)
  bar = jnp.tile(jnp.array([[-0.02, -0.5, 0.02, 0.5]]), (SLOTS + scene.NEIGHBOURS, 1))
  placed = scene.arrange(deck, bar, jnp.int32(1), SLOTS, shape)
  window = np.asarray(scene.choose_window(deck, placed, jnp.int32(1), shape))
  assert np.isfinite(window).all() and (window[2:] >= 0.1 - 1e-6).all()


def test_shares_without_sense_are_named():
  with pytest.raises(InputError, match='lengths'):
    dataclasses.replace(whole().shape, lengths=())
  with pytest.raises(InputError, match='max_length'):
    dataclasses.replace(whole(), shape=dataclasses.replace(whole().shape, lengths=(0.1,) * 6))
  with pytest.raises(InputError, match='contrast'):
    dataclasses.replace(whole().paint, contrast=(0.5, 1.5))
  with pytest.raises(InputError, match='plate_margin'):
    dataclasses.replace(whole().ground, plate_margin=(0.5, 0.1))
