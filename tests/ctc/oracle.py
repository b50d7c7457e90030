"""CTC by other means, in float64 NumPy, for one sequence at a time: what the tests hold the package against.

`labellings` and `enumerate_loss` go through all K^T paths (T <= 6, K <= 4); `forward_backward` is the
textbook recursion over the label with blanks between (Graves et al 2006, section 4.1) for larger T. All take
the kept frames only: cut the masked ones out first.
"""

import itertools

import numpy as np


def log_softmax(logits):
  """float64[T, K] log-probabilities; -inf logits stay -inf."""
  logits = np.asarray(logits, np.float64)
  shifted = logits - logits.max(-1, keepdims=True)
  return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def collapse(path):
  """The labelling of a path, as a tuple: repeats merged, then blanks dropped."""
  merged = [label for label, _ in itertools.groupby(int(p) for p in path)]
  return tuple(label for label in merged if label != 0)


def log_sum(values):
  """log(sum(exp(values))), -inf for none."""
  values = np.asarray(values, np.float64)
  peak = values.max(initial=-np.inf)
  return peak if np.isinf(peak) else peak + np.log(np.exp(values - peak).sum())


def labellings(log_probs):
  """{labelling tuple: its log-probability}: every labelling that some path of [T, K] collapses to."""
  frames, classes = log_probs.shape
  by_labelling = {}
  for path in itertools.product(range(classes), repeat=frames):
    score = sum(log_probs[t, k] for t, k in enumerate(path))
    by_labelling.setdefault(collapse(path), []).append(score)
  return {labelling: log_sum(scores) for labelling, scores in by_labelling.items()}


def paths(log_probs, labelling):
  """{path tuple: its log-probability}: every path of [T, K] that collapses to the labelling."""
  frames, classes = log_probs.shape
  every = itertools.product(range(classes), repeat=frames)
  fitting = (path for path in every if collapse(path) == tuple(labelling))
  return {path: sum(log_probs[t, k] for t, k in enumerate(path)) for path in fitting}


def enumerate_loss(logits, label):
  """(loss, its gradient [T, K] by the logits) from all paths of [T, K]; (inf, None) where no path fits.

  The gradient is softmax - occupancy, where the occupancy of (t, k) is the share of the label's paths that
  pass through it: all of it counted path by path.
  """
  log_probs = log_softmax(logits)
  frames, classes = log_probs.shape
  by_path = paths(log_probs, label)
  scores = np.array(list(by_path.values()))
  total = log_sum(scores)
  if np.isinf(total):
    return np.inf, None
  occupancy = np.zeros((frames, classes))
  for path, share in zip(by_path, np.exp(scores - total), strict=True):
    occupancy[np.arange(frames), list(path)] += share
  return -total, np.exp(log_probs) - occupancy


def forward_backward(logits, label):
  """(loss, its gradient [T, K] by the logits) by the forward-backward recursion; (inf, None) if none fits."""
  log_probs = log_softmax(logits)
  frames, classes = log_probs.shape
  states = [0] + [s for k in label for s in (int(k), 0)]  # blanks between and around, [2 * length + 1]
  if frames == 0:
    return (0.0, np.zeros((0, classes))) if len(label) == 0 else (np.inf, None)
  emitted = log_probs[:, states]  # [T, states]
  alpha = _forward(emitted, states)
  beta = _forward(emitted[::-1, ::-1], states[::-1])[::-1, ::-1]
  total = log_sum(alpha[-1, -2:])
  if np.isinf(total):
    return np.inf, None
  occupancy = np.zeros((frames, classes))
  for s, k in enumerate(states):
    # Both sides count the emission at t; written by parts, for -inf minus -inf is no number.
    both = alpha[:, s] + beta[:, s]
    occupancy[:, k] += np.exp(np.where(np.isinf(both), -np.inf, both - np.nan_to_num(emitted[:, s]) - total))
  return -total, np.exp(log_probs) - occupancy


def _forward(emitted, states):
  """alpha[t, s]: the log-probability of all ways to stand in state s at frame t, t's emission included."""
  alpha = np.full(emitted.shape, -np.inf)
  alpha[0, :2] = emitted[0, :2]
  for t in range(1, len(emitted)):
    for s, k in enumerate(states):
      may_skip = s >= 2 and k not in (0, states[s - 2])
      sources = alpha[t - 1, max(s - (2 if may_skip else 1), 0) : s + 1]
      alpha[t, s] = log_sum(sources) + emitted[t, s]
  return alpha
