"""The shared entry of every command: flags, the environment that jax reads at import, errors as one sentence.

Assumes that nothing has imported jax yet: commands import their heavy modules inside their main function.
Exit codes: 0 done, 1 the data had faults (a command says which), 2 the user can put it right, 130 Ctrl-C,
141 a closed pipe, 143 SIGTERM.
"""

import errno
import functools
import os
import pathlib
import re
import sys
from collections.abc import Callable, Sequence

from absl import flags, logging

from digits_jax import cpu, flag_errors
from digits_jax.errors import InputError, first_line

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


class _PathParser(flags.ArgumentParser):
  """Text in which ~ is the home directory: in --flag=~/file a shell leaves it as it is."""

  syntactic_help = 'a path'

  def parse(self, argument):
    if argument.startswith('--'):  # the flag that follows
      raise ValueError('it takes a path')
    return os.path.expanduser(super().parse(argument))

  def flag_type(self):
    return 'string'


class _NumbersParser(flags.ListParser):
  """Numbers with commas between them."""

  syntactic_help = 'numbers'

  def parse(self, argument):
    try:
      return [float(number) for number in super().parse(argument)]
    except ValueError as error:
      raise ValueError('it takes numbers, such as 1.08,1.16') from error


def path_flag(name: str, help_text: str) -> flags.FlagHolder:
  """A flag that names a file or a folder, and is None where it is not given."""
  return flags.DEFINE(_PathParser(), name, None, help_text, serializer=flags.ArgumentSerializer(), allow_override=True)


@functools.cache
def config_flag() -> flags.FlagHolder:
  """The --config of the commands that take an experiment, defined once, so that one process may import them all."""
  from ml_collections import config_flags

  return config_flags.DEFINE_config_file(
    'config', None, 'The experiment: configs/NAME.py or configs/NAME.py:ARGUMENT.', flag_values=flags.FLAGS
  )


def workdir_flag(help_text: str = 'Run directory, or a file of weights.') -> flags.FlagHolder:
  """The --workdir of the commands that take a run; some say more of it."""
  return path_flag('workdir', help_text)


def reader_flag() -> flags.FlagHolder:
  """The --workdir of the commands that read with the reader that comes with the package where none is named."""
  return workdir_flag(
    'Run directory, or a file of weights; without it, the reader of house numbers that comes with the package.'
  )


def reader_path(flag: flags.FlagHolder) -> str | None:
  """What it names, for `reading.trained.load`; says so where it names none. Raises InputError where it is empty."""
  if flag.value == '':
    raise InputError('--workdir is empty: name a run, or leave it out to read house numbers')
  if flag.value is None:
    note = 'read by the reader of house numbers that comes with the package; --workdir=RUN names another'
    print(note, file=sys.stderr)
  return flag.value


def out_flag(help_text: str) -> flags.FlagHolder:
  """The --out of the commands that write what they are asked for; each says what it writes."""
  return path_flag('out', help_text)


def zooms_flag() -> flags.FlagHolder:
  """The --zooms of the commands that read with a run: what `reading.trained.load` takes, and checks."""
  return flags.DEFINE(
    _NumbersParser(),
    'zooms',
    None,
    'From how many times as far away each image is looked at too, such as 1.08,1.16; empty for none. The temperature '
    "stays that of the run's own zooms, which are the default.",
    serializer=flags.CsvListSerializer(','),
    allow_override=True,
  )


def length_flags(of: str = '') -> tuple[flags.FlagHolder, flags.FlagHolder, flags.FlagHolder]:
  """--length, --min_length, --max_length of the commands that read with limits; of: begins their help."""
  define = functools.partial(flags.DEFINE_integer, default=None, allow_override=True)
  return (
    define('length', help=f'{of}Symbols that every reading has.', lower_bound=1),
    define('min_length', help=f'{of}Symbols that it has at least.', lower_bound=0),
    define('max_length', help=f'{of}Symbols that it has at most.', lower_bound=1),
  )


def lengths(length, min_length, max_length) -> tuple[int, int | None]:
  """(least, most) that these flags ask for, None: no limit. Raises InputError where they contradict each other."""
  low, high, both = min_length.value, max_length.value, length.value
  if both is not None and (low is not None or high is not None):
    raise InputError('--length sets both ends: give it alone, or --min_length and --max_length')
  if low is not None and high is not None and low > high:
    raise InputError(f'--min_length={low} is more than --max_length={high}')
  return (both, both) if both is not None else (low or 0, high)


def run_directory(flag: flags.FlagHolder) -> str:
  """What --workdir names. Raises InputError where it is not given, of the commands that need one."""
  if not flag.value:
    raise InputError('which run? Give its directory as --workdir=RUN')
  return flag.value


def check_file(flag: str, path: str | None, suffix: str) -> None:
  """Raises InputError, before any work, where the file that a flag ('' for none) asks for cannot be written."""
  if path is None:
    return
  asked = f'{flag}={path}' if flag else path
  parent = os.path.dirname(os.path.abspath(path))
  if not path.lower().endswith(suffix) or os.path.isdir(path):
    raise InputError(f'{asked}: give the name of a file that ends with {suffix}')
  if not os.path.isdir(parent) or not os.access(parent, os.W_OK):
    raise InputError(f'{asked}: there is no folder {parent} that can be written to')
  if os.path.exists(path) and not os.access(path, os.W_OK):
    raise InputError(f'{asked}: that file cannot be written to; choose another name')


def check_table(flag: str, path: str | None, columns: str) -> None:
  """As `check_file`, of a CSV file with these columns; raises InputError, too, where one of others is there."""
  check_file(flag, path, '.csv')
  if path is not None and os.path.exists(path):
    with open(path, errors='replace') as file:
      if file.readline().strip() != columns:
        raise InputError(f'{flag}={path}: that file is there already and has other columns; choose another name')


def check_sheet(flag: str, path: str | None) -> None:
  """As `check_file`, of a sheet of images; raises InputError, too, where it would take the place of another picture."""
  from digits_jax import drawing

  check_file(flag, path, '.png')
  if path is not None and os.path.exists(path) and not drawing.is_ours(path):  # as from `--gallery *.png`
    raise InputError(f'{flag}={path}: that file is there already and no sheet of this program; choose another name')


def experiment_config():
  """What --config names, with the changes that other flags make to it. Raises InputError where it is not given."""
  config = config_flag().value
  if config is None and flags.FLAGS['config'].present:
    raise InputError('the get_config of this --config returns nothing: end it with `return config`')
  if config is None:
    raise InputError('which experiment? Give --config=configs/fonts.py:quick, or another file of configs/')
  return config


def run(main: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> None:
  """Parses the flags, prepares the environment, calls main(positional arguments) and exits with its code.

  InputError, a bad flag or config field, no memory, and a file that the system refuses, or has no room for, become one
  sentence on stderr and exit code 2. Anything else is a defect of ours and keeps its traceback.
  """
  sys.exit(_run(main, list(sys.argv if argv is None else argv)))


def _run(main, argv):
  program = _program(argv[0])
  flags.FLAGS.set_default('stderrthreshold', 'error')
  if sys.stderr is None:  # closed: what is meant for it must not go to stdout
    sys.stderr = open(os.devnull, 'w')  # noqa: SIM115  it stays open
  if hasattr(sys.stdout, 'reconfigure'):  # paths need not be valid UTF-8: their bytes are written as they came
    sys.stdout.reconfigure(encoding=sys.getfilesystemencoding(), errors='surrogateescape')
  try:
    positional = _parse(argv, program)
    if positional is None:
      return 0
    _prepare_environment()
    return main(positional) or 0
  except InputError as error:
    print(f'{program}: {_of_flags(str(error))}', file=sys.stderr)
    return 2
  except BrokenPipeError:  # stdout was closed early, as by `| head`
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141  # as a shell names the end by a closed pipe
  except RuntimeError as error:
    reason = first_line(error)
    if 'RESOURCE_EXHAUSTED' not in reason:  # as jax says it
      raise
    remedy = 'use smaller batches (config.batch_size, config.evaluation.batch_size) or smaller images'
    if 'beams' in flags.FLAGS and flags.FLAGS['beams'].present:
      remedy = 'give fewer --beams'
    print(f'{program}: no memory is left ({reason}): {remedy}', file=sys.stderr)
    return 2
  except OSError as error:
    if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):  # not of a file
      raise
    print(f'{program}: {error.strerror}' + f': {error.filename}' * (error.filename is not None), file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print(f'{program}: interrupted', file=sys.stderr)
    return 130


def _of_flags(message):
  """What is said of a config's field is said of the flag that was given in its place: --zooms, --decoder."""
  given = [name for name in ('zooms', 'decoder') if name in flags.FLAGS and flags.FLAGS[name].present]
  for name in given:
    message = re.sub(rf'(?<![-\w])config\.evaluation\.{name}\b', f'--{name}', message)
  return message


def _program(script):
  """What a person typed to start it."""
  spec = getattr(sys.modules['__main__'], '__spec__', None)
  if spec is not None and spec.origin == script:
    return f'python -m {spec.name.removesuffix(".__main__")}'
  if os.path.isfile(script):
    return f'python {script}'
  return f'python -m digits_jax.{script.removesuffix(".py")}'


def _parse(argv, program):
  """Positional arguments, or None where help was printed. Raises InputError on a bad flag."""
  if any(argument in ('-h', '-help', '--help', '--helpfull') for argument in argv[1:]):
    module = sys.modules['__main__']
    print((module.__doc__ or '').strip(), end='\n\n')
    print(flags.FLAGS.module_help(module))
    print(flags.FLAGS.module_help(sys.modules[__name__]))
    return None
  flag_errors.check_config_file(argv)
  sys.path.append(str(pathlib.Path(__file__).parents[1]))  # a config anywhere may import those of this checkout
  try:
    return flags.FLAGS(argv)[1:]
  except flags.UnrecognizedFlagError as error:
    raise InputError(f'{error} (see {program} --help)') from error
  except Exception as error:  # a config file is the user's own code: whatever it raises is theirs to put right
    raise InputError(flag_errors.explain(error, argv)) from error


def _prepare_environment():
  """Sets what jax and XLA read once, at import."""
  logging.set_verbosity(logging.WARNING)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  if _MEMORY_FRACTION.value is not None and not _PREALLOCATE.value:
    raise InputError('--memory_fraction has no effect without --preallocate: give both or neither')
  if _PREALLOCATE.present:
    os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'true' if _PREALLOCATE.value else 'false'
  else:
    os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  if _MEMORY_FRACTION.value is not None:
    os.environ['XLA_PYTHON_CLIENT_MEM_FRACTION'] = str(_MEMORY_FRACTION.value)
  cpu.prepare()
  if _CPU_DEVICES.value:
    flag = f' --xla_force_host_platform_device_count={_CPU_DEVICES.value}'
    os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + flag
  cache = _COMPILATION_CACHE.value
  if cache is None:
    cache = os.environ.get('JAX_COMPILATION_CACHE_DIR', os.path.expanduser('~/.cache/digits_jax/xla'))
  if cache:
    cache = os.path.expanduser(cache)
    os.environ['JAX_COMPILATION_CACHE_DIR'] = cache
    os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.2')
    os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES', '-1')
  else:
    os.environ.pop('JAX_COMPILATION_CACHE_DIR', None)
