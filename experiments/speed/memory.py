"""The memory of training and of reading, against the batch size and over time; writes memory.csv here. Linux only.

python experiments/speed/memory.py

Greatest resident sizes are those of whole processes, compilation included; `rises` compares the resident size early and
late in one process.
"""

import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

BATCHES = (16, 64, 256, 1024)
READ_BATCHES = (1, 8, 64)  # those that digits_jax.Reader pads to
STEPS, EARLY_STEP = 2000, 500
IMAGES, EARLY_IMAGES = 20_000, 2_000


def training(workdir, config, steps, log_every, *fields):
  """Trains in a process of its own; returns its greatest size in MiB and [(step, size in MiB)], as they are logged."""
  command = [
    sys.executable, '-m', 'digits_jax.main', f'--config={config}', f'--workdir={workdir}', f'--config.steps={steps}',
    f'--config.log_every={log_every}', '--config.validation.examples=100', '--config.tests.test.examples=100',
    *fields,
  ]  # fmt: skip
  process, sizes = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), []
  log = workdir / 'metrics.jsonl'
  while True:
    pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    if pid:
      break
    records = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    step = max((record['step'] for record in records), default=0)
    if step and (not sizes or sizes[-1][0] < step):
      sizes.append((step, resident(process.pid)))
    time.sleep(0.2)
  if status:
    sys.exit(f'training failed: {" ".join(command)}')
  return round(usage.ru_maxrss / 1024), sizes


def resident(pid):
  """MiB of a process."""
  for line in pathlib.Path(f'/proc/{pid}/status').read_text().splitlines():
    if line.startswith('VmRSS'):
      return round(int(line.split()[1]) / 1024)
  return 0


def reading(workdir, batch):
  """Reads batches of so many images in a process of its own; returns its greatest size in MiB."""
  process = subprocess.Popen([sys.executable, __file__, str(workdir), str(batch)], stdout=subprocess.PIPE)
  early, late = map(int, process.stdout.read().split())
  _, status, usage = os.wait4(process.pid, 0)
  if status:
    sys.exit('reading failed')
  return round(usage.ru_maxrss / 1024), early, late


def read(workdir, batch):
  """In that process: reads images of changing sizes, prints its size after EARLY_IMAGES, and after all."""
  from digits_jax import Reader, cpu

  cpu.prepare()
  reader, rng = Reader.load(workdir), np.random.default_rng(0)
  total = IMAGES if batch == 64 else EARLY_IMAGES
  for first in range(0, total, batch):
    if first <= EARLY_IMAGES < first + batch:
      print(resident(os.getpid()), flush=True)
    images = [rng.random((rng.integers(20, 80), rng.integers(40, 200)), np.float32) for _ in range(batch)]
    assert len(list(reader.read(images))) == batch
  if total == EARLY_IMAGES:
    print(resident(os.getpid()))
  print(resident(os.getpid()))


def main():
  """Measures and writes the table."""
  rows = []

  def add(what, size, greatest, early='', late=''):
    rows.append({'what': what, 'batch': size, 'greatest_mib': greatest, 'early_mib': early, 'late_mib': late})
    print(rows[-1], flush=True)

  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for batch in BATCHES:
      fields = (f'--config.batch_size={batch}', '--config.evaluation.batch_size=50')
      greatest, _ = training(folder / str(batch), 'configs/fonts.py:quick', 6, 3, *fields)
      add('training fonts.py:quick, 6 steps', batch, greatest)
    fields = ('--config.eval_every=250', '--config.checkpoint_every=250')
    greatest, sizes = training(folder / 'long', 'configs/fonts.py:tiny', STEPS, 50, *fields)
    early = next(size for step, size in sizes if step >= EARLY_STEP)
    add(f'training fonts.py:tiny, after {EARLY_STEP:,} and {STEPS:,} steps', 8, greatest, early, sizes[-1][1])
    for batch in READ_BATCHES:
      greatest, early, late = reading(folder / '64', batch)
      end = IMAGES if batch == 64 else EARLY_IMAGES
      add(f'reading, after {EARLY_IMAGES:,} and {end:,} images', batch, greatest, early, late)
  with pathlib.Path(__file__).with_name('memory.csv').open('w', newline='') as file:
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)


if __name__ == '__main__':
  read(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else main()
