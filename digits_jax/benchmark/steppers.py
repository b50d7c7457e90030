"""The ways to do a training step that `step` compares: ours, Keras's, PyTorch's, and what one of ours costs.

Ours is `training.experiment.Experiment.make_train_call`, the program that training runs, its batch lying on the device.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

import digits_jax
from digits_jax import structs
from digits_jax.alphabet import DIGITS, Alphabet
from digits_jax.benchmark import networks
from digits_jax.data import sources
from digits_jax.data.sources import Source
from digits_jax.training import experiment, optim, parallel, states

SLOTS = 5  # digits of the longest number
GATES = {'lstm': 4, 'gru': 3, 'none': 0}
GIVEN, DRAWN = 'batch given', 'synthesis in the step'


@dataclasses.dataclass(frozen=True)
class Stepper:
  """One way to do a training step."""

  name: str
  version: str
  parameters: int
  steps: int  # in one call, or between two waits of a peer that has no such calls
  run: Callable[[], object]  # returns when they are done
  count: Callable[[], dict[str, float]] | None = None  # what one step costs, by XLA; of ours alone


def installed(network: networks.Network, batch: int, dtype: str) -> list[Stepper]:
  """Ours, then each peer that can be imported and computes where ours does."""
  images, labels = made_up_batch(batch)
  built = from_network(network, images, labels, dtype)
  found = [ours('digits_jax', built, steps=steps) for steps in steps_per_call()]
  found = [dataclasses.replace(stepper, count=found[0].count) for stepper in found]  # a step costs the same in any call
  for peer in (keras, pytorch):
    try:
      found += peer(network, images, labels, dtype)
    except ImportError:
      continue
  counts = {stepper.name: stepper.parameters for stepper in found}
  assert len({*counts.values()}) == 1, f'not the same network: {counts}'
  return found


def own(config: ConfigDict, batch: int, dtype: str) -> list[Stepper]:
  """The config's experiment at this batch size: its first batch given at every step, then each drawn in its step.

  With as many steps in a call as training does.
  """
  config = config.copy_and_resolve_references()
  config.batch_size, config.model.dtype = batch, dtype
  drawn = experiment.build(config)
  indices, key = np.arange(batch), sources.training_key(config.seed)
  draw = lambda constants, items: sources.draw_batch(drawn.train, key, constants, 0, items, indices)
  first = jax.jit(draw)(drawn.train.constants, drawn.train.feed(0, 0, batch))
  built = {GIVEN: dataclasses.replace(drawn, train=given(first)), DRAWN: drawn}
  return [ours(name, one, steps=parallel.choose_steps_per_call(0)) for name, one in built.items()]


def made_up_batch(batch: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """Images float32[B, 32, 128, 1] of noise, labels int32[B, SLOTS] of 1 to SLOTS digits, right-padded with 0."""
  rng = np.random.default_rng(seed)
  images = rng.random((batch, networks.HEIGHT, networks.WIDTH, 1), np.float32)
  labels = rng.integers(1, networks.CLASSES, (batch, SLOTS), np.int32)
  lengths = rng.integers(1, SLOTS + 1, (batch, 1))
  return images, np.where(np.arange(SLOTS) < lengths, labels, 0).astype(np.int32)


def from_network(
  network: networks.Network, images: np.ndarray, labels: np.ndarray, dtype: str
) -> experiment.Experiment:
  """This network, with AdamW as the peers have it, and with this batch at every step: no data, no user's config."""
  model = {
    'patch': (network.patch, network.patch),
    'widths': network.widths,
    'pools': network.pools,
    'groups': network.groups,
    'frame_features': network.frame_features,
    'recurrent': 'lstm',
    'recurrent_features': network.recurrent_features,
    'recurrent_layers': 1,
    'is_bidirectional': True,
    'is_standardised': True,
    'dropout': 0.0,
    'dtype': dtype,
  }
  config = ConfigDict({'seed': 0, 'task': 'read_ctc', 'batch_size': len(images), 'model': model})
  config.optim = ConfigDict({'average_decay': 0.0, 'frozen': ()})
  config.evaluation = ConfigDict({'decoder': 'greedy', 'beams': 1, 'n_best': 1, 'zooms': ()})  # nothing is read
  alphabet = Alphabet(DIGITS)
  rate = optim.make_schedule('constant', learning_rate=1e-3, steps=1, warmup_steps=0, cycle_steps=0, final_frac=0.0)
  lengths, count = (labels > 0).sum(1).astype(np.int32), len(images)
  batch = structs.Batch(images, labels, lengths, np.zeros((count, SLOTS, 4), np.float32), np.ones(count, bool))
  train = given(batch)
  return experiment.Experiment(
    config=config,
    alphabet=alphabet,
    task=experiment.make_task(config, alphabet),
    train=train,
    validation=sources.FixedSet('given', train, 0, count),
    tests={},
    schedule=rate,
    optimiser=optim.make_optimiser('adamw', rate, weight_decay=1e-4, momentum=0.0, clip_norm=0.0),
  )


def given(batch: structs.Batch) -> Source:
  """A source whose every step is this batch."""
  return Source(
    constants=batch,
    feed=lambda step, first, count: np.arange(first, first + count, dtype=np.int32),
    example=lambda key, constants, item: jax.tree.map(lambda leaf: leaf[item], constants),
  )


def ours(name: str, built: experiment.Experiment, *, steps: int) -> Stepper:
  """Training's own step, `steps` of them in one call."""
  call, constants = built.make_train_call(steps), built.train_constants()
  state = parallel.replicate(built.initial_state())

  def run():
    nonlocal state
    state, metrics, _ = call(state, constants, 0, steps, 1.0, False)
    return jax.block_until_ready(metrics)['loss']

  parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
  return Stepper(name, digits_jax.__version__, parameters, steps, run, functools.cache(lambda: count(built)))


def keras(network: networks.Network, images: np.ndarray, labels: np.ndarray, dtype: str) -> list[Stepper]:
  """On the CPU, in float32. Raises ImportError where TensorFlow is not installed."""
  if jax.default_backend() != 'cpu' or dtype != 'float32':
    return []
  from digits_jax.benchmark import keras_crnn

  model = keras_crnn.Stepper(network, images, labels)
  return [Stepper(keras_crnn.NAME, keras_crnn.VERSION, model.parameters, 1, model)]


def pytorch(network: networks.Network, images: np.ndarray, labels: np.ndarray, dtype: str) -> list[Stepper]:
  """Where ours computes, if PyTorch can. Raises ImportError where it is not installed."""
  from digits_jax.benchmark import torch_crnn

  if torch_crnn.device() != jax.default_backend():
    return []

  def stepper(kind, model, steps):
    def run():
      for _ in range(steps):
        loss = model()
      return float(loss)  # waits for the device

    return Stepper(f'PyTorch, {kind}', torch_crnn.VERSION, model.parameters, steps, run)

  models = {kind: torch_crnn.Stepper(network, images, labels, kind=kind, dtype=dtype) for kind in torch_crnn.kinds()}
  return [stepper(kind, model, steps) for kind, model in models.items() for steps in steps_per_call()]


def count(built: experiment.Experiment) -> dict[str, float]:
  """Of one training step on one device, by XLA's own count: flops, bytes, and program_bytes.

  program_bytes are arguments, results and temporaries together. XLA counts the body of a loop once. The recurrence's
  products at the other frames (one forward and one backward) are added here; CTC's sums are not, nor what synthesis
  does image by image on a CPU (`sequence.compose`), nor the bytes of any loop. A GPU's programs call libraries, whose
  operations and bytes XLA does not know: there, operations are counted before compilation, and bytes are too few.
  """
  config = built.config
  indices, items = np.arange(config.batch_size), built.train.feed(0, 0, config.batch_size)
  frozen = tuple(config.optim.frozen)

  def step(state, key, constants):
    batch = sources.draw_batch(built.train, key, constants, state.step, items, indices)
    keys = sources.example_keys(key, state.step, indices)
    mean = lambda some: jnp.mean(built.task.loss(states.merge(state.params, some, frozen), batch, keys)[0])
    gradients = jax.grad(mean)(states.trainable(state.params, frozen))
    return states.apply_gradients(
      state, gradients, built.optimiser, rate_scale=jnp.float32(1), decay=config.optim.average_decay, frozen=frozen
    )

  state = jax.eval_shape(built.initial_state)
  shapes = jax.eval_shape(lambda *arrays: arrays, jax.random.key(0), built.train.constants)
  lower = lambda: jax.jit(step, donate_argnums=0).lower(state, *shapes)
  is_gpu = jax.default_backend() == 'gpu'
  # What is only counted needs no search for the fastest convolutions.
  program = lower().compile({'xla_gpu_autotune_level': 0} if is_gpu else None)
  costs, memory = program.cost_analysis(), program.memory_analysis()
  if is_gpu:
    with jax.default_device(jax.devices('cpu')[0]):
      costs = {'bytes accessed': 0.0} | (costs or {}) | {'flops': lower().cost_analysis()['flops']}
  size = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
  model, unseen = config.model, 0
  if config.task == 'read_ctc':  # the only one with a recurrence
    frames = jax.eval_shape(built.task.predict, state.params, built.zero_batch.images)['logits'].shape[1]
    directions = 2 if model.is_bidirectional else 1
    product = 2 * config.batch_size * directions * GATES[model.recurrent] * model.recurrent_features**2
    unseen = 2 * (frames - 1) * product * model.recurrent_layers
  return {
    'flops': costs['flops'] + unseen,
    'bytes': costs['bytes accessed'],
    'program_bytes': size - memory.alias_size_in_bytes,
  }


def steps_per_call():
  """In one dispatch: one, and where training does more, as many as it does."""
  return sorted({1, parallel.choose_steps_per_call(0)})
