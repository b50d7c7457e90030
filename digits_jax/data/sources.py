"""`Source`, what feeds a step and how one fed item becomes one example; fixed sets; the sources that are drawn.

A batch is a pure function of (seed, step): example i of step s is drawn from fold_in(fold_in(key, s), i), i its index
in the global batch.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax import structs
from digits_jax.errors import InputError
from digits_jax.synth import scene, sequence


@dataclasses.dataclass(frozen=True)
class Source:
  """Where examples come from.

  constants: a pytree of arrays that every device holds and every example may read.
  feed: (step, first, count) -> a pytree with leading axis `count`: the items first ... first + count - 1 of
    the step's global batch, on the host.
  example: (key, constants, fed item) -> Batch without its leading axis; pure, on the device.
  limit: how many different examples a step can have; None where they are endless.
  report: what was found where data was read, in lines; '' where there is nothing to say. Lines that begin with
    `checksum` say which data it is: `rundir.check_data` compares them, and refuses runs where their words change.
  """

  constants: Any
  feed: Callable[[int, int, int], Any]
  example: Callable[[jax.Array, Any, Any], structs.Batch]
  limit: int | None = None
  report: str = ''


# No step has these numbers. The first two are folded into a seed's key, the last into training's own.
_INITIAL, _TRAINING, _MODEL = 2**31 - 1, 2**31 - 2, 2**31 - 1


def initial_key(seed: int) -> jax.Array:
  """What the first parameters are drawn from."""
  return jax.random.fold_in(jax.random.key(seed), _INITIAL)


def training_key(seed: int) -> jax.Array:
  """What training draws all its steps from. Fixed sets draw step 0 of jax.random.key of their seeds: no example of
  theirs is one of training's, whatever the seeds."""
  return jax.random.fold_in(jax.random.key(seed), _TRAINING)


def draw_batch(source: Source, key: jax.Array, constants, step, items, indices: jax.Array) -> structs.Batch:
  """The examples of one step at indices int32[b] of its global batch, made from the fed items [b, ...]."""
  return jax.vmap(source.example, in_axes=(0, None, 0))(example_keys(key, step, indices), constants, items)


def example_keys(key: jax.Array, step, indices: jax.Array) -> jax.Array:
  """key[b], one for each index of the step's global batch."""
  key = jax.random.fold_in(key, step)
  return jax.vmap(lambda index: jax.random.fold_in(key, index))(indices)


def model_keys(key: jax.Array, step, indices: jax.Array) -> jax.Array:
  """The same for what the model draws of each example (dropout), independent of what the example is drawn from."""
  return example_keys(jax.random.fold_in(key, _MODEL), step, indices)


def example_shapes(source: Source) -> structs.Batch:
  """The shapes of a batch of one example; nothing is compiled to learn them."""
  draw = lambda constants, items: draw_batch(source, jax.random.key(0), constants, 0, items, np.zeros(1, np.int32))
  return jax.eval_shape(draw, source.constants, source.feed(0, 0, 1))


@dataclasses.dataclass(frozen=True)
class FixedSet:
  """A set that anyone can make again: example i is drawn from fold_in(fold_in(key(seed), 0), i)."""

  name: str
  source: Source
  seed: int
  examples: int
  files: tuple[str, ...] = ()  # that the examples are from, in their order; () where they are drawn


def draw_examples(fixed: FixedSet, indices: np.ndarray) -> structs.Batch:
  """The examples at `indices` int[n] of the set, as NumPy arrays: the very ones that were scored."""
  return jax.device_get(make_drawer(fixed.source, jax.random.key(fixed.seed))(indices))


def make_drawer(source: Source, key: jax.Array, part: Callable[[structs.Batch], Any] = lambda batch: batch) -> Callable:
  """Returns draw(ids int[n]) -> part of the Batch of step 0's examples with these indices, on a device of this process.

  part: what is wanted of a batch; the rest is not computed.
  """
  constants = jax.device_put(source.constants, jax.local_devices()[0])
  draw_part = jax.jit(lambda key, constants, items, ids: part(draw_batch(source, key, constants, 0, items, ids)))

  def draw(ids):
    ids = np.asarray(ids, np.int32)
    if np.all(np.diff(ids) == 1):
      items = source.feed(0, int(ids[0]), len(ids))
    else:
      items = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(source.feed(0, int(i), 1) for i in ids))
    return draw_part(key, constants, items, ids)

  return draw


def synthetic(bank: structs.GlyphBank, spec: sequence.SequenceSpec) -> Source:
  """Endless numbers drawn on the device; the items fed are ids alone. Raises InputError if they cannot fit."""
  draw = functools.partial(sequence.example, spec=spec, patch=sequence.plan(bank, spec))
  return Source(
    constants=bank,
    feed=lambda step, first, count: np.arange(first, first + count, dtype=np.int32),
    example=lambda key, bank, item: draw(key, bank),
  )


def report(bank: structs.GlyphBank | structs.FieldBank, split: str, path: str) -> str:
  """What a split's bank of the user's own glyphs holds, for `Source.report`; path: where they were read from."""
  counts = bank.counts if isinstance(bank, structs.GlyphBank) else np.ones(bank.fields.shape[:2], np.int32)  # [R, A]
  styles, symbols = counts.shape
  digest = hashlib.blake2b(digest_size=8)
  for leaf in jax.tree.leaves(bank):
    digest.update(np.ascontiguousarray(leaf))
  return (
    f'{split}: {counts.sum():,} glyphs of {symbols} symbols in {styles:,} style{"s" * (styles != 1)}: {path}\n'
    f'checksum of the glyphs of {split}: {digest.hexdigest()}\n'
  )


def scenes(bank: structs.FieldBank, spec: scene.SceneSpec) -> Source:
  """Endless house numbers drawn on the device; the items fed are ids alone."""
  return Source(
    constants=bank,
    feed=lambda step, first, count: np.arange(first, first + count, dtype=np.int32),
    example=lambda key, bank, item: scene.example(key, bank, spec=spec),
  )


def each_glyph(bank: structs.GlyphBank, *, height: int, width: int, examples: int) -> Source:
  """The glyphs of a bank as they are, in the middle of a canvas: a test set of single symbols without any chance in it.

  Item i is the glyph i G / examples: each once where there are as many examples as glyphs, evenly spread over the bank
  (which is sorted) where there are fewer. Items from `examples` on begin again. Raises InputError on more examples than
  glyphs, and on glyph images that do not fit the canvas.
  """
  count, h, w = bank.images.shape
  if examples > count:
    raise InputError(f'there are {count} glyphs, and each is shown once: {examples} examples are too many')
  if h > height or w > width:
    raise InputError(f'glyph images of {h}x{w} pixels do not fit the canvas of {height}x{width}')
  top, left = (height - h) // 2, (width - w) // 2
  chosen = np.arange(examples) * count // examples

  def example(key, bank, glyph):
    del key
    image = jnp.pad(bank.images[glyph], ((top, height - h - top), (left, width - w - left))) / jnp.float32(255)
    box = bank.boxes[glyph] + jnp.array([left, top, left, top], jnp.float32)
    return structs.Batch(image[:, :, None], bank.labels[glyph][None], jnp.int32(1), box[None], jnp.bool_(True))

  return Source(
    constants=bank,
    feed=lambda step, first, count: chosen[np.arange(first, first + count) % examples].astype(np.int32),
    example=example,
    limit=examples,
  )
