"""The table of tasks: name -> module that makes one."""

import dataclasses
from types import ModuleType

from digits_jax.errors import InputError, check_name
from digits_jax.tasks import classify, read_ctc, read_multidigit
from digits_jax.tasks.base import Task

TASKS = {'read_ctc': read_ctc, 'read_multidigit': read_multidigit, 'classify': classify}


def make(name: str, **options) -> Task:
  """The task called `name`; of the options it gets the fields of its module's MODEL and those that OPTIONS names.

  Raises InputError, with a suggestion, where there is none of that name, and on an option that no task takes.
  """
  check_name('config.task', name, TASKS)
  if unknown := sorted(set(options).difference(*map(options_of, TASKS.values()))):
    raise InputError(
      f'config.model.{unknown[0]}: no model has a field of this name (in digits_jax/models), and no task an option'
    )
  return TASKS[name].make(**{option: options[option] for option in options_of(TASKS[name]) if option in options})


def options_of(task: ModuleType) -> tuple[str, ...]:
  """What the `make` of a module of TASKS takes."""
  return ('alphabet', *task.OPTIONS, *(field.name for field in dataclasses.fields(task.MODEL)))
