"""Scenes of plain paint: what is drawn is what the labels say, where the boxes say."""

import dataclasses
import functools
import pathlib

import jax
import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from configs import street
from digits_jax import structs
from digits_jax.alphabet import DIGITS, Alphabet
from digits_jax.data import distance_fields
from digits_jax.synth import scene
from digits_jax.synth.augment import AugmentSpec
from digits_jax.training.feeds import street as feed
from tests.synth import specs

FACES = ('DejaVuSans', 'DejaVuSerif-Bold', 'DejaVuSansMono')
CONTRAST = 0.5
# Upright digits; a border of ground, all around; one grey on another; a photo of as many pixels as the crop.
PLAIN = {
  'shape': {
    'lengths': (1.0, 1.0, 1.0, 1.0, 1.0), 'gap': (0.05, 0.4), 'rotation_degrees': 0.0, 'slant_degrees': 0.0,
    'stairs_degrees': 0.0, 'turn_degrees': 0.0, 'shear_degrees': 0.0, 'perspective': 0.0, 'weight': (0.0, 0.0),
    'stacked': 0.2, 'loose_x': (0.0, 0.1), 'loose_y': (0.0, 0.1), 'margin': (0.1, 0.3), 'shift': 0.5, 'neighbours': 0.0,
  },
  'paint': {
    'contrast': (CONTRAST, CONTRAST), 'saturation': 0.0, 'outline': 0.0, 'shadow': 0.0, 'relief': 0.0,
    'worn': (0.0, 0.0),
  },
  'ground': {
    'texture': (0.0, 0.0), 'stripes': 0.0, 'gradient': 0.0, 'edges': 0, 'plate': 0.0, 'cast': 0.0, 'strokes': 0,
  },
  'camera': {
    'digit_px': (200.0, 200.0), 'blur_px': (0.0, 0.0), 'smear': 0.0, 'fringe_px': 0.0, 'sharpening': 0.0,
    'noise': (0.0, 0.0), 'jpeg': 0.0, 'gamma': (1.0, 1.0), 'haze': 0.0,
  },
}  # fmt: skip


@functools.cache
def glyphs(face):
  """The digits by Pillow, uint8[10, 160, 160], each in the middle from left to right, on one line."""
  font = ImageFont.truetype(pathlib.Path(matplotlib.get_data_path(), 'fonts', 'ttf', f'{face}.ttf'), 128)
  _, top, _, bottom = font.getbbox('0')
  pages = []
  for digit in DIGITS:
    left, _, right, _ = font.getbbox(digit)
    page = Image.new('L', (160, 160))
    ImageDraw.Draw(page).text((80 - (left + right) / 2, 80 - (top + bottom) / 2), digit, fill=255, font=font)
    pages.append(np.asarray(page))
  return np.stack(pages)


@functools.cache
def draw(face, count=64):
  """A Batch of plain scenes of one face, and their ink float[B, S, S] from 0 to 1."""
  spec = feed.spec(street.get_config(), Alphabet(DIGITS), 'train', AugmentSpec())
  for name, to in PLAIN.items():
    spec = dataclasses.replace(spec, **{name: dataclasses.replace(getattr(spec, name), **to)})
  fields, boxes = distance_fields.from_images(glyphs(face))
  batch = jax.device_get(_mapped(spec)(specs.keys(count), structs.FieldBank(fields[None], boxes[None])))
  greys = batch.images.mean(-1).astype(np.float64)
  return batch, np.abs(greys - greys[:, :1, :1]) / CONTRAST  # a corner shows the ground


@functools.cache
def _mapped(spec):
  return specs.compiled(jax.vmap(functools.partial(scene.example, spec=spec), (0, None)))


def thumbnail(ink, box):
  """What is in a box of an ink float[H, W], stretched to 12x12."""
  page = Image.fromarray(ink.astype(np.float32))
  return np.asarray(page.resize((12, 12), Image.Resampling.BILINEAR, box=tuple(map(float, box)))).ravel()


@pytest.mark.parametrize('face', FACES)
def test_digits_in_their_boxes_are_those_of_the_labels(face):
  """Each crop is most like the glyph of its label, of the ten of its face."""
  batch, inks = draw(face)
  known = np.stack([thumbnail(page / 255, Image.fromarray(page).getbbox()) for page in glyphs(face)])
  assert set(batch.labels[batch.labels > 0]) == set(range(1, 11)) and set(batch.label_lengths) == set(range(1, 6))
  for ink, labels, length, boxes in zip(inks, batch.labels, batch.label_lengths, batch.boxes, strict=True):
    assert (labels[:length] > 0).all() and not labels[length:].any()
    for label, box in zip(labels[:length], boxes[:length], strict=True):
      distances = np.linalg.norm(known - thumbnail(ink, box)[None], axis=1)
      assert np.argmin(distances) + 1 == label, (label, distances)


@pytest.mark.parametrize('face', FACES)
def test_ink_fills_its_box_and_no_more(face):
  """It comes as near as 1.5 pixels to each side of its digit's box, and no ink is outside all boxes."""
  batch, inks = draw(face)
  at = np.arange(inks.shape[1]) + 0.5
  within = lambda low, high: (at > low) & (at < high)
  for ink, length, boxes in zip(inks, batch.label_lengths, batch.boxes, strict=True):
    assert not boxes[length:].any()
    held = np.zeros(ink.shape, bool)
    for left, top, right, bottom in boxes[:length]:
      held |= within(top - 1, bottom + 1)[:, None] & within(left - 1, right + 1)[None]
      is_ink = (ink > 0.3) & within(top, bottom)[:, None] & within(left, right)[None]
      rows, columns = np.flatnonzero(is_ink.any(1)), np.flatnonzero(is_ink.any(0))
      found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
      np.testing.assert_allclose(found, [left, top, right, bottom], atol=1.5)
    assert not (ink > 0.5)[~held].any()
