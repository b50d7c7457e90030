"""The hinge between what is learnt and how it is trained: a Task is four pure functions and a description.

The training loop never asks which task it runs. A new kind of model is one new file in this folder.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from digits_jax import structs

Params = Any


@dataclasses.dataclass(frozen=True)
class Task:
  """What is learnt.

  init: (key, batch) -> params. Raises InputError where the batch cannot fit the model.
  loss: (params, batch, key) -> (float32[B], {name: float32[B]}): one loss and metrics per example, unreduced.
  predict: (params, images float32[B, H, W, C]) -> outputs, a pytree of arrays with leading axis B.
  score: (outputs, batch) -> {name: array[B, ...]}: per-example records, from which evaluation computes rates; among
    them `loss`, float32[B], which says how well the outputs, divided by a temperature or not, fit the batch.
  table: (key, batch) -> the layers with their shapes and parameters, as text for people.
  """

  init: Callable[[jax.Array, structs.Batch], Params]
  loss: Callable[[Params, structs.Batch, jax.Array], tuple[jax.Array, dict[str, jax.Array]]]
  predict: Callable[[Params, jax.Array], Any]
  score: Callable[[Any, structs.Batch], dict[str, jax.Array]]
  table: Callable[[jax.Array, structs.Batch], str]


def divide(outputs: Any, temperature: jax.Array) -> Any:
  """The outputs of `predict` divided by float32[]: above 1, probabilities made from them are less sure."""
  return jax.tree.map(lambda leaf: leaf / temperature, outputs)
