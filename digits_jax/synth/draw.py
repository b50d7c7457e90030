"""Random scalars within static ranges; a range of one value costs no random bits. Many scalars at once: Deck."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.errors import InputError


def uniform(key: jax.Array, shape: tuple[int, ...], limits: tuple[float, float]) -> jax.Array:
  """Uniform float32 within limits = (low, high)."""
  low, high = limits
  return jnp.full(shape, low, jnp.float32) if low == high else jax.random.uniform(key, shape, minval=low, maxval=high)


def plus_minus(key: jax.Array, shape: tuple[int, ...], limit: float) -> jax.Array:
  """Uniform float32 in [-limit, limit]."""
  return uniform(key, shape, (-limit, limit))


def one_of_shares(value: jax.Array, shares: tuple[float, ...]) -> jax.Array:
  """The index int32[] that a uniform float32[] in [0, 1) falls on, where each has its share of their sum."""
  ends = np.cumsum(shares) / sum(shares)
  return jnp.sum(value >= ends[:-1].astype(np.float32)).astype(jnp.int32)


def once(values: jax.Array) -> jax.Array:
  """Returns the values, float32 of one example, unchanged.

  On a CPU they go through a loop, which XLA does not fuse: it would otherwise compute them again at every pixel that
  uses them, and the quantiles of normal values alone were a third of the time of drawing a scene.
  """
  if jax.default_backend() != 'cpu':
    return values
  return jax.lax.map(lambda i: values + i, jnp.arange(2, dtype=values.dtype))[0]  # the first adds 0


def check_ranges(spec, where: str, names: tuple[str, ...]) -> None:
  """Raises InputError unless each named field of the spec is (low, high), finite, with low <= high."""
  for name in names:
    value = getattr(spec, name)
    if len(value) != 2 or not -math.inf < value[0] <= value[1] < math.inf:
      raise InputError(f'{where}.{name}: {value} is not (low, high) with low <= high, both finite')


def check_between(spec, where: str, low: float, high: float, names: tuple[str, ...]) -> None:
  """Raises InputError unless each named field of the spec, or both ends of its range, is finite and in [low, high]."""
  for name in names:
    value = getattr(spec, name)
    ends = value if isinstance(value, tuple | list) else (value,)
    if not all(low <= end <= high and math.isfinite(end) for end in ends):
      raise InputError(f'{where}.{name}: {value} does not lie in [{low:g}, {high:g}]')


class Deck:
  """Random scalars of one key, all drawn in one call and dealt in order.

  A scene takes more than a hundred. Drawn one by one, each from a key of its own, they would be most of what a compiler
  sees.
  """

  def __init__(self, key: jax.Array, count: int):
    self._values, self._dealt = jax.random.uniform(key, (count,), minval=1e-7), 0
    self._normals = once(math.sqrt(2) * jax.scipy.special.erfinv(2 * self._values - 1))

  def deal(self, shape: tuple[int, ...] = ()) -> jax.Array:
    """The next uniform float32 in (0, 1). Raises ValueError where the deck has no more."""
    return self._deal(self._values, shape)

  def _deal(self, values, shape):
    first, self._dealt = self._dealt, self._dealt + math.prod(shape)
    if self._dealt > values.size:
      raise ValueError(f'a deck of {values.size} has no {self._dealt}: make it larger')
    return values[first : self._dealt].reshape(shape)

  def uniform(self, limits: tuple[float, float], shape: tuple[int, ...] = ()) -> jax.Array:
    """Uniform within limits = (low, high)."""
    low, high = limits
    return low + (high - low) * self.deal(shape)

  def skewed(self, limits: tuple[float, float], power: float) -> jax.Array:
    """Within limits, from a uniform value to a power: above 1, low ones more often."""
    low, high = limits
    return low + (high - low) * self.deal() ** power

  def log_uniform(self, limits: tuple[float, float]) -> jax.Array:
    """Within limits above 0, uniform by its logarithm."""
    return jnp.exp(self.uniform(tuple(math.log(limit) for limit in limits)))

  def plus_minus(self, limit: float, shape: tuple[int, ...] = ()) -> jax.Array:
    """Uniform within [-limit, limit]."""
    return self.uniform((-limit, limit), shape)

  def normal(self, shape: tuple[int, ...] = ()) -> jax.Array:
    """Standard normal."""
    return self._deal(self._normals, shape)

  def chance(self, share: float, shape: tuple[int, ...] = ()) -> jax.Array:
    """True in a share of cases."""
    return self.deal(shape) < share
