"""How a split of SVHN's full numbers is stored: TFDS's records in array_record shards, and TFDS's description of them.

Assumes that it is imported only where data is prepared: it imports tensorflow_datasets. TFDS's own writer holds 1 GB in
memory and then needs TensorFlow to go on, so the shards are written here, one photo at a time.
`tfds.data_source('svhn_numbers')` reads them.
"""

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.core import dataset_info, naming, splits

from digits_jax.data import svhn
from digits_jax.errors import InputError, reason

HOMEPAGE = 'http://ufldl.stanford.edu/housenumbers/'
_SHARD_BYTES = 128 << 20


def features() -> tfds.features.FeaturesDict:
  """One photo: the PNG's own bytes, its number, the digits' boxes (left, top, right, bottom) in reading order."""
  return tfds.features.FeaturesDict(
    {
      'image': tfds.features.Image(shape=(None, None, 3), encoding_format='png'),
      'label': tfds.features.Text(),
      'boxes': tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
      'name': tfds.features.Text(),
    }
  )


def write(examples: Iterable[bytes], work: str) -> tuple[list[int], int, str]:
  """Writes serialised examples to the files 0, 1, ... of a folder.

  Returns the examples of each file, the bytes of all, and a checksum of all. Raises InputError if the disk is full.
  """
  lengths, size, digest = [], 0, hashlib.blake2b(digest_size=16)
  with contextlib.ExitStack() as stack:
    for example in examples:
      if size >= len(lengths) * _SHARD_BYTES:
        stack.close()
        path = os.path.join(work, str(len(lengths)))
        writer = array_record_module.ArrayRecordWriter(path, 'group_size:1,uncompressed')  # PNGs are compressed
        stack.callback(_explained(writer.close))
        put = _explained(writer.write)
        lengths.append(0)
      put(example)
      digest.update(example)
      lengths[-1] += 1
      size += len(example)
  for i in range(len(lengths)):
    with open(os.path.join(work, str(i)), 'rb') as file:
      os.fsync(file.fileno())
  return lengths, size, digest.hexdigest()


def _explained(call):
  """The call of a writer, which raises RuntimeError on whatever the disk does."""

  def explained(*arguments):
    try:
      call(*arguments)
    except RuntimeError as error:
      raise InputError(f'cannot write the data set: {reason(error)}') from error

  return explained


def describe(folder: str, records: Mapping[str, dict], into: str) -> None:
  """Writes into a folder TFDS's description of the splits in `records` (svhn.records), which lie in `folder`."""
  splits_there = [split for split in svhn.SPLITS if split in records]
  info = dataset_info.DatasetInfo(
    builder=dataset_info.DatasetIdentity(
      name=svhn.NAME, version=tfds.core.Version(svhn.VERSION), data_dir=folder, module_name=''
    ),
    features=features(),
    description='Street View House Numbers, full numbers: photos of house numbers with a box for each digit.',
    homepage=HOMEPAGE,
    license='For non-commercial use only.',
    citation='Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011.',
    metadata=tfds.core.MetadataDict({split: records[split] for split in splits_there}),
  )
  info.set_file_format('array_record')
  info.set_splits(
    splits.SplitDict(
      [
        splits.SplitInfo(
          name=split,
          shard_lengths=records[split]['shard_photos'],
          num_bytes=records[split]['bytes'],
          filename_template=naming.ShardedFileTemplate(
            data_dir=pathlib.Path(folder), dataset_name=svhn.NAME, filetype_suffix='array_record', split=split
          ),
        )
        for split in splits_there
      ]
    )
  )
  info.write_to_directory(into)
