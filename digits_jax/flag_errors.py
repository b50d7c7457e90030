"""What is wrong with flags, in one sentence: a value, a field of the config, or the config file itself."""

import difflib
import glob
import os
import pathlib
import re
import traceback
from collections.abc import Sequence

from absl import flags

from digits_jax.errors import InputError, first_line, suggest

# What absl and ml_collections say of a value -> what a person wants to know.
_KINDS = {
  'invalid literal for int': 'it takes a whole number',
  'could not convert string to float': 'it takes a number',
  'Non-boolean argument': 'it takes true or false',
  'as a ConfigDict': 'it is a group of fields, changed one by one, as in --config.optim.learning_rate=1e-3',
}
_TYPES = {'int': 'a whole number', 'float': 'a number', 'str': 'text', 'bool': 'True or False', 'tuple': 'a tuple'}
_TYPES |= {'ConfigDict': 'a group of fields'}


def check_config_file(argv: Sequence[str]) -> None:
  """Raises InputError where --config names no file: ml_collections itself says so late, and at length."""
  argument = _config_argument(argv)
  if argument is None or os.path.isfile(path := argument.split(':', 1)[0]):
    return
  folder = os.path.dirname(path) or 'configs'
  names = sorted(os.path.basename(found) for found in glob.glob(os.path.join(folder, '*.py')) if _is_config(found))
  name = os.path.basename(path).removesuffix('.py') + '.py'
  if near := difflib.get_close_matches(name, names, 1, cutoff=0.75):
    hint = f'; did you mean {os.path.join(folder, near[0])}?'
  elif names:
    hint = f'; {folder} has {", ".join(names)}'
  else:
    hint = ': give --config=configs/NAME.py, seen from the current folder'
  raise InputError(f'there is no config file {path!r}{hint}')


def _is_config(path):
  return b'def get_config' in pathlib.Path(path).read_bytes()


def explain(error: Exception, argv: Sequence[str]) -> str:
  """One sentence on what parsing the flags raised: a value, a field, or the config file itself is wrong.

  ml_collections wraps errors of a config file in texts that hold whole tracebacks, so the first cause counts.
  """
  chain = [error]
  while following := chain[-1].__cause__ or chain[-1].__context__:
    chain.append(following)
  cause = chain[-1]
  path = (_config_argument(argv) or '').split(':', 1)[0]
  if isinstance(cause, InputError):
    return f'--config={_config_argument(argv)}: {cause}'
  if isinstance(cause, SyntaxError):
    if os.path.isfile(cause.filename or ''):
      return f'{cause.filename}, line {cause.lineno}: {cause.msg}'
    return f'{first_line(error).split(": ")[0].removeprefix("flag ")}: it is no Python value ({cause.msg})'  # of a flag
  lines = [f.lineno for e in chain for f in traceback.extract_tb(e.__traceback__) if path and f.filename == path]
  if lines:
    near = re.search(r'Did you mean "(\w+)" instead of "(\w+)"', str(chain))
    unknown = re.search(r'Key "(\w+)" does not exist', str(cause))
    reason = f'{type(cause).__name__}: {cause}'
    if cast := re.fullmatch(r"(.*) is of original type .* be casted to type <class '(?:[\w.]+\.)?(\w+)'>", str(cause)):
      reason = f'a field that holds {_TYPES.get(cast[2], cast[2])} is set to {cast[1]}'
    if isinstance(cause, ModuleNotFoundError) and cause.name == 'configs':
      reason += '; run this in the folder that holds configs/, or with PYTHONPATH set to it'
    if near or unknown:
      hint = f'did you mean {near[1]!r}?' if near else 'configs/common.py has all fields'
      reason = f'there is no config field {near[2] if near else unknown[1]!r}; {hint}'
    return f'{path}, line {lines[-1]}: {reason}'
  if 'get_config() takes' in str(cause):
    return f'{path} takes no argument after a colon'
  if 'get_config' in str(cause):
    return f'{path} is no config file: it has no function get_config'
  if isinstance(cause, KeyError | AttributeError):
    return _unknown_field(argv) or str(error)
  message = first_line(error).removeprefix('flag ')
  if early := re.match(r'Found (\S+) in argv before a value for --config', message):
    return f'{early[1]} changes a field of --config: give --config=FILE before it'
  if swallowed := re.match(r'(--[\w.]+)=(--\S+): ', message):
    return f'{swallowed[1]} has no value: what follows it is {swallowed[2]}'
  kind = next((kind for words, kind in _KINDS.items() if words in str(error)), None)
  return f'{message.split(": ")[0]}: {kind}' if kind else message


def _unknown_field(argv):
  """A sentence on the first --config.FIELD flag whose field does not exist; None where all do."""
  config = flags.FLAGS['config'].parser.parse(_config_argument(argv))
  for argument in argv:
    group, (start, *names) = config, argument.partition('=')[0].split('.')
    for name in names if start in ('--config', '-config') else ():
      known = list(group.keys()) if hasattr(group, 'keys') else []
      if name not in known:
        hint = suggest(name, known, None if known else 'there is none below it')
        return f'{argument}: there is no config field {name!r}; {hint}'
      group = group[name]
  return None


def _config_argument(argv):
  """What --config=FILE[:ARGUMENT] or --config FILE[:ARGUMENT] gives, or None."""
  for argument, following in zip(argv, [*argv[1:], ''], strict=True):
    name, equals, value = argument.partition('=')
    if name in ('--config', '-config'):
      return value if equals else following
  return None
