"""A trained reader as one file: its config, its parameters in half precision, its temperature.

The file is NumPy's .npz: `about`, JSON as bytes, and one array of float16 a parameter, named by its path. Half
precision halves the file and rounds each parameter to 11 bits. The config leaves out where data lie on the machine that
trained it. Nothing in the file is ever run: it holds numbers and text.
"""

import json
import pathlib
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from flax import traverse_util

from digits_jax.errors import InputError

SHIPPED = pathlib.Path(__file__).parents[1] / 'pretrained' / 'street.npz'  # house numbers; experiments/street
LIMIT = 512 * 2**20  # bytes that a file may unpack to
_ABOUT = 'about'
_PARAMS = 'params'
_PATHS = ('font_dir', 'test_font_dir', 'folder', 'data_dir', 'glyph_path')  # of config.data


def write(
  path: pathlib.Path,
  *,
  config: dict,
  params: Any,
  step: int,
  temperature: float,
  left_out: Sequence[str] = (),
  is_calibrated: bool = True,
) -> None:
  """Writes the file. Raises InputError on a parameter that half precision cannot hold.

  left_out: names of the path fields that are empty already, where the config is from such a file itself.
  """
  fields = [*left_out, *(f'config.data.{name}' for name in _PATHS if config['data'].get(name))]
  config = config | {'init_from': '', 'init_subtrees': ()}
  config['data'] = config['data'] | dict.fromkeys(_PATHS, '')
  arrays = {}
  for name, leaf in traverse_util.flatten_dict({_PARAMS: params}, sep='/').items():
    with np.errstate(over='ignore'):
      arrays[name] = np.asarray(leaf).astype(np.float16)
    if not np.isfinite(arrays[name]).all():
      raise InputError(f'{name} has values that half precision cannot hold')
  about = {'config': config, 'left_out': fields, 'step': step, 'temperature': temperature}
  about |= {'is_calibrated': is_calibrated}
  with path.open('wb') as file:  # np.savez gives a path another ending
    np.savez(file, **{_ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)}, **arrays)


def read_about(path: pathlib.Path) -> dict:
  """{'config': as in a run's config.json, 'left_out': names of fields, 'step', 'temperature', 'is_calibrated'}.

  Raises InputError on what is no such file.
  """
  found = _arrays(path).get(_ABOUT, np.zeros(0, np.uint8))
  try:
    about = json.loads(found.tobytes())
    config, step, temperature = dict(about['config']), int(about['step']), float(about['temperature'])
    left_out, is_calibrated = tuple(map(str, about['left_out'])), bool(about.get('is_calibrated', True))
  except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
    raise InputError(f'{path} is not what `python -m digits_jax.export --format=weights` writes') from error
  check_temperature(path, temperature)
  about = {'config': config, 'left_out': left_out, 'step': step, 'temperature': temperature}
  return about | {'is_calibrated': is_calibrated}


def read_params(path: pathlib.Path) -> Any:
  """The parameters, float32, nested as they were written. Raises InputError on what is no such file."""
  arrays = {name: array for name, array in _arrays(path).items() if name.startswith(f'{_PARAMS}/')}
  if not arrays or any(array.dtype != np.float16 for array in arrays.values()):
    raise InputError(f'{path} is not what `python -m digits_jax.export --format=weights` writes')
  if broken := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
    raise InputError(f'{path} is damaged: {broken[0]} holds values that are not finite')
  try:
    nested = traverse_util.unflatten_dict({name: array.astype(np.float32) for name, array in arrays.items()}, sep='/')
  except (IndexError, TypeError) as error:  # one name within another
    raise InputError(f'{path} is damaged: its parameters are not a tree') from error
  return nested[_PARAMS]


def check_temperature(path: pathlib.Path, temperature: float) -> None:
  """Raises InputError unless outputs can be divided by it in float32."""
  with np.errstate(over='ignore'):
    divisor = np.float32(temperature)
  if not (np.isfinite(divisor) and divisor > 0):
    raise InputError(f'{path} is damaged: a temperature of {temperature}')


def check_unpacked_size(path: pathlib.Path, archive: zipfile.ZipFile) -> None:
  """Raises InputError where the archive at path says that it unpacks to more than LIMIT bytes."""
  if sum(member.file_size for member in archive.infolist()) > LIMIT:
    raise InputError(f'{path} unpacks to more than {LIMIT // 2**20} MiB, more than any reader has')


def _arrays(path):
  """{name: array} of a file that unpacks to no more than LIMIT bytes."""
  try:
    with zipfile.ZipFile(path) as archive:
      check_unpacked_size(path, archive)
    with np.load(path, allow_pickle=False) as file:
      arrays = {name: file[name] for name in file.files}
    if strange := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
      raise ValueError(f'{strange[0]} is no array')
    return arrays
  except InputError:
    raise
  # Whatever a damaged file makes of its compression, flags and headers.
  except (OSError, EOFError, ValueError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
    raise InputError(f'{path} cannot be read as a file of weights: {error}') from error
