"""How digits stand in SVHN's photos, by its annotations alone: what the ranges of config.scene were judged by.

python experiments/street/annotations.py digitStruct.mat

The file is in train.tar.gz. No photo is looked at; those with a box that has no area are left out.
"""

import numpy as np

from digits_jax import command
from digits_jax.data import digit_struct
from digits_jax.errors import InputError

PERCENTILES = (5, 25, 50, 75, 95)


def main(arguments):
  """Prints percentiles. Raises InputError where there is no such file, or no number with two digits in it."""
  if len(arguments) != 1:
    raise InputError('which file? Give the digitStruct.mat of SVHN')
  photos = digit_struct.read(arguments[0])
  boxes = [photo.boxes[digit_struct.reading_order(photo.boxes)] for photo in photos]
  boxes = [photo for photo in boxes if (photo[:, 2:] > photo[:, :2]).all()]
  if not any(len(photo) > 1 for photo in boxes):
    raise InputError(f'{arguments[0]} lists no number of two digits or more')
  print(f'{len(boxes):,} photos, {sum(map(len, boxes)):,} digits; percentiles {", ".join(map(str, PERCENTILES))}')
  for name, values in measures(boxes).items():
    print(f'{name}: {", ".join(f"{value:.2f}" for value in np.percentile(values, PERCENTILES))}')


def measures(boxes):
  """{what: float[n]} of float[digits, 4] boxes (left, top, right, bottom) of each photo, in reading order."""
  every = np.concatenate(boxes)
  heights = every[:, 3] - every[:, 1]
  # Of neighbours, the first and the second.
  first, second = (np.concatenate([photo[part] for photo in boxes]) for part in (np.s_[:-1], np.s_[1:]))
  height = ((first[:, 3] - first[:, 1]) + (second[:, 3] - second[:, 1])) / 2
  gaps = (second[:, 0] - first[:, 2]) / height
  many = [photo for photo in boxes if len(photo) > 1]
  across, down = (np.array([centre(photo[-1])[i] - centre(photo[0])[i] for photo in many]) for i in (0, 1))
  return {
    'height of a digit, pixels': heights,
    'width of a digit by its height': (every[:, 2] - every[:, 0]) / heights,
    'gap to the next digit, in heights': gaps,
    'turn of a number, degrees from level': np.abs(np.degrees(np.arctan2(down, across))),
  }


def centre(box):
  """(x, y) of a box float[4]."""
  return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


if __name__ == '__main__':
  command.run(main)
