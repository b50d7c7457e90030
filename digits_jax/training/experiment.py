"""An experiment: what a config names, built and checked before anything is trained.

Here and in `feeds` config fields become arguments; no layer below this one sees a config.
"""

import dataclasses
import functools
from collections.abc import Callable

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from digits_jax import structs, tasks
from digits_jax.alphabet import Alphabet
from digits_jax.data import sources
from digits_jax.errors import InputError
from digits_jax.tasks import views
from digits_jax.tasks.base import Task
from digits_jax.training import checks, feeds, optim, parallel, states


@dataclasses.dataclass(frozen=True)
class Experiment:
  """Everything that a run needs, in working order."""

  config: ConfigDict
  alphabet: Alphabet
  task: Task
  train: sources.Source
  validation: sources.FixedSet
  tests: dict[str, sources.FixedSet]
  schedule: optax.Schedule
  optimiser: optax.GradientTransformation

  @functools.cached_property
  def zero_batch(self) -> structs.Batch:
    """A batch of one example, all zeros, in the shapes of a training batch."""
    return jax.tree.map(lambda shape: np.zeros(shape.shape, shape.dtype), sources.example_shapes(self.train))

  @functools.cached_property
  def initial_state(self) -> Callable[[], states.TrainState]:
    """Makes the state of step 0, a function of config.seed; jitted, so that its shapes are known before it runs."""

    def initial_state():
      params = self.task.init(sources.initial_key(self.config.seed), self.zero_batch)
      fields = self.config.optim
      return states.create(params, self.optimiser, has_average=fields.average_decay > 0, frozen=tuple(fields.frozen))

    return jax.jit(initial_state)

  @property
  def report(self) -> str:
    """What was found where data was read, in lines, with checksums; '' where all of it comes with packages."""
    drawn = [self.train, self.validation.source, *(test.source for test in self.tests.values())]
    return ''.join(dict.fromkeys(source.report for source in drawn))  # the tests draw from one bank

  def make_train_call(self, steps_per_call: int) -> Callable:
    """`parallel.make_train_call` of all this; it takes `train_constants`."""
    fields = self.config.optim
    return parallel.make_train_call(
      self.task,
      self.train,
      self.optimiser,
      self.schedule,
      batch_size=self.config.batch_size,
      steps_per_call=steps_per_call,
      average_decay=fields.average_decay,
      frozen=tuple(fields.frozen),
    )

  def train_constants(self):
    """(key, the source's constants), on all devices."""
    return parallel.replicate((sources.training_key(self.config.seed), self.train.constants))


def build(config: ConfigDict) -> Experiment:
  """Builds the experiment; raises InputError, naming the field, where the config cannot work."""
  checks.check(config)
  checks.check_decoder(config)
  parallel.check_batch_size(config.batch_size, 'config.batch_size')
  alphabet, kind = Alphabet(config.alphabet), feeds.of(config)
  schedule = optim.make_schedule(
    config.optim.schedule,
    learning_rate=config.optim.learning_rate,
    steps=config.steps,
    warmup_steps=config.optim.warmup_steps,
    cycle_steps=config.optim.cycle_steps,
    final_frac=config.optim.final_frac,
  )
  optimiser = optim.make_optimiser(
    config.optim.name,
    schedule,
    weight_decay=config.optim.weight_decay,
    momentum=config.optim.momentum,
    clip_norm=config.optim.clip_norm,
  )
  built = Experiment(
    config=config,
    alphabet=alphabet,
    task=make_task(config, alphabet),
    train=kind.train(config, alphabet),
    validation=kind.validation(config, alphabet),
    tests=kind.tests(config, alphabet),
    schedule=schedule,
    optimiser=optimiser,
  )
  check_images(built)
  return built


def check_images(built: Experiment) -> None:
  """Raises InputError where the model does not read images of a test set's size, or of validation's."""
  task, trained = built.task, built.zero_batch
  params = jax.eval_shape(task.init, jax.random.key(0), trained)
  for name, fixed in built.tests.items():  # validation is drawn as `test` is
    images = sources.example_shapes(fixed.source).images
    if images.shape == trained.images.shape:
      continue
    try:
      jax.eval_shape(task.predict, params, images)
    except InputError as error:
      raise InputError(f'config.tests.{name}: {error}') from error
    except flax.errors.ScopeParamShapeError as error:
      size = lambda found: f'{found.shape[1]}x{found.shape[2]}'
      raise InputError(
        f'config.tests.{name}: its images of {size(images)} do not fit a model of {size(trained.images)}: set '
        f'config.tests.{name}.synth.layout.height and width as those of config.synth.layout'
        + (', or leave the set out' if name != 'test' else '')
      ) from error


def build_source(config: ConfigDict, split: str, *, test: str = 'test') -> tuple[sources.Source, int]:
  """The source of one split and its seed, as training and evaluation draw from them; test: which of config.tests.

  Raises InputError as `build` does.
  """
  checks.check(config)
  alphabet, kind = Alphabet(config.alphabet), feeds.of(config)
  if split == 'train':
    return kind.train(config, alphabet), config.seed
  fixed = kind.validation(config, alphabet) if split == 'validation' else kind.tests(config, alphabet)[test]
  return fixed.source, fixed.seed


def make_task(config: ConfigDict, alphabet: Alphabet) -> Task:
  """The config's task with its model, looking at each image as often as the config says."""
  if config.model.dtype not in ('float32', 'bfloat16'):
    raise InputError(f'config.model.dtype: there is no {config.model.dtype!r}; it is float32 or bfloat16')
  options = config.model.to_dict() | {'dtype': jnp.dtype(config.model.dtype)}
  decoding = {name: config.evaluation[name] for name in ('decoder', 'beams', 'n_best')}
  task = tasks.make(config.task, alphabet=alphabet, **options, **decoding)
  if not config.evaluation.zooms:
    return task
  if config.task == 'classify':
    raise InputError('config.evaluation.zooms: the task classify looks at each image once; leave them out')
  return views.with_zooms(task, config.evaluation.zooms, beams=decoding['beams'], n_best=decoding['n_best'])
