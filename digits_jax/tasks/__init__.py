"""The table of tasks: name -> function that makes one."""

import difflib

from digits_jax.errors import InputError
from digits_jax.tasks import read_ctc
from digits_jax.tasks.base import Task

TASKS = {'read_ctc': read_ctc.make}


def make(name: str, **options) -> Task:
  """The task called `name`; raises InputError, with a suggestion, where there is none."""
  if name not in TASKS:
    near = difflib.get_close_matches(name, TASKS, 1)
    hint = f'did you mean {near[0]!r}?' if near else f'the tasks are {", ".join(TASKS)}'
    raise InputError(f'config.task: there is no task {name!r}; {hint}')
  return TASKS[name](**options)
