"""Wall time of calls that are to be compared: in turns, so that a machine that slows down slows all of them."""

import concurrent.futures
import dataclasses
import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Mapping


@dataclasses.dataclass(frozen=True)
class Timing:
  """Seconds of one call, over the repetitions."""

  median: float
  low: float
  high: float

  def rates(self, unit: str, work: float) -> dict[str, float]:
    """{unit}_per_second of the median, of the slowest and of the fastest call, each of so much work."""
    return {
      f'{unit}_per_second': _rate(work / self.median),
      'slowest': _rate(work / self.high),
      'fastest': _rate(work / self.low),
    }


def _rate(value):
  """Whole from 100 on, else with three significant digits."""
  return round(value) if value >= 100 else float(f'{value:.3g}')


def interleave(calls: Mapping[Hashable, Callable[[], object]], *, repeats: int) -> dict[Hashable, Timing]:
  """Times each call `repeats` times, all of them in each round, after one round that is not timed (compilation).

  A call must return only when its work is done.
  """
  seconds = {name: [] for name in calls}
  for call in calls.values():
    call()
  for _ in range(repeats):
    for name, call in calls.items():
      began = time.perf_counter()
      call()
      seconds[name].append(time.perf_counter() - began)
  return {name: Timing(statistics.median(of), min(of), max(of)) for name, of in seconds.items()}


def compile_together(calls: Iterable[Callable[[], object]]) -> None:
  """Makes the first call of each, side by side where a GPU or TPU computes: there compiling takes nearly all of it.

  On a CPU nothing is done: the untimed round of `interleave` compiles one after the other.
  """
  import jax

  if jax.default_backend() == 'cpu':
    return
  with concurrent.futures.ThreadPoolExecutor() as pool:
    list(pool.map(lambda call: call(), calls))
