"""A trained run, opened to read with: what its config names, and its best parameters; a directory or one file."""

import dataclasses
import functools
import json
import os
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from digits_jax import structs
from digits_jax.alphabet import Alphabet
from digits_jax.data.canvas import CanvasSpec
from digits_jax.errors import InputError
from digits_jax.tasks import TASKS
from digits_jax.tasks.base import Task
from digits_jax.training import checks, experiment, feeds, rundir, transfer, weights
from digits_jax.training.checkpoint import Checkpoints


@dataclasses.dataclass(frozen=True)
class Run:
  """What reading needs of a run directory, or of a file of weights."""

  config: ConfigDict
  alphabet: Alphabet
  task: Task
  params: Any
  step: int  # of the parameters
  temperature: float  # that outputs are divided by
  left_out: tuple[str, ...] = ()  # fields of the config, of places of data, that a file of weights does not hold
  is_calibrated: bool = True  # False until these parameters have a result: the temperature is 1.0 then

  @functools.cached_property
  def canvas(self) -> CanvasSpec:
    """What the model was trained on."""
    return feeds.of(self.config).canvas(self.config)


def load(
  workdir: str | pathlib.Path | None = None, *, zooms: Sequence[float] | None = None, decoder: str | None = None
) -> Run:
  """Opens a run directory, or a file of weights, on the default device, whatever it was trained on.

  No data is needed. None opens the reader of house numbers that comes with the package. zooms: in place of
  config.evaluation.zooms; the temperature stays that of the run's own views. decoder: in place of
  config.evaluation.decoder. Raises InputError where there is neither a directory nor a file, or no complete checkpoint
  yet, or one of another shape, and on zooms or a decoder that cannot be.
  """
  try:
    zooms = None if zooms is None else tuple(map(float, zooms))
  except (TypeError, ValueError) as error:
    raise InputError(f'zooms={zooms!r}: give a list of numbers, such as (1.08, 1.16)') from error
  workdir = weights.SHIPPED if workdir is None else pathlib.Path(os.path.expanduser(workdir))
  if workdir.is_file():
    if _is_stablehlo(workdir):
      raise InputError(
        f'{workdir} is an export to StableHLO, which digits_jax.export.stablehlo.load opens: give a run directory, or '
        'a file of weights'
      )
    about = weights.read_about(workdir)
    params = weights.read_params(workdir)
    config, alphabet, task, shapes = _make(workdir, about['config'], zooms, decoder)
    if reason := transfer.misfit(shapes, params):
      raise InputError(f'{workdir} does not fit the model that its config names: {reason}')
    params = jax.tree.map(jnp.asarray, params)
    about.pop('config')
    return Run(config, alphabet, task, params, **about)
  if not workdir.exists():
    raise InputError(f'there is no run directory, and no file of weights, {workdir}')
  config, alphabet, task, shapes = _make(workdir, rundir.read_config(workdir), zooms, decoder)
  checkpoints = Checkpoints(workdir)
  try:
    if checkpoints.best_step() is None:
      raise InputError(f'{workdir} holds nothing to read with yet: its first checkpoint comes after an evaluation')
    params = checkpoints.restore_best(shapes)
    step = checkpoints.best_step()
  finally:
    checkpoints.close()
  temperature, params = read_temperature(workdir, step), jax.tree.map(jnp.asarray, params)
  return Run(config, alphabet, task, params, step, temperature or 1.0, is_calibrated=temperature is not None)


def _is_stablehlo(path):
  """Whether `export.stablehlo` wrote the file; `weights` says what is wrong with one that cannot be opened."""
  try:
    with zipfile.ZipFile(path) as file:
      return 'module.bin' in file.namelist()
  except (OSError, ValueError, RuntimeError, zipfile.BadZipFile):
    return False


def _make(path, config, zooms, decoder):
  """The config of a run, its alphabet, its task, and the shapes of its parameters."""
  config = ConfigDict(rundir.with_later_fields(config))
  if config.get('schema_version') != checks.SCHEMA_VERSION:
    found = config.get('schema_version')
    raise InputError(
      f'{path} has schema_version {found} and this code reads {checks.SCHEMA_VERSION}: train it again, or read '
      'it with the code that wrote it'
    )
  try:
    config.evaluation.zooms = tuple(config.evaluation.zooms) if zooms is None else zooms
    if decoder is not None:
      if 'decoder' not in TASKS[config.task].OPTIONS:
        raise InputError(f'{path} reads by {config.task}, whose most probable reading is exact: leave the decoder out')
      config.evaluation.decoder = decoder
    alphabet = Alphabet(config.alphabet)
    task = experiment.make_task(config, alphabet)
    shapes = jax.eval_shape(task.init, jax.random.key(0), batch_shapes(config))
  except InputError:
    raise
  except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
    raise InputError(f'{path} is damaged: its config is not whole ({error})') from error
  return config, alphabet, task, shapes


def batch_shapes(config: ConfigDict) -> structs.Batch:
  """The shapes of a batch of one training image."""
  kind = feeds.of(config)
  slots = kind.slots(config)
  shape = lambda *sizes, dtype=jnp.float32: jax.ShapeDtypeStruct((1, *sizes), dtype)
  return structs.Batch(
    images=shape(*kind.canvas(config).shape),
    labels=shape(slots, dtype=jnp.int32),
    label_lengths=shape(dtype=jnp.int32),
    boxes=shape(slots, 4),
    mask=shape(dtype=jnp.bool_),
  )


def read_temperature(workdir: pathlib.Path, step: int) -> float | None:
  """The temperature in result.json that was fitted to the parameters of `step`; None where they have none yet."""
  path = workdir / 'result.json'
  if not path.is_file():
    return None
  try:
    result = json.loads(path.read_text())
    if result.get('best_step') != step:  # training went on since
      return None
    temperature = float(result['temperature'])
  except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
    raise InputError(f'{path} is damaged: {error}') from error
  weights.check_temperature(path, temperature)
  return temperature
