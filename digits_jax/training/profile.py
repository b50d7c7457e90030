"""A jax.profiler trace of some training steps, for TensorBoard's profile plugin, Perfetto or xprof."""

import pathlib
import sys

import jax


class Trace:
  """Traces `steps` training steps into a folder, from the second call on: the first one compiles. 0 traces nothing."""

  def __init__(self, folder: pathlib.Path, *, steps: int):
    self._folder = folder
    self._steps = steps
    self._end = None  # the step at which a trace that runs is ended
    self._calls = 0

  def before_call(self, step: int) -> None:
    """`step` steps are done and a call begins."""
    self._calls += 1
    if self._steps and self._calls == 2:
      jax.profiler.start_trace(self._folder)
      self._end = step + self._steps

  def after_call(self, step: int, state) -> None:
    """A call was dispatched that takes training to `step`; state is what it gives."""
    if self._end is not None and step >= self._end:
      jax.block_until_ready(state)
      self.close()

  def close(self) -> None:
    """Ends a trace that runs; says on stderr where none was begun that was asked for."""
    if self._end is not None:
      jax.profiler.stop_trace()
    elif self._steps:
      print('no trace was written: it begins with the second call, and there was none', file=sys.stderr)
    self._end, self._steps = None, 0
