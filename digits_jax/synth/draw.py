"""Random scalars within static ranges; a range of one value costs no random bits."""

import jax
import jax.numpy as jnp

from digits_jax.errors import InputError


def uniform(key: jax.Array, shape: tuple[int, ...], limits: tuple[float, float]) -> jax.Array:
  """Uniform float32 within limits = (low, high)."""
  low, high = limits
  return jnp.full(shape, low, jnp.float32) if low == high else jax.random.uniform(key, shape, minval=low, maxval=high)


def plus_minus(key: jax.Array, shape: tuple[int, ...], limit: float) -> jax.Array:
  """Uniform float32 in [-limit, limit]."""
  return uniform(key, shape, (-limit, limit))


def check_ranges(spec, where: str, names: tuple[str, ...]) -> None:
  """Raises InputError unless each named field of the spec is (low, high) with low <= high."""
  for name in names:
    value = getattr(spec, name)
    if len(value) != 2 or not value[0] <= value[1]:
      raise InputError(f'{where}.{name}: {value} is not (low, high) with low <= high')


def check_between(spec, where: str, low: float, high: float, names: tuple[str, ...]) -> None:
  """Raises InputError unless each named field of the spec, or both ends of its range, lies in [low, high]."""
  for name in names:
    value = getattr(spec, name)
    if not all(low <= end <= high for end in (value if isinstance(value, tuple | list) else (value,))):
      raise InputError(f'{where}.{name}: {value} does not lie in [{low:g}, {high:g}]')
