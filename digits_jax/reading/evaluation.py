"""A trained run on any test set: its own, another config's, or labelled images, scored as at the end of training."""

import concurrent.futures
import csv
import dataclasses
import io
import os
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from digits_jax import structs
from digits_jax.alphabet import Alphabet
from digits_jax.data import canvas, image_files, labelled_files, sources
from digits_jax.data.sources import Source
from digits_jax.errors import InputError
from digits_jax.reading.trained import Run
from digits_jax.training import checks, feeds, scoring

COLUMNS = ('image', 'label', 'text', 'confidence')  # of `as_csv`


def score(run: Run, fixed: sources.FixedSet) -> dict[str, np.ndarray]:
  """The records of a set, with the run's parameters, temperature, decoder and evaluation batch."""
  scorer = scoring.make_scorer(run.task, fixed, batch_size=run.config.evaluation.batch_size)
  return scorer(run.params, run.temperature)


def as_csv(run: Run, fixed: sources.FixedSet, records: dict[str, np.ndarray]) -> str:
  """What was read of each image of a set, in the set's order, with a line of COLUMNS first.

  An image is its file, or where it was drawn its number from 0 on.
  """
  decode = lambda labels, lengths: map(run.alphabet.decode, records[labels], records[lengths])
  images = fixed.files or range(fixed.examples)
  numbers, read = decode('labels', 'label_length'), decode('predicted', 'predicted_length')
  confidences = (f'{confidence:.6f}' for confidence in records['confidence'])
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(COLUMNS)
  writer.writerows(zip(images, numbers, read, confidences, strict=True))
  return text.getvalue()


def config_sets(run: Run, config: ConfigDict, *, split: str = 'test') -> dict[str, sources.FixedSet]:
  """The test sets of a config, the run's own or another, as this run can read them; or its validation set.

  Images of the run's own config are left as they are, whatever their width, as when training ended; others are placed
  on its canvas as the reader does. Labels become classes of the run's alphabet. Raises InputError where the sets hold
  symbols that the run does not know, and as `checks.check` on another config.
  """
  if config is run.config and run.left_out:
    raise InputError(
      f'this reader does not say where its images lie ({", ".join(run.left_out)}): give --config=FILE '
      'or --labels=FILE.csv'
    )
  if config is not run.config:
    checks.check(config)
  alphabet = Alphabet(config.alphabet)
  if unknown := sorted(set(alphabet.symbols) - set(run.alphabet.symbols)):
    raise InputError(
      f'the test sets of {config.name} are written in {alphabet.symbols!r}, and this run does not know '
      f'{", ".join(map(repr, unknown))}: its alphabet is {run.alphabet.symbols!r}'
    )
  kind = feeds.of(config)
  sets = {split: kind.validation(config, alphabet)} if split == 'validation' else kind.tests(config, alphabet)
  for name, fixed in sets.items():
    source = fixed.source if alphabet == run.alphabet else _relabelled(fixed.source, alphabet, run.alphabet)
    if config is not run.config:
      source = _placed(source, fixed.seed, run.canvas)
    sets[name] = dataclasses.replace(fixed, source=source)
  return sets


def labelled_set(run: Run, path: str) -> sources.FixedSet:
  """The labelled images at path, placed on the run's canvas as the reader does; loaded batch by batch.

  path: a CSV file, all of whose rows are taken, or a folder as `labelled_files.find` has it; of one with given splits
    the images for the test.

  Raises InputError as `labelled_files` does, and on given splits without a test. Images are read by `score`, which
  raises it on one that cannot be read.
  """
  paths, texts = _labelled(path, run.alphabet)
  examples = len(paths)
  labels, lengths = run.alphabet.pack(texts, max(map(len, texts)))

  def load(first, count):
    batch = structs.Batch(
      images=np.zeros((count, *run.canvas.shape), np.float32),
      labels=np.zeros((count, labels.shape[1]), np.int32),
      label_lengths=np.zeros(count, np.int32),
      boxes=np.zeros((count, labels.shape[1], 4), np.float32),
      mask=np.arange(first, first + count) < examples,
    )
    with concurrent.futures.ThreadPoolExecutor(image_files.THREADS) as pool:
      found = pool.map(lambda path: canvas.load(path, run.canvas)[0], paths[first : first + count])
      for i, image in enumerate(found):
        batch.images[i] = image
        batch.labels[i], batch.label_lengths[i] = labels[first + i], lengths[first + i]
    return batch

  return sources.FixedSet(str(path), _fed(load), seed=0, examples=examples, files=tuple(map(str, paths)))


def has_training_images(run: Run, path: str) -> bool:
  """Whether `labelled_set` takes images of the run's own that are for training; all may be where a hash splits them."""
  if run.config.data.source != 'folder':
    return False
  try:
    own = labelled_files.find(run.config.data.folder, run.alphabet)
  except InputError:  # it is not there any more
    return False
  splits = own.splits or ['train'] * len(own.paths)
  trained_on = {os.path.realpath(one) for one, split in zip(own.paths, splits, strict=True) if split == 'train'}
  return any(os.path.realpath(one) in trained_on for one in _labelled(path, run.alphabet)[0])


def _labelled(path, alphabet):
  """(paths, texts) of the images that are scored."""
  if not os.path.isdir(os.path.expanduser(path)):
    files = labelled_files.read_labels(path, alphabet)
    return files.paths, files.texts
  files = labelled_files.find(path, alphabet)
  if not files.splits:
    return files.paths, files.texts
  chosen = [i for i, split in enumerate(files.splits) if split == 'test']
  if not chosen:
    raise InputError(f'{path} has the splits {", ".join(sorted(set(files.splits)))}, and no image for the test')
  return [files.paths[i] for i in chosen], [files.texts[i] for i in chosen]


def _relabelled(source: Source, theirs: Alphabet, ours: Alphabet) -> Source:
  """The source with labels in another alphabet that has all of its symbols."""
  classes = np.array([0, *ours.encode(theirs.symbols)], np.int32)  # [K of theirs]

  def example(key: jax.Array, constants: Any, item: Any) -> structs.Batch:
    drawn = source.example(key, constants, item)
    return drawn.replace(labels=jax.numpy.asarray(classes)[drawn.labels])

  return Source(source.constants, source.feed, example)


def _placed(source: Source, seed: int, spec: canvas.CanvasSpec) -> Source:
  """The fixed set of a source and seed with its images placed on a canvas, on the host."""
  draw = sources.make_drawer(source, jax.random.key(seed))

  def place(first, count):
    batch = jax.device_get(draw(np.arange(first, first + count)))
    return batch.replace(images=np.stack([canvas.load(image, spec)[0] for image in batch.images]))

  return _fed(place)


def _fed(batch_of) -> Source:
  """The source whose examples first ... first + count - 1 are batch_of(first, count), made on the host."""
  return Source(
    constants=(),
    feed=lambda step, first, count: batch_of(first, count),
    example=lambda key, constants, item: item,
  )
