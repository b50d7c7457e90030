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

import functools
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
  if out := folder():
    out.mkdir(parents=True, exist_ok=True)
  timers = TIMERS | {'step': functools.partial(step, time.perf_counter())}
  for part in PARTS if arguments[0] == 'all' else arguments:
    show(timers[part], out)
  return 0


def folder():
  """Where --out wants the files, or None."""
  return pathlib.Path(_OUT.value) if _OUT.value else None


def show(timer, out):
  """Measures one part, prints its table and writes its files."""
  from digits_jax.benchmark import report

  found, table = timer()
  print(table, flush=True)
  if out:
    report.write(out, found)
    print(f'written: {out}/{found["name"]}.json and .csv')
  print()


def start():
  """Seconds to the first training step. Returns the figures and their table."""
  from digits_jax.benchmark import start

  found = start.measure(repeats=min(_REPEATS.value, 3))
  return found, start.table(found)


def synth():
  """Images drawn a second. Returns the figures and their table."""
  from digits_jax.benchmark import synth

  found = synth.measure(config(), batches=whole_numbers('batches', _BATCHES.value), repeats=_REPEATS.value)
  return found, synth.table(found)


def step(began):
  """A training step, within --seconds of `began` (of time.perf_counter). Returns the figures and their table."""
  from digits_jax.benchmark import report, step

  out = folder()
  found = step.measure(
    config(),
    batches=whole_numbers('batches', _BATCHES.value),
    repeats=_REPEATS.value,
    began=began,
    seconds=_SECONDS.value,
    save=(lambda found: report.write(out, found)) if out else (lambda found: None),
  )
  return found, step.table(found)


def loss():
  """CTC loss and gradient. Returns the figures and their table."""
  from digits_jax.benchmark import loss

  found = loss.measure(repeats=_REPEATS.value)
  return found, loss.table(found)


def decode():
  """CTC beam search. Returns the figures and their table."""
  from digits_jax.benchmark import decode

  beams = whole_numbers('widths', _WIDTHS.value)
  found = decode.measure(_WORKDIR.value, batch=_SEQUENCES.value, beams=beams, repeats=_REPEATS.value)
  return found, decode.table(found)


TIMERS = {'start': start, 'synth': synth, 'loss': loss, 'decode': decode}  # beside step, which is told when all began


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
