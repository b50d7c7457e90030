"""Stored images, as opposed to drawn ones, as a `Source`: read anew for each step, or kept in host or device memory.

The image that is example i of step s is the (s * batch_size + i)-th of an endless sequence: epoch after epoch, all
images in an order that is drawn from (seed, epoch). Nothing is remembered between steps, so any step can be fed at any
time.
"""

import functools
import sys
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax import structs
from digits_jax.data.sources import Source
from digits_jax.errors import InputError

KEEPS = ('device', 'host', 'none')


def source(
  examples: Sequence[dict[str, np.ndarray]],
  augment: Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]],
  *,
  batch_size: int,
  seed: int | None,
  keep: str,
  threads: int = 0,
) -> Source:
  """The `Source` of stored images.

  Args:
    examples: what there is, by index: `image` uint8[H, W, C], `boxes` float32[N, 4], `labels` int32[N] and
      `label_length` int32[] each.
    augment: (key, float32[H, W, C] in [0, 1], boxes float32[N, 4]) -> the same of what is trained on.
    batch_size: the global one.
    seed: of the order; None: the order of `examples`, for fixed sets.
    keep: 'device' puts all images there, and a step is fed indices alone; 'host' feeds images; 'none' reads each
      step's anew.
    threads: of 'none', that read, the next step's ahead; 0 reads in the calling thread. They change no result.

  Raises InputError for another `keep`.
  """
  if keep not in KEEPS:
    raise InputError(f'images are kept on {", ".join(KEEPS)}, not {keep!r}')
  order, limit = _order(len(examples), seed), len(examples) if seed is None else None
  choose = lambda step, first, count: order(step * batch_size + first + np.arange(count)).astype(np.int32)

  def example(key, constants, item):
    if keep == 'device':
      item = jax.tree.map(lambda leaf: leaf[item], constants)
    image, boxes = augment(key, item['image'].astype(jnp.float32) / 255, item['boxes'])
    return structs.Batch(image, item['labels'], item['label_length'], boxes, jnp.bool_(True))

  if keep == 'device':
    return Source(_stack(examples, range(len(examples))), choose, example, limit)
  if keep == 'none' and threads:
    return Source((), _Ahead(examples, choose, threads, is_endless=seed is not None), example, limit)
  return Source((), lambda *batch: _stack(examples, choose(*batch)), example, limit)


def _order(count, seed):
  """indices int[n] of the endless sequence -> indices int[n] below `count`."""

  @functools.lru_cache(2)  # a batch may hold the end of an epoch and the start of the next
  def permutation(epoch):
    # Sorted by the raw numbers of a bit generator, which NumPy promises not to change, as it does not of shuffling.
    raw = np.random.Philox(np.random.SeedSequence([seed, epoch])).random_raw(count)
    return np.argsort(raw, kind='stable')

  def order(indices):
    epochs, rest = np.divmod(indices, count)
    if seed is None:
      return rest
    return np.array([permutation(int(epoch))[i] for epoch, i in zip(epochs, rest, strict=True)])

  return order


def _stack(examples, chosen):
  items = [examples[int(i)] for i in chosen]
  return jax.tree.map(lambda *leaves: np.stack(leaves), *items)


class _Ahead:
  """feed(step, first, count) by grain's threads, which read the same part of the next step meanwhile."""

  def __init__(self, examples, choose, threads, *, is_endless):
    self._examples, self._choose, self._threads, self._is_endless = examples, choose, threads, is_endless
    self._following, self._batches = None, None

  def __call__(self, step, first, count):
    if self._following != (step, first, count):
      self._batches = self._from(step, first, count)
    self._following = (step + 1, first, count) if self._is_endless else None
    return next(self._batches)

  def _from(self, step, first, count):
    """The batches of this step, and where steps follow, of those."""
    import grain

    chosen = lambda i: int(self._choose(step + i // count, first + i % count, 1)[0])
    items = grain.MapDataset.range(sys.maxsize if self._is_endless else count).map(lambda i: self._examples[chosen(i)])
    options = grain.ReadOptions(num_threads=min(self._threads, count), prefetch_buffer_size=count)
    return iter(items.to_iter_dataset(options).batch(count))
