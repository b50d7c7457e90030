"""The shared entry of every command: flags, the environment that jax reads at import, errors as one sentence.

Assumes that nothing has imported jax yet: commands import their heavy modules inside their main function.
Exit codes: 0 done, 1 the data had faults (a command says which), 2 the user can put it right, 130 Ctrl-C.
"""

import os
import sys
from collections.abc import Callable, Sequence

from absl import flags, logging

from digits_jax.errors import InputError

_PREALLOCATE = flags.DEFINE_bool(
  'preallocate', False, 'Let jax take most of the GPU memory at start (faster allocation, selfish on a shared GPU).'
)
_MEMORY_FRACTION = flags.DEFINE_float(
  'memory_fraction', None, 'Share of the GPU memory that --preallocate takes; None: jax decides.', 0.01, 1.0
)
_CPU_DEVICES = flags.DEFINE_integer(
  'cpu_devices', None, 'Split the CPU into this many devices, to try multi-device runs without a GPU.', 1
)
_COMPILATION_CACHE = flags.DEFINE_string(
  'compilation_cache',
  None,
  'Folder of compiled programs, so that a second start is quick; "" turns it off. Default: '
  '$JAX_COMPILATION_CACHE_DIR, else ~/.cache/digits_jax/xla.',
)


def run(main: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> None:
  """Parses the flags, prepares the environment, calls main(positional arguments) and exits with its code.

  InputError, a bad flag or config field, and an unwritable or missing file become one sentence on stderr and
  exit code 2. Anything else is a defect of ours and keeps its traceback.
  """
  sys.exit(_run(main, list(sys.argv if argv is None else argv)))


def _run(main, argv):
  program = f'python -m digits_jax.{os.path.basename(argv[0]).removesuffix(".py")}'
  flags.FLAGS.set_default('stderrthreshold', 'error')
  try:
    positional = _parse(argv, program)
    if positional is None:
      return 0
    _prepare_environment()
    return main(positional) or 0
  except InputError as error:
    print(f'{program}: {error}', file=sys.stderr)
    return 2
  except (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError) as error:
    if error.filename is None:
      raise
    print(f'{program}: {error.strerror}: {error.filename}', file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print(f'{program}: interrupted', file=sys.stderr)
    return 130


def _parse(argv, program):
  """Positional arguments, or None where help was printed. Raises InputError on a bad flag."""
  if any(argument in ('-h', '-help', '--help', '--helpfull') for argument in argv[1:]):
    module = sys.modules['__main__']
    print((module.__doc__ or '').strip(), end='\n\n')
    print(flags.FLAGS.module_help(module))
    print(flags.FLAGS.module_help(sys.modules[__name__]))
    return None
  try:
    return flags.FLAGS(argv)[1:]
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError, FileNotFoundError, OSError) as error:
    # ml_collections raises the plain kinds for a config field that does not exist or has another type.
    message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    raise InputError(f'{message} (see {program} --help)') from error


def _prepare_environment():
  """Sets what jax and XLA read once, at import."""
  logging.set_verbosity(logging.WARNING)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  if _MEMORY_FRACTION.value is not None and not _PREALLOCATE.value:
    raise InputError('--memory_fraction has no effect without --preallocate: give both or neither')
  os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'true' if _PREALLOCATE.value else 'false'
  if _MEMORY_FRACTION.value is not None:
    os.environ['XLA_PYTHON_CLIENT_MEM_FRACTION'] = str(_MEMORY_FRACTION.value)
  if _CPU_DEVICES.value:
    flag = f' --xla_force_host_platform_device_count={_CPU_DEVICES.value}'
    os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + flag
  cache = _COMPILATION_CACHE.value
  if cache is None:
    cache = os.environ.get('JAX_COMPILATION_CACHE_DIR', os.path.expanduser('~/.cache/digits_jax/xla'))
  if cache:
    os.environ['JAX_COMPILATION_CACHE_DIR'] = cache
    os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.2')
    os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES', '-1')
  else:
    os.environ.pop('JAX_COMPILATION_CACHE_DIR', None)
