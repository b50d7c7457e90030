"""Made files in the format of SVHN's full numbers: digitStruct.mat, photos, archives, the extracted folder."""

import contextlib
import io
import itertools
import pathlib
import tarfile

import h5py
import numpy as np
from PIL import Image

FIELDS = ('height', 'label', 'left', 'top', 'width')
# What MATLAB writes before the HDF5 file: text, no subsystem, version 2.0, and 'MI' in the order of its bytes.
HEADER = b'MATLAB 7.3 MAT-file, HDF5 schema 1.00 .'.ljust(116) + bytes(8) + b'\x00\x02IM'
COUNTS = {'train': 60, 'extra': 30, 'test': 9}  # photos of the data set of `conftest.data_dir`


def write_digit_struct(path, photos):
  """Writes [(name, [{field: number, for all FIELDS}, ...]), ...] as MATLAB 7.3 does: every number is a dataset."""
  with h5py.File(path, 'w', libver='earliest', userblock_size=512) as file:
    # Short names, as MATLAB's: where those of a group take 32 MB, HDF5 reads them anew for each that is added.
    heap, names_left = file.create_group('#refs#'), (np.base_repr(i, 36) for i in itertools.count())

    def place(parent, name, data, kind, **attributes):
      dataset = parent.create_dataset(name or next(names_left), data=data)
      dataset.attrs['MATLAB_class'] = np.bytes_(kind)
      dataset.attrs.update(attributes)
      return dataset.ref

    def column(parent, name, references):
      parent.create_dataset(name, data=np.array([[one] for one in references], h5py.ref_dtype), dtype=h5py.ref_dtype)

    names, groups = [], []
    for name, boxes in photos:
      letters = np.frombuffer(name.encode('utf-16-le'), np.uint16)[:, None]
      names.append(place(heap, None, letters, 'char', MATLAB_int_decode=np.int32(2)))
      group = heap.create_group(next(names_left))
      group.attrs['MATLAB_class'] = np.bytes_('struct')
      groups.append(group.ref)
      for field in FIELDS:
        values = [np.full((1, 1), box[field], np.float64) for box in boxes]
        if len(values) == 1:
          place(group, field, values[0], 'double')
        else:
          column(group, field, [place(heap, None, value, 'double') for value in values])
    top = file.create_group('digitStruct')
    top.attrs['MATLAB_class'] = np.bytes_('struct')
    column(top, 'bbox', groups)
    column(top, 'name', names)
  with open(path, 'r+b') as file:
    file.write(HEADER)


def row(digits, left=4, top=5, width=6, height=9):
  """Boxes of digits side by side."""
  return [
    {'label': int(digit) or 10, 'left': left + i * width, 'top': top, 'width': width, 'height': height}
    for i, digit in enumerate(digits)
  ]


def png(height, width, seed=0):
  """A colourful photo as the bytes of a PNG."""
  file = io.BytesIO()
  pixels = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
  Image.fromarray(pixels.repeat(4, 0).repeat(4, 1)[:height, :width]).save(file, 'PNG')
  return file.getvalue()


def write_folder(folder, photos, images):
  """The extracted folder: {name: boxes}, {name: bytes of its PNG}."""
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True)
  for name, content in images.items():
    (folder / name).write_bytes(content)
  write_digit_struct(folder / 'digitStruct.mat', photos.items())
  return folder


def write_archive(path, folder, more=()):
  """A tar.gz of the folder, photos first, under its name; `more` are [(TarInfo, bytes)]."""
  names = sorted((file.name for file in folder.iterdir()), key=lambda name: (name == 'digitStruct.mat', name))
  with contextlib.closing(tarfile.open(path, 'w:gz', compresslevel=1)) as archive:
    archive.add(folder, folder.name, recursive=False)
    for name in names:
      archive.add(folder / name, f'{folder.name}/{name}')
    for member, content in more:
      archive.addfile(member, io.BytesIO(content))
  return pathlib.Path(path)
