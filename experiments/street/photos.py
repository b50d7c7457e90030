"""How many of SVHN's numbers runs read, the box of all digits given.

python experiments/street/photos.py --data_dir=DIR --split=train RUN [RUN ...]

train: what a recipe is developed on. test: looked at once. A photo is cropped as configs/svhn.py crops it. A run that
reads grey images, of MNIST's digits, is given the same part of the photo in grey, stretched to its canvas. --zooms is
of reading, in place of the run's own; --zooms= looks at each photo once. One line a run.
"""

import functools
import pathlib

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

_DATA_DIR = command.path_flag('data_dir', 'What `prepare --data_dir` wrote; default: the folder of TFDS.')
_SPLIT = flags.DEFINE_enum('split', 'train', ['train', 'test'], 'Which photos.')
_ZOOMS = command.zooms_flag()
_SHEET = command.path_flag('sheet', 'PNG file for a sheet of what the last run read in colour, errors first.')

CROP_PX, MARGIN, WINDOW = 64, 0.3, 54 / 64  # of configs/svhn.py
SHEET = 256  # photos at most


def main(arguments):
  """Prints the figures. Raises InputError where there is no run, or no SVHN."""
  if not arguments:
    raise InputError('which runs? Give their directories')
  command.check_file('--sheet', _SHEET.value, '.png')

  from digits_jax import metrics
  from digits_jax.data import epochs, sources, svhn, svhn_crops
  from digits_jax.data.crop import CropSpec
  from digits_jax.reading import evaluation, trained
  from digits_jax.synth.augment import AugmentSpec, augment
  from digits_jax.training import finish, scoring

  selection = svhn.select(_DATA_DIR.value, (_SPLIT.value,), 'all', validation_frac=0.1, seed=0, max_digits=0)
  slots = max(map(len, selection.texts))
  for name in arguments:
    opened = trained.load(name, zooms=_ZOOMS.value)
    if opened.canvas.shape[2] == 1:
      right = read_grey(opened, selection)
      low, high = metrics.wilson(right, len(selection.texts))
      print(f'{name}, in grey: {right} of {len(selection.texts)} right ({low:.2%} to {high:.2%})', flush=True)
      if _SHEET.value and name == arguments[-1]:
        print('no sheet: this run reads grey images', flush=True)
      continue
    numbers = svhn_crops.load(
      _DATA_DIR.value, selection, CropSpec(CROP_PX, MARGIN), alphabet=opened.alphabet, slots=slots, is_cached=False
    )
    size = opened.canvas.height
    middle = functools.partial(augment, spec=AugmentSpec(size=size, window=(WINDOW, WINDOW)))
    source = epochs.source(numbers, middle, batch_size=1, seed=None, keep='host')
    fixed = sources.FixedSet(_SPLIT.value, source, 0, len(numbers), selection.files)
    records = evaluation.score(opened, fixed)
    figures = metrics.describe(scoring.summarise(records), opened.temperature)
    print(f'{name}, step {opened.step}: {figures}', flush=True)
    if _SHEET.value and name == arguments[-1]:
      finish.draw_sheet(pathlib.Path(_SHEET.value), fixed, records, opened.alphabet, min(SHEET, len(numbers)))


def read_grey(opened, selection) -> int:
  """How many numbers a reader of grey images reads."""
  from PIL import Image

  from digits_jax import Reader
  from digits_jax.data import svhn_crops
  from digits_jax.data.crop import CropSpec

  width, height = opened.canvas.width, opened.canvas.height
  crops = svhn_crops.Crops(_DATA_DIR.value, _SPLIT.value, CropSpec(width, (1 + MARGIN) * WINDOW - 1))
  photos = [Image.fromarray(crops[row]['image']).convert('L').resize((width, height)) for row in selection.rows]
  readings = Reader(opened).read(photos)
  return sum(reading.text == text for reading, text in zip(readings, selection.texts, strict=True))


if __name__ == '__main__':
  command.run(main)
