"""Your own labelled images: those of config.data.folder on the canvas of config.synth.layout, as a reader places them.

Training moves and exposes them anew each time, by the ranges of whole numbers in config.synth.warp and those of
config.synth.clutter and config.synth.photo; validation and the test are as the files are. Images lie in host memory,
some three bytes a pixel.
"""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from digits_jax.alphabet import Alphabet
from digits_jax.conventions import SPLITS
from digits_jax.data import epochs, own_images
from digits_jax.data.canvas import CanvasSpec
from digits_jax.data.sources import FixedSet, Source
from digits_jax.errors import InputError
from digits_jax.synth import clutter, jitter, photo, warp
from digits_jax.training.feeds import common

_FEW = 1000  # images for training, of which a run from scratch learns little
GROUPS = ('synth.number', 'synth.layout', 'synth.warp', 'synth.clutter', 'synth.photo')


def canvas(config: ConfigDict) -> CanvasSpec:
  """Images are brought to bright ink on dark paper where training inverts none, else left as they are."""
  layout = config.synth.layout
  fracs = tuple(config.data.ink_frac)
  if len(fracs) != 2 or not 0 < fracs[0] <= fracs[1] <= 1:
    raise InputError(f'config.data.ink_frac: {fracs} is not (low, high) in (0, 1] with low <= high')
  low, high = fracs
  ink = 0 if config.synth.photo.inversion else 1
  return CanvasSpec(layout.height, layout.width, ink, (low * layout.height, high * layout.height))


def slots(config: ConfigDict) -> int:
  """Symbols of the longest number that is read."""
  return config.synth.number.max_length


def train(config: ConfigDict, alphabet: Alphabet) -> Source:
  """Epoch after epoch of the images for training, each time changed anew."""
  spec, camera = warp.WarpSpec(**config.synth.warp), photo.PhotoSpec(**config.synth.photo)
  blobs = clutter.ClutterSpec(**config.synth.clutter)
  jitter.check(spec, camera)
  change = lambda key, image: jitter.jitter(key, image, spec, blobs, camera)
  return _source(config, _load(config, alphabet), alphabet, 'train', change, seed=config.seed)


def validation(config: ConfigDict, alphabet: Alphabet) -> FixedSet:
  """At most config.validation.examples of the images for validation."""
  return _fixed(config, alphabet, 'validation', 'validation', config.validation)


def tests(config: ConfigDict, alphabet: Alphabet) -> dict[str, FixedSet]:
  """At most config.tests.test.examples of the images for the test."""
  test = common.only_test(config)
  return {'test': _fixed(config, alphabet, 'test', test.name, test)}


def _fixed(config, alphabet, split, name, fields):
  found = _load(config, alphabet)
  source = _source(config, found, alphabet, split, lambda key, image: image, seed=None)
  examples = min(fields.examples, source.limit)
  return FixedSet(name, source, fields.seed, examples, found.select(split)[2][:examples])


def _load(config, alphabet):
  return own_images.load(
    config.data.folder,
    canvas(config),
    alphabet=alphabet,
    seed=config.data.split_seed,
    held_out=tuple(config.data.held_out),
    skips_unreadable=config.data.skip_unreadable,
  )


def _source(config, found, alphabet, split, change, *, seed):
  longest = max(found.texts, key=len)
  if len(longest) > slots(config):
    raise InputError(
      f'{config.data.folder} holds the number {longest}, of {len(longest)} symbols: raise '
      f'config.synth.number.max_length from {slots(config)} to {len(longest)}'
    )
  images = _Images(*found.select(split)[:2], alphabet, slots(config))
  source = epochs.source(
    images,
    lambda key, image, boxes: (change(key, image[:, :, 0])[:, :, None], boxes),
    batch_size=config.batch_size,
    seed=seed,
    keep='host',
  )
  report = own_images.report(found, config.data.folder)
  if not config.init_from and (found.splits == SPLITS.index('train')).sum() < _FEW:
    report += 'so few images read better where training begins with a run: config.init_from (command: configs/own.py)\n'
  return dataclasses.replace(source, report=report)


class _Images:
  """Images with their labels, by place: what `epochs.source` feeds."""

  def __init__(self, images, texts, alphabet, slots):
    self._images, (self._labels, self._lengths) = images, alphabet.pack(texts, slots)
    self._boxes = np.zeros((slots, 4), np.float32)  # nobody said where the digits are

  def __len__(self):
    return len(self._lengths)

  def __getitem__(self, i):
    item = {'image': self._images[i][:, :, None], 'boxes': self._boxes}
    return item | {'labels': self._labels[i], 'label_length': self._lengths[i]}
