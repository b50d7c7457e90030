"""Trains fonts.py:quick for 80 steps on 1, 2 and 4 CPU devices and in two processes; writes scaling.csv here.

python experiments/speed/scaling.py

Devices of one machine share its cores: what can be seen is that the figures agree, and what sharing costs.
"""

import csv
import json
import pathlib
import socket
import subprocess
import sys
import tempfile

STEPS = 80
LAYOUTS = ((1, 1), (1, 2), (1, 4), (2, 1))  # processes, devices each


def train(workdir, processes, devices):
  """Trains in so many processes; returns the last record of training."""
  command = [
    sys.executable, '-m', 'digits_jax.main', '--config=configs/fonts.py:quick', f'--config.steps={STEPS}',
    '--config.log_every=40', '--config.validation.examples=100', '--config.tests.test.examples=100',
    f'--workdir={workdir}', f'--cpu_devices={devices}',
  ]  # fmt: skip
  if processes > 1:
    with socket.socket() as probe:
      probe.bind(('localhost', 0))
      command += [f'--coordinator=localhost:{probe.getsockname()[1]}', f'--processes={processes}']
  started = [
    subprocess.Popen(command + ([f'--process_id={i}'] if processes > 1 else []), stdout=subprocess.DEVNULL)
    for i in range(processes)
  ]
  if any([process.wait() for process in started]):
    sys.exit(f'{processes} processes of {devices} devices: training failed')
  records = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
  return [record for record in records if record['kind'] == 'train'][-1]


def main():
  """Each layout in turn; steps 41 to 80 are timed, when all is compiled."""
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    for processes, devices in LAYOUTS:
      last = train(pathlib.Path(folder) / f'{processes}x{devices}', processes, devices)
      rows.append({'processes': processes, 'devices': devices} | {
        name: last[name] for name in ('images_per_second', 'loss', 'gradient_norm', 'parameter_norm')
      })  # fmt: skip
      print(rows[-1], flush=True)
  with pathlib.Path(__file__).with_name('scaling.csv').open('w', newline='') as file:
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)


if __name__ == '__main__':
  main()
