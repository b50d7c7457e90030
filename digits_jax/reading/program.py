"""Images -> readings as one pure function: the network, the temperature, the task's reading of its outputs.

The reader jits it; the export writes it to a file.
"""

from collections.abc import Callable
from typing import Any

import jax

from digits_jax.tasks.base import Decoded, Task, divide


def make_program(
  task: Task, *, beams: int, n_best: int, min_length: int = 0, max_length: int | None = None
) -> Callable[[Any, jax.Array, jax.Array], Decoded]:
  """program(params, images float32[B, H, W, C], temperature float32[]) -> Decoded; the rest as in `Task.read`."""

  def program(params, images, temperature):
    outputs = divide(task.predict(params, images), temperature)
    return task.read(outputs, beams=beams, n_best=n_best, min_length=min_length, max_length=max_length)

  return program
