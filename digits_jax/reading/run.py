"""A trained run, opened to read with: what its config names, and its best parameters."""

import dataclasses
import json
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from digits_jax import structs
from digits_jax.alphabet import Alphabet
from digits_jax.errors import InputError
from digits_jax.tasks.base import Task
from digits_jax.training import experiment, rundir
from digits_jax.training.checkpoint import Checkpoints


@dataclasses.dataclass(frozen=True)
class Run:
  """What reading needs of a run directory."""

  config: ConfigDict
  alphabet: Alphabet
  task: Task
  params: Any
  step: int  # of the parameters
  temperature: float  # that outputs are divided by; 1.0 until these parameters have a result

  @property
  def canvas(self) -> tuple[int, int]:
    """(H, W) of the images that the model was trained on."""
    return self.config.synth.layout.height, self.config.synth.layout.width


def load(workdir: str | pathlib.Path) -> Run:
  """Opens a run directory, on the default device, whatever it was trained on; no glyphs or data are needed.

  Raises InputError where the folder holds no run, or no complete checkpoint yet, or one of another shape.
  """
  workdir = pathlib.Path(workdir).expanduser()
  config = ConfigDict(rundir.read_config(workdir))
  if config.get('schema_version') != experiment.SCHEMA_VERSION:
    found = config.get('schema_version')
    raise InputError(f'{workdir} has schema_version {found}; this code reads {experiment.SCHEMA_VERSION}')
  alphabet = Alphabet(config.alphabet)
  task = experiment.make_task(config, alphabet)
  if not (workdir / 'checkpoints' / 'best').is_dir():
    raise InputError(f'{workdir} holds nothing to read with yet: its first checkpoint comes after an evaluation')
  checkpoints = Checkpoints(workdir)
  try:
    params = checkpoints.restore_best(jax.eval_shape(task.init, jax.random.key(0), blank_batch(config)))
    step = checkpoints.best_step()
  finally:
    checkpoints.close()
  return Run(config, alphabet, task, jax.tree.map(jnp.asarray, params), step, read_temperature(workdir, step))


def blank_batch(config: ConfigDict) -> structs.Batch:
  """The shapes of a batch of one training image."""
  layout, slots = config.synth.layout, config.synth.number.max_length
  shape = lambda *sizes, dtype=jnp.float32: jax.ShapeDtypeStruct(sizes, dtype)
  return structs.Batch(
    images=shape(1, layout.height, layout.width, 1),
    labels=shape(1, slots, dtype=jnp.int32),
    label_lengths=shape(1, dtype=jnp.int32),
    boxes=shape(1, slots, 4),
    mask=shape(1, dtype=jnp.bool_),
  )


def read_temperature(workdir: pathlib.Path, step: int) -> float:
  """The temperature in result.json that was fitted to the parameters of `step`; 1.0 where they have none yet."""
  path = workdir / 'result.json'
  if not path.is_file():
    return 1.0
  try:
    result = json.loads(path.read_text())
    if result.get('best_step') != step:  # training went on since
      return 1.0
    temperature = float(result['temperature'])
  except (json.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
    raise InputError(f'{path} is damaged: {error}') from error
  if not (math.isfinite(temperature) and temperature > 0):
    raise InputError(f'{path} is damaged: a temperature of {temperature}')
  return temperature
