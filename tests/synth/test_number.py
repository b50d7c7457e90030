"""Numbers: even lengths and digits, splits that share no number and reach all, the grammar of '.' and '-'."""

import collections
import functools
import itertools
import math
import re

import jax
import numpy as np
import pytest

from digits_jax.alphabet import DIGITS, Alphabet
from digits_jax.errors import InputError
from digits_jax.synth import number
from tests.synth import specs


def draw(count, seed=0, **fields):
  """(labels int[count, N], lengths int[count]) of one NumberSpec."""
  spec = specs.part('number', **fields)
  return jax.device_get(specs.compiled(jax.vmap(functools.partial(number.draw, spec=spec)))(specs.keys(count, seed)))


def texts(count, **fields):
  alphabet = fields.get('alphabet', Alphabet())
  return [alphabet.decode(row, length) for row, length in zip(*draw(count, **fields), strict=True)]


def check_even(counts, cells):
  """Chi-square against equal shares: within 4.5 deviations of its mean, chance 1 in 100,000."""
  counts = np.array([counts[cell] for cell in cells], np.float64)
  expected = counts.sum() / len(counts)
  assert expected >= 5
  chi = ((counts - expected) ** 2 / expected).sum()
  freedom = len(counts) - 1
  assert chi < freedom + 4.5 * np.sqrt(2 * freedom) + 5, (chi, freedom)


@pytest.mark.parametrize('split', [None, 'train', 'validation', 'test'])
def test_lengths_and_digits_are_even(split):
  labels, lengths = draw(20_000, min_length=2, max_length=6, split=split)
  specs.assert_packed(labels, lengths)
  check_even(collections.Counter(lengths.tolist()), range(2, 7))
  for slot in range(6):
    check_even(collections.Counter(labels[slot < lengths, slot].tolist()), range(1, 11))


@pytest.mark.parametrize('split', [None, 'train', 'test'])
def test_first_digits_have_the_shares_given(split):
  shares = (0.0, 0.5, 0.1, 0.1, 0.1, 0.04, 0.04, 0.04, 0.04, 0.04)
  labels, lengths = draw(20_000, min_length=2, max_length=5, split=split, first_digits=shares)
  counts = np.bincount(labels[:, 0] - 1, minlength=10) / len(labels)
  np.testing.assert_allclose(counts, shares, atol=0.015)
  check_even(collections.Counter(labels[lengths > 2, 1].tolist()), range(1, 11))
  if split:
    texts = [Alphabet().decode(row, length) for row, length in zip(labels, lengths, strict=True)]
    assert {specs.split_of(text, Alphabet()) for text in texts} == {None, split}


def test_first_digits_need_a_share_each():
  for shares in ((0.5, 0.5), (-0.1,) + (0.1,) * 9, (0.0,) * 10, (0.1,) * 9 + (math.nan,), (math.nan,) + (0.1,) * 9):
    with pytest.raises(InputError, match=r'synth\.number\.first_digits: .* is not a share'):
      specs.part('number', first_digits=shares)


def test_splits_partition_all_numbers():
  numbers = [''.join(digits) for digits in itertools.product(DIGITS, repeat=3)]
  counts = collections.Counter(specs.split_of(text, Alphabet()) for text in numbers)
  assert counts == {'test': 100, 'validation': 100, 'train': 800}
  assert {specs.split_of(text, Alphabet()) for text in ('', '7', '42')} == {None}


@pytest.mark.parametrize('split', number.SPLITS)
def test_every_number_of_a_split_is_equally_likely(split):
  """All numbers of 3 digits: those of the split come evenly, no other ever."""
  mine = [
    t for t in (''.join(d) for d in itertools.product(DIGITS, repeat=3)) if specs.split_of(t, Alphabet()) == split
  ]
  drawn = collections.Counter(texts(16_000, min_length=3, max_length=3, split=split))
  assert set(drawn) == set(mine)
  check_even(drawn, mine)


@pytest.mark.parametrize('split', number.SPLITS)
def test_splits_hold_for_all_lengths_and_marks(split):
  alphabet = Alphabet('0123456789.-')
  for text in texts(4000, alphabet=alphabet, max_length=6, split=split):
    assert specs.split_of(text, alphabet) in (split, None)
    assert len(text) < 3 or specs.split_of(text, alphabet) == split


def test_short_numbers_are_in_every_split():
  for split in (None, *number.SPLITS):
    drawn = collections.Counter(texts(6000, min_length=1, max_length=2, split=split))
    check_even({t: n for t, n in drawn.items() if len(t) == 1}, DIGITS)
    check_even({t: n for t, n in drawn.items() if len(t) == 2}, [a + b for a in DIGITS for b in DIGITS])


def test_grammar_of_marks():
  """At most a '-' in front and one '.' with a digit on both sides, as often as told, anywhere that is allowed."""
  alphabet = Alphabet('0123456789.-')
  drawn = texts(12_000, alphabet=alphabet, min_length=1, max_length=6, dot_fraction=0.5, minus_fraction=0.25)
  assert all(re.fullmatch(r'-?\d+(\.\d+)?', text) for text in drawn)
  share = lambda kept, has: np.mean([has(text) for text in drawn if kept(text)])
  assert abs(share(lambda t: len(t) > 1, lambda t: t[0] == '-') - 0.25) < 0.02
  assert abs(share(lambda t: len(t.lstrip('-')) > 2, lambda t: '.' in t) - 0.5) < 0.025
  check_even(collections.Counter(t.index('.') for t in drawn if len(t) == 6 and '.' in t and t[0] != '-'), range(1, 5))
  check_even(collections.Counter(t.index('.') for t in drawn if len(t) == 6 and '.' in t and t[0] == '-'), range(2, 5))
  assert not any('.' in t or '-' in t for t in texts(500, alphabet=alphabet, dot_fraction=0.0, minus_fraction=0.0))
  always = texts(500, alphabet=alphabet, min_length=4, max_length=5, dot_fraction=1.0, minus_fraction=1.0)
  assert all(re.fullmatch(r'-\d+\.\d+', text) for text in always)


@pytest.mark.parametrize('symbols', ['1', '07', '987', '46.'])
def test_few_digits(symbols):
  alphabet = Alphabet(symbols)
  drawn = texts(600, alphabet=alphabet, min_length=3, max_length=4)
  assert set(''.join(drawn)) == set(symbols)
  if len(alphabet.digits) >= 3:
    by_split = {
      split: set(texts(600, alphabet=alphabet, min_length=3, max_length=3, split=split)) for split in number.SPLITS
    }
    assert {split: len(found) for split, found in by_split.items()} == {'train': 9, 'validation': 9, 'test': 9}
    assert len(set.union(*by_split.values())) == 27
