"""Random words against jax's own and against the published ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.synth import bits
from tests.synth import specs


@pytest.mark.parametrize(
  'key, counters, words',
  [  # of 20 rounds, from the file kat_vectors of Random123 (Salmon et al.)
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
  ],
)
def test_threefry_gives_the_published_words(key, counters, words):
  x, y = bits.threefry2x32(np.array(key, np.uint32), *(jnp.array([counter], jnp.uint32) for counter in counters))
  assert (int(x[0]), int(y[0])) == words


@pytest.mark.parametrize('shape', [(), (1,), (7,), (64, 128), (3, 5, 3)])
def test_words_are_those_of_jax(shape):
  ours = jax.jit(jax.vmap(lambda key: bits.random_bits(key, shape)))(specs.keys(4))
  theirs = jax.vmap(lambda key: jax.random.bits(key, shape, jnp.uint32))(specs.keys(4))
  np.testing.assert_array_equal(ours, theirs)


def test_keys_of_another_generator_and_another_order_give_its_words():
  key = jax.random.key(3, impl='rbg')
  np.testing.assert_array_equal(bits.random_bits(key, (6, 4)), jax.random.bits(key, (6, 4), jnp.uint32))
  key = jax.random.key(3)
  with jax.threefry_partitionable(False):
    np.testing.assert_array_equal(bits.random_bits(key, (6, 4)), jax.random.bits(key, (6, 4), jnp.uint32))
