"""What a run writes down while it goes on: metrics.jsonl, TensorBoard events, the line that shows progress."""

import json
import math
import pathlib
import sys
import time

from tqdm import tqdm

from digits_jax.errors import InputError, naming
from digits_jax.training import parallel, rundir

_FORMAT = 'step {n_fmt}/{total_fmt}  {desc}  {elapsed} gone, {remaining} left'
_PAUSE = 30  # seconds between the lines of a log


def read_metrics(path: str | pathlib.Path) -> list[dict]:
  """The records of a metrics.jsonl, without a last line that a killed run left half-written.

  Raises InputError naming a line that is not a record.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise InputError(f'there is no {path}: a run writes it when it begins to train')
  records = []
  *lines, _ = path.read_text(errors='replace').split('\n')  # each ends with a line feed
  for number, line in enumerate(lines, 1):
    record = _parse(line)
    if record is None:
      raise InputError(f'{path}, line {number} is not a record of a run: {line[:60]!r}')
    records.append(record)
  return records


def _parse(line):
  try:
    record = json.loads(line)
  except json.JSONDecodeError:
    return None
  return record if isinstance(record, dict) and isinstance(record.get('step'), int) else None


def cut_back(path: pathlib.Path, step: int) -> None:
  """Drops the records after `step`, and a last line that a killed run left half-written."""
  if not path.is_file():
    return
  records = [(line, _parse(line)) for line in path.read_text(errors='replace').splitlines()]
  kept = [line for line, record in records if record is not None and record['step'] <= step]
  rundir.write_text(path, ''.join(line + '\n' for line in kept))


class Logbook:
  """Open from the first step to the last. Only the lead process writes; the others' calls do nothing.

  `seconds` are those of earlier starts. metrics.jsonl is cut back to `step` before.
  """

  def __init__(self, workdir: pathlib.Path, *, step: int, steps: int, seconds: float, batch_size: int):
    self._batch_size, self._is_lead = batch_size, parallel.is_lead()
    if not self._is_lead:
      return
    self._file = (workdir / 'metrics.jsonl').open('a')
    # A run killed before its first checkpoint left events too: purge from step 1 on as well.
    self._events = Events(workdir / 'tensorboard', purge_step=step + 1)
    if sys.stderr.isatty():
      self._bar = tqdm(total=steps, initial=step, dynamic_ncols=True, mininterval=0.5, bar_format=_FORMAT)
    else:
      self._bar = _Lines(total=steps, initial=step)
    self._started = time.perf_counter()
    self._seconds_before = seconds
    self._last_time, self._last_step = self._started, step
    self._shown, self._last_words = {'loss': '', 'validation': '', 'rate': ''}, []

  def advance(self, step: int, loss: float) -> None:
    """Moves the progress line to `step`."""
    if not self._is_lead:
      return
    self._show(loss=f'loss {loss:.4f}', rate=f'{self._rate(step):,.0f} images/s')
    self._bar.update(step - self._bar.n)

  def train(self, step: int, means: dict[str, float]) -> None:
    """Writes the means of the training metrics since the last such record."""
    if not self._is_lead:
      return
    record = {'kind': 'train', 'step': step, **means, 'images_per_second': self._rate(step), **self._seconds()}
    self._last_time, self._last_step = time.perf_counter(), step
    self._write(record)

  def validation(self, step: int, summary: dict) -> None:
    """Writes a validation summary and shows its accuracy in the progress line."""
    if not self._is_lead:
      return
    self._show(validation=f'validation {summary["sequence_accuracy"]:.2%}')
    self._write({'kind': 'validation', 'step': step, **summary, **self._seconds()})
    self._last_time = time.perf_counter()  # the rate counts training alone
    self._last_step = step

  def say(self, sentence: str) -> None:
    """Prints a sentence without tearing the progress line."""
    if self._is_lead:
      self._bar.write(sentence, file=sys.stderr)

  def say_last(self, sentence: str) -> None:
    """Prints a sentence beneath the last progress line, when that is closed."""
    if self._is_lead:
      self._last_words.append(sentence)

  def close(self) -> None:
    """Flushes everything."""
    if self._is_lead:
      self._bar.close()
      self._file.close()
      self._events.close()
      for sentence in self._last_words:
        print(sentence, file=sys.stderr, flush=True)

  def _show(self, **parts):
    self._shown |= parts
    self._bar.set_description_str('  '.join(filter(None, self._shown.values())), refresh=False)

  def _seconds(self):
    return {'seconds': round(self._seconds_before + time.perf_counter() - self._started, 3)}

  def _rate(self, step):
    gone = time.perf_counter() - self._last_time
    return round((step - self._last_step) * self._batch_size / gone, 1) if gone > 0 else 0.0

  def _write(self, record):
    with naming(self._file.name):
      self._file.write(json.dumps({k: v for k, v in record.items() if _is_finite(v)}) + '\n')
      self._file.flush()
    values = {name: value for name, value in record.items() if isinstance(value, float) and _is_finite(value)}
    self._events.add(record['step'], {f'{record["kind"]}/{name}': value for name, value in values.items()})


class _Lines:
  """tqdm's line where stderr is no terminal but a log: whole lines, one every _PAUSE seconds and one of the end."""

  write = staticmethod(tqdm.write)

  def __init__(self, *, total: int, initial: int):
    self.n, self._total, self._initial = initial, total, initial
    self._shown, self._printed = '', (initial, '')
    self._started = self._last_time = time.perf_counter()

  def set_description_str(self, text: str, refresh: bool) -> None:
    self._shown = text

  def update(self, count: int) -> None:
    self.n += count
    if time.perf_counter() - self._last_time >= _PAUSE:
      self._print()

  def close(self) -> None:
    if (self.n, self._shown) != self._printed:
      self._print()

  def _print(self):
    self._last_time, self._printed = time.perf_counter(), (self.n, self._shown)
    gone = self._last_time - self._started
    line = tqdm.format_meter(
      self.n, self._total, gone, prefix=self._shown, initial=self._initial, bar_format=_FORMAT
    )
    print(line, file=sys.stderr, flush=True)


class Events:
  """TensorBoard events, in the file when `add` returns.

  tensorboardX's SummaryWriter leaves that to a thread; on a full disk it ends without a word, and soon `add_scalar`
  waits for it for ever.
  """

  def __init__(self, folder: pathlib.Path, *, purge_step: int):
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto import event_pb2

    folder.mkdir(exist_ok=True)
    self._writer, self._event = EventsWriter(str(folder / 'events')), event_pb2.Event
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self._write(step=purge_step, session_log=start)  # what earlier starts wrote from this step on is void
    self._writer.flush()

  def add(self, step: int, values: dict[str, float]) -> None:
    """Writes the values by name. Raises OSError where there is no room."""
    from tensorboardX import summary

    for name, value in values.items():
      self._write(step=step, summary=summary.scalar(name, value))
    self._writer.flush()

  def close(self) -> None:
    self._writer.close()

  def _write(self, **fields):
    self._writer.write_event(self._event(wall_time=time.time(), **fields))


def _is_finite(value):
  return not isinstance(value, float) or math.isfinite(value)
