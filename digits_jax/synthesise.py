"""Writes synthesised numbers as images, or draws a sheet of them, exactly as training and evaluation see them.

python -m digits_jax.synthesise --config=configs/fonts.py --out=DIR --count=60000
python -m digits_jax.synthesise --config=configs/fonts.py --preview=sheet.png
python -m digits_jax.synthesise --config=configs/fonts.py --split=test --count=5000 --checksum

DIR gets 000000.png ... and, last of all, labels.csv (filename,label): a folder without it is incomplete. Image i
is a function of the config, --split, --seed and i alone. --split=test without --seed is the set of result.json.
--checksum prints SHA-256 of the numbers and of the pixels, by which docs/benchmark.md tells the named test sets.
"""

import concurrent.futures
import csv
import hashlib
import os
import pathlib
from collections.abc import Iterator

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

command.config_flag()
_OUT = command.out_flag('Folder for the images and labels.csv; new or empty.')
_COUNT = flags.DEFINE_integer('count', None, 'How many images.', lower_bound=1)
_DISTINCT = flags.DEFINE_bool('distinct', False, 'Every number at most once: repeats are passed over, in order.')
_SPLIT = flags.DEFINE_enum(
  'split', 'train', ['train', 'validation', 'test'], 'Whose glyphs and numbers; validation is drawn as the test is.'
)
_TEST = flags.DEFINE_string('test', 'test', 'Which of the sets in config.tests --split=test draws.')
_SEED = flags.DEFINE_integer(
  'seed', None, 'Default: that of the split in the config.', lower_bound=0, upper_bound=2**31 - 1
)
_CHECKSUM = flags.DEFINE_bool('checksum', False, 'Print SHA-256 of the numbers and of the pixels of the images.')
_PREVIEW = command.path_flag('preview', 'PNG file for a sheet of the first images.')

BATCH = 256  # images drawn together
LABELS = 4096  # labels drawn together in search of new numbers
PREVIEWED = 48


def main(arguments):
  """Raises InputError on flags that do not go together, and where there are too few distinct numbers."""
  if arguments:
    raise InputError(f'unexpected argument {arguments[0]!r}: the folder is given as --out=DIR')
  if not (_OUT.value or _PREVIEW.value or _CHECKSUM.value):
    raise InputError('where to? Give --out=DIR for images, --preview=FILE.png for a sheet of them, or both')
  if (_OUT.value or _CHECKSUM.value) and _COUNT.value is None:
    raise InputError('how many images? Give --count=60000, or another number')
  sheet = pathlib.Path(_PREVIEW.value or 'sheet.png')
  if sheet.suffix.lower() != '.png' or sheet.is_dir() or not next(p for p in sheet.parents if p.exists()).is_dir():
    raise InputError(f'--preview={_PREVIEW.value}: give the name of a file that ends with .png')
  config = command.experiment_config()
  if _TEST.present and _SPLIT.value != 'test':
    raise InputError(f'--test={_TEST.value} names a test set: give --split=test too')
  if _TEST.value not in config.tests:
    raise InputError(f'--test={_TEST.value}: this config has no such test set; it has {", ".join(config.tests)}')
  out = pathlib.Path(_OUT.value) if _OUT.value else None
  if out and out.is_dir() and any(out.iterdir()):
    raise InputError(
      f'{out} is not empty: choose another --out, or remove it (without labels.csv it was interrupted)'
    )

  import jax

  from digits_jax.alphabet import Alphabet
  from digits_jax.data import sources
  from digits_jax.training import experiment

  source, seed = experiment.build_source(config, _SPLIT.value, test=_TEST.value)
  make_key = sources.training_key if _SPLIT.value == 'train' else jax.random.key
  numbers = DrawnNumbers(source, Alphabet(config.alphabet), make_key(seed if _SEED.value is None else _SEED.value))
  count = _COUNT.value or min(PREVIEWED, source.limit or PREVIEWED)
  if source.limit is not None and count > source.limit:
    raise InputError(f'--count={count:,}: {_SPLIT.value} has {source.limit:,} images')
  ids = numbers.distinct(count) if _DISTINCT.value else range(count)
  if out:
    out.mkdir(parents=True, exist_ok=True)
    write(numbers, ids, out)
    print(f'wrote {count:,} images and labels.csv into {out}')
  if _PREVIEW.value:
    preview(numbers, ids[:PREVIEWED], sheet, title=f'{config.name}, {_SPLIT.value}')
    print(f'wrote {_PREVIEW.value}')
  if _CHECKSUM.value:
    labels, pixels = checksums(numbers, ids)
    print(f'{count:,} numbers {labels}\n{count:,} images  {pixels}')


class DrawnNumbers:
  """The endless numbers of one source and key, by id: id i is example i of step 0."""

  def __init__(self, source, alphabet, key):
    import jax

    from digits_jax.data import sources

    self._alphabet, self._source = alphabet, source
    self._constants = (key, jax.device_put(source.constants))
    draw = lambda constants, items, ids: sources.draw_batch(source, *constants, 0, items, ids)
    self._draw = jax.jit(draw)
    self._draw_labels = jax.jit(lambda *given: draw(*given).labels)  # XLA leaves the images out

  def batches(self, ids) -> Iterator[tuple]:
    """(images float32[b, H, W, C] in [0, 1], texts) of the ids in order, b at most BATCH.

    The next batch is on its way to the devices before one is handed out.
    """
    waiting = None
    for first in range(0, len(ids), BATCH):
      begun = (self._call(self._draw, ids[first : first + BATCH], BATCH), len(ids[first : first + BATCH]))
      if waiting:
        yield self._take(*waiting)
      waiting = begun
    yield self._take(*waiting)

  def distinct(self, count: int) -> list[int]:
    """The first `count` ids whose number no id before them has. Raises InputError where no more turn up."""
    import numpy as np
    from tqdm import tqdm

    seen, ids, first = set(), [], 0
    with tqdm(total=count, desc='finding distinct numbers', unit=' numbers', leave=False, disable=None) as bar:
      while len(ids) < count:
        # So long without a new one: a number as rare as the rarest that was found would have turned up.
        if first > (ids[-1] if ids else 0) + 100_000 + 100 * len(ids) or first > 2**31 - 1 - LABELS:
          raise InputError(
            f'--distinct: {first:,} draws show {len(ids):,} different numbers, and --count={count:,} asks for more'
          )
        labels = np.asarray(self._call(self._draw_labels, range(first, first + LABELS), LABELS))
        for i, row in enumerate(labels):
          if (number := row.tobytes()) not in seen:
            seen.add(number)
            ids.append(first + i)
        first += LABELS
        bar.update(min(len(ids), count) - bar.n)
    return ids[:count]

  def _call(self, draw, ids, size):
    import jax
    import numpy as np

    ids = [*ids, *[ids[0]] * (size - len(ids))]  # one shape, one program
    items = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(self._source.feed(0, i, 1) for i in ids))
    return draw(self._constants, items, np.asarray(ids, np.int32))

  def _take(self, batch, count):
    import jax

    images, labels, lengths = jax.device_get((batch.images, batch.labels, batch.label_lengths))
    texts = [self._alphabet.decode(row, length) for row, length in zip(labels, lengths, strict=True)]
    return images[:count], texts[:count]


def write(numbers: DrawnNumbers, ids, out: pathlib.Path) -> None:
  """Writes the images of the ids into the folder, and labels.csv when all of them are there."""
  from tqdm import tqdm

  from digits_jax.data import image_files

  digits = max(6, len(str(len(ids) - 1)))
  rows = []
  save = lambda name, image: image_files.write_png(out / name, image_files.to_uint8(image))
  # Compressing PNGs, zlib releases the GIL.
  with (
    tqdm(total=len(ids), unit=' images', desc=str(out), disable=None) as bar,
    concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
  ):
    for images, texts in numbers.batches(ids):
      names = [f'{len(rows) + i:0{digits}d}.png' for i in range(len(texts))]
      list(pool.map(save, names, images))
      rows += zip(names, texts, strict=True)
      bar.update(len(texts))
  temporary = out / 'labels.csv.tmp'
  with temporary.open('w', newline='') as file:
    csv.writer(file, lineterminator='\n').writerows([('filename', 'label'), *rows])
  os.replace(temporary, out / 'labels.csv')


def checksums(numbers: DrawnNumbers, ids) -> tuple[str, str]:
  """SHA-256, in hexadecimal, of the numbers of the ids, a line each, and of their pixels, uint8, image by image."""
  from digits_jax.data import image_files

  labels, pixels = hashlib.sha256(), hashlib.sha256()
  for images, texts in numbers.batches(ids):
    for image, text in zip(images, texts, strict=True):
      labels.update(f'{text}\n'.encode())
      pixels.update(image_files.to_uint8(image).tobytes())
  return labels.hexdigest(), pixels.hexdigest()


def preview(numbers: DrawnNumbers, ids, path: str, *, title: str) -> None:
  """Draws a sheet of the ids' images, each with its number."""
  from digits_jax import drawing

  drawn = [example for batch in numbers.batches(ids) for example in zip(*batch, strict=True)]
  images, texts = zip(*drawn, strict=True)
  drawing.contact_sheet(path, images, texts, title=title)


if __name__ == '__main__':
  command.run(main)
