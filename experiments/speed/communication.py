"""Counts the bytes that a device sums with the others in a training step.

python -m experiments.speed.communication --out=FILE.csv configs/fonts.py:quick configs/street.py

The operands of every sum over devices (psum) in the program of one step, as jax traces it: gradients and metrics, and
the signal to stop. Frozen parameters have no gradient. Nothing is computed.
"""

import csv
import importlib
import pathlib

from digits_jax import command
from digits_jax.errors import InputError

_OUT = command.out_flag('CSV file for the rows.')


def main(arguments):
  """Prints a row for each config, and writes them to --out. Raises InputError where there is no config, or no place."""
  if not arguments:
    raise InputError('which configs? Give configs/fonts.py:quick, or others')
  command.check_file('--out', _OUT.value, '.csv')
  rows = [count(argument) for argument in arguments]
  if _OUT.value:
    with open(_OUT.value, 'w', newline='') as file:
      writer = csv.DictWriter(file, list(rows[0]), lineterminator='\n')
      writer.writeheader()
      writer.writerows(rows)


def count(argument):
  """The row of a config."""
  from digits_jax.training import experiment

  path, _, variant = argument.partition(':')
  if pathlib.Path(path).parent != pathlib.Path('configs') or not pathlib.Path(path).is_file():
    raise InputError(f'there is no config {path}: give one of configs/, such as configs/fonts.py:quick')
  module = importlib.import_module(f'configs.{pathlib.Path(path).stem}')
  built = experiment.build(module.get_config(variant or None))
  sums, size = sent(built)
  row = {'config': argument, 'trained_parameters': parameters(built), 'sums': sums, 'bytes': size}
  print(*row.values(), flush=True)
  return row


def parameters(built):
  """How many parameters an experiment trains."""
  import jax

  from digits_jax.training import states

  state = jax.eval_shape(built.initial_state)
  return sum(leaf.size for leaf in jax.tree.leaves(states.trainable(state.params, tuple(built.config.optim.frozen))))


def sent(built):
  """(arrays, bytes) that each device sums with the others in one step of an experiment."""
  import jax

  call = built.make_train_call(1)
  step = lambda state, constants: call(state, constants, 0, 1, 1.0, False)
  traced = jax.make_jaxpr(step)(jax.eval_shape(built.initial_state), built.train_constants())
  arrays = list(_summed(traced.jaxpr))
  return len(arrays), sum(array.size * array.dtype.itemsize for array in arrays)


def _summed(jaxpr):
  """The operands of every psum in a jaxpr and in those that it calls."""
  from jax.extend import core

  for equation in jaxpr.eqns:
    if equation.primitive.name.startswith('psum'):
      yield from (operand.aval for operand in equation.invars)
    for inner in equation.params.values():
      for one in inner if isinstance(inner, tuple | list) else (inner,):
        if isinstance(one, core.ClosedJaxpr | core.Jaxpr):
          yield from _summed(getattr(one, 'jaxpr', one))


if __name__ == '__main__':
  command.run(main)
