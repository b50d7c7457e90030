"""Fonts as distance fields: one small image a glyph, from which its edge is drawn at any size, weight and softness.

After Green 2007, "Improved Alpha-Tested Magnification for Vector Textures and Special Effects". A stroke grows by
adding to its field; an outline, a shadow and a relief come from the same samples.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from digits_jax import structs
from digits_jax.alphabet import Alphabet
from digits_jax.data import boxes, fonts
from digits_jax.structs import FIELD_PX, FIELD_REACH, FIELD_UNIT

RENDERED_PX = 128  # em at which faces are drawn; fields are sampled from that


def load(
  font_dir: str | None,
  *,
  split: str,
  alphabet: Alphabet,
  validation_families: Sequence[str] = (),
  test_families: Sequence[str] = (),
) -> structs.FieldBank:
  """The faces of a split ('train', 'validation' or 'test') of a folder; None (or ''): those that matplotlib ships.

  Raises InputError where `fonts.list_faces` and `fonts.split_families` do.
  """
  faces = fonts.list_faces(font_dir, alphabet=alphabet, warns=split == 'train')
  splits = fonts.split_families(faces, validation_families=validation_families, test_families=test_families)
  made = [from_images(fonts.render_face(face, size=RENDERED_PX, alphabet=alphabet)) for face in splits[split]]
  return structs.FieldBank(*(np.stack(leaves) for leaves in zip(*made, strict=True)))


def from_images(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Fields and boxes of one face, as in `structs.FieldBank` without the leading R.

  Args:
    images: uint8[A, h, w], ink 255 on 0; digits' middle at the image's centre, as `fonts.render_face` gives them.
  """
  # A face's frame touches its ink; fields go on beyond it.
  border = images.shape[1] // 4 + 2
  images = np.pad(images, ((0, 0), (border, border), (border, border)))
  _, height, width = images.shape
  is_ink = images >= np.minimum(128, images.max((1, 2), keepdims=True) // 2 + 1)  # a hairline is grey at its darkest
  extents = boxes.from_mask(is_ink).astype(np.float32) - np.tile(np.float32([width / 2, height / 2]), 2)  # [A, 4]
  tall = float((extents[:, 3] - extents[:, 1]).max())
  # The highest digit is 1 high, unless an ink would then leave the field.
  room = 0.5 * FIELD_PX / FIELD_UNIT - 0.05
  unit = max(tall, float(np.abs(extents).max()) / room)
  # Signed distance to the edge, which runs half a pixel from the middle of the last pixel of ink.
  signed = np.stack([ndimage.distance_transform_edt(ink) - ndimage.distance_transform_edt(~ink) for ink in is_ink])
  signed = (signed - 0.5 * np.sign(signed)) / unit
  at = (np.arange(FIELD_PX) + 0.5 - FIELD_PX / 2) / FIELD_UNIT * unit  # image pixels from its centre
  fields = np.stack([_sample(each, at + height / 2 - 0.5, at + width / 2 - 0.5, -FIELD_REACH) for each in signed])
  fields = np.clip(np.round(128 + 127 * fields / FIELD_REACH), 0, 255).astype(np.uint8)
  return fields, (extents / unit).astype(np.float32)


def _sample(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, outside: float) -> np.ndarray:
  """Bilinear samples float[len(rows), len(columns)] of an image; `outside` beyond its edges."""
  padded = np.pad(image, 1, constant_values=outside)

  def along(size, points):
    weights = np.maximum(1 - np.abs(points[:, None] + 1 - np.arange(size + 2)[None]), 0)
    weights[points < -1, 0] = weights[points > size, -1] = 1
    return weights

  return along(image.shape[0], rows) @ padded @ along(image.shape[1], columns).T
