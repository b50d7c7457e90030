"""Specs for the tests, plain unless told otherwise, and a bank whose labels can be read from single pixels."""

import dataclasses
import functools

import jax
import numpy as np

from digits_jax.alphabet import Alphabet
from digits_jax.data import glyphs
from digits_jax.synth import clutter, layout, number, photo, sequence, warp

PLAIN = {
  'number': {
    'alphabet': Alphabet(),
    'min_length': 1,
    'max_length': 5,
    'dot_fraction': 0.5,
    'minus_fraction': 0.25,
    'split': None,
  },
  'layout': {
    'kind': 'string',
    'height': 40,
    'width': 120,
    'spacing': 'gaps',
    'spacing_px': (2.0, 6.0),
    'spacing_jitter_px': 0.0,
    'wander_px': 0.0,
    'tilt_degrees': 0.0,
    'spread_x': 1.0,
    'spread_y': 1.0,
    'cell_px': 24,
  },
  'warp': {
    'scale': (1.0, 1.0),
    'rotation_degrees': 0.0,
    'slant_jitter_degrees': 0.0,
    'elastic_px': 0.0,
    'stroke_frac': (0.0, 0.0),
    'slant_degrees': 0.0,
    'shift_px': 0.0,
    'zoom': (1.0, 1.0),
    'turn_degrees': 0.0,
    'shear_degrees': 0.0,
  },
  'clutter': {'blobs': 0, 'blob_px': (1.0, 4.0), 'blob_ink': (0.3, 0.9)},
  'photo': {
    'blur_px': (0.0, 0.0),
    'background': (0.0, 0.0),
    'contrast': (1.0, 1.0),
    'inversion': 0.0,
    'noise': (0.0, 0.0),
  },
}
_KINDS = {
  'number': number.NumberSpec,
  'layout': layout.LayoutSpec,
  'warp': warp.WarpSpec,
  'clutter': clutter.ClutterSpec,
  'photo': photo.PhotoSpec,
}


def part(name, **changes):
  """One part of a spec, e.g. part('warp', scale=(1.0, 2.0))."""
  return _KINDS[name](**PLAIN[name] | changes)


def make(**changes):
  """A SequenceSpec, e.g. make(warp={'scale': (1.0, 2.0)})."""
  return sequence.SequenceSpec(**{name: part(name, **changes.get(name, {})) for name in PLAIN})


def level(label):
  """The ink 0 to 255 of all glyphs of a class in the bank of blocks."""
  return 140 + 12 * (np.asarray(label) - 1)


@functools.cache
def blocks():
  """A bank of 20x20 images with solid blocks, 6 to 16 pixels a side, off centre; the class is in their grey level."""
  rng = np.random.default_rng(0)
  images, labels, styles = [], [], []
  for style in range(2):
    for label in range(1, 11):
      for _ in range(3):
        image = np.zeros((20, 20), np.uint8)
        height, width = rng.integers(6, 17, 2)
        top, left = rng.integers(2, 19 - height), rng.integers(2, 19 - width)
        image[top : top + height, left : left + width] = level(label)
        images.append(image), labels.append(label), styles.append(style)
  return glyphs.assemble(np.array(images), np.array(labels), np.array(styles), alphabet=Alphabet())


@functools.cache
def fonts():
  """The digits of all shipped faces at one size."""
  return glyphs.from_fonts('train', Alphabet(), sizes=(22,))


def changed(spec, **changes):
  """The spec with some fields of some parts replaced, e.g. changed(spec, warp={'elastic_px': 0.5})."""
  parts = {name: dataclasses.replace(getattr(spec, name), **fields) for name, fields in changes.items()}
  return dataclasses.replace(spec, **parts)


# XLA's optimisations take most of a test's time: without them it compiles in a third.
compiled = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


def keys(count, seed=0):
  """key[count]."""
  return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(seed), i))(np.arange(count))


@functools.cache
def draw(spec, *, count=64, seed=0, has_fonts=False):
  """(Batch, what it is made of: labels, lengths, glyph ids, maps, anchors), all NumPy arrays."""
  bank = fonts() if has_fonts else blocks()
  patch = sequence.plan(bank, spec)

  def one(key, bank):
    return sequence.example(key, bank, spec=spec, patch=patch), _arranged(key, bank, spec)

  return jax.device_get(compiled(jax.vmap(one, in_axes=(0, None)))(keys(count, seed), bank))


@functools.cache
def arrange(spec, *, count, seed=0):
  """The second half of `draw` alone, for many examples."""
  one = functools.partial(_arranged, spec=spec)
  return jax.device_get(compiled(jax.vmap(one, in_axes=(0, None)))(keys(count, seed), blocks()))


def _arranged(key, bank, spec):
  """What `sequence.example` draws from the same key before any pixel."""
  k_number, k_glyphs, k_maps, k_digits, k_place, *_ = jax.random.split(key, 8)
  labels, length = number.draw(k_number, spec.number)
  ids = sequence.choose_glyphs(k_glyphs, labels, bank)
  arranged = sequence.arrange((k_maps, k_digits, k_place), bank.boxes[ids], bank.images.shape[1:], length, spec)
  return labels, length, ids, *arranged


def assert_packed(labels, lengths):
  """That rows int[B, N] hold `lengths` classes of digits, then zeros."""
  assert ((lengths >= 0) & (lengths <= labels.shape[1])).all()
  inside = np.arange(labels.shape[1]) < lengths[:, None]
  assert ((labels > 0) & (labels <= 10) == inside).all() and (labels[~inside] == 0).all()


def split_of(text: str, alphabet: Alphabet) -> str | None:
  """The split that `text` is held out for, or None where it belongs to all (fewer than 3 symbols)."""
  if len(text) < 3:
    return None
  total = sum(alphabet.digits.index(symbol) for symbol in text if symbol in alphabet.digits)
  return {0: 'test', 1: 'validation'}.get(total % len(alphabet.digits), 'train')
