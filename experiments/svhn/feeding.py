"""How fast photos are fed: python experiments/svhn/feeding.py DATA_DIR

Photos a second of a prepared SVHN: decoded and cropped by one thread, fed from the file of crops (batches of 64, by one
thread), augmented as configs/svhn.py does (batches of 64, on the device). Medians of five.
"""

import functools
import statistics
import time

from digits_jax import command
from digits_jax.errors import InputError


def main(arguments):
  """Prints three lines. Raises InputError where there is no prepared SVHN."""
  if len(arguments) != 1:
    raise InputError('which folder of data sets? Give what `prepare svhn --data_dir` was given')

  import jax
  import numpy as np

  from digits_jax.alphabet import Alphabet
  from digits_jax.data import epochs, sources, svhn, svhn_crops
  from digits_jax.data.crop import CropSpec
  from digits_jax.synth.augment import AugmentSpec, augment

  spec, alphabet = CropSpec(), Alphabet()
  selection = svhn.select(arguments[0], ('train',), 'all')
  crops = svhn_crops.Crops(arguments[0], 'train', spec)
  some = np.random.default_rng(0).permutation(len(crops))[:192]
  report('decoded and cropped, one thread', len(some), lambda: [crops[int(i)] for i in some])
  numbers = svhn_crops.load(arguments[0], selection, spec, alphabet=alphabet, slots=6, is_cached=True)
  jitter = AugmentSpec(spread=1.0, brightness=0.5, contrast=0.5, saturation=0.5, hue=0.5)
  source = epochs.source(numbers, functools.partial(augment, spec=jitter), batch_size=64, seed=0, keep='host')
  report('fed from the file of crops', 64 * 50, lambda: [source.feed(step, 0, 64) for step in range(50)])
  draw = jax.jit(functools.partial(sources.draw_batch, source, jax.random.key(0), ()))
  items, places = source.feed(0, 0, 64), np.arange(64)
  report('augmented', 64 * 20, lambda: jax.block_until_ready([draw(step, items, places).images for step in range(20)]))


def report(name, count, call):
  """Prints photos a second, a first call apart."""
  call()
  seconds = []
  for _ in range(5):
    began = time.perf_counter()
    call()
    seconds.append(time.perf_counter() - began)
  rates = sorted(count / one for one in seconds)
  print(f'{name}: {statistics.median(rates):,.0f} photos/s ({rates[0]:,.0f} to {rates[-1]:,.0f})')


if __name__ == '__main__':
  command.run(main)
