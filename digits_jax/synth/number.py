"""Which number an example shows: its length, its symbols, and whether it belongs to this split.

Held-out numbers need no list: the digit sum of a number, modulo the count of digits, names its split (0 test,
1 validation, the rest training), and the last digit is chosen so that the sum comes out right. Every number of the
split is equally likely within its length, unless first digits have shares of their own. Numbers of one or two symbols
belong to every split: too few exist.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from digits_jax.alphabet import Alphabet
from digits_jax.conventions import SPLITS
from digits_jax.errors import InputError
from digits_jax.synth.draw import check_between, one_of_shares


@dataclasses.dataclass(frozen=True)
class NumberSpec:
  """Ranges of the numbers drawn; every field is a static Python value."""

  alphabet: Alphabet
  min_length: int  # symbols, lengths are uniform between the two
  max_length: int  # symbols; N, the label slots of an example
  dot_fraction: float  # share of the numbers with a '.', of those of 3 and more symbols without their '-'
  minus_fraction: float  # share of the numbers of 2 and more symbols with a leading '-', likewise
  split: str | None  # with held-out numbers: 'train', 'validation' or 'test'; None draws from all numbers
  first_digits: tuple[float, ...] = ()  # share of each of the alphabet's digits as the first symbol; () is even

  def __post_init__(self):
    if not 1 <= self.min_length <= self.max_length:
      raise InputError(
        f'synth.number: min_length {self.min_length} and max_length {self.max_length} must satisfy '
        '1 <= min_length <= max_length'
      )
    check_between(self, 'synth.number', 0, 1, ('dot_fraction', 'minus_fraction'))
    shares = self.first_digits
    if shares and (len(shares) != len(self.alphabet.digits) or not (min(shares) >= 0 and 0 < sum(shares) < math.inf)):
      raise InputError(
        f'synth.number.first_digits: {shares} is not a share of at least 0, and above 0 in all, for '
        f'each of the {len(self.alphabet.digits)} digits {self.alphabet.digits!r}'
      )
    if self.split is not None and len(self.alphabet.digits) < len(SPLITS):
      raise InputError('held-out numbers need an alphabet of at least 3 digits: set data.hold_out_numbers=False')


def draw(key: jax.Array, spec: NumberSpec) -> tuple[jax.Array, jax.Array]:
  """One number: labels int32[N] right-padded with 0, and its length int32[]."""
  k_length, *keys = jax.random.split(key, 4)
  length = jax.random.randint(k_length, (), spec.min_length, spec.max_length + 1)
  return _draw(keys, length, spec), length


def draw_of_length(key: jax.Array, length: jax.Array, spec: NumberSpec) -> jax.Array:
  """One number of `length` symbols, int32[], at most spec.max_length: labels int32[N] right-padded with 0."""
  return _draw(jax.random.split(key, 3), length, spec)


def _draw(keys, length, spec):
  k_digits, k_residue, k_marks = keys
  digits = jax.random.randint(k_digits, (spec.max_length,), 0, len(spec.alphabet.digits))
  if spec.first_digits:
    # randint may have drawn the same bits, but only for digits[0], which is replaced here.
    value = jax.random.uniform(jax.random.fold_in(k_digits, 1))
    digits = digits.at[0].set(one_of_shares(value, spec.first_digits))
  slots = jnp.arange(spec.max_length)
  marks = _marks(k_marks, slots, length, spec)  # [N], 0 where a digit stands
  if spec.split is not None:
    digits = _steer(k_residue, digits, (slots < length) & (marks == 0), slots == length - 1, length, spec)
  labels = jnp.where(marks > 0, marks, digits + 1)
  return jnp.where(slots < length, labels, 0)


def _marks(key, slots, length, spec):
  """Classes int32[N] of the '.' and '-' in the number, 0 elsewhere; never on its last slot."""
  marks = jnp.zeros_like(slots)
  k_minus, k_dot, k_where = jax.random.split(key, 3)
  has_minus = jnp.bool_(False)
  if '-' in spec.alphabet.symbols and spec.minus_fraction > 0:
    has_minus = (jax.random.uniform(k_minus) < spec.minus_fraction) & (length >= 2)
    marks = jnp.where((slots == 0) & has_minus, spec.alphabet.encode('-')[0], marks)
  if '.' in spec.alphabet.symbols and spec.dot_fraction > 0:
    first = 1 + has_minus  # a digit stands before the dot
    has_dot = (jax.random.uniform(k_dot) < spec.dot_fraction) & (length >= first + 2)
    where = jax.random.randint(k_where, (), first, jnp.maximum(length - 1, first + 1))
    marks = jnp.where((slots == where) & has_dot, spec.alphabet.encode('.')[0], marks)
  return marks


def _steer(key, digits, is_digit, is_last, length, spec):
  """Replaces the last digit so that the digit sum falls into a residue of the split."""
  modulus = len(spec.alphabet.digits)
  first, last = {'test': (0, 0), 'validation': (1, 1), 'train': (2, modulus - 1)}[spec.split]
  residue = jax.random.randint(key, (), first, last + 1)
  others = jnp.sum(jnp.where(is_digit & ~is_last, digits, 0))
  return jnp.where(is_last & (length >= 3), (residue - others) % modulus, digits)
