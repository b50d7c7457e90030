"""Times parts of the package beside their peers, as many of those as are installed (pip install 'digits_jax[peers]').

python -m digits_jax.benchmark decode --workdir=runs/quick

decode: CTC beam search over the test images of a trained run (without --workdir: over made-up logits, and said so):
sequences a second, latency of one sequence, and how often each peer reads what ours reads.
"""

import pathlib
import sys

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

KINDS = ('decode',)

_WORKDIR = command.workdir_flag()
_OUT = flags.DEFINE_string('out', None, 'Folder for NAME.json and NAME.csv.')
_BATCH = flags.DEFINE_integer('batch', 2048, 'Sequences decoded together.', lower_bound=1)
_BEAMS = flags.DEFINE_list('beams', ['10', '25', '100'], 'Widths of the search.')
_REPEATS = flags.DEFINE_integer('repeats', 5, 'Timed repetitions of each, after one that is not timed.', lower_bound=1)


def main(arguments):
  """Raises InputError on an unknown part or flags without sense."""
  if len(arguments) != 1 or arguments[0] not in KINDS:
    given = f'not {" ".join(arguments)!r}' if arguments else 'for example: python -m digits_jax.benchmark decode'
    raise InputError(f'name one part to time, {" or ".join(KINDS)}, {given}')
  try:
    beams = [int(width) for width in _BEAMS.value]
  except ValueError:
    beams = []
  if not beams or min(beams) < 1:
    raise InputError(f'--beams={",".join(_BEAMS.value)} is no list of widths such as 10,25,100')
  out = pathlib.Path(_OUT.value).expanduser() if _OUT.value else None
  if out:
    out.mkdir(parents=True, exist_ok=True)

  from digits_jax.benchmark import decode, report

  found = decode.measure(_WORKDIR.value, batch=_BATCH.value, beams=beams, repeats=_REPEATS.value)
  print(decode.table(found))
  if out:
    report.write(out, found)
    print(f'written: {out}/{found["name"]}.json and .csv')
  return 0


if __name__ == '__main__':
  command.run(main, ['benchmark', *sys.argv[1:]])
