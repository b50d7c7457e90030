"""SVHN's full numbers as `python -m digits_jax.prepare svhn` writes them: what is there, and which part of it.

Assumes the folder of a TFDS data set: array_record shards, their description, and beside each split an index of names
and labels. A split is there when the description lists it and each of its files has the size that was written.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shlex
import zipfile
from collections.abc import Sequence

import numpy as np

from digits_jax.data import places
from digits_jax.errors import InputError

NAME = 'svhn_numbers'
VERSION = '1.0.0'
SPLITS = ('train', 'test', 'extra')
PARTS = ('train', 'validation', 'all')
# What is known of a prepared split.
_RECORD = (
  'source', 'photos', 'by_length', 'most_digits', 'clipped', 'reordered', 'too_long', 'outside', 'unlisted', 'bytes',
  'digest', 'shard_photos', 'files',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ChosenPhotos:
  """Photos of one or several splits: photo i is the rows[i]-th of the split splits[i] and shows texts[i]."""

  splits: tuple[str, ...]
  rows: tuple[int, ...]
  texts: tuple[str, ...]
  files: tuple[str, ...]  # in the archive, such as train/1.png
  too_long: int  # photos left out


def folder(data_dir: str | None) -> str:
  """Where the prepared data set lies, or would lie, in the folder of data sets; None: TFDS's default."""
  return os.path.join(places.data_folder(data_dir), NAME, VERSION)


def shard(split: str, number: int, count: int) -> str:
  """The name of a shard's file."""
  return f'{NAME}-{split}.array_record-{number:05}-of-{count:05}'


def index(split: str) -> str:
  """The name of the file with the names and labels of a split."""
  return f'{NAME}-{split}.index.npz'


def records(data_dir: str | None) -> dict[str, dict]:
  """What was prepared, by split: counts of photos and of what was put right, and the size of every file.

  Empty where nothing was. Raises InputError if the description of the data set is damaged.
  """
  path = pathlib.Path(folder(data_dir))
  try:
    listed = json.loads((path / 'dataset_info.json').read_text())
    found = json.loads((path / 'metadata.json').read_text())
    splits = {split['name']: [int(photos) for photos in split['shardLengths']] for split in listed.get('splits', ())}
    prepared = {split: found[split] for split, photos in splits.items() if found[split]['shard_photos'] == photos}
    if lacking := [name for record in prepared.values() for name in _RECORD if name not in record]:
      raise KeyError(lacking[0])
    return prepared
  except FileNotFoundError:
    return {}
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(
      f'the description of SVHN in {path} is damaged: remove that folder and prepare it again'
    ) from error


def summary(record: dict) -> str:
  """One sentence on a prepared split: what it holds, and what was put right or left out."""
  lengths = ', '.join(f'{count:,} of {length}' for length, count in record['by_length'].items())
  parts = [f'{record["photos"]:,} photos from {record["source"]}; numbers by their digits: {lengths}']
  parts += [f'boxes that left the photo clipped in {record["clipped"]:,}'] if record['clipped'] else []
  parts += [f'{record["reordered"]:,} put into reading order'] if record['reordered'] else []
  parts += (
    [f'{record["too_long"]:,} of more than {record["most_digits"]} digits left out'] if record['too_long'] else []
  )
  if outside := record['outside']:
    some = ', '.join(outside[:5]) + (', ...' if len(outside) > 5 else '')
    parts.append(f'{len(outside):,} left out for a box outside the photo, or without area ({some})')
  parts += [f'{record["unlisted"]:,} PNGs without boxes passed over'] if record['unlisted'] else []
  return '; '.join(parts)


def checksum(path: str) -> str:
  """BLAKE2b of a file's contents, in hexadecimal digits."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def fault(data_dir: str | None, record: dict, *, is_thorough: bool = False) -> str | None:
  """What is wrong with the files of a split, or None: the first that is missing or has another size.

  is_thorough: or other contents, which takes some seconds a gigabyte.
  """
  for name, size in {'features.json': None, **record['files']}.items():
    path = os.path.join(folder(data_dir), name)
    if not os.path.isfile(path):
      return f'{name} is missing'
    if size is not None and (found := os.path.getsize(path)) != size:
      return f'{name} has {found:,} bytes instead of {size:,}'
  for name, digest in record.get('checksums', {}).items() if is_thorough else ():
    if checksum(os.path.join(folder(data_dir), name)) != digest:
      return f'{name} is damaged'
  return None


def check(data_dir: str | None, *splits: str) -> dict[str, dict]:
  """What was counted of the splits, whose files are all there.

  Raises InputError, with the command that puts it right, where a split is not whole.
  """
  _check_splits(splits)
  found, where = records(data_dir), folder(data_dir)
  flag = f' --data_dir={shlex.quote(data_dir)}' if data_dir else ''
  remedy = lambda wanted: f'`python -m digits_jax.prepare svhn --splits={",".join(wanted)}{flag}`'
  if missing := [split for split in splits if split not in found]:
    raise InputError(
      f'there is no {" and no ".join(missing)} split of SVHN in {where}: {remedy(missing)} prepares it, from '
      f'{" and ".join(f"{split}.tar.gz" for split in missing)}, downloaded or in a folder given as --archives=DIR'
    )
  for split in splits:
    if problem := fault(data_dir, found[split]):
      raise InputError(f'SVHN in {where} is incomplete, {problem}: {remedy([split])} prepares it again')
  return {split: found[split] for split in splits}


def _check_splits(splits: Sequence[str]) -> None:
  """Raises InputError unless these are some of SPLITS, each once."""
  if not splits or not set(splits) <= set(SPLITS) or len(set(splits)) != len(splits):
    raise InputError(f'SVHN has the splits {", ".join(SPLITS)}: name some of them once, not {list(splits)}')


def load_index(data_dir: str | None, split: str) -> tuple[np.ndarray, np.ndarray]:
  """The names bytes[n] and the numbers bytes[n] of a split's photos, in the order of its shards; raises as `check`."""
  check(data_dir, split)
  path = os.path.join(folder(data_dir), index(split))
  try:
    with np.load(path, allow_pickle=False) as arrays:
      return arrays['names'], arrays['labels']
  except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, RuntimeError) as error:
    raise InputError(f'{path} is damaged ({error}): prepare the data set again') from error


def select(
  data_dir: str | None,
  splits: Sequence[str],
  part: str,
  *,
  validation_frac: float = 0.1,
  seed: int = 0,
  max_digits: int = 0,
) -> ChosenPhotos:
  """The photos of a part of some splits, in the order of their hashes.

  A photo's hash depends on the seed, its split and its name alone. The lowest `validation_frac` of all hashes mean
  'validation', the others 'train'; so what is validation for `train` is so for `train` and `extra` together, whatever
  archive or folder they were prepared from. 'all' is for the test. Numbers of more than `max_digits` are left out; 0
  keeps all.

  Raises InputError for an unknown split or part, one that holds no photo, and as `check` does.
  """
  if part not in PARTS:
    raise InputError(f'SVHN has the parts {", ".join(PARTS)}, not {part!r}')
  check(data_dir, *splits)
  limit, found, too_long = round(validation_frac * 2**64), [], 0
  for split in splits:
    for row, (name, label) in enumerate(zip(*load_index(data_dir, split), strict=True)):
      key = hashlib.blake2b(b'%s/%s' % (split.encode(), name), digest_size=8, key=b'%d' % seed).digest()
      if part == 'all' or (part == 'validation') == (int.from_bytes(key, 'big') < limit):
        is_kept = len(label) <= max_digits or not max_digits
        too_long += not is_kept
        found += [(key, split, row, label.decode(), f'{split}/{name.decode()}')] if is_kept else []
  if not found:
    raise InputError(
      f'no photo of SVHN is left in the part {part!r} of {", ".join(splits)} in {folder(data_dir)}: '
      'change config.data.held_out, config.data.split_seed or config.photos.max_digits'
    )
  _, of, rows, texts, files = zip(*sorted(found), strict=True)
  return ChosenPhotos(of, rows, texts, files, too_long)
