"""Parameters of another run in the first state of this one, subtree by subtree, with a report of what came across.

The other run is a directory, or a file of weights.

A subtree is what stands under one name at the top of the parameters: of a CRNN `trunk`, `frames`, `recurrent_0`,
`head`. What is copied are the parameters that the other run reads with: its best by validation, averaged where it
averages.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from digits_jax.errors import InputError
from digits_jax.training import parallel, rundir, states, weights
from digits_jax.training.checkpoint import Checkpoints


@dataclasses.dataclass(frozen=True)
class Report:
  """What became of each subtree: {name: how many parameters it has}, or {name: why not}."""

  copied: dict[str, int]
  kept: dict[str, str]  # at this run's own start
  unused: tuple[str, ...]  # the other run's that this one does not have

  def __str__(self):
    lines = [f'copied: {name}, {count:,} parameters' for name, count in self.copied.items()]
    lines += [f'at its own start: {name}, {reason}' for name, reason in self.kept.items()]
    return '\n'.join(lines + [f'left there: {name}, which this model does not have' for name in self.unused])


def begin(state: states.TrainState, config: ConfigDict, *, head: str) -> states.TrainState:
  """A run's state of step 0 with parameters of the run at config.init_from in it; prints what came across.

  Raises InputError as `check` does.
  """
  report = check(state.params, config, head=head)
  given = _given(config.init_from, lambda best: best.restore_best(best.best_shapes()))
  params = {
    name: jax.tree.map(lambda own, other: jnp.asarray(other, own.dtype), subtree, given[name])
    if name in report.copied
    else subtree
    for name, subtree in state.params.items()
  }
  has_average = jax.tree.structure(state.averaged) == jax.tree.structure(state.params)
  if parallel.is_lead():
    print(f'first parameters from {config.init_from}\n{report}', flush=True)
  return state.replace(params=params, averaged=jax.tree.map(jnp.copy, params) if has_average else ())


def check(params: Any, config: ConfigDict, *, head: str) -> Report:
  """What `begin` would do with params, or their shapes, of this config's model; head is `Task.head`.

  Raises InputError where it cannot, and where a subtree that is frozen would stay as it is by chance.
  """
  given = _given(config.init_from, lambda best: best.best_shapes())
  foreign = foreign_subtrees(config, _config(config.init_from), head=head)
  report = compare(params, given, tuple(config.init_subtrees), foreign=foreign)
  for name in config.optim.frozen:
    if name in report.kept:
      raise InputError(
        f'config.optim.frozen: {name!r} would stay at its random start, for it is not copied from config.init_from '
        f'({report.kept[name]}): copy it, or leave it out of config.optim.frozen'
      )
  return report


def _given(workdir, look):
  """What look(checkpoints) gives of the run at workdir; of a file, its parameters.

  Raises InputError where nothing can be read of it.
  """
  workdir = pathlib.Path(os.path.expanduser(workdir))
  if workdir.is_file():
    return weights.read_params(workdir)
  if not (workdir / 'config.json').is_file():
    raise InputError(f'config.init_from: {workdir} holds no run: train it first, or name another')
  checkpoints = Checkpoints(workdir)
  try:
    if checkpoints.best_step() is None:
      raise InputError(f'config.init_from: {workdir} holds nothing yet: its first parameters come after an evaluation')
    return look(checkpoints)
  finally:
    checkpoints.close()


def _config(workdir):
  """The config of the run at workdir, which `_given` has opened."""
  workdir = pathlib.Path(os.path.expanduser(workdir))
  config = weights.read_about(workdir)['config'] if workdir.is_file() else rundir.read_config(workdir)
  if not isinstance(config.get('model'), dict):
    raise InputError(f'config.init_from: {workdir} is damaged: its config is not whole')
  return rundir.with_later_fields(config)


def foreign_subtrees(config: ConfigDict, theirs: dict, *, head: str) -> dict[str, str]:
  """{subtree: why that of the run of config `theirs` is of no use, whatever its shape}."""
  found = {}
  if theirs.get('alphabet') != config.alphabet:
    found[head] = 'its classes are the symbols of another alphabet'
  for name in 'patch', 'is_standardised':  # what the trunk does to images before its first parameters
    own, other = rundir.plain(config.model)[name], theirs['model'].get(name)
    if own != other:
      found['trunk'] = f'config.model.{name} is {other} there and {own} here'
  return found


def compare(
  params: dict[str, Any], given: dict[str, Any], subtrees: tuple[str, ...], *, foreign: Mapping[str, str] = {}
) -> Report:
  """Which subtrees of params, and of another run's, are the same in names and shapes; arrays or shapes, both.

  subtrees: names at the top of both, which must fit; () takes every one that does.
  foreign: those that fit in no shape, and why.

  Raises InputError on a subtree asked for that either lacks or that is of another shape, and where nothing fits.
  """
  for name in subtrees:
    for tree, owner in ((params, 'this model'), (given, 'the run of config.init_from')):
      if name not in tree:
        raise InputError(f'config.init_subtrees: {owner} has no parameters {name!r}; it has {", ".join(sorted(tree))}')
  copied, kept = {}, {}
  for name in params:
    if subtrees and name not in subtrees:
      kept[name] = 'not asked for'
    elif name not in given:
      kept[name] = 'the other run has none'
    elif reason := foreign.get(name) or misfit(params[name], given[name]):
      if subtrees:
        raise InputError(f'config.init_subtrees: {name!r} does not fit this model: {reason}')
      kept[name] = reason
    else:
      copied[name] = sum(leaf.size for leaf in jax.tree.leaves(params[name]))
  if not copied:
    reasons = '; '.join(f'{name}: {reason}' for name, reason in kept.items())
    raise InputError(f'config.init_from: nothing of that run fits this model ({reasons})')
  return Report(copied, kept, tuple(sorted(set(given) - set(params))))


def misfit(own: Any, other: Any) -> str | None:
  """Why one subtree cannot take another's place, or None where it can."""
  shapes = [
    {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in jax.tree.leaves_with_path(tree)}
    for tree in (own, other)
  ]
  for name in sorted(shapes[0].keys() | shapes[1].keys()):
    here, there = shapes[0].get(name), shapes[1].get(name)
    if here != there:
      describe = lambda shape: 'missing' if shape is None else f'of shape {shape}'
      return f'{name or "it"} is {describe(there)} there and {describe(here)} here'
  return None
