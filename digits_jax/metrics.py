"""From labels and predictions to per-example records, and from records to rates.

A task's `score` makes the records on the device, one value per example; evaluation gathers them on the host,
and every rate is computed from them, once, as (sum, count), so that no batch size or device count shows.

RECORDS names the records and says what each means; `confidence.RECORDS` those of how sure a reading is.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax import confidence

RECORDS = {
  'mask': 'bool: True for an example, False for the padding of an incomplete batch',
  'label_length': 'int32: symbols in the label',
  'is_right': 'bool: the whole number was read as labelled',
  'edit_distance': 'int32: insertions, deletions and substitutions from the reading to the label',
  'position_hits': 'int32: label positions at which the reading has the same symbol',
  'is_empty': 'bool: nothing was read',
  'is_feasible': 'bool: the model can read the label at all: it has the frames, or the positions',
}

_Z95 = 1.959963984540054  # the 97.5% point of the standard normal distribution


def sequence_records(
  labels: jax.Array, label_lengths: jax.Array, predicted: jax.Array, predicted_lengths: jax.Array
) -> dict[str, jax.Array]:
  """The RECORDS that follow from labels and readings alone, each of shape [B].

  Args:
    labels: int32[B, N] and label_lengths int32[B]; entries past the length are ignored.
    predicted: int32[B, M] and predicted_lengths int32[B]; M may differ from N.
  """
  distances = jax.vmap(edit_distance)(labels, label_lengths, predicted, predicted_lengths)
  return {
    'is_right': distances == 0,
    'edit_distance': distances,
    'position_hits': jax.vmap(position_hits)(labels, label_lengths, predicted, predicted_lengths),
    'is_empty': predicted_lengths == 0,
  }


def edit_distance(
  labels: jax.Array, length: jax.Array, predicted: jax.Array, predicted_length: jax.Array
) -> jax.Array:
  """Levenshtein's distance of one pair: int32[N], int32[], int32[M], int32[] -> int32[].

  One step of the scan is one row of the usual table (a symbol of the label against all prefixes of the
  prediction). A row's own recursion, row[j] = min(row[j], row[j - 1] + 1), is a running minimum of
  row[j] - j.
  """
  columns = jnp.arange(predicted.shape[0] + 1, dtype=jnp.int32)  # [M + 1]

  def next_row(row, slot):
    symbol, i = slot
    substituted = row[:-1] + (predicted != symbol)
    fresh = jnp.concatenate([row[:1] + 1, jnp.minimum(row[1:] + 1, substituted)])
    fresh = jax.lax.cummin(fresh - columns) + columns
    return jnp.where(i < length, fresh, row), None

  row, _ = jax.lax.scan(next_row, columns, (labels, jnp.arange(labels.shape[0])))
  return row[predicted_length]


def position_hits(
  labels: jax.Array, length: jax.Array, predicted: jax.Array, predicted_length: jax.Array
) -> jax.Array:
  """Right symbols by position, of one pair: int32[N], int32[], int32[M], int32[] -> int32[].

  The measure of many hobby projects; one missed digit makes all that follow wrong, unlike `edit_distance`.
  """
  shared = min(labels.shape[0], predicted.shape[0])
  inside = jnp.arange(shared) < jnp.minimum(length, predicted_length)
  return jnp.sum(inside & (labels[:shared] == predicted[:shared]), dtype=jnp.int32)


def summarise(records: Mapping[str, np.ndarray]) -> dict:
  """The rates of a test set, in plain Python numbers that json can write.

  Args:
    records: all of RECORDS and of `confidence.RECORDS`, and `is_in_top_5` (bool: the label is among the five most
      probable symbols) or not, each of shape [examples]; examples with a False mask are not counted. Other names are
      ignored.

  Returns:
    sequence_accuracy, a fraction in [0, 1]; interval, its 95% Wilson interval [lo, hi]; character_error_rate,
    edits per label symbol (above 1 where more is read than is there); character_accuracy_by_position, hits
    per label symbol in [0, 1]; infeasible, empty and examples, which are counts; by_length, {label length as
    a string: [right, count]}, shortest first. Where no label has a symbol, both rates per symbol divide by 1. Then
    the rates of `confidence.summarise`; with is_in_top_5 also top_5_accuracy.

  Raises:
    ValueError: a record is missing, or no example is left to count.
  """
  names = (*RECORDS, *confidence.RECORDS)
  missing = sorted(set(names) - set(records))
  if missing:
    raise ValueError(f'records lack {missing}')
  mask = np.asarray(records['mask'], bool)
  kept = {name: np.asarray(records[name])[mask] for name in names}
  examples, right = int(mask.sum()), int(kept['is_right'].sum())
  if not examples:
    raise ValueError('no example to count: every mask is False')
  symbols = max(int(kept['label_length'].sum()), 1)
  summary = {
    'sequence_accuracy': right / examples,
    'interval': list(wilson(right, examples)),
    'character_error_rate': int(kept['edit_distance'].sum()) / symbols,
    'character_accuracy_by_position': int(kept['position_hits'].sum()) / symbols,
    'infeasible': int((~kept['is_feasible'].astype(bool)).sum()),
    'empty': int(kept['is_empty'].sum()),
    'examples': examples,
    'by_length': _right_by_length(kept['label_length'], kept['is_right']),
  }
  if 'is_in_top_5' in records:
    summary['top_5_accuracy'] = float(np.mean(np.asarray(records['is_in_top_5'], bool)[mask]))
  return summary | confidence.summarise(kept)


def describe(summary: Mapping, temperature: float) -> str:
  """What a summary comes to, in two lines for people.

  temperature: what the outputs were divided by.
  """
  low, high = summary['interval']
  beyond = f'; {summary["infeasible"]} do not fit the model' if summary['infeasible'] else ''
  n_best = ', '.join(f'{rate:.2%}' for rate in summary['n_best_accuracy'].values())
  return (
    f'{summary["sequence_accuracy"]:.2%} of {summary["examples"]} numbers right '
    f'(95% interval {low:.2%} to {high:.2%}), character error rate {summary["character_error_rate"]:.3%}{beyond}\n'
    f'  right within the first 1, 2, ... readings: {n_best}; coverage {summary["coverage_at_98"]:.2%} at 98% '
    f'accuracy, {summary["coverage_at_99"]:.2%} at 99%; calibration error {summary["calibration_error"]:.2%} '
    f'at temperature {temperature:.3f}'
  )


def wilson(right: int, count: int) -> tuple[float, float]:
  """The 95% interval (lo, hi) of a fraction right / count, in [0, 1]; (0, 1) where count is 0.

  Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
  """
  if count == 0:
    return 0.0, 1.0
  rate, shrink = right / count, _Z95**2 / count
  centre = rate + shrink / 2
  half = math.sqrt(shrink * (rate * (1 - rate) + shrink / 4))
  lo, hi = (centre - half) / (1 + shrink), (centre + half) / (1 + shrink)
  return 0.0 if right == 0 else lo, 1.0 if right == count else hi


def _right_by_length(lengths: np.ndarray, is_right: np.ndarray) -> dict[str, list[int]]:
  """{length: [right, count]} of int[examples], bool[examples]."""
  groups = {length: is_right[lengths == length] for length in np.unique(lengths)}
  return {str(length): [int(group.sum()), len(group)] for length, group in groups.items()}
