"""House numbers: SVHN's photos, cropped as config.photos and for training augmented as config.augment says.

Training and validation are parts of the splits config.data.svhn_splits; the test is SVHN's own.
"""

import dataclasses
import functools

from ml_collections import ConfigDict

from digits_jax.alphabet import Alphabet
from digits_jax.data import epochs, svhn, svhn_crops
from digits_jax.data.canvas import CanvasSpec
from digits_jax.data.crop import CropSpec
from digits_jax.data.sources import FixedSet, Source
from digits_jax.errors import InputError
from digits_jax.synth.augment import AugmentSpec, augment
from digits_jax.training.feeds import common

GROUPS = ('photos', 'augment')


def canvas(config: ConfigDict) -> CanvasSpec:
  """The window that is read, in colour; a photo that is given to a reader shows the number as that window does."""
  size = config.augment.size
  return CanvasSpec(size, size, 0, (0.0, size), fit='edges' if config.photos.is_square else 'stretch')


def slots(config: ConfigDict) -> int:
  """Digits of the longest number that is trained on."""
  return config.photos.max_digits


def train(config: ConfigDict, alphabet: Alphabet) -> Source:
  """Epoch after epoch of the photos for training, each time augmented anew."""
  spec, selection = AugmentSpec(**config.augment), _select(config, 'train')
  source = _source(config, alphabet, selection, spec, keep=config.photos.keep, seed=config.seed)
  return dataclasses.replace(source, report=_report(config, selection))


def validation(config: ConfigDict, alphabet: Alphabet) -> FixedSet:
  """A share of the splits, the same whichever splits stand beside them; at most config.validation.examples."""
  return _fixed(config, alphabet, 'validation', 'validation', config.validation)


def tests(config: ConfigDict, alphabet: Alphabet) -> dict[str, FixedSet]:
  """SVHN's test split, or the first config.tests.test.examples of it by their hashes."""
  test = common.only_test(config)
  return {'test': _fixed(config, alphabet, test.name, 'all', test)}


def _fixed(config, alphabet, name, part, fields):
  """The centres of crops, fed from the host: they are few."""
  share = config.augment.size / config.photos.crop_px
  if share > 1:
    raise InputError(
      f'config.augment.size={config.augment.size} is more than the config.photos.crop_px={config.photos.crop_px} '
      'that it is cut from'
    )
  spec = AugmentSpec(size=config.augment.size, window=(share, share))
  keep = 'host' if config.photos.keep == 'device' else config.photos.keep
  selection = _select(config, part)
  source = _source(config, alphabet, selection, spec, keep=keep, seed=None)
  examples = min(fields.examples, source.limit)
  return FixedSet(name, source, fields.seed, examples, selection.files[:examples])


def _select(config, part):
  data, is_test = config.data, part == 'all'
  data_dir, splits = data.data_dir or None, tuple(data.svhn_splits)
  if 'test' in splits:
    raise InputError(f'config.data.svhn_splits={splits}: the test split is for the test alone')
  if not data.held_out or not 0 < data.held_out[0] < 1:
    raise InputError(f'config.data.held_out: {tuple(data.held_out)} needs a first share, for validation, in (0, 1)')
  svhn.check(data_dir, *splits, 'test')  # all that a run needs, before any of it is cropped
  return svhn.select(
    data_dir,
    ('test',) if is_test else splits,
    part,
    validation_frac=data.held_out[0],
    seed=data.split_seed,
    max_digits=0 if is_test else config.photos.max_digits,  # of the test no length is left out
  )


def _report(config, selection):
  """What was prepared of each split, and what is trained on."""
  records = svhn.check(config.data.data_dir or None, *config.data.svhn_splits, 'test')
  lines = [f'{split}: {svhn.summary(record)}' for split, record in records.items()]
  lines.append(f'trained on: {len(selection.texts):,} photos')
  if selection.too_long:
    lines[-1] += f'; {selection.too_long:,} of more than {config.photos.max_digits} digits left out'
  lines.append(f'checksum of photos, boxes and numbers: {" ".join(record["digest"] for record in records.values())}')
  return ''.join(f'{line}\n' for line in lines)


def _source(config, alphabet, selection, spec, *, keep, seed):
  data_dir, photos = config.data.data_dir or None, config.photos
  longest = max(photos.max_digits, *map(len, selection.texts))
  records = svhn.check(data_dir, *sorted(set(selection.splits)))  # all photos are cropped, those left out too
  room = max(6, longest, *(int(length) for record in records.values() for length in record['by_length']))
  numbers = svhn_crops.load(
    data_dir,
    selection,
    CropSpec(photos.crop_px, photos.margin, photos.is_square, slots=room),
    alphabet=alphabet,
    slots=longest,
    is_cached=keep != 'none',
    workers=photos.workers,
  )
  return epochs.source(
    numbers,
    functools.partial(augment, spec=spec),
    batch_size=config.batch_size,
    seed=seed,
    keep=keep,
    threads=photos.workers,
  )
