"""An experiment: what a config names, built and checked before anything is trained.

The only place that turns config fields into arguments; no layer below sees a config.
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
from digits_jax.training import evaluate, feeds, optim, parallel, states, stopping

SCHEMA_VERSION = 3
# The fields that count something, and the least that each may be.
LEAST = {name: 1 for name in ('steps', 'log_every', 'eval_every', 'checkpoint_every', 'validation.examples')}
LEAST |= {f'evaluation.{name}': 1 for name in ('batch_size', 'beams', 'n_best', 'sheet')}
LEAST |= {name: 1 for name in ('photos.crop_px', 'photos.max_digits', 'augment.size', 'scene.size')}
LEAST |= {name: 0 for name in ('photos.margin', 'photos.workers')}
LEAST |= {name: 0 for name in ('steps_per_call', 'optim.warmup_steps', 'optim.clip_norm', 'optim.weight_decay')}
LEAST |= {'blank_patience': 0}
LEAST |= {name: 0 for name in ('selection.patience', 'selection.plateau_patience', 'selection.min_delta')}
OF_NAMES = ('families', 'splits', 'frozen', 'subtrees')  # how the names of fields end whose tuples hold names


@dataclasses.dataclass(frozen=True)
class Experiment:
  """Everything that a run needs, in working order."""

  config: ConfigDict
  alphabet: Alphabet
  task: Task
  train: sources.Source
  validation: evaluate.FixedSet
  tests: dict[str, evaluate.FixedSet]
  schedule: optax.Schedule
  optimiser: optax.GradientTransformation

  @functools.cached_property
  def blank_batch(self) -> structs.Batch:
    """A batch of one example, all zeros, in the shapes of a training batch."""
    return jax.tree.map(lambda shape: np.zeros(shape.shape, shape.dtype), sources.example_shapes(self.train))

  @functools.cached_property
  def initial_state(self) -> Callable[[], states.TrainState]:
    """Makes the state of step 0, a function of config.seed; jitted, so that its shapes are known before it runs."""

    def initial_state():
      key = jax.random.fold_in(jax.random.key(self.config.seed), 2**31 - 1)  # no step has this number
      params = self.task.init(key, self.blank_batch)
      optim = self.config.optim
      return states.create(params, self.optimiser, has_average=optim.average_decay > 0, frozen=tuple(optim.frozen))

    return jax.jit(initial_state)

  @property
  def report(self) -> str:
    """What was found where data was read, in lines, with checksums; '' where all of it comes with packages."""
    drawn = [self.train, self.validation.source, *(test.source for test in self.tests.values())]
    return ''.join(dict.fromkeys(source.report for source in drawn))  # the tests draw from one bank

  def make_train_call(self, steps_per_call: int) -> Callable:
    """`parallel.make_train_call` of all this; it takes `train_constants`."""
    optim = self.config.optim
    return parallel.make_train_call(
      self.task,
      self.train,
      self.optimiser,
      self.schedule,
      batch_size=self.config.batch_size,
      steps_per_call=steps_per_call,
      average_decay=optim.average_decay,
      frozen=tuple(optim.frozen),
    )

  def train_constants(self):
    """(key, the source's constants), on all devices."""
    return parallel.replicate((sources.training_key(self.config.seed), self.train.constants))


def build(config: ConfigDict) -> Experiment:
  """Builds the experiment; raises InputError, naming the field, where the config cannot work."""
  check_numbers(config)
  check_decoder(config)
  parallel.check_batch_size(config.batch_size, 'config.batch_size')
  alphabet, feed = Alphabet(config.alphabet), feeds.of(config)
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
    train=feed.train(config, alphabet),
    validation=feed.validation(config, alphabet),
    tests=feed.tests(config, alphabet),
    schedule=schedule,
    optimiser=optimiser,
  )
  check_images(built)
  return built


def check_images(built: Experiment) -> None:
  """Raises InputError where the model does not read images of a test set's size, or of validation's."""
  task, trained = built.task, built.blank_batch
  for name, fixed in built.tests.items():  # validation is drawn as `test` is
    images = sources.example_shapes(fixed.source).images
    if images.shape == trained.images.shape:
      continue
    try:
      jax.eval_shape(task.predict, jax.eval_shape(task.init, jax.random.key(0), trained), images)
    except flax.errors.ScopeParamShapeError as error:
      size = lambda found: f'{found.shape[1]}x{found.shape[2]}'
      raise InputError(
        f'config.tests.{name}: its images of {size(images)} do not fit a model of {size(trained.images)}: set '
        f'config.tests.{name}.synth.layout.height and width as those of config.synth.layout'
      ) from error


def build_source(config: ConfigDict, split: str, *, test: str = 'test') -> tuple[sources.Source, int]:
  """The source of one split and its seed, as training and evaluation draw from them; test: which of config.tests.

  Raises InputError as `build` does.
  """
  check_numbers(config)
  alphabet, feed = Alphabet(config.alphabet), feeds.of(config)
  if split == 'train':
    return feed.train(config, alphabet), config.seed
  fixed = feed.validation(config, alphabet) if split == 'validation' else feed.tests(config, alphabet)[test]
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
  return views.averaged(task, config.evaluation.zooms, beams=decoding['beams'], n_best=decoding['n_best'])


def check_decoder(config: ConfigDict) -> None:
  """Raises InputError where a set is to be scored with zooms, which list readings, by greedy decoding, which does not.

  Readers search whatever config.evaluation.decoder says.
  """
  if config.task == 'read_ctc' and config.evaluation.zooms and config.evaluation.decoder != 'beam':
    raise InputError(
      f'zooms list readings, which config.evaluation.decoder={config.evaluation.decoder!r} does not: set it to '
      "'beam', or leave zooms out"
    )


def check_numbers(config: ConfigDict) -> None:
  """Raises InputError on counts that make no sense, before anything slow is done."""
  if config.schema_version != SCHEMA_VERSION:
    raise InputError(f'this config has schema_version {config.schema_version}; this code reads {SCHEMA_VERSION}')
  check_tuples(config)
  tests = {f'tests.{name}.examples': 1 for name in config.tests}
  for name, least in (LEAST | tests).items():
    value = functools.reduce(lambda group, part: group[part], name.split('.'), config)
    if value < least:
      raise InputError(f'config.{name}={value} must be at least {least}')
  for name, value in config.model.items():
    leaves = () if isinstance(value, str | bool | float) else jax.tree.leaves(value)
    if min(leaves, default=1) < 1:
      raise InputError(f'config.model.{name}={value} must be at least 1')
    if not all(isinstance(leaf, int) for leaf in leaves):
      raise InputError(f'config.model.{name}={value} must hold whole numbers')
  if 'test' not in config.tests:
    raise InputError('config.tests needs a test set called `test`: validation is drawn as it is')
  for name in ('average_decay', 'momentum'):
    if not 0 <= config.optim[name] < 1:
      raise InputError(f'config.optim.{name}={config.optim[name]} must be in [0, 1)')
  if not 0 <= config.model.dropout < 1:
    raise InputError(f'config.model.dropout={config.model.dropout} must be in [0, 1)')
  if not 0 <= config.optim.final_frac <= 1:
    raise InputError(f'config.optim.final_frac={config.optim.final_frac} must be in [0, 1]')
  for name in ('plateau_factor', 'min_rate_scale'):
    if not 0 < config.selection[name] <= 1:
      raise InputError(f'config.selection.{name}={config.selection[name]} must be above 0 and at most 1')
  seeds = {f'tests.{name}.seed': test.seed for name, test in config.tests.items()}
  is_drawn = config.data.source in ('synthetic', 'street')
  for name, seed in seeds.items():
    if is_drawn and config.validation.seed == seed:  # where glyphs and numbers are shared, these are the same images
      raise InputError(f'config.validation.seed={seed} is that of config.{name.removesuffix(".seed")}: give it another')
  for name, seed in {'seed': config.seed, 'validation.seed': config.validation.seed, **seeds}.items():
    if not 0 <= seed < 2**32:
      raise InputError(f'config.{name}={seed} must be at least 0 and below 2**32')
  stopping.check_metric(config.selection.metric)
  if config.init_subtrees and not config.init_from:
    raise InputError('config.init_subtrees says what to copy and config.init_from not whence: give both or neither')
  if not config.optim.learning_rate > 0:
    raise InputError(f'config.optim.learning_rate={config.optim.learning_rate} must be above 0')


def check_tuples(fields: ConfigDict, prefix: str = 'config') -> None:
  """Raises InputError on a tuple that holds text for numbers, or numbers for text: no flag parser looks inside them."""
  for name, value in fields.items():
    where = f'{prefix}.{name}'
    if isinstance(value, ConfigDict):
      check_tuples(value, where)
    elif isinstance(value, tuple | list):
      kind, noun = (str, 'a name') if name.endswith(OF_NAMES) else (int | float, 'a number')
      for leaf in jax.tree.leaves(value):
        if not isinstance(leaf, kind):
          raise InputError(f'{where}: {leaf!r} in {value} is not {noun}')
