"""A deck's scalars against SciPy, and the order in which they are dealt."""

import jax
import numpy as np
import pytest
from scipy import stats

from digits_jax.synth.draw import Deck
from tests.synth import specs


def test_normal_values_are_the_quantiles_of_what_is_dealt():
  draw = lambda key: (Deck(key, 40).deal((40,)), Deck(key, 40).normal((40,)))
  values, normals = specs.compiled(jax.vmap(draw))(specs.keys(50))
  np.testing.assert_allclose(normals, stats.norm.ppf(np.asarray(values, np.float64)), rtol=1e-4, atol=1e-5)


def test_each_scalar_is_dealt_once_and_no_more_than_there_are():
  whole, deck = np.asarray(Deck(jax.random.key(1), 6).deal((6,))), Deck(jax.random.key(1), 6)
  dealt = [deck.deal(), deck.normal(), deck.uniform((2.0, 4.0), (2,)), deck.chance(whole[4] + 1e-3)]
  np.testing.assert_allclose(dealt[0], whole[0])
  np.testing.assert_allclose(dealt[1], stats.norm.ppf(whole[1]), rtol=1e-4)
  np.testing.assert_allclose(dealt[2], 2 + 2 * whole[2:4], rtol=1e-6)
  assert dealt[3] and deck.deal() == whole[5]
  with pytest.raises(ValueError, match='deck of 6 has no 7'):
    deck.normal()
