"""The CTC loss and its gradient beside optax's and PyTorch's native one, on logits of the same values."""

import contextlib
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

import digits_jax
from digits_jax.benchmark import device, report, timing
from digits_jax.ctc.loss import ctc_loss
from digits_jax.errors import InputError

CLASSES = 11
BATCHES = (64, 1024)
LENGTHS = ((16, 5), (32, 5), (32, 20), (128, 5), (128, 20))  # frames, symbols of the longest label
TOLERANCE = 1e-3  # relative, of each loss; absolute, of each gradient


def measure(*, repeats: int, batches=BATCHES, lengths=LENGTHS) -> dict:
  """All figures, in plain values that json can write. Losses and gradients must agree before anything is timed.

  Returns:
    name, input (in words), hardware, notes (peak memory), and rows: loss, version, batch, frames, symbols, milliseconds
    (the median) with fastest and slowest, times_ours (its rate over ours), largest_difference (of a loss, relative to
    ours).
  """
  sizes = [(batch, frames, symbols) for batch in batches for frames, symbols in lengths]
  in_jax = {size: [of_jax(*made_up(*size)) for of_jax in (ours, optaxs)] for size in sizes}
  timing.compile_together(run for losses in in_jax.values() for *_, run, _ in losses)
  rows = []
  for size in sizes:
    losses = in_jax[size]
    with contextlib.suppress(ImportError):
      losses += pytorch(*made_up(*size))
    values = [read(run()) for *_, run, read in losses]
    differences = [check(one, values[0], name) for one, (name, *_) in zip(values, losses, strict=True)]
    timings = timing.interleave({i: run for i, (*_, run, _) in enumerate(losses)}, repeats=repeats)
    for i, (name, version, *_) in enumerate(losses):
      found = timings[i]
      rows.append(
        {
          'loss': name,
          'version': version,
          'batch': size[0],
          'frames': size[1],
          'symbols': size[2],
          'milliseconds': round(1e3 * found.median, 3),
          'fastest': round(1e3 * found.low, 3),
          'slowest': round(1e3 * found.high, 3),
          'times_ours': round(timings[0].median / found.median, 3),
          'largest_difference': float(f'{differences[i]:.2g}'),
        }
      )
  about = f'CTC loss and gradient, {CLASSES} classes, float32'
  return {
    'name': 'loss', 'input': about, 'hardware': report.hardware(), 'notes': device.peak_memory(), 'rows': rows
  }  # fmt: skip


def table(found: dict) -> str:
  """The figures for people."""
  columns = {
    'loss': '{loss}',
    'version': '{version}',
    'batch': '{batch}',
    'frames': '{frames}',
    'symbols': '{symbols}',
    'ms': '{milliseconds:.2f}',
    '(fastest - slowest)': '({fastest:.2f} - {slowest:.2f})',
    'x ours': '{times_ours:.2f}',
    'differs by': '{largest_difference:.0e}',
  }
  return report.show(found, columns)


def made_up(batch: int, frames: int, symbols: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Logits float32[B, T, K], labels int32[B, N] without equal neighbours (which would need more frames), lengths."""
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(batch, frames, CLASSES)).astype(np.float32)
  steps = rng.integers(1, CLASSES - 1, (batch, symbols))
  labels = np.cumsum(steps, axis=1) % (CLASSES - 1) + 1
  lengths = rng.integers(1, symbols + 1, batch).astype(np.int32)
  return logits, np.where(np.arange(symbols) < lengths[:, None], labels, 0).astype(np.int32), lengths


def check(one: tuple, base: tuple, name: str) -> float:
  """The largest difference of losses [B], relative. Raises InputError where they or gradients [B, T, K] differ."""
  (losses, gradients), (wanted, wanted_gradients) = one, base
  difference = float(np.max(np.abs(losses - wanted) / np.maximum(wanted, 1)))
  of_gradients = float(np.max(np.abs(gradients - wanted_gradients)))
  if not (difference < TOLERANCE and of_gradients < TOLERANCE):  # NaN is not below it either
    raise InputError(
      f'{name}: losses differ by {difference:.2g} and gradients by {of_gradients:.2g}, where only what agrees within '
      f'{TOLERANCE:g} is compared: install another version'
    )
  return difference


def ours(logits: np.ndarray, labels: np.ndarray, lengths: np.ndarray) -> tuple[str, str, Callable, Callable]:
  """(name, version, run, read): read makes losses [B] and the gradient [B, T, K] of their sum of what run gives."""
  mask = np.ones(logits.shape[:2], bool)
  loss = lambda logits, labels, lengths: ctc_loss(logits, mask, labels, lengths).loss
  return 'digits_jax', digits_jax.__version__, *_in_jax(loss, logits, labels, lengths)


def optaxs(logits: np.ndarray, labels: np.ndarray, lengths: np.ndarray) -> tuple[str, str, Callable, Callable]:
  """As `ours`, of optax.ctc_loss."""
  padding = np.zeros(logits.shape[:2], np.float32)

  def loss(logits, labels, lengths):
    is_behind = jnp.arange(labels.shape[1])[None] >= lengths[:, None]
    return optax.ctc_loss(logits, padding, labels, is_behind.astype(jnp.float32))

  return 'optax', optax.__version__, *_in_jax(loss, logits, labels, lengths)


def _in_jax(loss, *arrays):
  """(run, read) of a function (logits, labels, lengths) -> losses [B]."""

  def total(*given):
    losses = loss(*given)
    return jnp.sum(losses), losses

  @jax.jit
  def both(*given):
    gradients, losses = jax.grad(total, has_aux=True)(*given)
    return losses, gradients

  given = jax.device_put(arrays)
  return lambda: jax.block_until_ready(both(*given)), lambda found: found


def pytorch(logits: np.ndarray, labels: np.ndarray, lengths: np.ndarray) -> list[tuple[str, str, Callable, Callable]]:
  """torch.nn.functional.ctc_loss where ours computes, if PyTorch can. Raises ImportError where it is not installed.

  On a CPU also with one thread: where other work shares the cores, its threads wait for each other longer than they
  compute. On a GPU also cuDNN's.
  """
  import torch

  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  if (device == 'cuda') != (jax.default_backend() == 'gpu'):
    return []
  frames_first = torch.from_numpy(np.swapaxes(logits, 0, 1).copy()).to(device).requires_grad_()
  in_rows, lengths = torch.from_numpy(labels).to(device), torch.from_numpy(lengths)  # lengths are read on the host
  frames = torch.full((len(logits),), logits.shape[1], dtype=torch.int32)
  everyone = torch.get_num_threads()

  def run(threads=everyone, labels=in_rows, frames=frames, lengths=lengths):
    torch.set_num_threads(threads)
    log_probs = frames_first.log_softmax(2)
    losses = torch.nn.functional.ctc_loss(log_probs, labels, frames, lengths, reduction='none', zero_infinity=True)
    (gradient,) = torch.autograd.grad(losses.sum(), frames_first)
    torch.set_num_threads(everyone)
    if device == 'cuda':
      torch.cuda.synchronize()
    return losses.detach(), gradient

  read = lambda found: (found[0].cpu().numpy(), found[1].transpose(0, 1).cpu().numpy())
  kinds = [('PyTorch', torch.__version__, run, read)]
  if device == 'cpu' and everyone > 1:
    kinds.append(('PyTorch, 1 thread', torch.__version__, lambda: run(1), read))
  if device == 'cuda':
    # One row of labels and plain lengths, all on the host: what PyTorch hands to cuDNN.
    given = in_rows[in_rows > 0].cpu(), tuple(frames.tolist()), tuple(lengths.tolist())
    cudnn = lambda: run(everyone, *given)
    if torch._use_cudnn_ctc_loss(frames_first.log_softmax(2), *given, 0) and is_right(cudnn, run, read):
      kinds.append(('PyTorch, cuDNN', torch.__version__, cudnn, read))
  return kinds


def is_right(cudnn: Callable, run: Callable, read: Callable) -> bool:
  """Whether cuDNN computes what PyTorch's own does; says so on stderr where not."""
  try:
    check(read(cudnn()), read(run()), "cuDNN's")
  except (InputError, RuntimeError) as error:
    print(f"cuDNN's CTC is left out: {error}", file=sys.stderr)
    return False
  return True
