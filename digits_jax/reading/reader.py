"""From images to numbers: `Reader.load('runs/quick').read(images)`.

Assumes a trained run whose task reads. Images are loaded a batch ahead of the reading, never all
together, and a reader compiles at most one program per batch size and set of options.
"""

import concurrent.futures
import dataclasses
import functools
import itertools
import math
import operator
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

from digits_jax.data import canvas, image_files
from digits_jax.errors import InputError
from digits_jax.reading import trained
from digits_jax.reading.program import make_program

BATCH_SIZES = (1, 8, 64)  # what is read is padded to the least of these that holds it


@dataclasses.dataclass(frozen=True)
class Reading:
  """The number in one image. Where nothing was read, text is '' and confidence the probability of just that."""

  text: str
  confidence: float  # the probability of the whole text, whatever lengths were asked for
  digit_confidences: tuple[float, ...]  # of each symbol, its own probability; of CTC, the highest where it stands
  # Of each symbol, (left, right) in pixels of the image, upright, half-open; none where the model knows no frames.
  spans: tuple[tuple[float, float], ...]
  alternatives: tuple[tuple[str, float], ...]  # the next best (text, confidence), best first
  conditional_confidence: float | None  # the probability given that the length is allowed; None if every length is


class Reader:
  """A trained run that reads images."""

  def __init__(self, run: trained.Run, *, beams: int | None = None):
    """Takes an opened run; `Reader.load` opens one. beams: as there."""
    beams = run.config.evaluation.beams if beams is None else _whole('beams', beams)
    if beams < 1:
      raise InputError(f'beams={beams}: a search keeps at least 1')
    self.run = run
    self.beams = beams
    self._example = jax.ShapeDtypeStruct((1, *run.canvas.shape), np.float32)
    read = make_program(run.task, beams=1, n_best=1)
    self.frames = jax.eval_shape(read, run.params, self._example, np.float32(1)).labels.shape[-1]  # of any length, N
    self._programs = {}

  @classmethod
  def load(
    cls,
    workdir: str | pathlib.Path | None = None,
    *,
    beams: int | None = None,
    zooms: Sequence[float] | None = None,
  ) -> 'Reader':
    """Opens a run directory with its best parameters, or a file of weights.

    Args:
      workdir: what `python -m digits_jax.main` wrote, or the file that `python -m digits_jax.export --format=weights`
        did. None: the reader of house numbers that comes with the package (experiments/street).
      beams: readings that the search follows at a time; more are slower and miss less. None: config.evaluation.beams.
      zooms: from how many times as far away each image is looked at too, such as (1.08, 1.16); () for the image as it
        is alone. Confidences are calibrated for the run's own zooms. None: these, config.evaluation.zooms.

    Raises InputError where there is no run that can be read with, and on zooms that cannot be.
    """
    return cls(trained.load(workdir, zooms=zooms), beams=beams)

  def read(
    self,
    images: Iterable[Any],
    *,
    n_best: int = 1,
    min_length: int = 0,
    max_length: int | None = None,
    return_errors: bool = False,
  ) -> Iterator[Reading | InputError]:
    """Yields the reading of each image, in order, taking at most two batches ahead from `images`.

    What `images` itself raises ends reading at once: up to two batches that were taken before it are not yielded.

    Args:
      images: of any number: paths, Pillow images, arrays [h, w], [h, w, 1], [h, w, 3] (RGB) or [h, w, 4] (RGBA) of
        uint8 in [0, 255] or of floats in [0, 1]. Any size; the number should fill a fair part of it.
      n_best: readings wanted of each image: the text and n_best - 1 alternatives, or all there are. At most the beams.
        More than 5 may find a better text, of an image that is hard to read: so many beams are scored exactly.
      min_length, max_length: symbols that a reading may have, both included; None sets no upper limit. The search
        follows these lengths alone.
      return_errors: True yields the InputError of an image that cannot be read in its place; False raises it when its
        turn has come.

    Raises InputError, at once, on options that make no sense.
    """
    is_array = hasattr(images, '__array__') and not isinstance(images, Image.Image)
    if isinstance(images, str | os.PathLike | Image.Image) or (is_array and _is_one_image(np.shape(images))):
      raise InputError('read takes a list of images, and this is one image: give it as [image]')
    program = self._program(n_best, min_length, max_length)
    return self._read(images, program, bool(min_length) or max_length is not None, return_errors)

  def _program(self, n_best, min_length, max_length):
    """The compiled program of these options, with params and temperature filled in. Raises InputError."""
    n_best, min_length = _whole('n_best', n_best), _whole('min_length', min_length)
    max_length = None if max_length is None else _whole('max_length', max_length)
    if not 1 <= n_best <= self.beams:
      raise InputError(f'n_best={n_best} must be from 1 to the {self.beams} beams of this reader; raise beams')
    if min_length < 0 or (max_length is not None and max_length < min_length):
      raise InputError(f'min_length={min_length}, max_length={max_length}: no number has such a length')
    run, options = self.run, (n_best, min_length, max_length)
    if options not in self._programs:
      program = jax.jit(
        make_program(run.task, beams=self.beams, n_best=n_best, min_length=min_length, max_length=max_length)
      )
      jax.eval_shape(program, run.params, self._example, temperature=np.float32(1))  # the task's refusals, at once
      self._programs[options] = program
    return functools.partial(self._programs[options], run.params, temperature=np.float32(run.temperature))

  def _read(self, images, program, is_constrained, return_errors):
    waiting = None
    with concurrent.futures.ThreadPoolExecutor(image_files.THREADS) as pool:
      # Threads load files; an array is converted at once, for the caller may overwrite it after yielding it.
      load = lambda i, image: (pool.submit if _is_path(image) else _now)(self._load, i, image)
      items = itertools.starmap(load, enumerate(images))
      while chunk := list(itertools.islice(items, BATCH_SIZES[-1])):
        loaded = [one.result() for one in chunk]
        begun = _begin(program, loaded), loaded
        if waiting:
          yield from self._finish(*waiting, is_constrained, return_errors)
        waiting = begun
      if waiting:
        yield from self._finish(*waiting, is_constrained, return_errors)

  def _load(self, position, image):
    """(canvas float32[H, W, C], its placement), or the InputError that says why not."""
    try:
      return canvas.load(image, self.run.canvas)
    except InputError as error:
      return error if _is_path(image) else InputError(f'images[{position}]: {error}')

  def _finish(self, decoded, loaded, is_constrained, return_errors):
    """Yields what became of each of `loaded`; row i of `decoded` is the i-th of them that is no error."""
    decoded = jax.device_get(decoded)
    row = 0
    for one in loaded:
      if not isinstance(one, InputError):
        yield self._reading(jax.tree.map(lambda leaf: leaf[row], decoded), one[1], is_constrained)
        row += 1
      elif return_errors:
        yield one
      else:
        raise one

  def _reading(self, decoded, placement, is_constrained):
    """The reading of one image from its row of each array of `Decoded`."""
    texts = [self.run.alphabet.decode(*row) for row in zip(decoded.labels, decoded.lengths, strict=True)]
    log_probs = decoded.log_probs.tolist()
    ranked = [(text, math.exp(score)) for text, score in zip(texts, log_probs, strict=True) if score > -math.inf]
    (text, confidence), *alternatives = ranked
    columns = self.run.canvas.width / self.frames  # of the canvas, a frame
    frames = zip(decoded.first[: len(text)].tolist(), decoded.last[: len(text)].tolist(), strict=True)
    spans = (placement.span(columns * first, columns * (last + 1)) for first, last in frames if first >= 0)
    conditional = math.exp(min(log_probs[0] - float(decoded.allowed_log_prob), 0.0)) if is_constrained else None
    return Reading(
      text=text,
      confidence=confidence,
      digit_confidences=tuple(decoded.posteriors[: len(text)].tolist()),
      spans=tuple(spans),
      alternatives=tuple(alternatives),
      conditional_confidence=conditional,
    )


def _begin(program, loaded):
  """Starts the program on the canvases among `loaded`, and returns while it runs; None where there are none."""
  canvases = [one[0] for one in loaded if not isinstance(one, InputError)]
  if not canvases:
    return None
  size = next(size for size in BATCH_SIZES if size >= len(canvases))
  batch = np.zeros((size, *canvases[0].shape), np.float32)
  batch[: len(canvases)] = canvases
  return program(batch)


def _now(load, *arguments):
  """What `pool.submit` gives, done."""
  done = concurrent.futures.Future()
  done.set_result(load(*arguments))
  return done


def _whole(name, value):
  """The value as an int. Raises InputError where it is no whole number."""
  try:
    return operator.index(value)
  except TypeError as error:
    raise InputError(f'{name}={value!r} is no whole number') from error


def _is_path(image):
  return isinstance(image, str | os.PathLike)


def _is_one_image(shape):
  return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))
