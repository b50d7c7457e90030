"""Reads the numbers in images: python -m digits_jax.predict [--workdir=RUN] PATH...

RUN is a run directory or a file of weights; without it, the reader of house numbers that comes with the package.
A PATH is an image, a folder (of images, by their names' endings, not of those in folders within; photos of kinds that
are not read, such as .heic, are errors, each by itself), a pattern such as
'scans/*.png', or - for paths from stdin, one a line. The answers come in the order of the images, on stdout:

--format=table  for people.
--format=csv    columns path,text,confidence,status,reason,conditional_confidence, then text_2,confidence_2 ... text_N,
                confidence_N with --nbest=N. Confidences are from 0 to 1.
--format=json   one array of objects with the fields path, text, confidence, status, reason, conditional_confidence,
                digits (each digit, confidence, left, right) and alternatives (each text, confidence); left and right
                are null where the run's model does not know where a digit stands.

A path that is no UTF-8 keeps its bytes; in JSON they are Python's surrogate escapes, which os.fsencode takes back.
status is read, rejected (less sure than --min_confidence: no text) or error (not read: no text, a reason). confidence
is the probability of the whole text; conditional_confidence, where a length is given, that among the allowed lengths.
left and right are pixels of the image turned upright, as its EXIF data say.
Exit code 1 where an image could not be read.
"""

import codecs
import glob
import math
import os
import sys
import warnings
from collections.abc import Sequence

from absl import flags

from digits_jax import command
from digits_jax.errors import InputError

_WORKDIR = command.reader_flag()
_FORMAT = flags.DEFINE_enum('format', 'table', ['table', 'csv', 'json'], 'Of the output.')
_NBEST = flags.DEFINE_integer(
  'nbest', 1, 'Readings of each image, best first; at most --beams. More than 5 may find a better one.', lower_bound=1
)
_LENGTHS = command.length_flags()
_MIN_CONFIDENCE = flags.DEFINE_float(
  'min_confidence', 0.0, 'Withhold texts with less confidence, which no length given raises.', 0.0, 1.0
)
_BEAMS = flags.DEFINE_integer(
  'beams', None, "Readings that the search follows; default: the run's config.evaluation.beams.", lower_bound=1
)
_ZOOMS = command.zooms_flag()
_GALLERY = command.path_flag('gallery', 'PNG file for a sheet of the first 60 images and what was read where.')


def main(arguments):
  """Raises InputError on flags that do not go together, no images, and a run that cannot be read with."""
  if math.isnan(_MIN_CONFIDENCE.value):
    raise InputError('--min_confidence=nan: give a number from 0 to 1')
  if sys.stdout is None:
    raise InputError('stdout is closed, where the readings go: send it to a file')
  min_length, max_length = command.lengths(*_LENGTHS)
  command.check_sheet('--gallery', _GALLERY.value)
  paths = find_images(arguments)
  workdir = command.reader_path(_WORKDIR)

  from digits_jax.reading.gallery import Gallery
  from digits_jax.reading.reader import Reader

  warnings.filterwarnings('ignore', module='PIL')  # on oddities of files that can be read all the same
  reader = Reader.load(workdir, beams=_BEAMS.value, zooms=_ZOOMS.value)
  if _NBEST.value > reader.beams:
    raise InputError(f'--nbest={_NBEST.value} is more than the search keeps: raise --beams={reader.beams}')
  if not reader.run.is_calibrated:
    note = f'confidences are not calibrated: training of {_WORKDIR.value} has not ended, so it has no temperature yet'
    print(note, file=sys.stderr)
  readings = reader.read(
    paths, n_best=_NBEST.value, min_length=min_length, max_length=max_length, return_errors=True
  )
  gallery = Gallery() if _GALLERY.value else None
  failed = _answer(paths, readings, min_length > 0 or max_length is not None, gallery)
  sys.stdout.flush()  # a closed pipe is met here
  if gallery:
    print(gallery.save(_GALLERY.value, len(paths)), file=sys.stderr)
  if failed:
    print(f'{failed:,} of {len(paths):,} images could not be read', file=sys.stderr)
  return 1 if failed else 0


def find_images(arguments: Sequence[str]) -> list[str]:
  """The paths that the arguments stand for, in their order. Raises InputError where one of them stands for none."""
  from digits_jax.data.image_files import OTHER_SUFFIXES, SUFFIXES

  paths = []
  for argument in arguments:
    if argument == '-':
      if sys.stdin is None:
        raise InputError('- is for paths from stdin, which is closed')
      content = sys.stdin.buffer.read().removeprefix(codecs.BOM_UTF8)
      lines = [os.fsdecode(line.rstrip(b'\r')) for line in content.split(b'\n')]
      found, reason = [line for line in lines if line.strip()], 'stdin names no image'
    elif os.path.isdir(argument):
      endings = (*SUFFIXES, *OTHER_SUFFIXES)  # what cannot be read is said, image by image, and not passed over
      names = [name for name in os.listdir(argument) if name.lower().endswith(endings) and name[0] != '.']
      found = [path for name in sorted(names) if not os.path.isdir(path := os.path.join(argument, name))]
      reason = (
        f'the folder {argument} holds no image ({", ".join(SUFFIXES)}); those in folders within have a pattern such as '
        f"'{os.path.join(argument, '**', '*.png')}'"
      )
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


def _answer(paths, readings, is_constrained, gallery):
  """Writes the answers to stdout as they come; returns how many images could not be read."""
  from tqdm import tqdm

  from digits_jax.reading import formats

  failed = 0

  def records():
    nonlocal failed
    # On a terminal the lines themselves show how far it is.
    with tqdm(total=len(paths), unit=' images', leave=False, delay=1, disable=sys.stdout.isatty() or None) as bar:
      for path, reading in zip(paths, readings, strict=True):
        record = formats.as_record(path, reading, _MIN_CONFIDENCE.value)
        failed += record['status'] == 'error'
        if gallery:
          gallery.add(record)
        yield record
        bar.update()

  if _FORMAT.value == 'json':
    lines = formats.as_json(records())
  elif _FORMAT.value == 'csv':
    lines = formats.as_csv(records(), _NBEST.value)
  else:
    lines = formats.as_table(records(), paths, _NBEST.value, is_constrained)
  for line in lines:
    print(line)
  return failed


if __name__ == '__main__':
  command.run(main)
