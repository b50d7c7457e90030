"""Sources of examples: each glyph of a bank once, as it is."""

import jax
import numpy as np
import pytest

from digits_jax.alphabet import Alphabet
from digits_jax.data import glyphs, sources
from digits_jax.errors import InputError

RNG = np.random.default_rng(0)
COUNT = 30


@pytest.fixture(scope='module')
def bank():
  images = RNG.integers(128, 256, (COUNT, 6, 4)).astype(np.uint8)
  labels = np.arange(COUNT) % 10 + 1
  return glyphs.assemble(images, labels, np.zeros(COUNT, np.int32), alphabet=Alphabet())


def draw(source, first, count):
  keys = jax.random.split(jax.random.key(0), count)
  constants = jax.device_put(source.constants)
  return jax.vmap(source.example, in_axes=(0, None, 0))(keys, constants, source.feed(0, first, count))


@pytest.mark.parametrize('height, width, top, left', [(9, 8, 1, 2), (6, 4, 0, 0)])
def test_each_glyph_once_as_it_is(bank, height, width, top, left):
  source = sources.each_glyph(bank, height=height, width=width, examples=COUNT)
  batch = draw(source, 0, COUNT)
  expected = np.zeros((COUNT, height, width, 1), np.float32)
  expected[:, top : top + 6, left : left + 4, 0] = bank.images
  np.testing.assert_array_equal(np.rint(batch.images * 255), expected)
  np.testing.assert_allclose(batch.images * 255, expected, rtol=1e-6)
  np.testing.assert_array_equal(batch.labels[:, 0], bank.labels)
  np.testing.assert_array_equal(batch.boxes[:, 0], bank.boxes + [left, top, left, top])
  assert np.asarray(batch.mask).all() and (np.asarray(batch.label_lengths) == 1).all()
  np.testing.assert_array_equal(draw(source, 7, 5).images, batch.images[7:12])  # whatever the batch


def test_fewer_examples_are_spread_over_the_bank(bank):
  source = sources.each_glyph(bank, height=6, width=4, examples=10)
  assert np.asarray(draw(source, 0, 10).labels)[:, 0].tolist() == [*range(1, 11)]
  np.testing.assert_array_equal(draw(source, 10, 10).images, draw(source, 0, 10).images)  # the padding of a batch


@pytest.mark.parametrize(
  'changes, problem',
  [
    ({'examples': 31}, 'there are 30 glyphs, and each is shown once: 31 examples are too many'),
    ({'height': 5}, 'glyph images of 6x4 pixels do not fit the canvas of 5x8'),
    ({'width': 3}, 'glyph images of 6x4 pixels do not fit the canvas of 6x3'),
  ],
)
def test_what_does_not_fit(bank, changes, problem):
  with pytest.raises(InputError, match=problem):
    sources.each_glyph(bank, **{'height': 6, 'width': 8, 'examples': COUNT} | changes)
