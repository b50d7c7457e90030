"""Stored images as they are fed: batches that are a function of (seed, step), however the images are kept."""

import time

import jax
import numpy as np
import pytest

from digits_jax.alphabet import Alphabet
from digits_jax.data import epochs, svhn, svhn_crops
from digits_jax.data.crop import CropSpec
from digits_jax.errors import InputError

SPEC = CropSpec(size=16)
pytestmark = pytest.mark.usefixtures('cache')


def build(data_dir, *, keep, batch_size=8, seed=3, threads=0, part='train'):
  selection = svhn.select(data_dir, ('train', 'extra'), part)
  numbers = svhn_crops.load(data_dir, selection, SPEC, alphabet=Alphabet(), slots=6, is_cached=keep != 'none')
  return selection, epochs.source(
    numbers, lambda key, image, boxes: (image, boxes), batch_size=batch_size, seed=seed, keep=keep, threads=threads
  )


def draw(source, step, first, count):
  keys = jax.random.split(jax.random.key(0), count)
  return jax.vmap(source.example, (0, None, 0))(keys, jax.device_put(source.constants), source.feed(step, first, count))


def assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_batches_are_the_same_however_photos_are_kept(data_dir):
  sources = [
    build(data_dir, keep=keep, threads=threads)[1]
    for keep, threads in (('device', 0), ('host', 0), ('none', 0), ('none', 1), ('none', 3))
  ]
  for step in (0, 1, 2, 7, 20, 3, 4):  # the next one, one far away, one before
    batches = [draw(source, step, 0, 8) for source in sources]
    for batch in batches[1:]:
      assert_equal(batch, batches[0])
    halves = [draw(source, step, first, 4) for source in sources for first in (0, 4)]
    for low, high in zip(halves[::2], halves[1::2], strict=True):
      assert_equal(jax.tree.map(lambda a, b: np.concatenate([a, b]), low, high), batches[0])


@pytest.mark.parametrize('is_endless', [True, False])
def test_threads_read_the_next_step_meanwhile_where_there_is_one(data_dir, is_endless):
  read = []

  class Watched(svhn_crops.LabelledCrops):
    def __getitem__(self, i):
      item = super().__getitem__(i)
      read.append(i)
      return item

  selection = svhn.select(data_dir, ('train',), 'all')
  numbers = Watched(selection, {'train': svhn_crops.Crops(data_dir, 'train', SPEC)}, alphabet=Alphabet(), slots=6)
  seed = 3 if is_endless else None
  source = epochs.source(numbers, lambda *_: _, batch_size=8, seed=seed, keep='none', threads=2)
  for step in (0, 1, 2):
    source.feed(step, 0, 8) if is_endless else source.feed(0, 8 * step, 8)
    wanted = 8 * (step + 1 + is_endless)
    deadline = time.monotonic() + (30 if is_endless else 0.2)
    while len(read) < wanted + (not is_endless) and time.monotonic() < deadline:
      time.sleep(0.01)
    assert len(read) == len(set(read)) == wanted  # each once, those of the next step too


def test_fewer_photos_than_threads_are_no_matter(data_dir, caplog):
  """As sheets feed them, one at a time; grain warns of more threads than it may read ahead."""
  source = build(data_dir, keep='none', threads=4)[1]
  with caplog.at_level('WARNING'):
    source.feed(0, 0, 1)
  assert not caplog.records


@pytest.mark.parametrize('threads', [0, 2])
def test_a_photo_that_cannot_be_read_is_named(data_dir, threads):
  class Damaged(svhn_crops.LabelledCrops):
    def __getitem__(self, i):
      raise InputError(f'photo {i} is damaged')

  selection = svhn.select(data_dir, ('train',), 'all')
  numbers = Damaged(selection, {'train': ()}, alphabet=Alphabet(), slots=6)
  source = epochs.source(numbers, lambda *_: _, batch_size=8, seed=3, keep='none', threads=threads)
  with pytest.raises(InputError, match=r'photo \d+ is damaged'):
    source.feed(0, 0, 8)


def test_a_batch_holds_its_photos(data_dir):
  selection, source = build(data_dir, keep='host', seed=None, part='all')
  batch = draw(source, 0, 5, 4)
  assert batch.images.dtype == np.float32 and batch.images.shape == (4, 16, 16, 3) and batch.mask.all()
  for i in range(4):
    record = svhn_crops.Crops(data_dir, selection.splits[5 + i], SPEC)[selection.rows[5 + i]]
    np.testing.assert_allclose(batch.images[i], record['image'].astype(np.float32) / 255, atol=1e-6)
    np.testing.assert_array_equal(batch.boxes[i], record['boxes'])
    length = int(batch.label_lengths[i])
    assert Alphabet().decode(batch.labels[i], length) == selection.texts[5 + i] and not batch.labels[i][length:].any()
  assert_equal(draw(source, 0, 88, 4), draw(source, 0, -2, 4))  # after the last comes the first


def test_every_epoch_shows_every_photo_once_in_another_order(data_dir):
  orders = {}
  for seed in (3, 4):
    selection, source = build(data_dir, keep='device', seed=seed)
    count = len(selection.rows)
    assert count % 8
    places = np.concatenate([source.feed(step, 0, 8) for step in range(count)])  # 8 epochs
    epochs = places.reshape(8, count)
    np.testing.assert_array_equal(np.sort(epochs, 1), np.tile(np.arange(count), (8, 1)))
    assert len({epoch.tobytes() for epoch in epochs}) == 8
    orders[seed] = epochs
  assert (orders[3] != orders[4]).any(1).all()


def test_an_unknown_place_to_keep_crops(data_dir):
  with pytest.raises(InputError, match="kept on device, host, none, not 'gpu'"):
    build(data_dir, keep='gpu')
