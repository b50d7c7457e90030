"""Flags by which several processes of `main` find each other, the joining of them, and how one that fails leaves."""

import contextlib
import os
import re
import socket
import sys
import threading
import time
import traceback

from absl import flags

from digits_jax.errors import InputError

_DISTRIBUTED = flags.DEFINE_bool('distributed', False, 'Several processes: find them as Slurm or a TPU pod tells.')
_COORDINATOR = flags.DEFINE_string('coordinator', None, 'Several processes by hand: HOST:PORT of process 0.')
_PROCESSES = flags.DEFINE_integer('processes', None, 'How many processes, with --coordinator.', 1)
_PROCESS_ID = flags.DEFINE_integer('process_id', None, 'Which one this is, from 0, with --coordinator.', 0)
LONGEST_WAIT = 300  # seconds, for process 0 to answer; jax waits as long for all the others
SILENT_WAIT = 5  # seconds, before the first word of it
LONGEST_LEAVE = 5  # seconds, for the others to end as well where this one fails


def connect():
  """Joins the other processes, where flags say that there are some.

  Raises InputError where the flags do not make sense, and where process 0 cannot listen or does not answer.
  """
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
    host, _, port = _COORDINATOR.value.rpartition(':')
    if int(port) > 65535:
      raise InputError(f'--coordinator={_COORDINATOR.value}: ports go to 65535')
    if _PROCESS_ID.value == 0:
      check_port(int(port))
    else:
      wait_for_lead(host.strip('[]'), int(port))  # [...] is an address of IPv6
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
  except OSError as error:
    raise InputError(
      f'--coordinator={_COORDINATOR.value}: process 0 cannot listen on that port ({error.strerror}); give another, or '
      'end the run that has it'
    ) from error


def wait_for_lead(host, port):
  """Returns once process 0 listens there. Raises InputError after LONGEST_WAIT: jax would abort."""
  began, is_said = time.monotonic(), False
  while True:
    try:
      return socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
      waited = time.monotonic() - began
      if waited > LONGEST_WAIT:
        raise InputError(
          f'--coordinator={_COORDINATOR.value}: process 0 does not answer there ({error.strerror or error}); start it, '
          'or give its HOST:PORT'
        ) from error
      if waited > SILENT_WAIT and not is_said:
        is_said = True
        print(f'waiting for process 0 at {_COORDINATOR.value} ...', file=sys.stderr, flush=True)
      time.sleep(0.5)


def join(*where):
  """jax.distributed.initialize, with SIGTERM left to the training loop."""
  import jax

  jax.config.update('jax_enable_preemption_service', False)
  jax.distributed.initialize(*where)


@contextlib.contextmanager
def leaving():
  """Around all that a process does: where it fails once it has joined others, it leaves within LONGEST_LEAVE.

  At exit jax waits for all processes, five minutes long where they go on without this one, and then aborts with another
  exit code.
  """
  try:
    yield
  except BaseException as error:
    jax, is_exit = sys.modules.get('jax'), isinstance(error, SystemExit)
    code = error.code if is_exit else 1
    if not code or jax is None or not jax.distributed.is_initialized():
      raise
    if not is_exit:
      traceback.print_exc()
    with contextlib.suppress(OSError):  # a full disk
      print(end='', flush=True)
      print(end='', file=sys.stderr, flush=True)
    others = threading.Thread(target=jax.distributed.shutdown, daemon=True)  # all may be refused, and end together
    others.start()
    others.join(LONGEST_LEAVE)
    os._exit(code)
