"""How many photos a run of configs/svhn.py reads of those it was trained on: python experiments/svhn/trained_on.py RUN

The centre of each crop, as the test sees photos; the run's own config says which photos those are.
"""

import functools

from digits_jax import command
from digits_jax.errors import InputError


def main(arguments):
  """Prints the figure. Raises InputError where the argument is no run of such a config."""
  if len(arguments) != 1:
    raise InputError('which run? Give its directory')

  from digits_jax import metrics
  from digits_jax.data import epochs, sources, svhn, svhn_crops
  from digits_jax.data.crop import CropSpec
  from digits_jax.reading import evaluation, trained
  from digits_jax.synth.augment import AugmentSpec, augment
  from digits_jax.training import scoring

  opened = trained.load(arguments[0])
  config = opened.config
  data, photos, size = config.data, config.photos, config.augment.size
  if data.source != 'svhn':
    raise InputError(f'{arguments[0]} was trained on {data.source} numbers, not on photos')
  selection = svhn.select(
    data.data_dir or None, tuple(data.svhn_splits), 'train', validation_frac=data.held_out[0], seed=data.split_seed,
    max_digits=photos.max_digits,
  )  # fmt: skip
  spec = CropSpec(photos.crop_px, photos.margin, photos.is_square)
  numbers = svhn_crops.load(
    data.data_dir or None, selection, spec, alphabet=opened.alphabet, slots=photos.max_digits, is_cached=True
  )
  window = (size / photos.crop_px,) * 2
  middle = functools.partial(augment, spec=AugmentSpec(size=size, window=window))
  source = epochs.source(numbers, middle, batch_size=1, seed=None, keep='host')
  records = evaluation.score(opened, sources.FixedSet('trained on', source, 0, len(numbers)))
  print(metrics.describe(scoring.summarise(records), opened.temperature))


if __name__ == '__main__':
  command.run(main)
