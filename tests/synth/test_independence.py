"""What is drawn of one key is independent: no two of the values that the results show go together.

A key that is used twice leaves every range and share right, and makes two values one. So they are recovered from what
is returned, by hand, for many keys.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.synth import augment, layout, photo, sequence, warp
from digits_jax.synth.augment import AugmentSpec
from tests.synth import specs

KEYS, LIMIT = 2000, 0.12  # a correlation of independent values has a standard deviation of 0.022


def apply(one, *arguments):
  """What `one` returns for each key, NumPy arrays."""
  mapped = specs.compiled(jax.vmap(one, (0, *[None] * len(arguments))))
  return jax.device_get(mapped(specs.keys(KEYS), *arguments))


def check_independent(**values):
  """Fails where two of the named values, [KEYS] each, are correlated, or one is constant."""
  names, rows = list(values), np.stack([np.asarray(value, np.float64) for value in values.values()])
  assert np.isfinite(rows).all() and rows.std(1).min() > 0
  found = np.abs(np.corrcoef(rows) - np.eye(len(names)))
  one, other = np.unravel_index(found.argmax(), found.shape)
  assert found.max() < LIMIT, f'{names[one]} and {names[other]} go together: {found.max():.3f}'


def parts(maps):
  """Scale, angle and slant of maps [..., 2, 2]: a scale times a turn after a shear along x, which keeps the x axis."""
  first, second = maps[..., 0].astype(np.float64), maps[..., 1]
  scale = np.hypot(first[..., 0], first[..., 1])
  return scale, np.arctan2(first[..., 1], first[..., 0]), np.arctan((first * second).sum(-1) / scale**2)


@pytest.mark.parametrize('values', [{'a': 0}, {'a': 0.5, 'b': 0.5}, {'a': 0.5, 'b': -0.5}])
def test_values_that_go_together_are_found(values):
  drawn = np.random.default_rng(0).normal(size=KEYS)
  with pytest.raises(AssertionError):
    check_independent(**{name: scale * drawn for name, scale in values.items()}, other=drawn[::-1])


def test_map_of_a_number():
  spec = specs.part('warp', zoom=(0.8, 1.2), turn_degrees=10.0, shear_degrees=20.0, shift_px=3.0)
  maps, shift = apply(functools.partial(warp.draw_number_map, spec=spec))
  zoom, turn, shear = parts(maps)
  check_independent(zoom=zoom, turn=turn, shear=shear, right=shift[:, 0], down=shift[:, 1])


def test_maps_of_digits():
  ranges = {'scale': (0.8, 1.2), 'rotation_degrees': 10.0, 'slant_degrees': 20.0, 'slant_jitter_degrees': 10.0}
  maps = apply(functools.partial(warp.draw_digit_maps, slots=64, spec=specs.part('warp', **ranges)))
  scale, rotation, slant = parts(maps)
  common = slant.mean(1)
  drawn = {'scale': scale, 'rotation': rotation, 'jitter': slant - common[:, None]}
  check_independent(slant=common, **{f'{name} {i}': drawn[name][:, i] for name in drawn for i in (0, 1)})


def test_places_of_digits():
  """Many square digits on a large canvas: a line's slope, and the mean of its steps, are the number's own."""
  slots, half = 40, 5
  spec = specs.part(
    'layout', width=800, height=400, spacing_px=(2.0, 6.0), spacing_jitter_px=1.5, wander_px=3.0, tilt_degrees=8.0
  )
  own = jnp.tile(jnp.array([[-half, -half, half, half]], jnp.float32), (slots, 1))
  one = lambda key, own: layout.place(key, own, own, jnp.int32(slots), jnp.eye(2), jnp.zeros(2), spec)
  anchors, fit = apply(one, own)
  assert (fit == 1).all()
  x, y = anchors.transpose(2, 0, 1).astype(np.float64)
  steps = np.diff(x, axis=1)
  spacing = steps.mean(1)
  across, down = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
  slope = (across * down).sum(1) / (across**2).sum(1)
  wander = down - slope[:, None] * across
  low, high = anchors.min(1) - half, anchors.max(1) + half
  left, top = (low / (np.array([800, 400]) - (high - low))).T  # share of the room that is left of and above the number
  # Of digit i: the step to it, and its height. Far from the ends of the line what is left of it tells the slope least.
  jitter, middle = steps - spacing[:, None], slots // 2
  check_independent(
    spacing=spacing, tilt=slope, left=left, top=top, first_wander=wander[:, 0],
    wander=wander[:, middle], jitter=jitter[:, middle - 1],
  )  # fmt: skip


def test_a_photo_of_ink():
  ink = np.zeros((16, 24), np.float32)
  ink[:, 12:] = 1.0
  ranges = {'background': (0.1, 0.3), 'contrast': (0.3, 0.6), 'blur_px': (0.5, 2.0), 'noise': (0.001, 0.01)}
  spec = specs.part('photo', inversion=0.5, **ranges)
  images = apply(functools.partial(photo.expose, spec=spec), jnp.asarray(ink))
  is_inverted = images[:, 0, 0] > images[:, 0, -1]
  images = np.where(is_inverted[:, None, None], 1 - images, images)
  columns = images.mean(1)
  paper = columns[:, :6].mean(1)  # the taps of the blur reach no further than 5 pixels
  contrast = columns[:, 18:].mean(1) - paper
  sharpness = (columns[:, 12] - columns[:, 11]) / contrast
  noise = images[:, :, :6].std((1, 2))
  check_independent(paper=paper, contrast=contrast, inversion=is_inverted, sharpness=sharpness, noise=noise)


def test_parts_of_a_sequence():
  """One digit, one blob at most: what differs from the paper beside the digit's box is the blob."""
  height, width = 64, 64
  spec = specs.make(
    number={'max_length': 1}, layout={'height': height, 'width': width}, warp={'scale': (0.5, 0.5)},
    clutter={'blobs': 1, 'blob_px': (1.0, 1.5), 'blob_ink': (0.6, 0.9)},
    photo={'background': (0.1, 0.3), 'contrast': (0.3, 0.6), 'inversion': 0.5},
  )  # fmt: skip
  bank = specs.blocks()
  batch = apply(functools.partial(sequence.example, spec=spec, patch=sequence.plan(bank, spec)), bank)
  images, boxes, labels = batch.images[..., 0].astype(np.float64), batch.boxes[:, 0], batch.labels[:, 0]
  paper = np.median(images, (1, 2))
  is_inverted = paper > 0.5
  y, x = np.mgrid[:height, :width] + 0.5
  left, top, right, bottom = (side[:, None, None] for side in boxes.T)
  ink = np.abs(images - paper[:, None, None])
  is_digit = (x > left) & (x < right) & (y > top) & (y < bottom)
  contrast = np.nanmedian(np.where(is_digit, ink, np.nan), (1, 2)) * 255 / specs.level(labels)  # of a block of one grey
  is_beside = (x < left - 1) | (x > right + 1) | (y < top - 1) | (y > bottom + 1)  # a block's edge is grey
  blob = np.where(is_beside, ink, 0.0).reshape(KEYS, -1)
  blob_ink = blob.max(1) / contrast
  has_blob = blob_ink > 0.4
  assert 0.4 < has_blob.mean() < 0.55  # half, but for those behind the digit
  rooms = np.array([width, height]) - (boxes[:, 2:] - boxes[:, :2])
  drawn = {
    'paper': np.where(is_inverted, 1 - paper, paper), 'contrast': contrast, 'inversion': is_inverted, 'label': labels,
    'x': boxes[:, 0] / rooms[:, 0], 'y': boxes[:, 1] / rooms[:, 1],
    'blob x': blob.argmax(1) % width, 'blob y': blob.argmax(1) // width, 'blob ink': blob_ink,
  }  # fmt: skip
  check_independent(**{name: value[has_blob] for name, value in drawn.items()})


GREY = np.array([0.299, 0.587, 0.114])
CHROMA = np.array([(0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])  # I and Q


def test_colours():
  """Brightness and contrast scale the mean grey and what differs from it; saturation and hue leave greys alone."""
  image = np.array([[(0.5, 0.4, 0.3), (0.6, 0.45, 0.5), (0.3, 0.4, 0.45)]], np.float32)
  spec = AugmentSpec(brightness=0.2, contrast=0.2, saturation=0.4, hue=0.1)
  images = apply(functools.partial(augment.jitter_colours, spec=spec), jnp.asarray(image)).astype(np.float64)
  assert images.min() > 0 and images.max() < 1  # nothing is clipped
  mean, step = (images @ GREY).mean((1, 2)), (images[:, 0, 1] - images[:, 0, 2]) @ GREY
  before = image.astype(np.float64)
  brightness = mean / (before @ GREY).mean()
  both = step / ((before[0, 1] - before[0, 2]) @ GREY)  # brightness times contrast
  (i, q), (old_i, old_q) = CHROMA @ images[:, 0, 0].T, CHROMA @ before[0, 0]
  saturation = np.hypot(i, q) / np.hypot(old_i, old_q) / both
  hue = np.arctan2(q, i) - np.arctan2(old_q, old_i)
  hue = (hue + np.pi) % (2 * np.pi) - np.pi
  assert np.abs(hue).max() < 0.1 * 2 * np.pi + 1e-3
  check_independent(brightness=brightness, contrast=both / brightness, saturation=saturation, hue=hue)


def test_what_a_crop_becomes():
  """Of one colour: only a random convolution changes its hue, only brightness its mean, only a window its box."""
  colour, side, size = np.array([0.6, 0.45, 0.4], np.float32), 16, 12
  middle = np.array([(7, 7, 9, 9)], np.float32)  # within every window
  spec = AugmentSpec(
    size=size, window=(0.6, 0.8), aspect=(0.8, 1.25), spread=0.5, convolution=0.5, brightness=0.2, noise=(0.001, 0.01)
  )
  image = jnp.broadcast_to(jnp.asarray(colour), (side, side, 3))
  images, boxes = apply(functools.partial(augment.augment, spec=spec), image, jnp.asarray(middle))
  means = images.mean((1, 2)).astype(np.float64)  # [KEYS, 3]
  brightness = means.mean(1) / colour.mean()
  is_convolved = np.abs(means / brightness[:, None] - colour).max(1) > 0.01
  noise = (images - images.mean((1, 2), keepdims=True)).std((1, 2, 3))
  low, high = boxes[:, 0, :2].astype(np.float64), boxes[:, 0, 2:]
  window = size * 2 / (high - low)  # [KEYS, 2], (x, y), of the image's pixels
  left, top = ((side / 2 - (low + high) / 2 * window / size) / (side - window)).T  # share of the room before it
  check_independent(
    area=window.prod(1), aspect=np.log(window[:, 0] / window[:, 1]), left=left, top=top, convolution=is_convolved,
    brightness=brightness, noise=noise,
  )  # fmt: skip
