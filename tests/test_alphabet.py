"""Digits <-> classes, and that every bad label is refused by name."""

import numpy as np
import pytest

from digits_jax.alphabet import Alphabet
from digits_jax.errors import InputError

DEFAULT = Alphabet()
MARKED = Alphabet('0123456789.-')


def test_digit_d_is_class_d_plus_one():
  assert DEFAULT.classes == 11
  assert DEFAULT.encode('0123456789') == list(range(1, 11))
  assert MARKED.classes == 13 and MARKED.digits == '0123456789'
  assert MARKED.encode('-1.5') == [12, 2, 11, 6]


@pytest.mark.parametrize('text', ['', '0', '1003377', '0000'])
def test_decode_undoes_encode(text):
  labels, lengths = DEFAULT.pack([text], slots=8)
  assert DEFAULT.decode(DEFAULT.encode(text)) == text
  assert DEFAULT.decode(labels[0]) == text  # up to the padding
  assert DEFAULT.decode(labels[0], lengths[0]) == text


def test_decode_by_length_ignores_what_follows():
  assert DEFAULT.decode([2, 3, 4], 2) == '12'


def test_pack_pads_on_the_right():
  labels, lengths = DEFAULT.pack(['12', '', '907'], slots=4)
  assert labels.tolist() == [[2, 3, 0, 0], [0, 0, 0, 0], [10, 1, 8, 0]]
  assert lengths.tolist() == [2, 0, 3]
  assert labels.dtype == lengths.dtype == np.int32


@pytest.mark.parametrize('texts, message', [
  (['1', '12345'], r"example 1: '12345' has 5 symbols.*4 slots"),
  (['1', '2', '1x'], r"example 2: '1x' holds 'x'"),
  (['-1'], r"example 0: '-1' holds '-'.*0123456789"),
])  # fmt: skip
def test_pack_names_the_example(texts, message):
  with pytest.raises(InputError, match=message):
    DEFAULT.pack(texts, slots=4)


@pytest.mark.parametrize('symbols, message', [
  ('01a', "holds .*'a'"), ('011', 'twice'), ('.-', 'no digit'), ('', 'no digit'), ('.0', 'digits before'),
])  # fmt: skip
def test_a_bad_alphabet_is_refused(symbols, message):
  with pytest.raises(InputError, match=message):
    Alphabet(symbols)
