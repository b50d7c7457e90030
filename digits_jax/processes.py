"""Flags by which several processes of `main` find each other, and the joining of them."""

import re
import socket

from absl import flags

from digits_jax.errors import InputError

_DISTRIBUTED = flags.DEFINE_bool('distributed', False, 'Several processes: find them as Slurm or a TPU pod tells.')
_COORDINATOR = flags.DEFINE_string('coordinator', None, 'Several processes by hand: HOST:PORT of process 0.')
_PROCESSES = flags.DEFINE_integer('processes', None, 'How many processes, with --coordinator.', 1)
_PROCESS_ID = flags.DEFINE_integer('process_id', None, 'Which one this is, from 0, with --coordinator.', 0)


def connect():
  """Joins the other processes, where flags say that there are some."""
  by_hand = (_COORDINATOR.value, _PROCESSES.value, _PROCESS_ID.value)
  if any(value is not None for value in by_hand):
    if None in by_hand or _DISTRIBUTED.value:
      raise InputError(
        '--coordinator, --processes and --process_id belong together: give all three, without --distributed'
      )
    if not _PROCESS_ID.value < _PROCESSES.value:
      raise InputError(f'--process_id={_PROCESS_ID.value} is not one of --processes={_PROCESSES.value}, from 0')
    if not re.fullmatch(r'.+:\d{1,5}', _COORDINATOR.value):
      raise InputError(f'--coordinator={_COORDINATOR.value} is not HOST:PORT, such as host0:9876')
    if _PROCESS_ID.value == 0:
      check_port(int(_COORDINATOR.value.rpartition(':')[2]))
    join(_COORDINATOR.value, _PROCESSES.value, _PROCESS_ID.value)
  elif _DISTRIBUTED.value:
    try:
      join()
    except ValueError as error:
      raise InputError(
        f'--distributed finds neither Slurm nor a TPU pod here ({error}): give --coordinator, --processes, --process_id'
      ) from error


def check_port(port):
  """Raises InputError where process 0 cannot listen: gRPC would end all of it by a segmentation fault."""
  try:
    socket.create_server(('', port)).close()
  except (OSError, OverflowError) as error:
    reason = error.strerror if isinstance(error, OSError) else 'ports go to 65535'
    raise InputError(
      f'--coordinator={_COORDINATOR.value}: process 0 cannot listen on that port ({reason}); give another, or end the '
      'run that has it'
    ) from error


def join(*where):
  """jax.distributed.initialize, with SIGTERM left to the training loop."""
  import jax

  jax.config.update('jax_enable_preemption_service', False)
  jax.distributed.initialize(*where)
