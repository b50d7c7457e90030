"""Prepares SVHN's full numbers as a TFDS data set of array_record shards, without TensorFlow.

Assumes that it is imported only where data is prepared. A split is there once dataset_info.json lists it, which is the
last file to be replaced.
"""

import collections
import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence

import numpy as np
from absl import logging
from tensorflow_datasets.proto import tf_example_pb2
from tqdm import tqdm

from digits_jax.data import digit_struct, download, image_files, places, svhn, svhn_archive, svhn_shards
from digits_jax.data.download import Archive
from digits_jax.errors import InputError

MIRRORS = (svhn_shards.HOMEPAGE,)
# Sizes and checksums: dataset_infos.json of svhn in github.com/huggingface/datasets.
ARCHIVES = {
  'train': Archive('train.tar.gz', 404_141_560, '4b17bb33b6cd8f963493168f80143da956f28ec406cc12f8e5745a9f91a51898'),
  'test': Archive('test.tar.gz', 276_555_967, '57ac9ceb530e4aa85b55d991be8fc49c695b3d71c6f6a88afea86549efde7fb5'),
  'extra': Archive('extra.tar.gz', 1_955_489_752, 'e857e27d1e65bd1e7d3959b094061777f6506bbc39889a0df3bba6a729d60f9c'),
}


def prepare(
  data_dir: str | None = None,
  archives: str | None = None,
  *,
  wanted: Sequence[str] = ('train', 'test'),
  max_digits: int = 0,
  mirrors: Sequence[str] = MIRRORS,
  official: dict[str, Archive] | None = None,
) -> list[str]:
  """Leaves the wanted splits in svhn.folder(data_dir); returns those that had to be made.

  A split that is there stays as it is; one that is damaged is made again. A run that was killed leaves nothing that
  is taken for a split, and the next one goes on with the first that is missing.

  Args:
    data_dir: the folder of data sets; None: TFDS's default.
    archives: the folder that holds SPLIT.tar.gz, or the extracted folder SPLIT, and that downloads go to; None:
      `downloads/svhn` in the folder of data sets.
    wanted: of svhn.SPLITS.
    max_digits: longer numbers are left out and counted; 0 keeps all.
    mirrors: addresses of folders that hold the archives.
    official: what to download for each split; None: ARCHIVES.

  Raises InputError if an archive cannot be had or is not what it should be, if a split was prepared with another
  max_digits, or if another process prepares the same data set.
  """
  if not wanted or not set(wanted) <= set(svhn.SPLITS):
    raise InputError(f'SVHN has the splits {", ".join(svhn.SPLITS)}, not {",".join(wanted) or "an empty list"!r}')
  official = ARCHIVES if official is None else official
  archives = os.path.expanduser(archives or os.path.join(places.data_folder(data_dir), 'downloads', 'svhn'))
  if os.path.isfile(archives):
    raise InputError(f'--archives={archives} is a file: give the folder that it lies in')
  folder = svhn.folder(data_dir)
  with _disk_explained(folder):
    os.makedirs(folder, exist_ok=True)
  with places.locked(folder, f'preparing SVHN in {folder}'), _disk_explained(folder):
    for left in pathlib.Path(folder).glob('incomplete.*'):  # by a process that was killed
      shutil.rmtree(left)
    records = svhn.records(data_dir)
    missing = [split for split in dict.fromkeys(wanted) if not _is_there(data_dir, split, records, max_digits)]
    absent = [official[split] for split in missing if svhn_archive.find(archives, split) is None]
    download.fetch_all(absent, archives, mirrors=mirrors)
    for split in missing:
      with tempfile.TemporaryDirectory(prefix='incomplete.', dir=folder) as work:
        source = svhn_archive.find(archives, split)
        records[split] = {'source': _describe_source(source, official[split])}
        records[split] |= _write(source, split, work, max_digits)
        _commit(folder, work, split, records)
  return missing


def _is_there(data_dir, split, records, max_digits):
  if split not in records:
    return False
  if split != 'test' and records[split]['most_digits'] != max_digits:  # of the test no length is left out
    raise InputError(
      f'the {split} split of SVHN in {svhn.folder(data_dir)} was prepared with '
      f'--max_digits={records[split]["most_digits"]}: say so too, or give another --data_dir'
    )
  problem = svhn.fault(data_dir, records[split], is_thorough=True)
  if problem:
    logging.warning('SVHN in %s: %s; its %s split is made again', svhn.folder(data_dir), problem, split)
  return problem is None


def _describe_source(source, official):
  """What a split was made from, in words; an archive's checksum is looked at where it is downloaded."""
  if os.path.isdir(source):
    return f'the folder {os.path.basename(source)}'
  size = os.path.getsize(source)
  name = os.path.basename(source)
  return name if size == official.size else f'{name} of {size:,} bytes (the official one has {official.size:,})'


def _write(source, split, work, max_digits):
  """Writes shards and index of a split into the folder `work`; returns its record (svhn.records)."""
  listed = _read_boxes(source, split, work)
  found = {'most_digits': max_digits, 'clipped': 0, 'reordered': 0, 'too_long': 0, 'outside': [], 'unlisted': 0}
  names, labels = [], []
  examples = _examples(source, split, listed, found, names, labels)
  bar = tqdm(examples, total=len(listed), desc=f'preparing {split}', unit=' photos', disable=None)
  lengths, size, digest = svhn_shards.write(bar, work)
  if not names:
    raise InputError(f'{source} has no photo to keep for the {split} split')
  files = [svhn.shard(split, i, len(lengths)) for i in range(len(lengths))]
  for i, name in enumerate(files):
    os.rename(os.path.join(work, str(i)), os.path.join(work, name))
  with open(os.path.join(work, svhn.index(split)), 'wb') as file:
    np.savez(file, names=np.array([name.encode() for name in names]), labels=np.array(labels, np.bytes_))
    file.flush()
    os.fsync(file.fileno())
  files.append(svhn.index(split))
  by_length = collections.Counter(map(len, labels))
  return found | {
    'photos': len(names),
    'by_length': {str(length): by_length[length] for length in sorted(by_length)},
    'bytes': size,
    'digest': digest,
    'shard_photos': lengths,
    'files': {name: os.path.getsize(os.path.join(work, name)) for name in files},
    'checksums': {name: svhn.checksum(os.path.join(work, name)) for name in files},
  }


def _read_boxes(source, split, work):
  """{name: digit_struct.Photo} of all photos of a split."""
  path, called = svhn_archive.digit_struct(source, split, work), f'{source}: its {svhn_archive.DIGIT_STRUCT}'
  bar = tqdm(
    digit_struct.read(path, called=called),
    total=digit_struct.count(path, called=called),
    desc=f'reading {svhn_archive.DIGIT_STRUCT} ({split})',
    unit=' photos',
    disable=None,
  )
  listed = {}
  for photo in bar:
    if photo.name in listed:
      raise InputError(f'{source}: {svhn_archive.DIGIT_STRUCT} lists {photo.name} twice')
    listed[photo.name] = photo
  return listed


def _examples(source, split, listed, found, names, labels):
  """Serialised examples of all photos to keep; appends to names and labels, counts in `found`, empties `listed`."""
  form = svhn_shards.features()
  for name, content in svhn_archive.photos(source, split):
    if name not in listed:
      found['unlisted'] += 1
      continue
    photo, listed[name] = listed[name], None
    if photo is None:
      raise InputError(f'{source} holds the photo {name} twice')
    height, width = image_files.check_png(f'{source}: {name}', content)
    if split != 'test' and 0 < found['most_digits'] < len(photo.digits):  # of the test no length is left out
      found['too_long'] += 1
      continue
    clipped = digit_struct.clip(photo.boxes, height, width)
    if (clipped[:, 2:] <= clipped[:, :2]).any():
      found['outside'].append(name)
      continue
    order = digit_struct.reading_order(photo.boxes)
    found['clipped'] += bool((clipped != photo.boxes).any())
    found['reordered'] += order != sorted(order)
    names.append(name)
    labels.append(''.join(photo.digits[i] for i in order))
    example = {'image': content, 'label': labels[-1], 'boxes': clipped[order], 'name': name}
    record = tf_example_pb2.Example.FromString(form.serialize_example(form.encode_example(example)))
    yield record.SerializeToString(deterministic=True)  # TFDS's own bytes leave the order of fields to chance
  if missing := [name for name, photo in listed.items() if photo is not None]:
    raise InputError(
      f'{source} lacks {len(missing):,} of the {len(listed):,} photos that its {svhn_archive.DIGIT_STRUCT} lists, '
      f'{missing[0]} first: get it again'
    )


def _commit(folder, work, split, records):
  """Moves a split to its place; it is there once dataset_info.json is replaced."""
  for old in pathlib.Path(folder).glob(f'{svhn.NAME}-{split}.*'):  # of a damaged or an unfinished split
    old.unlink()
  for name in records[split]['files']:
    os.replace(os.path.join(work, name), os.path.join(folder, name))
  described = os.path.join(work, 'described')
  os.mkdir(described)
  svhn_shards.describe(folder, records, described)
  for name in sorted(os.listdir(described), key=lambda name: name == 'dataset_info.json'):
    os.replace(os.path.join(described, name), os.path.join(folder, name))


@contextlib.contextmanager
def _disk_explained(folder):
  try:
    yield
  except OSError as error:
    if error.errno is None:
      raise
    raise InputError(f'cannot prepare SVHN in {folder}: {error.strerror}: {error.filename or folder}') from error
