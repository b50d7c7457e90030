"""Optimisers and learning-rate schedules by name, from optax where it has them."""

import jax
import optax

from digits_jax.errors import InputError, check_name

OPTIMISERS = ('adam', 'adamw', 'sgd')
SCHEDULES = ('constant', 'cosine', 'one_cycle', 'triangular', 'plateau')


def make_schedule(
  name: str, *, learning_rate: float, steps: int, warmup_steps: int, cycle_steps: int, final_frac: float
) -> optax.Schedule:
  """step -> learning rate.

  constant: warm-up, then `learning_rate`. cosine: warm-up, then down to final_frac of it at `steps`. one_cycle:
  optax's, up over the first 30% and down to the end. triangular: cyclic (Smith 2017), between final_frac of
  the rate and the rate and back every `cycle_steps`. plateau: as constant; the loop lowers it (`stopping`).
  """
  check_name('config.optim.schedule', name, SCHEDULES)
  if name == 'triangular':
    return triangular(learning_rate, cycle_steps=cycle_steps, final_frac=final_frac)
  if name == 'one_cycle':
    return optax.cosine_onecycle_schedule(max(steps, 1), learning_rate)
  if name == 'cosine':
    rest = optax.cosine_decay_schedule(learning_rate, max(steps - warmup_steps, 1), alpha=final_frac)
  else:
    rest = optax.constant_schedule(learning_rate)
  if not warmup_steps:
    return rest
  # The first step is step 0: it must move too.
  warmup = optax.linear_schedule(learning_rate / (warmup_steps + 1), learning_rate, warmup_steps)
  return optax.join_schedules([warmup, rest], [warmup_steps])


def triangular(peak: float, *, cycle_steps: int, final_frac: float) -> optax.Schedule:
  """Linear up from peak * final_frac to peak and down again, every cycle_steps (Smith 2017, figure 2)."""
  if cycle_steps < 2:
    raise InputError(f'config.optim.cycle_steps: {cycle_steps} is too short for a cycle; use at least 2')
  up = optax.linear_schedule(peak * final_frac, peak, cycle_steps // 2)
  down = optax.linear_schedule(peak, peak * final_frac, cycle_steps - cycle_steps // 2)
  cycle = optax.join_schedules([up, down], [cycle_steps // 2])
  return lambda step: cycle(step % cycle_steps)


def make_optimiser(
  name: str, schedule: optax.Schedule, *, weight_decay: float, momentum: float, clip_norm: float
) -> optax.GradientTransformation:
  """Global-norm clipping (0: none), then the rule; weight decay acts on matrices and kernels, never on scales."""
  check_name('config.optim.name', name, OPTIMISERS)
  if name == 'adam' and weight_decay:
    raise InputError('config.optim: adam has no weight decay; set optim.name="adamw" or optim.weight_decay=0')
  rule = optax.trace(momentum, nesterov=True) if name == 'sgd' else optax.scale_by_adam()
  parts = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
  decay = [optax.add_decayed_weights(weight_decay, mask=decays)] if weight_decay else []
  parts += [*decay, rule] if name == 'sgd' else [rule, *decay]
  return optax.chain(*parts, optax.scale_by_learning_rate(schedule))


def decays(params):
  """A tree of bools: whether weight decay acts on each parameter; it does on matrices and kernels, not on biases."""
  is_bias = lambda path: str(getattr(path[-1], 'key', '')).endswith('bias')  # GRU's has an axis of directions
  return jax.tree.map_with_path(lambda path, leaf: leaf.ndim > 1 and not is_bias(path), params)
