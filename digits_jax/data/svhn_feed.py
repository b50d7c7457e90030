"""What a training step is fed of SVHN: photos by (seed, step) alone, decoded anew, or from host or device memory.

The photo at place i of step s is the (s * batch_size + i)-th of an endless sequence: epoch after epoch, all photos in
an order that is drawn from (seed, epoch). Nothing is remembered between steps, so any step can be fed at any time.
"""

import functools
import sys
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax import structs
from digits_jax.alphabet import Alphabet
from digits_jax.data import svhn, svhn_crops
from digits_jax.data.crop import CropSpec
from digits_jax.data.sources import Source
from digits_jax.errors import InputError

KEEPS = ('device', 'host', 'none')


class Numbers:
  """Crops with their labels, by place in a selection: a dict of image, boxes, labels and label_length each."""

  def __init__(
    self,
    selection: svhn.Selection,
    crops: dict[str, Sequence[np.ndarray]],
    *,
    alphabet: Alphabet,
    slots: int,
  ):
    """Raises InputError on a number of more than `slots` digits.

    crops: for each split its records of CropSpec.dtype, by row.
    """
    self._crops, self._selection = crops, selection
    self._labels, self._lengths = alphabet.pack(selection.texts, slots)

  def __len__(self) -> int:
    return len(self._lengths)

  def __getitem__(self, i: int) -> dict[str, np.ndarray]:
    crop = self._crops[self._selection.splits[i]][self._selection.rows[i]]
    return {
      'image': crop['image'],  # uint8[size, size, 3]
      'boxes': crop['boxes'][: self._labels.shape[1]],  # float32[slots, 4]
      'labels': self._labels[i],  # int32[slots]
      'label_length': self._lengths[i],  # int32[]
    }


def load(
  data_dir: str | None,
  selection: svhn.Selection,
  spec: CropSpec,
  *,
  alphabet: Alphabet,
  slots: int,
  is_cached: bool,
  workers: int = 0,
) -> Numbers:
  """The numbers of a selection, of at most `slots` digits, and no more than spec.slots.

  They are decoded at each reading, or cropped once by `workers` processes and kept in a file.
  """
  read = functools.partial(svhn_crops.cached, workers=workers) if is_cached else svhn_crops.Crops
  crops = {split: read(data_dir, split, spec) for split in sorted(set(selection.splits))}
  return Numbers(selection, crops, alphabet=alphabet, slots=slots)


def source(
  numbers: Numbers,
  augment: Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]],
  *,
  batch_size: int,
  seed: int | None,
  keep: str,
  threads: int = 0,
) -> Source:
  """The `Source` of photographed numbers.

  Args:
    numbers: the photos.
    augment: (key, float32[size, size, 3] in [0, 1], boxes float32[N, 4]) -> the same of what is trained on.
    batch_size: the global one.
    seed: of the order; None: the order of `numbers`, for fixed sets.
    keep: 'device' puts all crops there, and a step is fed indices alone; 'host' feeds crops; 'none' decodes each
      step's crops.
    threads: of 'none', that decode, the next step's ahead; 0 decodes in the calling thread. They change no result.

  Raises InputError for another `keep`.
  """
  if keep not in KEEPS:
    raise InputError(f'crops are kept on {", ".join(KEEPS)}, not {keep!r}')
  order, limit = _order(len(numbers), seed), len(numbers) if seed is None else None
  places = lambda step, first, count: order(step * batch_size + first + np.arange(count)).astype(np.int32)

  def example(key, constants, item):
    if keep == 'device':
      item = jax.tree.map(lambda leaf: leaf[item], constants)
    image, boxes = augment(key, item['image'].astype(jnp.float32) / 255, item['boxes'])
    return structs.Batch(image, item['labels'], item['label_length'], boxes, jnp.bool_(True))

  if keep == 'device':
    return Source(_stack(numbers, range(len(numbers))), places, example, limit)
  if keep == 'none' and threads:
    return Source((), _Ahead(numbers, places, threads, is_endless=seed is not None), example, limit)
  return Source((), lambda *batch: _stack(numbers, places(*batch)), example, limit)


def _order(count, seed):
  """indices int[n] of the endless sequence -> places in a data set of `count`."""

  @functools.lru_cache(2)  # a batch may hold the end of an epoch and the start of the next
  def permutation(epoch):
    # Sorted by the raw numbers of a bit generator, which NumPy promises not to change, as it does not of shuffling.
    raw = np.random.Philox(np.random.SeedSequence([seed, epoch])).random_raw(count)
    return np.argsort(raw, kind='stable')

  def order(indices):
    epochs, places = np.divmod(indices, count)
    if seed is None:
      return places
    return np.array([permutation(int(epoch))[place] for epoch, place in zip(epochs, places, strict=True)])

  return order


def _stack(numbers, places):
  items = [numbers[int(place)] for place in places]
  return jax.tree.map(lambda *leaves: np.stack(leaves), *items)


class _Ahead:
  """feed(step, first, count) by grain's threads, which read the same part of the next step meanwhile."""

  def __init__(self, numbers, places, threads, *, is_endless):
    self._numbers, self._places, self._threads, self._is_endless = numbers, places, threads, is_endless
    self._following, self._batches = None, None

  def __call__(self, step, first, count):
    if self._following != (step, first, count):
      self._batches = self._from(step, first, count)
    self._following = (step + 1, first, count) if self._is_endless else None
    return next(self._batches)

  def _from(self, step, first, count):
    """The batches of this step, and where steps follow, of those."""
    import grain

    place = lambda i: int(self._places(step + i // count, first + i % count, 1)[0])
    items = grain.MapDataset.range(sys.maxsize if self._is_endless else count).map(lambda i: self._numbers[place(i)])
    options = grain.ReadOptions(num_threads=min(self._threads, count), prefetch_buffer_size=count)
    return iter(items.to_iter_dataset(options).batch(count))
