"""Reads the numbers in images: python -m digits_jax.predict [--workdir=RUN] PATH...

RUN is a run directory or a file of weights; without it, the reader of house numbers that comes with the package.
A PATH is an image, a folder (of images, by their names' endings, not of those in folders within), a pattern such as
'scans/*.png', or - for paths from stdin, one a line. The answers come in the order of the images, on stdout:

--format=table  for people.
--format=csv    columns path,text,confidence,status,reason,conditional_confidence, then text_2,confidence_2 ... text_N,
                confidence_N with --nbest=N. Confidences are from 0 to 1.
--format=json   one array of objects with the fields path, text, confidence, status, reason, conditional_confidence,
                digits (each digit, confidence, left, right) and alternatives (each text, confidence); left and right
                are null where the run's model does not know where a digit stands.

status is read, rejected (less sure than --min_confidence: no text) or error (not read: no text, a reason). confidence
is the probability of the whole text; conditional_confidence, where a length is given, that among the allowed lengths.
left and right are pixels of the image turned upright, as its EXIF data say.
Exit code 1 where an image could not be read.
"""

import codecs
import csv
import glob
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

_WORKDIR = command.workdir_flag(
  'Run directory, or a file of weights; without it, the reader of house numbers that comes with the package.'
)
_FORMAT = flags.DEFINE_enum('format', 'table', ['table', 'csv', 'json'], 'Of the output.')
_NBEST = flags.DEFINE_integer('nbest', 1, 'Readings of each image, the best first; at most --beams.', lower_bound=1)
_LENGTHS = command.length_flags()
_MIN_CONFIDENCE = flags.DEFINE_float(
  'min_confidence', 0.0, 'Withhold texts with less confidence, which no length given raises.', 0.0, 1.0
)
_BEAMS = flags.DEFINE_integer(
  'beams', None, "Readings that the search follows; default: the run's config.evaluation.beams.", lower_bound=1
)
_ZOOMS = command.zooms_flag()
_GALLERY = command.path_flag('gallery', 'PNG file for a sheet of the first 60 images and what was read where.')

DRAWN = 60  # images on the gallery at most


def main(arguments):
  """Raises InputError on flags that do not go together, no images, and a run that cannot be read with."""
  if _MIN_CONFIDENCE.value != _MIN_CONFIDENCE.value:
    raise InputError('--min_confidence=nan: give a number from 0 to 1')
  if _WORKDIR.value == '':
    raise InputError('--workdir is empty: name a run, or leave it out to read house numbers')
  if sys.stdout is None:
    raise InputError('stdout is closed, where the readings go: send it to a file')
  min_length, max_length = command.lengths(*_LENGTHS)
  _check_gallery()
  paths = find_images(arguments)

  from digits_jax.reading.reader import Reader

  warnings.filterwarnings('ignore', module='PIL')  # on oddities of files that can be read all the same
  if _WORKDIR.value is None:
    note = 'read by the reader of house numbers that comes with the package; --workdir=RUN names another'
    print(note, file=sys.stderr)
  reader = Reader.load(_WORKDIR.value, beams=_BEAMS.value, zooms=_ZOOMS.value)
  readings = reader.read(
    paths, n_best=_NBEST.value, min_length=min_length, max_length=max_length, return_errors=True
  )
  sheet = Sheet() if _GALLERY.value else None
  # Paths need not be valid UTF-8: their bytes are written as they came.
  sys.stdout.reconfigure(encoding=sys.getfilesystemencoding(), errors='surrogateescape')
  failed = _answer(paths, readings, min_length > 0 or max_length is not None, sheet)
  sys.stdout.flush()  # a closed pipe is met here
  if sheet:
    print(sheet.save(_GALLERY.value, len(paths)), file=sys.stderr)
  if failed:
    print(f'{failed:,} of {len(paths):,} images could not be read', file=sys.stderr)
  return 1 if failed else 0


def find_images(arguments: Sequence[str]) -> list[str]:
  """The paths that the arguments stand for, in their order. Raises InputError where one of them stands for none."""
  from digits_jax.data.image_files import SUFFIXES

  paths = []
  for argument in arguments:
    if argument == '-':
      if sys.stdin is None:
        raise InputError('- is for paths from stdin, which is closed')
      content = sys.stdin.buffer.read().removeprefix(codecs.BOM_UTF8)
      lines = [os.fsdecode(line.rstrip(b'\r')) for line in content.split(b'\n')]
      found, reason = [line for line in lines if line.strip()], 'stdin names no image'
    elif os.path.isdir(argument):
      names = [name for name in os.listdir(argument) if name.lower().endswith(SUFFIXES) and name[0] != '.']
      found = [path for name in sorted(names) if not os.path.isdir(path := os.path.join(argument, name))]
      reason = f'the folder {argument} holds no image ({", ".join(SUFFIXES)})'
    elif glob.has_magic(argument) and not os.path.lexists(argument):
      found = [path for path in sorted(glob.glob(argument, recursive=True)) if not os.path.isdir(path)]
      reason = f'no file matches {argument!r}'
    else:
      found, reason = [argument], None
    if not found:
      raise InputError(reason)
    paths += found
  if not paths:
    raise InputError("which images? Give files, folders, patterns such as 'scans/*.png', or - for paths from stdin")
  return paths


def as_record(path: str, reading, min_confidence: float) -> dict:
  """What is said of one image, as --format=json writes it; `reading` is a Reading or an InputError."""
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
      reason = record['reason'].removeprefix(f'{record["path"]} ')
      yield f'{record["path"]:{width}}  error: {reason}'
      continue
    text = '(rejected)' if record['status'] == 'rejected' else record['text'] or '(nothing)'
    cells = [text, f'{percent(record["confidence"]):>10}']
    if is_constrained:
      cells.append(f'{percent(record["conditional_confidence"]):>11}')
    weakest = min(record['digits'], key=lambda digit: digit['confidence'], default=None)
    cells.append(f'{weakest["digit"]} {percent(weakest["confidence"]):>7} ' if weakest else ' ' * 10)
    others = (f'{other["text"] or "(nothing)"} {percent(other["confidence"])}' for other in record['alternatives'])
    yield row(record['path'], *cells, ', '.join(others)).rstrip()


class Sheet:
  """The gallery: keeps small copies of the first images, and draws them in the end."""

  def __init__(self):
    self._images, self._spans, self._captions = [], [], []

  def add(self, record: dict) -> None:
    """Loads the image of a record once more, and keeps it while there is room; one without an image is left out."""
    from digits_jax import drawing
    from digits_jax.data import image_files

    if len(self._images) == DRAWN or record['status'] == 'error':
      return
    try:
      image = image_files.read_image(record['path'])
    except InputError:  # gone since it was read
      return
    small = image_files.thumbnail(image, *drawing.TILE)
    scale = small.shape[1] / image.shape[1]
    self._images.append(small)
    placed = [digit for digit in record['digits'] if digit['left'] is not None]
    self._spans.append([(digit['left'] * scale, digit['right'] * scale) for digit in placed])
    text = 'rejected' if record['status'] == 'rejected' else record['text'] or '(nothing)'
    self._captions.append(f'{text}  {record["confidence"]:.1%}')

  def save(self, path: str, count: int) -> str:
    """Writes the sheet of `count` images that were to be read; says what is on it."""
    from digits_jax import drawing

    if not self._images:
      return f'no image could be read: {path} is not written'
    drawn = len(self._images)
    title = f'{drawn:,} images' if drawn == count else f'{drawn:,} of {count:,} images'
    drawing.gallery(path, self._images, self._captions, self._spans, title=title)
    return f'wrote {path} with {title}'


class _Line:
  """What csv.writer wrote last."""

  def write(self, text):
    self.text = text.removesuffix('\r\n')


def _answer(paths, readings, is_constrained, sheet):
  """Writes the answers to stdout as they come; returns how many images could not be read."""
  from tqdm import tqdm

  failed = 0

  def records():
    nonlocal failed
    # On a terminal the lines themselves show how far it is.
    with tqdm(total=len(paths), unit=' images', leave=False, delay=1, disable=sys.stdout.isatty() or None) as bar:
      for path, reading in zip(paths, readings, strict=True):
        record = as_record(path, reading, _MIN_CONFIDENCE.value)
        failed += record['status'] == 'error'
        if sheet:
          sheet.add(record)
        yield record
        bar.update()

  if _FORMAT.value == 'json':
    lines = as_json(records())
  elif _FORMAT.value == 'csv':
    lines = as_csv(records(), _NBEST.value)
  else:
    lines = as_table(records(), paths, _NBEST.value, is_constrained)
  for line in lines:
    print(line)
  return failed


def _check_gallery():
  """Raises InputError where the gallery cannot be written, or would take the place of what is no gallery."""
  from digits_jax import drawing

  path = _GALLERY.value
  command.check_file('--gallery', path, '.png')
  if path is not None and os.path.exists(path) and not drawing.is_ours(path):  # as from `--gallery *.png`
    raise InputError(f'--gallery={path}: that file is there already and no gallery; choose another name')


if __name__ == '__main__':
  command.run(main)
