"""A sheet of the images that were read, each with what was read and where, and its file's name."""

import os

from digits_jax import drawing
from digits_jax.data import image_files
from digits_jax.errors import InputError

MOST = 60  # images on a sheet


class Gallery:
  """Keeps small copies of the first images, and draws them in the end."""

  def __init__(self):
    self._images, self._spans, self._captions, self._names = [], [], [], []

  def add(self, record: dict) -> None:
    """Loads the image of a record once more, and keeps it while there is room; one without an image is left out."""
    if len(self._images) == MOST or record['status'] == 'error':
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
    self._captions.append(f'{text}  {record["confidence"]:.2%}')
    self._names.append(os.path.basename(record['path']))

  def save(self, path: str, count: int) -> str:
    """Writes the sheet of `count` images that were to be read; says what is on it."""
    if not self._images:
      return f'no image could be read: {path} is not written'
    drawn = len(self._images)
    title = f'{drawn:,} images' if drawn == count else f'{drawn:,} of {count:,} images'
    drawing.gallery(path, self._images, self._captions, self._spans, names=self._names, title=title)
    return f'wrote {path} with {title}'
