"""Digits <-> class ids: the blank and the padding.

Assumes one character a symbol. Class 0 is the CTC blank and also the padding of label arrays; symbol i of the
alphabet is class i + 1.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from digits_jax.errors import InputError

BLANK = 0
DIGITS = '0123456789'
MARKS = '.-'


@dataclasses.dataclass(frozen=True)
class Alphabet:
  """The symbols that a reader knows, in class order: digits, then optionally '.' and '-'."""

  symbols: str = DIGITS

  def __post_init__(self):
    unknown = sorted(set(self.symbols) - set(DIGITS + MARKS))
    if unknown:
      raise InputError(f'alphabet {self.symbols!r} holds {unknown}; the symbols are {DIGITS + MARKS}')
    if len(set(self.symbols)) != len(self.symbols):
      raise InputError(f'alphabet {self.symbols!r} holds a symbol twice')
    if not self.digits:
      raise InputError(f'alphabet {self.symbols!r} holds no digit')
    if not self.symbols.startswith(self.digits):
      raise InputError(f'alphabet {self.symbols!r} must list its digits before "." and "-"')

  @property
  def digits(self) -> str:
    """The digits among the symbols, in class order."""
    return ''.join(s for s in self.symbols if s in DIGITS)

  @property
  def classes(self) -> int:
    """K: the number of symbols and the blank."""
    return len(self.symbols) + 1

  def encode(self, text: str) -> list[int]:
    """Class ids of `text`; raises InputError on a character outside the alphabet."""
    for character in text:
      if character not in self.symbols:
        raise InputError(f'{text!r} holds {character!r}, which is not in the alphabet {self.symbols!r}')
    return [self.symbols.index(character) + 1 for character in text]

  def decode(self, labels: Sequence[int], length: int | None = None) -> str:
    """The text of one label row: its first `length` classes, or all up to the padding."""
    row = [int(label) for label in labels]
    row = row[:length] if length is not None else row[: row.index(BLANK)] if BLANK in row else row
    return ''.join(self.symbols[label - 1] for label in row)

  def pack(self, texts: Sequence[str], slots: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers as arrays: labels int32[len(texts), slots] right-padded with 0, and lengths int32[len(texts)].

    Raises InputError naming the example whose number is too long or has a foreign character.
    """
    labels = np.zeros((len(texts), slots), np.int32)
    for i, text in enumerate(texts):
      if len(text) > slots:
        raise InputError(f'example {i}: {text!r} has {len(text)} symbols, the label array has {slots} slots')
      try:
        labels[i, : len(text)] = self.encode(text)
      except InputError as error:
        raise InputError(f'example {i}: {error}') from None
    return labels, np.array([len(text) for text in texts], np.int32)
