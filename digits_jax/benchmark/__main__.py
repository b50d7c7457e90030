"""Times parts of the package beside their peers, as many of those as are installed (pip install 'digits_jax[peers]').

python -m digits_jax.benchmark all --out=DIR
python -m digits_jax.benchmark decode --workdir=runs/quick

synth: images a second of our generator beside two of NumPy and Pillow that draw the same plates.
step: a training step beside the same network in Keras and PyTorch; what synthesis takes of it; how far the device goes.
loss: CTC loss and gradient beside optax's and PyTorch's.
decode: CTC beam search over the test images of a trained run (without --workdir: over made-up logits, and said so):
sequences a second, latency of one sequence, and how often each peer reads what ours reads.
start: seconds from the start of a process to its first training step, and of imports.
all: each of these, the step last, which gets what is left of --seconds. Config files are looked for from the current
folder: start in that of the project.
"""

import concurrent.futures
import functools
import importlib
import math
import multiprocessing
import pathlib
import time

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

PARTS = ('start', 'synth', 'loss', 'decode', 'step')

command.config_flag()
_WORKDIR = command.workdir_flag()
_OUT = command.out_flag('Folder for NAME.json and NAME.csv of each part.')
_BATCHES = flags.DEFINE_list('batches', ['64', '256'], 'synth, step: images in one step.')
_SEQUENCES = flags.DEFINE_integer('sequences', 2048, 'decode: sequences decoded together.', lower_bound=1)
_WIDTHS = flags.DEFINE_list('widths', ['10', '25', '100'], 'decode: widths of the search.')
_REPEATS = flags.DEFINE_integer(
  'repeats', 5, 'Timed repetitions of each, after one that is not timed; start: at most 3, all timed.', lower_bound=1
)
_SECONDS = flags.DEFINE_float(
  'seconds',
  None,
  'After which step begins no other comparison, counted from the start of all parts; None: 240 on a GPU, any on a CPU.',
  lower_bound=0,
)

CONFIG = 'configs/fonts.py:quick'  # where --config is not given


def main(arguments):
  """Raises InputError on an unknown part or flags without sense."""
  if len(arguments) != 1 or arguments[0] not in (*PARTS, 'all'):
    given = f'not {" ".join(arguments)!r}' if arguments else 'for example: python -m digits_jax.benchmark step'
    raise InputError(f'name one part to time, {", ".join(PARTS)} or all, {given}')
  whole_numbers('widths', _WIDTHS.value)
  whole_numbers('batches', _BATCHES.value)
  if _SECONDS.value is not None and math.isnan(_SECONDS.value):
    raise InputError('--seconds=nan: give a number of seconds, or leave it out')
  if _WORKDIR.value == '':
    raise InputError('--workdir is empty: name a run, or leave it out to decode made-up logits')
  if arguments[0] == 'all' and _WORKDIR.value:
    check_run(_WORKDIR.value)
  out, began = pathlib.Path(_OUT.value) if _OUT.value else None, time.perf_counter()
  if out:
    out.mkdir(parents=True, exist_ok=True)
  for part in PARTS if arguments[0] == 'all' else arguments:
    found, table = measure(part, began, out)
    print(table, flush=True)
    write(out, found)
    if out:
      print(f'written: {out}/{found["name"]}.json and .csv')
    print()
  return 0


def check_run(workdir):
  """Raises InputError where `decode` cannot use the run. In a process of its own: `start` needs the device free."""
  from digits_jax.benchmark import decode

  with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
    pool.submit(decode.check_run, workdir, _SEQUENCES.value).result()


def measure(part, began, out):
  """The figures of one part and their table; began: when the first one did, of time.perf_counter."""
  module = importlib.import_module(f'digits_jax.benchmark.{part}')
  repeats = _REPEATS.value
  if part == 'start':
    found = module.measure(repeats=min(repeats, 3))
  elif part == 'synth':
    found = module.measure(config(), batches=whole_numbers('batches', _BATCHES.value), repeats=repeats)
  elif part == 'loss':
    found = module.measure(repeats=repeats)
  elif part == 'decode':
    beams = whole_numbers('widths', _WIDTHS.value)
    found = module.measure(_WORKDIR.value, batch=_SEQUENCES.value, beams=beams, repeats=repeats)
  else:
    batches, save = whole_numbers('batches', _BATCHES.value), functools.partial(write, out)
    found = module.measure(
      config(), batches=batches, repeats=repeats, began=began, seconds=_SECONDS.value, save=save
    )
  return found, module.table(found)


def write(out, found):
  """The files of one part's figures, where --out wants any."""
  from digits_jax.benchmark import report

  if out:
    report.write(out, found)


def config():
  """What --config names, else CONFIG. Raises InputError where the latter is not there."""
  if command.config_flag().value is not None:
    return command.config_flag().value
  path = pathlib.Path(CONFIG.split(':')[0])
  if not path.is_file():
    raise InputError(f'there is no {path} here: start in the folder of the project, or give --config=FILE')
  return flags.FLAGS['config'].parser.parse(CONFIG)


def whole_numbers(name, words):
  """The list that the flag holds. Raises InputError on anything but numbers of 1 and more."""
  if not words or not all(word.isdecimal() and int(word) for word in words):
    example = ','.join(flags.FLAGS[name].default)
    raise InputError(f'--{name}={",".join(words)} is no list of whole numbers such as {example}')
  return [int(word) for word in words]


if __name__ == '__main__':
  command.run(main)
