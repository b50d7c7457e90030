"""The CTC loss and its gradient beside PyTorch's native one, on logits of the same values."""

import contextlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import digits_jax
from digits_jax.benchmark import report, timing
from digits_jax.ctc.loss import ctc_loss

CLASSES = 11
BATCHES = (64, 1024)
LENGTHS = ((16, 5), (32, 5), (32, 20), (128, 5), (128, 20))  # frames, symbols of the longest label
TOLERANCE = 1e-3  # relative, of each loss; absolute, of each gradient


def measure(*, repeats: int, batches=BATCHES, lengths=LENGTHS) -> dict:
  """All figures, in plain values that json can write. Losses and gradients must agree before anything is timed.

  Returns:
    name, input (in words), hardware, and rows: loss, version, batch, frames, symbols, milliseconds (the median) with
    fastest and slowest, times_ours (its rate over ours), largest_difference (of a loss, relative to ours).
  """
  rows = []
  for batch in batches:
    for frames, symbols in lengths:
      logits, labels, label_lengths = made_up(batch, frames, symbols)
      losses = [ours(logits, labels, label_lengths)]
      with contextlib.suppress(ImportError):
        losses += pytorch(logits, labels, label_lengths)
      values = [run() for *_, run in losses]
      differences = [check(one, values[0], name) for one, (name, *_) in zip(values, losses, strict=True)]
      timings = timing.interleave({i: run for i, (*_, run) in enumerate(losses)}, repeats=repeats)
      for i, (name, version, _) in enumerate(losses):
        found = timings[i]
        rows.append(
          {
            'loss': name,
            'version': version,
            'batch': batch,
            'frames': frames,
            'symbols': symbols,
            'milliseconds': round(1e3 * found.median, 3),
            'fastest': round(1e3 * found.low, 3),
            'slowest': round(1e3 * found.high, 3),
            'times_ours': round(timings[0].median / found.median, 3),
            'largest_difference': float(f'{differences[i]:.2g}'),
          }
        )
  about = f'CTC loss and gradient, {CLASSES} classes, float32'
  return {'name': 'loss', 'input': about, 'hardware': report.hardware(), 'rows': rows}


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
  """The largest difference of losses [B], relative. Raises AssertionError where they or gradients [B, T, K] differ."""
  (losses, gradients), (wanted, wanted_gradients) = one, base
  difference = float(np.max(np.abs(losses - wanted) / np.maximum(wanted, 1)))
  of_gradients = float(np.max(np.abs(gradients - wanted_gradients)))
  assert max(difference, of_gradients) < TOLERANCE, f'{name}: losses differ by {difference}, gradients {of_gradients}'
  return difference


def ours(logits: np.ndarray, labels: np.ndarray, lengths: np.ndarray) -> tuple[str, str, Callable]:
  """(name, version, run): run gives losses [B] and the gradient [B, T, K] of their sum."""
  mask = np.ones(logits.shape[:2], bool)

  def total(logits, labels, lengths):
    losses = ctc_loss(logits, mask, labels, lengths).loss
    return jnp.sum(losses), losses

  @jax.jit
  def both(*given):
    gradients, losses = jax.grad(total, has_aux=True)(*given)
    return losses, gradients

  given = jax.device_put((logits, labels, lengths))
  return 'digits_jax', digits_jax.__version__, lambda: jax.block_until_ready(both(*given))


def pytorch(logits: np.ndarray, labels: np.ndarray, lengths: np.ndarray) -> list[tuple[str, str, Callable]]:
  """torch.nn.functional.ctc_loss where ours computes, if PyTorch can. Raises ImportError where it is not installed.

  On a CPU also with one thread: where other work shares the cores, its threads wait for each other longer than they
  compute.
  """
  import torch

  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  if (device == 'cuda') != (jax.default_backend() == 'gpu'):
    return []
  frames_first = torch.from_numpy(np.swapaxes(logits, 0, 1).copy()).to(device).requires_grad_()
  labels, lengths = torch.from_numpy(labels).to(device), torch.from_numpy(lengths).to(device)
  frames = torch.full((len(logits),), logits.shape[1], dtype=torch.int32, device=device)

  everyone = torch.get_num_threads()

  def run(threads=everyone):
    torch.set_num_threads(threads)
    log_probs = frames_first.log_softmax(2)
    losses = torch.nn.functional.ctc_loss(log_probs, labels, frames, lengths, reduction='none', zero_infinity=True)
    (gradient,) = torch.autograd.grad(losses.sum(), frames_first)
    found = losses.detach().cpu().numpy(), gradient.transpose(0, 1).cpu().numpy()  # waits for the device
    torch.set_num_threads(everyone)
    return found

  kinds = [('PyTorch', torch.__version__, run)]
  if device == 'cpu' and everyone > 1:
    kinds.append(('PyTorch, 1 thread', torch.__version__, lambda: run(1)))
  return kinds
