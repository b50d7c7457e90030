"""Readings as text: records with the fields that `predict` lists, and lines of JSON, CSV or a table of them."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence

from digits_jax.errors import InputError
from digits_jax.reading.reader import Reading


def as_record(path: str, reading: Reading | InputError, min_confidence: float) -> dict:
  """What is said of one image, as --format=json writes it."""
  record = {'path': path, 'text': None, 'confidence': None, 'status': 'error', 'reason': None}
  record |= {'conditional_confidence': None, 'digits': [], 'alternatives': []}
  if isinstance(reading, InputError):
    return record | {'reason': str(reading)}
  record |= {'confidence': reading.confidence, 'conditional_confidence': reading.conditional_confidence}
  if reading.confidence < min_confidence:
    return record | {'status': 'rejected', 'reason': f'confidence below {min_confidence:g}'}
  spans = reading.spans or [(None, None)] * len(reading.text)
  digits = [
    {'digit': digit, 'confidence': confidence, 'left': left, 'right': right}
    for digit, confidence, (left, right) in zip(reading.text, reading.digit_confidences, spans, strict=True)
  ]
  alternatives = [{'text': text, 'confidence': confidence} for text, confidence in reading.alternatives]
  return record | {'text': reading.text, 'status': 'read', 'digits': digits, 'alternatives': alternatives}


def as_json(records: Iterable[dict]) -> Iterator[str]:
  """The lines of one array, a record a line."""
  before = '['
  for record in records:
    yield before
    before = json.dumps(record) + ','
  yield before.removesuffix(',')
  yield ']'


def as_csv(records: Iterable[dict], n_best: int) -> Iterator[str]:
  """The lines of a CSV file with a header; a path may hold line breaks."""
  line = _Line()
  writer = csv.writer(line, lineterminator='\r\n')  # what it holds is quoted in a cell
  columns = ['path', 'text', 'confidence', 'status', 'reason', 'conditional_confidence']
  writer.writerow([*columns, *(f'{name}_{i}' for i in range(2, n_best + 1) for name in ('text', 'confidence'))])
  yield line.text
  decimals = lambda value: f'{value:.6f}' if isinstance(value, float) else value  # None leaves its field empty
  for record in records:
    cells = [record[name] for name in columns]
    cells[columns.index('reason')] = _reason(record)
    cells += [value for other in record['alternatives'] for value in (other['text'], other['confidence'])]
    cells += [None] * (len(columns) + 2 * (n_best - 1) - len(cells))
    writer.writerow(map(decimals, cells))
    yield line.text


def as_table(records: Iterable[dict], paths: Sequence[str], n_best: int, is_constrained: bool) -> Iterator[str]:
  """The lines of a table for people; a long path moves its own line's columns alone."""
  width = min(max(len('path'), *map(len, paths)), 60)
  row = lambda path, *cells: f'{path:{width}}  {cells[0]:10}' + ''.join(f'  {cell}' for cell in cells[1:])
  yield row(
    'path', 'text', 'confidence', *([' of allowed'] if is_constrained else []), 'least sure',
    *(['alternatives'] if n_best > 1 else []),
  ).rstrip()  # fmt: skip
  percent = lambda value: f'{value:.2%}'
  for record in records:
    if record['status'] == 'error':
      yield f'{record["path"]:{width}}  error: {_reason(record)}'
      continue
    text = '(rejected)' if record['status'] == 'rejected' else record['text'] or '(nothing)'
    cells = [text, f'{percent(record["confidence"]):>10}']
    if is_constrained:
      cells.append(f'{percent(record["conditional_confidence"]):>11}')
    weakest = min(record['digits'], key=lambda digit: digit['confidence'], default=None)
    cells.append(f'{weakest["digit"]} {percent(weakest["confidence"]):>7} ' if weakest else ' ' * 10)
    others = (f'{other["text"] or "(nothing)"} {percent(other["confidence"])}' for other in record['alternatives'])
    yield row(record['path'], *cells, ', '.join(others)).rstrip()


def _reason(record):
  """The reason of a record without its path, which stands beside it."""
  return record['reason'] and record['reason'].removeprefix(f'{record["path"]} ')


class _Line:
  """What csv.writer wrote last."""

  def write(self, text):
    self.text = text.removesuffix('\r\n')
