"""The table of tasks: name -> module that makes one."""


from digits_jax.errors import check_name
from digits_jax.tasks import classify, read_ctc, read_multidigit
from digits_jax.tasks.base import Task

TASKS = {'read_ctc': read_ctc, 'read_multidigit': read_multidigit, 'classify': classify}


def make(name: str, **options) -> Task:
  """The task called `name`; of the options it gets those that its module's OPTIONS and FIELDS name.

  Raises InputError, with a suggestion, where there is none of that name.
  """
  check_name('config.task', name, TASKS)
  task = TASKS[name]
  names = ('alphabet', *task.OPTIONS, *task.FIELDS)
  return task.make(**{option: options[option] for option in names if option in options})
