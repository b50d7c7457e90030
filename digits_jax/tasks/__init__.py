"""The table of tasks: name -> module that makes one."""

import dataclasses

from digits_jax.errors import check_name
from digits_jax.tasks import classify, read_ctc, read_multidigit
from digits_jax.tasks.base import Task

TASKS = {'read_ctc': read_ctc, 'read_multidigit': read_multidigit, 'classify': classify}


def make(name: str, **options) -> Task:
  """The task called `name`; of the options it gets the fields of its module's MODEL and those that OPTIONS names.

  Raises InputError, with a suggestion, where there is none of that name.
  """
  check_name('config.task', name, TASKS)
  task = TASKS[name]
  names = ('alphabet', *task.OPTIONS, *(field.name for field in dataclasses.fields(task.MODEL)))
  return task.make(**{option: options[option] for option in names if option in options})
