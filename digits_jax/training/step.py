"""One training step and the scoring of one batch, as each device computes its share of them; `parallel` maps both.

The global batch is what all devices draw together: a device's share of it begins at its index along AXIS, and sums
over AXIS are sums over the global batch.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from digits_jax.data import sources
from digits_jax.data.sources import Source
from digits_jax.tasks.base import Task, divide
from digits_jax.training import states

AXIS = 'batch'


METRICS = ('loss', 'gradient_norm', 'parameter_norm', 'learning_rate')  # of a training step, beside its task's


def make_train_step(
  task: Task,
  source: Source,
  optimiser: optax.GradientTransformation,
  schedule: optax.Schedule,
  *,
  share: int,
  average_decay: float,
  frozen: Sequence[str] = (),
) -> Callable:
  """Returns train_step(state, key, constants, items, rate_scale) -> (the next state, {name: float32[]}).

  The metrics are means over the valid examples of the global batch.

  Args:
    share: examples of one device.
    average_decay: of the parameters' average; 0 keeps none.
    frozen: subtrees of the parameters of which no gradient is made, so that the backward pass ends where they begin.
  """

  def train_step(state, key, constants, items, rate_scale):
    indices = jax.lax.axis_index(AXIS) * share + jnp.arange(share)
    batch = sources.draw_batch(source, key, constants, state.step, items, indices)
    valid = jax.lax.psum(jnp.sum(batch.mask, dtype=jnp.float32), AXIS)
    keep = lambda value: jnp.where(batch.mask, value, 0.0)

    def mean_loss(trainable):
      params = states.merge(state.params, trainable, frozen)
      losses, metrics = task.loss(params, batch, sources.model_keys(key, state.step, indices))
      metrics = {name: jnp.sum(keep(value)) / valid for name, value in metrics.items()}
      return jnp.sum(keep(losses)) / valid, metrics

    (loss, metrics), gradients = jax.value_and_grad(mean_loss, has_aux=True)(states.trainable(state.params, frozen))
    loss, metrics, gradients = jax.lax.psum((loss, metrics, gradients), AXIS)
    new = states.apply_gradients(
      state, gradients, optimiser, rate_scale=rate_scale, decay=average_decay, frozen=frozen
    )
    norms = optax.tree.norm(gradients), optax.tree.norm(new.params)
    rate = jnp.asarray(schedule(state.step), jnp.float32) * rate_scale
    return new, metrics | dict(zip(METRICS, (loss, *norms, rate), strict=True))

  return train_step


def make_score_step(task: Task, source: Source, *, share: int) -> Callable:
  """Returns score_step(params, key, constants, first, examples, temperature, items) -> {name: array[batch, ...]}.

  The records of the global batch of examples `first` ... of a fixed set (which is step 0 of its source), in order, on
  every device; those from `examples` on have a False `mask`. The task's outputs are divided by the temperature.
  """

  def score_step(params, key, constants, first, examples, temperature, items):
    indices = first + jax.lax.axis_index(AXIS) * share + jnp.arange(share)
    batch = sources.draw_batch(source, key, constants, 0, items, indices)
    batch = batch.replace(mask=batch.mask & (indices < examples))
    records = task.score(divide(task.predict(params, batch.images), temperature), batch)
    records |= {'mask': batch.mask, 'label_length': batch.label_lengths, 'labels': batch.labels}
    gathered = jax.lax.all_gather(records, AXIS)  # [devices, share, ...]
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), gathered)

  return score_step
