"""Checkpoints through orbax: the latest state to resume from, the best parameters to read with.

`checkpoints/latest/STEP` holds state and progress, `checkpoints/best/STEP` parameters alone, each with a checksum. Both
are written by rename, so a run killed at any time leaves the one before. Arrays are stored as NumPy arrays of the lead
process, so a checkpoint opens on any number of devices.
"""

import functools
import hashlib
import json
import pathlib
from typing import Any

import jax
import numpy as np
from absl import logging

from digits_jax.errors import InputError, first_line

_CHECKSUM = 'checksum'  # beside what is saved, of it
# How what orbax and TensorStore say of files that are missing or cut off begins.
_DAMAGED = ('NOT_FOUND', 'OUT_OF_RANGE', 'DATA_LOSS', 'FAILED_PRECONDITION')


class Checkpoints:
  """The checkpoints of one run directory."""

  def __init__(self, workdir: str | pathlib.Path):
    self._root = pathlib.Path(workdir).absolute() / 'checkpoints'

  @functools.cached_property
  def _ocp(self):
    import orbax.checkpoint as ocp  # 1 s to import, which neither a config nor the first step of a run waits for

    return ocp

  @functools.cached_property
  def _managers(self):
    # Nothing of the last start may run beside this one's first save, so saves are synchronous.
    options = self._ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False, create=True)
    return {kind: self._ocp.CheckpointManager(self._root / kind, options=options) for kind in ('latest', 'best')}

  def latest_step(self) -> int | None:
    """The step of the newest complete checkpoint, or None."""
    return self._newest('latest')

  def best_step(self) -> int | None:
    """The step of the best complete checkpoint, or None."""
    return self._newest('best')

  def save_latest(self, step: int, state, progress) -> None:
    """Saves what resuming needs. A step that is already saved stays as it is: it has the same bits."""
    self._save('latest', step, {'state': state, 'progress': progress})

  def save_best(self, step: int, params) -> None:
    """Saves what reading needs, in place of the best before."""
    self._save('best', step, {'params': params})

  def restore_latest(self, state, progress) -> tuple[Any, Any]:
    """The newest state, NumPy arrays in the shapes and dtypes given, and progress, in plain numbers."""
    restored = self._restore('latest', {'state': state, 'progress': progress})
    return restored['state'], jax.tree.map(lambda leaf: leaf.item(), restored['progress'])

  def restore_best(self, params) -> Any:
    """The best parameters, as NumPy arrays, in the shapes and dtypes given. Needs a checkpoint."""
    return self._restore('best', {'params': params})['params']

  def best_shapes(self) -> Any:
    """The shapes and dtypes of the best parameters, whatever model they are of. Needs a checkpoint."""
    step = self._root / 'best' / str(self.best_step())
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # orbax warns that managers keep a file of metadata one folder above
    try:
      found = self._ocp.StandardCheckpointer().metadata(step / 'default').item_metadata
    finally:
      logging.set_verbosity(verbosity)
    if found is None or 'params' not in found:  # orbax logs the reason
      raise InputError(f'{step} is damaged: copy the run again')
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), found['params'])

  def tidy(self) -> None:
    """Deletes what stands beside the newest of each kind: a run that was killed may have left the one before."""
    for manager in self._managers.values() if self._root.is_dir() else ():
      for step in manager.all_steps():
        if step != manager.latest_step():
          manager.delete(step)

  def close(self) -> None:
    """Ends orbax's threads."""
    for manager in self.__dict__.get('_managers', {}).values():
      manager.close()

  def _newest(self, kind):
    """By the folders' names: a process asks by itself, where orbax's managers would wait for all of them."""
    folder = self._root / kind
    steps = [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()] if folder.is_dir() else []
    return max(steps, default=None)

  def _save(self, kind, step, tree):
    manager = self._managers[kind]
    if manager.latest_step() == step:
      return
    tree = jax.tree.map(np.asarray, jax.device_get(tree))
    tree[_CHECKSUM] = checksum(tree)
    try:
      manager.save(step, args=self._ocp.args.StandardSave(tree), force=True)
      manager.wait_until_finished()
    except ValueError as error:  # of TensorStore, which orbax writes with
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      raise InputError(
        f'no space is left to save step {step} in {self._root / kind}: the checkpoint before is kept; make room, and '
        'the same command goes on from it'
      ) from error

  def _restore(self, kind, example):
    manager = self._managers[kind]
    step = manager.latest_step()
    folder = self._root / kind
    if step is None:
      raise InputError(f'{folder} holds no complete checkpoint')
    example = jax.tree.map(_zeros, example)
    metadata = folder / str(step) / 'default' / '_METADATA'
    if metadata.is_file() and _CHECKSUM.encode() in metadata.read_bytes():  # older runs have none
      example[_CHECKSUM] = np.zeros(2, np.uint32)
    try:
      restored = manager.restore(step, args=self._ocp.args.StandardRestore(example))
    except (ValueError, KeyError, TypeError) as error:
      reason = first_line(error)
      is_garbage = isinstance(error, json.JSONDecodeError | UnicodeDecodeError)
      if not metadata.is_file() or is_garbage or reason.startswith(_DAMAGED):
        what = f'is damaged: copy the run again, or start in another --workdir ({reason})'
      else:
        what = f'does not fit this model: {reason}'
      raise InputError(f'{folder / str(step)} {what}') from error
    for (path, want), got in zip(jax.tree.leaves_with_path(example), jax.tree.leaves(restored), strict=True):
      if np.shape(want) != np.shape(got):
        name = jax.tree_util.keystr(path)
        raise InputError(
          f'{folder / str(step)} is of another shape: {name} is {np.shape(got)} there and {np.shape(want)} here'
        )
    restored = jax.tree.map(np.asarray, restored)
    wanted = restored.pop(_CHECKSUM, None)
    if wanted is not None and not np.array_equal(wanted, checksum(restored)):
      raise InputError(f'{folder / str(step)} is damaged: copy the run again, or start in another --workdir (checksum)')
    return restored


def checksum(tree: Any) -> np.ndarray:
  """uint32[2], of the bytes of a tree of arrays: orbax does not see where they were changed."""
  digest = hashlib.blake2b(digest_size=8)
  for leaf in jax.tree.leaves(tree):
    digest.update(np.ascontiguousarray(leaf))
  return np.frombuffer(digest.digest(), np.uint32)


def _zeros(leaf):
  """An array, or its shape, or a number of Python's -> an array of zeros like it."""
  return np.zeros(leaf.shape, leaf.dtype) if hasattr(leaf, 'dtype') else np.zeros((), type(leaf))
