"""Times one 3x3 convolution on a CPU, by XLA and by PyTorch, in float32 and bfloat16; writes convolutions.csv here.

python experiments/speed/convolutions.py

Forward, and its gradients with respect to images and weights together, as a training step has them. XLA as
`digits_jax.cpu` sets it and as it comes, each in a process of its own. Beside them one product of patches that are cut
out already, with sums in float32: what a convolution would be if cutting them out cost nothing.
"""

import csv
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__)
# Images, height, width, features that go in and come out.
SHAPES = ((64, 16, 64, 64, 96), (64, 14, 28, 96, 96), (256, 16, 64, 64, 96))
OURS, THEIRS = 'set by digits_jax.cpu', 'as it comes'
REPEATS = 9


def jax_calls(shape, dtype):
  """{what: (call, operations)} by XLA."""
  import jax
  import jax.numpy as jnp

  batch, height, width, features, out = shape
  normal = lambda *shape: jax.random.normal(jax.random.key(len(shape)), shape).astype(dtype)
  x, d_y = normal(batch, height, width, features), normal(batch, height, width, out)
  kernel, patches = normal(3, 3, features, out), normal(batch * height * width, 9 * features)
  dimensions = ('NHWC', 'HWIO', 'NHWC')
  convolve = lambda x, kernel: jax.lax.conv_general_dilated(x, kernel, (1, 1), 'SAME', dimension_numbers=dimensions)
  forward = jax.jit(convolve)
  backward = jax.jit(lambda x, kernel, d_y: jax.vjp(convolve, x, kernel)[1](d_y))
  product = jax.jit(lambda a, b: jnp.dot(a, b, preferred_element_type=jnp.float32))
  rows = kernel.reshape(-1, out)
  work = 2 * batch * height * width * 9 * features * out
  return {
    'forward': (lambda: jax.block_until_ready(forward(x, kernel)), work),
    'gradients': (lambda: jax.block_until_ready(backward(x, kernel, d_y)), 2 * work),
    'product of patches': (lambda: jax.block_until_ready(product(patches, rows)), work),
  }


def torch_calls(shape, dtype):
  """The same by PyTorch, channels last."""
  import torch

  batch, height, width, features, out = shape
  kind = getattr(torch, dtype)
  normal = lambda *shape: torch.randn(*shape).to(kind).to(memory_format=torch.channels_last)
  x, d_y = normal(batch, features, height, width), normal(batch, out, height, width)
  kernel = normal(out, features, 3, 3)
  forward = lambda: torch.nn.functional.conv2d(x, kernel, padding=1)
  backward = lambda: torch.ops.aten.convolution_backward(
    d_y, x, kernel, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, False]
  )
  work = 2 * batch * height * width * 9 * features * out
  return {'forward': (forward, work), 'gradients': (backward, 2 * work)}


def measure(name):
  """Prints the rows of one process as CSV."""
  from digits_jax import cpu

  if name == OURS:
    cpu.prepare()
  else:
    cpu.keep_memory()
  from digits_jax.benchmark import timing

  writer = csv.writer(sys.stdout)
  for shape in SHAPES:
    for dtype in ('float32', 'bfloat16'):
      calls = {(f'XLA, {name}', what): call for what, call in jax_calls(shape, dtype).items()}
      if name == OURS:
        calls |= {('PyTorch', what): call for what, call in torch_calls(shape, dtype).items()}
      timings = timing.interleave({key: call for key, (call, _) in calls.items()}, repeats=REPEATS)
      for (by, what), taken in timings.items():
        rates = taken.rates('operations', calls[by, what][1] / 1e9).values()
        writer.writerow(['x'.join(map(str, shape)), dtype, what, by, *rates])
      sys.stdout.flush()


def main():
  """Both processes, one after the other."""
  environment = {name: value for name, value in os.environ.items() if name != 'XLA_FLAGS'}
  with HERE.with_name('convolutions.csv').open('w', newline='') as file:
    csv.writer(file).writerow(['shape', 'dtype', 'what', 'by', 'giga_operations_per_second', 'slowest', 'fastest'])
    file.flush()
    for name in (OURS, THEIRS):
      subprocess.run([sys.executable, HERE, name], stdout=file, check=True, env=environment)


if __name__ == '__main__':
  measure(sys.argv[1]) if len(sys.argv) > 1 else main()
