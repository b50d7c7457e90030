"""How digits stand in SVHN's photos, by its annotations alone: what the ranges of config.scene were judged by.

python experiments/street/annotations.py digitStruct.mat

The file is in train.tar.gz. No photo is looked at.
"""

import argparse
import pathlib

import numpy as np

from digits_jax.data import digit_struct

PERCENTILES = (5, 25, 50, 75, 95)


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('file', type=pathlib.Path)
  photos = digit_struct.read(parser.parse_args().file)
  boxes = [photo.boxes[digit_struct.reading_order(photo.boxes)] for photo in photos]
  print(f'{len(boxes):,} photos, {sum(map(len, boxes)):,} digits; percentiles {", ".join(map(str, PERCENTILES))}')
  for name, values in measures(boxes).items():
    print(f'{name}: {", ".join(f"{value:.2f}" for value in np.percentile(values, PERCENTILES))}')


def measures(boxes):
  """{what: float[n]} of float[digits, 4] boxes (left, top, right, bottom) of each photo, in reading order."""
  every = np.concatenate(boxes)
  heights = every[:, 3] - every[:, 1]
  # Of neighbours, the first and the second; numbers of which either box has no area say nothing.
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
  main()
