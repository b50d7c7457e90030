"""Distance fields against shapes whose distance is known, and against the glyphs that they were made from."""

import numpy as np
import pytest

from digits_jax.alphabet import DIGITS, Alphabet
from digits_jax.data import distance_fields, fonts
from digits_jax.errors import InputError
from digits_jax.structs import FIELD_PX, FIELD_REACH, FIELD_UNIT

AT = (np.arange(FIELD_PX) + 0.5 - FIELD_PX / 2) / FIELD_UNIT  # of a field's pixels, in units


def distances(field):
  return (field.astype(np.float32) - 128) * FIELD_REACH / 127


def test_of_a_disc_is_radius_minus_distance():
  at = np.arange(120) + 0.5 - 60
  disc = np.hypot(at[:, None], at[None]) < 40  # 80 pixels high: 1 unit
  made, boxes = distance_fields.from_images(np.uint8(255) * disc[None])
  np.testing.assert_allclose(boxes, [[-0.5, -0.5, 0.5, 0.5]], atol=0.01)
  want = np.clip(0.5 - np.hypot(AT[:, None], AT[None]), -FIELD_REACH, FIELD_REACH)
  np.testing.assert_allclose(distances(made[0]), want, atol=0.02)


def test_fields_go_on_beyond_the_frame():
  """As faces are rendered: the frame touches the ink."""
  bar = np.full((1, 90, 40), 255, np.uint8)
  made, boxes = distance_fields.from_images(bar)
  np.testing.assert_allclose(boxes, [[-2 / 9, -0.5, 2 / 9, 0.5]], atol=1e-6)
  outside = np.abs(np.stack(np.meshgrid(AT, AT))) - np.array([2 / 9, 0.5])[:, None, None]  # (x, y)
  want = -np.hypot(*np.maximum(outside, 0)) - np.minimum(outside.max(0), 0)
  np.testing.assert_allclose(distances(made[0]), np.clip(want, -FIELD_REACH, FIELD_REACH), atol=0.02)


def test_a_hairline_has_a_field():
  image = np.zeros((1, 60, 30), np.uint8)
  image[0, 5:55, 14:16] = 90
  assert distances(distance_fields.from_images(image)[0]).max() > 0


def test_a_wide_glyph_is_made_to_fit():
  image = np.zeros((40, 200), np.uint8)
  image[10:30, 20:180] = 255
  made, boxes = distance_fields.from_images(image[None])
  edge = np.concatenate([made[0, 0], made[0, -1], made[0, :, 0], made[0, :, -1]])
  assert (edge < 128).all() and made.max() > 128
  assert boxes[0, 2] - boxes[0, 0] == pytest.approx(8 * (boxes[0, 3] - boxes[0, 1]), rel=1e-4)


def test_the_shipped_faces_stand_on_one_line_and_are_one_high():
  bank = distance_fields.load(None, split='train', alphabet=Alphabet(DIGITS))
  assert bank.fields.shape == (22, 10, FIELD_PX, FIELD_PX) and bank.fields.dtype == np.uint8
  heights = bank.boxes[:, :, 3] - bank.boxes[:, :, 1]
  assert (heights.max(1) <= 1 + 1e-5).all() and (heights.max(1) > 0.94).all()  # one, wide or deep, is made to fit
  ink = distances(bank.fields) > 0
  for styles in range(0, 22, 5):
    for digit in range(10):
      rows, columns = (np.flatnonzero(ink[styles, digit].any(axis)) for axis in (1, 0))
      found = [AT[columns[0]], AT[rows[0]], AT[columns[-1]], AT[rows[-1]]]
      np.testing.assert_allclose(found, bank.boxes[styles, digit] + [0.014, 0.014, -0.014, -0.014], atol=0.03)


def test_ink_is_where_the_face_draws_it():
  faces, _ = fonts.find_faces(None, alphabet=Alphabet(DIGITS))
  images = fonts.render_face(faces[0], size=distance_fields.RENDERED_PX, alphabet=Alphabet(DIGITS))
  made, boxes = distance_fields.from_images(images)
  for image, field, box in zip(images, made, boxes, strict=True):
    unit = np.ptp(np.flatnonzero((image >= 128).any(1))) + 1  # pixels
    scale = unit / (box[3] - box[1])
    rows = np.rint(AT * scale + image.shape[0] / 2 - 0.5).astype(int)
    columns = np.rint(AT * scale + image.shape[1] / 2 - 0.5).astype(int)
    inside = np.pad(image, 40)[rows[:, None] + 40, columns[None] + 40] >= 128
    sure = np.abs(distances(field)) > 0.02
    np.testing.assert_array_equal(inside[sure], (field > 128)[sure])
    assert sure.mean() > 0.8


def test_an_unknown_family():
  with pytest.raises(InputError, match='is not one of'):
    distance_fields.load(None, split='train', alphabet=Alphabet(DIGITS), test_families=('Garamond',))


def test_the_edge_runs_half_a_pixel_beyond_the_ink():
  """Across a square of 20 pixels the field is the distance from +-0.5, but where it turns."""
  made, _ = distance_fields.from_images(np.full((1, 20, 20), 255, np.uint8))
  at = (np.arange(FIELD_PX) + 0.5 - FIELD_PX / 2) / FIELD_UNIT
  found = (made[0, FIELD_PX // 2].astype(np.float32) - 128) * FIELD_REACH / 127
  expected = np.clip(0.5 - np.abs(at), -FIELD_REACH, FIELD_REACH)
  is_plain = (np.abs(at) < 0.4) & (np.abs(at) > 0.15) | (np.abs(at) > 0.6)
  np.testing.assert_allclose(found[is_plain], expected[is_plain], atol=0.01)
