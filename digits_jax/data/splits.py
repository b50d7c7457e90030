"""The shares of what is split by hash."""

from collections.abc import Sequence

from digits_jax.errors import InputError


def check_held_out(held_out: Sequence[float]) -> None:
  """Raises InputError unless these are two shares, of validation and test, that leave some for training."""
  if len(held_out) != 2 or not min(held_out) > 0 or not sum(held_out) < 1:
    raise InputError(
      f'config.data.held_out: {tuple(held_out)} must be two shares above 0, for validation and test, that together '
      'leave some for training'
    )
