"""Draws how fast peers are beside digits_jax, part by part, on a CPU and on a GPU: the picture of this folder.

python experiments/speed/plot.py experiments/speed/speed.png

From the CSV files here and of experiments/decoder: the rate of each peer divided by ours in the same table.
"""

import csv
import pathlib

from matplotlib import ticker
from matplotlib.figure import Figure

from digits_jax import command
from digits_jax.errors import InputError

HERE = pathlib.Path(__file__).parent
DECODER = HERE.parent / 'decoder' / 'results.csv'
STEP = 'step of {network}, batch {batch}: {stepper}'
SYNTH = 'plates, batch {batch}: {generator}'
LOSS = 'CTC loss {batch}x{frames}x{symbols}: {loss}'
DECODE = 'beam search, {beams} beams: {decoder}'
PILLOW = ['NumPy and Pillow, 2 threads', 'Pillow draws text, 2 processes']
STEP_KEY = ('network', 'batch', 'dtype', 'steps_per_call')
# (file, label, what of a row says whether it is ours, which rows are compared with which of ours, peers)
CPU = [
  (HERE / 'step_xeon.csv', STEP, 'stepper', ('network', 'batch'), ['PyTorch, eager', 'PyTorch, channels last']),
  (HERE / 'synth.csv', SYNTH, 'generator', ('batch',), PILLOW),
  (HERE / 'loss.csv', LOSS, 'loss', ('batch', 'frames', 'symbols'), ['PyTorch']),
  (DECODER, DECODE, 'decoder', ('beams',), ['TensorFlow']),
]
GPU = [
  (HERE / 'h100_step.csv', STEP, 'stepper', STEP_KEY, ['PyTorch, eager', 'PyTorch, compiled']),
  (HERE / 'h100_synth.csv', SYNTH, 'generator', ('batch', 'batches_per_call'), ['NumPy and Pillow, 16 threads']),
  (HERE / 'h100_loss.csv', LOSS, 'loss', ('batch', 'frames', 'symbols'), ['PyTorch', 'PyTorch, cuDNN']),
]


def compare(tables):
  """[(label, the peer's rate by ours)]."""
  found = []
  for path, label, name, key, peers in tables:
    with path.open(newline='') as file:
      rows = list(csv.DictReader(file))
    key_of = lambda row, key=key: tuple(row[field] for field in key)
    ours = {key_of(row): float(row['times_ours']) for row in rows if row[name] == 'digits_jax'}
    for row in rows:
      if row[name] in peers:
        found.append((label.format(**row), float(row['times_ours']) / ours[key_of(row)]))
  return found


def main(arguments):
  """Writes the picture. Raises InputError where there is nowhere to write to."""
  if len(arguments) != 1:
    raise InputError('where to? Give the PNG file that is to be drawn')
  (out,) = arguments
  command.check_file('', out, '.png')
  figure = Figure(figsize=(9.6, 11.0), dpi=110)
  parts = [('2 CPU cores', compare(CPU)), ('one NVIDIA H100', compare(GPU))]
  panels = figure.subplots(2, 1, height_ratios=[len(found) for _, found in parts])
  for axes, (title, found) in zip(panels, parts, strict=True):
    labels, rates = zip(*reversed(found), strict=True)
    axes.barh(labels, rates, color=['#d95f02' if rate > 1 else '#1f78b4' for rate in rates], height=0.7)
    axes.axvline(1, color='black', linewidth=1.2)
    axes.set_xscale('log')
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter('{x:g}'))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_title(f'{title}: rate of the peer, digits_jax being 1', loc='left', fontsize=11)
    axes.tick_params(axis='y', labelsize=8)
    axes.grid(axis='x', color='#e4e4e4', linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
  figure.tight_layout()
  figure.savefig(out)


if __name__ == '__main__':
  command.run(main)
