"""Drawn numbers by id, as `synthesise` shows them: written as a folder of images, or summed up by checksums."""

import concurrent.futures
import csv
import hashlib
import os
import pathlib
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from tqdm import tqdm

from digits_jax.alphabet import Alphabet
from digits_jax.data import image_files, labelled_files, sources
from digits_jax.errors import InputError

BATCH = 256  # images drawn together
LABELS = 4096  # labels drawn together in search of new numbers


class Numbers:
  """The endless numbers of one source and key, by id: id i is example i of step 0."""

  def __init__(self, source: sources.Source, alphabet: Alphabet, key: jax.Array):
    self._source, self._alphabet, self._key = source, alphabet, key
    self._draw = sources.make_drawer(source, key)

  def batches(self, ids: Sequence[int]) -> Iterator[tuple]:
    """(images float32[b, H, W, C] in [0, 1], texts) of the ids in order, b at most BATCH.

    The next batch is on its way to the devices before one is handed out.
    """
    waiting = None
    for first in range(0, len(ids), BATCH):
      some = list(ids[first : first + BATCH])
      begun = self._draw(some + some[:1] * (BATCH - len(some))), len(some)  # one shape, one program
      if waiting:
        yield self._take(*waiting)
      waiting = begun
    yield self._take(*waiting)

  def distinct(self, count: int) -> list[int]:
    """The first `count` ids whose number no id before them has. Raises InputError where no more turn up."""
    draw_labels = sources.make_drawer(self._source, self._key, lambda batch: batch.labels)
    seen, ids, first = set(), [], 0
    with tqdm(total=count, desc='finding distinct numbers', unit=' numbers', leave=False, disable=None) as bar:
      while len(ids) < count:
        # So long without a new one: a number as rare as the rarest that was found would have turned up.
        if first > (ids[-1] if ids else 0) + 100_000 + 100 * len(ids) or first > 2**31 - 1 - LABELS:
          raise InputError(
            f'--distinct: {first:,} draws show {len(ids):,} different numbers, and --count={count:,} asks for more'
          )
        labels = np.asarray(draw_labels(range(first, first + LABELS)))
        for i, row in enumerate(labels):
          if (number := row.tobytes()) not in seen:
            seen.add(number)
            ids.append(first + i)
        first += LABELS
        bar.update(min(len(ids), count) - bar.n)
    return ids[:count]

  def _take(self, batch, count):
    images, labels, lengths = jax.device_get((batch.images, batch.labels, batch.label_lengths))
    texts = [self._alphabet.decode(row, length) for row, length in zip(labels, lengths, strict=True)]
    return images[:count], texts[:count]


def write(numbers: Numbers, ids: Sequence[int], out: pathlib.Path) -> None:
  """Writes the images of the ids into the folder, and labels.csv when all of them are there."""
  temporary = out / labelled_files.UNFINISHED
  temporary.touch()
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
  with temporary.open('w', newline='') as file:
    csv.writer(file, lineterminator='\n').writerows([('filename', 'label'), *rows])
  os.replace(temporary, out / 'labels.csv')


def checksums(numbers: Numbers, ids: Sequence[int]) -> tuple[str, str]:
  """SHA-256, in hexadecimal, of the numbers of the ids, a line each, and of their pixels, uint8, image by image."""
  labels, pixels = hashlib.sha256(), hashlib.sha256()
  for images, texts in numbers.batches(ids):
    for image, text in zip(images, texts, strict=True):
      labels.update(f'{text}\n'.encode())
      pixels.update(image_files.to_uint8(image).tobytes())
  return labels.hexdigest(), pixels.hexdigest()
