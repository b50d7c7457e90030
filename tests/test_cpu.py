"""What commands say to jax before it starts, in processes of their own."""

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys

import pytest

from digits_jax import cpu

PROGRAM = """
import os
import platform
from digits_jax import cpu
cpu.prepare()
import jax, jax.numpy as jnp
x, kernel = jnp.ones((2, 8, 8, 16)), jnp.ones((3, 3, 16, 16))
x = jax.lax.conv_general_dilated(x, kernel, (1, 1), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
print(int(x.sum()), os.environ['XLA_FLAGS'])
"""


@pytest.mark.parametrize('given, then', [('', f'{cpu.FUSION}=individual_dot'), (f'{cpu.FUSION}=', f'{cpu.FUSION}=')])
def test_this_jax_knows_the_flag_and_convolves_rightly(given, then):
  environment = os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': given}
  done = subprocess.run([sys.executable, '-c', PROGRAM], env=environment, capture_output=True, text=True, check=True)
  assert done.stdout.split() == [str(2 * 6 * 6 * 16 * 3 * 3 * 16), then]


@pytest.mark.parametrize('platforms, alone', [('cpu', True), ('cuda', False), ('cuda,cpu', False), ('tpu', False)])
def test_flags_are_for_the_cpu_alone(platforms, alone, monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', platforms)
  monkeypatch.setenv('XLA_FLAGS', '--xla_dump_to=there')
  kept = []
  monkeypatch.setattr(cpu, 'keep_memory', lambda: kept.append(True))
  cpu.prepare()
  assert os.environ['XLA_FLAGS'] == '--xla_dump_to=there' + (f' {cpu.FUSION}=individual_dot' if alone else '')
  assert bool(kept) == alone


@pytest.mark.parametrize(
  ('plugins', 'libtpu', 'alone'), [((), None, True), (('cuda',), None, False), ((), object(), False)]
)
def test_what_is_installed_says_whether_there_is_a_cpu_alone(plugins, libtpu, alone, monkeypatch):
  monkeypatch.delenv('JAX_PLATFORMS', raising=False)
  monkeypatch.setattr(importlib.metadata, 'entry_points', lambda group: plugins)
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: libtpu)
  assert cpu.is_cpu_only() == alone


FAULTS = """
import resource, threading
import numpy as np
from digits_jax import cpu
cpu.keep_memory()
def touch():
  for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.full(100 << 20, 1, np.uint8)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
thread = threading.Thread(target=touch)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='other C libraries keep what they like')
def test_memory_that_a_thread_frees_is_kept_for_its_next_call():
  done = subprocess.run([sys.executable, '-c', FAULTS], capture_output=True, text=True, check=True)
  first, *others = map(int, done.stdout.split())
  assert first > 20 * max(others)  # pages of 4 KB: 25,600, or fewer where they are larger
