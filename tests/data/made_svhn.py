"""A made SVHN in the official format, for where the real one is not: numbers in Pillow's font, in two colours.

python -m tests.data.made_svhn DIR [--train=60] [--test=20] [--extra=0]

writes DIR/train.tar.gz and so on, as the full numbers come: PNGs of any size and digitStruct.mat.
"""

import argparse
import functools
import io
import pathlib
import tempfile

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tests.data import svhn_files

# Of SVHN's 33,402 training numbers, by their digits.
LENGTHS = {1: 5137, 2: 18130, 3: 8691, 4: 1434, 5: 9, 6: 1}
_font = functools.cache(ImageFont.load_default)


def draw(rng):
  """(boxes of its digits, the bytes of its PNG) of one photo."""
  shares = np.array(list(LENGTHS.values())) / sum(LENGTHS.values())
  text = ''.join(map(str, rng.integers(0, 10, rng.choice(list(LENGTHS), p=shares))))
  size, margin = int(rng.integers(12, 24)), int(rng.integers(2, 12))
  paper = int(rng.integers(0, 156))
  colours = [tuple((base + rng.integers(0, 40, 3)).tolist()) for base in (paper, (paper + 110) % 216)]
  page = Image.new('RGB', (size * len(text) + 2 * margin, size + 12 + 2 * margin), colours[0])
  pen, boxes, x = ImageDraw.Draw(page), [], margin
  for digit in text:
    left, top, right, bottom = pen.textbbox((x, margin), digit, _font(size))
    pen.text((x, margin), digit, colours[1], _font(size))
    boxes.append({'label': int(digit) or 10, 'left': left, 'top': top, 'width': right - left, 'height': bottom - top})
    x = right + 1
  file = io.BytesIO()
  page.save(file, 'PNG', compress_level=1)
  return boxes, file.getvalue()


def write(folder, counts, seed=0):
  """Writes SPLIT.tar.gz with counts[SPLIT] photos for each split into the folder, which may exist."""
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  for number, (split, count) in enumerate(counts.items()):
    rng = np.random.default_rng([seed, number])
    drawn = {f'{i}.png': draw(rng) for i in range(1, count + 1)}
    with tempfile.TemporaryDirectory(dir=folder) as work:
      boxes, images = ({name: one[i] for name, one in drawn.items()} for i in (0, 1))
      svhn_files.write_archive(folder / f'{split}.tar.gz', svhn_files.write_folder(f'{work}/{split}', boxes, images))


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('folder')
  for split, count in (('train', 60), ('test', 20), ('extra', 0)):
    parser.add_argument(f'--{split}', type=int, default=count, help='photos; 0 writes no archive')
  asked = vars(parser.parse_args())
  folder = asked.pop('folder')
  write(folder, {split: count for split, count in asked.items() if count})


if __name__ == '__main__':
  main()
