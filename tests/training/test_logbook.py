"""metrics.jsonl, TensorBoard events and the progress line."""

import io
import json
import re
import subprocess
import sys
import time

import pytest
from tensorboardX.proto import event_pb2

from digits_jax.errors import InputError
from digits_jax.training import logbook, parallel


def open_book(workdir, step=0):
  return logbook.Logbook(workdir, step=step, steps=10, seconds=0.0, batch_size=8)


def events(workdir):
  """The events of all files in the order they were written, as (step, tag or START)."""
  found = []
  for path in sorted((workdir / 'tensorboard').iterdir(), key=lambda path: path.stat().st_mtime_ns):
    data = path.read_bytes()
    while data:
      size = int.from_bytes(data[:8], 'little')
      event = event_pb2.Event.FromString(data[12 : 12 + size])
      data = data[16 + size :]
      found += [(event.step, value.tag) for value in event.summary.value]
      if event.session_log.status == event_pb2.SessionLog.START:
        found.append((event.step, 'START'))
  return found


def test_records_are_written_line_by_line_and_read_back(tmp_path):
  book = open_book(tmp_path)
  book.advance(2, 1.5)
  book.train(2, {'loss': 1.5})
  assert len(logbook.read_metrics(tmp_path / 'metrics.jsonl')) == 1  # flushed at once
  assert (2, 'train/loss') in events(tmp_path)
  book.validation(2, {'sequence_accuracy': 0.25, 'loss': float('nan'), 'by_length': {'1': [1, 4]}})
  book.close()
  train, validation = logbook.read_metrics(tmp_path / 'metrics.jsonl')
  assert (train['kind'], train['step'], train['loss']) == ('train', 2, 1.5) and train['images_per_second'] > 0
  assert validation['by_length'] == {'1': [1, 4]} and 'loss' not in validation  # json has no NaN
  assert {(2, 'train/loss'), (2, 'validation/sequence_accuracy')} <= set(events(tmp_path))


def test_cut_back_drops_what_came_later_and_half_a_line(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  lines = [json.dumps({'kind': kind, 'step': step}) for step in (2, 4, 6) for kind in ('train', 'validation')]
  path.write_bytes(('\n'.join(lines) + '\n{"kind": "tra').encode() + b'\xff\xfe')
  logbook.cut_back(path, 4)
  assert path.read_text() == '\n'.join(lines[:4]) + '\n'
  logbook.cut_back(path, 0)
  assert path.read_text() == ''
  logbook.cut_back(tmp_path / 'none.jsonl', 4)
  assert not (tmp_path / 'none.jsonl').exists()


@pytest.mark.parametrize('line', ['{"kind": "tra', '7', '{"kind": "train"}', '{"step": 1.5}'])
def test_a_damaged_file_names_the_line(tmp_path, line):
  (tmp_path / 'metrics.jsonl').write_text('{"kind": "train", "step": 1}\n' + line + '\n')
  with pytest.raises(InputError, match=r'metrics\.jsonl, line 2 is not a record'):
    logbook.read_metrics(tmp_path / 'metrics.jsonl')
  (tmp_path / 'metrics.jsonl').write_bytes(b'\xff\xfe\n')
  with pytest.raises(InputError, match=r'metrics\.jsonl, line 1 is not a record'):
    logbook.read_metrics(tmp_path / 'metrics.jsonl')
  with pytest.raises(InputError, match='a run writes it when it begins to train'):
    logbook.read_metrics(tmp_path / 'other.jsonl')


def test_half_a_line_at_the_end_is_not_there_yet(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text('{"kind": "train", "step": 1}\n{"kind": "tra')
  assert logbook.read_metrics(tmp_path / 'metrics.jsonl') == [{'kind': 'train', 'step': 1}]


@pytest.mark.parametrize('step', [0, 4])
def test_every_start_purges_the_later_events_of_the_starts_before(tmp_path, step):
  """TensorBoard drops events from the step of a START on."""
  for _ in range(2):
    book = open_book(tmp_path, step=step)
    book.train(step + 2, {'loss': 1.0})
    book.close()
    time.sleep(1.1)  # its file is named by the second
  assert events(tmp_path).count((step + 1, 'START')) == 2


def test_other_processes_write_nothing(tmp_path, capfd, monkeypatch):
  monkeypatch.setattr(parallel, 'is_lead', lambda: False)
  book = open_book(tmp_path)
  book.advance(1, 1.0)
  book.train(1, {'loss': 1.0})
  book.validation(1, {'sequence_accuracy': 0.0})
  book.say('hello')
  book.say_last('hello')
  book.close()
  assert list(tmp_path.iterdir()) == [] and capfd.readouterr() == ('', '')


def test_the_progress_line_says_step_loss_rate_and_accuracy(tmp_path, capfd):
  book = open_book(tmp_path)
  book.validation(2, {'sequence_accuracy': 0.25})
  book.advance(4, 1.23456)
  book.close()
  shown = capfd.readouterr().err
  assert 'step 4/10' in shown and 'loss 1.2346' in shown and 'validation 25.00%' in shown and 'images/s' in shown


def run_book(workdir, monkeypatch, now):
  """Ten steps, one every 7 s, with a sentence on the way and one in the end."""
  monkeypatch.setattr(logbook.time, 'perf_counter', lambda: now[0])
  book = open_book(workdir)
  for step in range(1, 11):
    now[0] += 7.0
    book.advance(step, 0.5)
    if step == 3:
      book.say('a warning')
  book.validation(10, {'sequence_accuracy': 0.25})
  book.say_last('interrupted')
  book.close()


def test_a_log_has_a_whole_line_every_half_minute(tmp_path, capfd, monkeypatch):
  run_book(tmp_path, monkeypatch, [100.0])
  assert capfd.readouterr().err.split('\n') == [
    'a warning',
    'step 5/10  loss 0.5000  1 images/s  00:35 gone, 00:35 left',
    'step 10/10  loss 0.5000  1 images/s  01:10 gone, 00:00 left',
    'step 10/10  loss 0.5000  validation 25.00%  1 images/s  01:10 gone, 00:00 left',
    'interrupted',
    '',
  ]


def test_a_log_has_each_state_once(tmp_path, capfd):
  open_book(tmp_path).close()
  assert capfd.readouterr().err == ''


def test_a_terminal_has_one_line_that_is_drawn_anew(tmp_path, monkeypatch):
  terminal = io.StringIO()
  terminal.isatty = lambda: True
  monkeypatch.setattr(sys, 'stderr', terminal)
  run_book(tmp_path, monkeypatch, [100.0])
  drawn, last, said, end = terminal.getvalue().split('\n')
  assert drawn.startswith('\rstep 0/10') and drawn.endswith('\ra warning')
  assert 'step 10/10  loss 0.5000  validation 25.00%  1 images/s' in last and (said, end) == ('interrupted', '')
  assert ' , ' not in terminal.getvalue()


def test_a_full_disk_is_an_error_and_not_a_wait(tmp_path):
  # A file may have 2,000 bytes, which the events come to before the records do.
  program = f"""
import pathlib, resource, signal
from digits_jax.training import logbook
book = logbook.Logbook(pathlib.Path({str(tmp_path)!r}), step=0, steps=99, seconds=0.0, batch_size=8)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
  for step in range(1, 99):
    book.train(step, dict.fromkeys('abcdefgh', 0.5))
except OSError as error:
  print(f'refused at {{step}}: {{error.strerror}}')
"""
  done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=60)
  assert re.fullmatch(r'refused at \d: File too large\n', done.stdout), (done.stdout, done.stderr)


def test_the_rate_is_images_by_seconds(tmp_path, monkeypatch):
  now = [100.0]
  monkeypatch.setattr(logbook.time, 'perf_counter', lambda: now[0])
  book = logbook.Logbook(tmp_path, step=0, steps=10, seconds=0.0, batch_size=8)
  now[0] += 4.0
  book.train(2, {'loss': 1.5})
  book.close()
  assert logbook.read_metrics(tmp_path / 'metrics.jsonl')[0]['images_per_second'] == 4.0
