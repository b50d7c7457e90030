"""The scripts of experiments/ as a user starts them."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def start(script, *arguments):
  """`python experiments/SCRIPT ARGUMENTS` in a process of its own: (exit code, stdout, stderr)."""
  line = [sys.executable, f'experiments/{script}', *map(str, arguments)]
  done = subprocess.run(line, cwd=ROOT, env=os.environ | {'PYTHONPATH': str(ROOT)}, capture_output=True, text=True)
  return done.returncode, done.stdout, done.stderr
