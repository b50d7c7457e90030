"""What every config must fulfil, looked at before anything slow is done. What one module uses is checked there."""

import functools
import math

import jax
from ml_collections import ConfigDict

from digits_jax.errors import InputError, check_name
from digits_jax.tasks import TASKS
from digits_jax.training import stopping

SCHEMA_VERSION = 3
# Fields -> the least that each may be.
LEAST = dict.fromkeys(
  (
    'steps', 'batch_size', 'log_every', 'eval_every', 'checkpoint_every', 'validation.examples',
    'evaluation.batch_size', 'evaluation.beams', 'evaluation.n_best', 'evaluation.sheet',
    'photos.crop_px', 'photos.max_digits', 'augment.size', 'scene.size',
  ),
  1,
)  # fmt: skip
LEAST |= dict.fromkeys(
  (
    'photos.margin', 'photos.workers', 'steps_per_call', 'blank_patience',
    'optim.warmup_steps', 'optim.clip_norm', 'optim.weight_decay',
    'selection.patience', 'selection.plateau_patience', 'selection.min_delta',
  ),
  0,
)  # fmt: skip
PICTURES = ('curves', 'coverage')  # of a run, beside a sheet for each test set, which has the set's name
OF_NAMES = ('families', 'splits', 'frozen', 'subtrees')  # how the names of fields end whose tuples hold names
OF_PAIRS = ('pools',)  # fields whose tuples hold tuples


def check(config: ConfigDict) -> None:
  """Raises InputError, naming the field, on a value that makes no sense."""
  if config.schema_version != SCHEMA_VERSION:
    raise InputError(f'this config has schema_version {config.schema_version}; this code reads {SCHEMA_VERSION}')
  check_values(config)
  check_counts(config)
  check_model(config.model)
  check_training(config)
  check_seeds(config)


def check_values(fields: ConfigDict, prefix: str = 'config') -> None:
  """Raises InputError on a field without a value, and on a tuple of anything but the numbers, or names, that it takes.

  No flag parser looks inside of tuples, and a config file may set any field to None.
  """
  for name, value in fields.items():
    where = f'{prefix}.{name}'
    if value is None:
      raise InputError(f'{where} is None: give it a value, of the kind that its default has')
    if isinstance(value, ConfigDict):
      check_values(value, where)
    elif isinstance(value, tuple | list):
      kind, noun = (str, 'a name') if name.endswith(OF_NAMES) else (int | float, 'a number')
      for leaf in jax.tree.leaves(value) if name in OF_PAIRS else value:
        if isinstance(leaf, bool) or not isinstance(leaf, kind):
          raise InputError(f'{where}: {leaf!r} in {value} is not {noun}')


def check_counts(config: ConfigDict) -> None:
  """Raises InputError on a count below its least, and on test sets of wrong names, or none to draw validation as."""
  for name, test in config.tests.items():
    if name in PICTURES:
      raise InputError(f'config.tests.{name}: plots/{name}.png is another picture; call the test set otherwise')
    if not isinstance(test, ConfigDict):
      raise InputError(f'config.tests.{name} is no test set, as common.test_set makes one, but {test!r}')
  tests = {f'tests.{name}.examples': 1 for name in config.tests}
  for name, least in (LEAST | tests).items():
    value = functools.reduce(lambda group, part: group[part], name.split('.'), config)
    if not value >= least:
      raise InputError(f'config.{name}={value} must be at least {least}')
  if 'test' not in config.tests:
    raise InputError('config.tests needs a test set called `test`: validation is drawn as it is')


def check_model(model: ConfigDict) -> None:
  """Raises InputError on sizes that are no whole numbers of at least 1, and on shares that are none."""
  for name, value in model.items():
    leaves = () if isinstance(value, str | bool | float) else jax.tree.leaves(value)
    if min(leaves, default=1) < 1:
      raise InputError(f'config.model.{name}={value} must be at least 1')
    if not all(isinstance(leaf, int) for leaf in leaves):
      raise InputError(f'config.model.{name}={value} must hold whole numbers')
  for name in ('dropout', 'label_smoothing'):
    if not 0 <= model[name] < 1:
      raise InputError(f'config.model.{name}={model[name]} must be in [0, 1)')


def check_training(config: ConfigDict) -> None:
  """Raises InputError on rates and shares of optimiser and selection, and on `init_subtrees` without `init_from`."""
  for name in ('average_decay', 'momentum'):
    if not 0 <= config.optim[name] < 1:
      raise InputError(f'config.optim.{name}={config.optim[name]} must be in [0, 1)')
  if not 0 <= config.optim.final_frac <= 1:
    raise InputError(f'config.optim.final_frac={config.optim.final_frac} must be in [0, 1]')
  if not 0 < config.optim.learning_rate < math.inf:
    raise InputError(f'config.optim.learning_rate={config.optim.learning_rate} must be above 0, and finite')
  for name in ('plateau_factor', 'min_rate_scale'):
    if not 0 < config.selection[name] <= 1:
      raise InputError(f'config.selection.{name}={config.selection[name]} must be above 0 and at most 1')
  stopping.check_metric(config.selection.metric)
  if config.init_subtrees and not config.init_from:
    raise InputError('config.init_subtrees is set and config.init_from is empty: give both or neither')


def check_seeds(config: ConfigDict) -> None:
  """Raises InputError on a seed that no key is made of, and where validation would be a test set's very images."""
  seeds = {f'tests.{name}.seed': test.seed for name, test in config.tests.items()}
  is_drawn = config.data.source in ('synthetic', 'street')
  for name, seed in seeds.items():
    if is_drawn and config.validation.seed == seed:  # where glyphs and numbers are shared, these are the same images
      raise InputError(f'config.validation.seed={seed} is that of config.{name.removesuffix(".seed")}: give it another')
  for name, seed in {'seed': config.seed, 'validation.seed': config.validation.seed, **seeds}.items():
    if not 0 <= seed < 2**32:
      raise InputError(f'config.{name}={seed} must be at least 0 and below 2**32')


def check_decoder(config: ConfigDict) -> None:
  """Raises InputError where a set is to be scored with zooms, which list readings, by greedy decoding, which does not.

  Raises it on an unknown task, too. Readers search whatever config.evaluation.decoder says.
  """
  check_name('config.task', config.task, TASKS)
  has_decoder = 'decoder' in TASKS[config.task].OPTIONS
  if has_decoder and config.evaluation.zooms and config.evaluation.decoder != 'beam':
    raise InputError(
      f'config.evaluation.zooms={tuple(config.evaluation.zooms)} list readings, which '
      f"config.evaluation.decoder={config.evaluation.decoder!r} does not: set it to 'beam', or leave zooms out "
      '(--zooms= where a run is read with, else --config.evaluation.zooms="()")'
    )
