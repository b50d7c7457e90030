"""What makes jax faster on a CPU and must be said before it starts: `prepare`, which every command calls.

A program that uses `digits_jax.Reader` may call it too, before jax computes anything.
"""

import ctypes
import importlib.metadata
import importlib.util
import os

# Use YNNPACK, a part of jaxlib, for single products of matrices only. By default XLA computes convolutions by it too;
# without it 3x3 convolutions run at 251 to 288 G operations/s forward and 154 to 237 for their gradients, in place of
# 205 to 216 and 58 to 77 (2 cores of an Intel Xeon, jax 0.10.2; experiments/speed/convolutions.py). With 'dot' in place
# of 'individual_dot' products in bfloat16 would not use AMX. Versions 0.10 to 0.12 know both; where XLA does not know a
# flag, it ends the process.
FUSION = '--xla_cpu_experimental_ynn_fusion_type'
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h


def prepare() -> None:
  """Sets FUSION in XLA_FLAGS, unless it is there, and keeps freed memory. Does nothing where jax has another device.

  With a GPU or TPU the host holds little memory, and one malloc arena would make parallel compilation wait.
  """
  if not is_cpu_only():
    return
  flags = os.environ.get('XLA_FLAGS', '')
  if FUSION not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} {FUSION}=individual_dot'.strip()
  keep_memory()


def is_cpu_only() -> bool:
  """Whether jax will compute on the CPU: JAX_PLATFORMS says so, or no plugin for another device is installed.

  A plugin has an XLA and flags of its own.
  """
  if platforms := os.environ.get('JAX_PLATFORMS'):
    return platforms == 'cpu'
  return not importlib.metadata.entry_points(group='jax_plugins') and importlib.util.find_spec('libtpu') is None


def keep_memory() -> None:
  """Tells glibc's malloc to keep what is freed for the next call; other C libraries are left as they are.

  XLA asks for its buffers anew at each call, from a thread of its own. What comes from the system page by page costs
  more than computing on it, and only the main arena keeps blocks of more than 64 MB, so all threads share that one: a
  training step of 256 images of 32x128 had 55,000 page faults and took 190 ms; with memory kept 140 ms (as above).
  """
  mallopt = getattr(ctypes.CDLL(None), 'mallopt', None) if os.name == 'posix' else None
  if mallopt is not None:
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
