"""How far the device goes: its rates at one large product and at copying, and what a program would take at those."""

import dataclasses
import sys

import jax
import jax.numpy as jnp

from digits_jax.benchmark import timing


@dataclasses.dataclass(frozen=True)
class Limits:
  """Measured rates of the first device."""

  flops: dict[str, float]  # operations a second of a square matrix product, by dtype
  bandwidth: float  # bytes a second, read and written together

  def seconds(self, flops: float, size: float, dtype: str) -> float:
    """The least that a program of so many operations and bytes can take (the roofline of Williams et al. 2009)."""
    return max(flops / self.flops[dtype], size / self.bandwidth)


def dtypes() -> tuple[str, ...]:
  """Those worth timing: CPUs compute bfloat16 through float32."""
  return ('float32',) if jax.default_backend() == 'cpu' else ('float32', 'bfloat16')


def measure(*, repeats: int, side: int | None = None, megabytes: int | None = None) -> Limits:
  """Times products of side x side matrices, at the default precision, and passes over an array too large for caches."""
  is_cpu = jax.default_backend() == 'cpu'
  side, megabytes = side or (2048 if is_cpu else 8192), megabytes or (256 if is_cpu else 4096)
  product, add = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1, donate_argnums=0)
  # Random: products of equal numbers take less power, so that a GPU computes them faster than any real ones.
  squares = {dtype: jax.random.normal(jax.random.key(0), (side, side), dtype) for dtype in dtypes()}
  long = jnp.ones(megabytes * 2**20 // 4, jnp.float32)

  def copy():  # onto itself: fresh pages would cost more than the bytes
    nonlocal long
    long = add(long).block_until_ready()

  calls = {dtype: lambda x=x: product(x, x).block_until_ready() for dtype, x in squares.items()}
  timings = timing.interleave(calls | {'copy': copy}, repeats=repeats)
  return Limits(
    {dtype: 2 * side**3 / timings[dtype].median for dtype in squares}, 2 * long.nbytes / timings['copy'].median
  )


def peak_memory() -> dict[str, float]:
  """{what was measured: MiB}: the device's own count, else the greatest resident size of this process.

  Neither ever falls: each holds for all that this process did so far, so that of several parts a later one's includes
  those before. The resident size includes the peers; the device counts what jax has, not PyTorch.
  """
  stats = jax.local_devices()[0].memory_stats()
  if stats and 'peak_bytes_in_use' in stats:
    return {'peak on the device, of jax in this process so far, MiB': round(stats['peak_bytes_in_use'] / 2**20)}
  try:
    import resource
  except ImportError:  # not on Windows
    return {}
  unit = 1 if sys.platform == 'darwin' else 2**10  # of ru_maxrss, bytes
  resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
  return {'peak resident size of this process so far, peers included, MiB': round(resident / 2**20)}
