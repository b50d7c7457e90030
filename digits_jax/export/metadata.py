"""What is stored beside an exported model, as JSON: what goes in, what comes out, who wrote it."""

from collections.abc import Iterable

import jax
import jaxlib

import digits_jax
from digits_jax.alphabet import BLANK
from digits_jax.errors import InputError
from digits_jax.reading.trained import Run

SCHEMA_VERSION = 1


def check_task(run: Run, known: Iterable[str]) -> None:
  """Raises InputError unless the run's task is among those that a format can hold."""
  if run.config.task not in known:
    raise InputError(
      f'the task {run.config.task!r} cannot be exported in this format yet; {", ".join(map(repr, known))} can'
    )


def describe(run: Run, *, file_format: str, decoding: dict | str, outputs: dict, versions: dict) -> dict:
  """The metadata of an export, plain data.

  Args:
    file_format: 'stablehlo' or 'onnx'.
    decoding: how readings are found, or in words how the caller finds them.
    outputs: {name: what it is}.
    versions: what the format itself depends on, beside jax and digits_jax.
  """
  return {
    'schema_version': SCHEMA_VERSION,
    'format': file_format,
    'run': run.config.name,
    'step': run.step,
    'task': run.config.task,
    'alphabet': run.alphabet.symbols,
    'classes': f'class {BLANK} is the padding, of CTC the blank; symbol i of the alphabet is class i + 1',
    'temperature': run.temperature,
    'input': {'images': f'float32[batch, {", ".join(map(str, run.canvas.shape))}] in [0, 1]'},
    'preprocessing': preprocessing(run),
    'outputs': outputs,
    'decoding': decoding,
    'versions': {
      'digits_jax': digits_jax.__version__,
      'jax': jax.__version__,
      'jaxlib': jaxlib.__version__,
      **versions,
    },
  }


def preprocessing(run: Run) -> dict:
  """What a caller does to a picture, so that it looks as in training; `data.canvas` does it for the reader."""
  spec = run.canvas
  known = {'height': spec.height, 'width': spec.width}
  if spec.fit != 'paper':
    return known | {
      'colours': 'red, green, blue, 0 dark, 1 bright; of a grey image three equal channels',
      'resize': {
        'stretch': 'each side by itself, to height x width',
        'edges': 'to fit height x width, aspect kept; the image in the middle, its edges repeated beyond it',
      }[spec.fit],
    }
  return known | {
    'grey': 'one channel, 0 black, 1 white; of colours 0.299 red + 0.587 green + 0.114 blue',
    'resize': 'to fit height x width, aspect kept; digits higher or lower than ink_height to its middle',
    'ink_height': [round(float(pixels), 1) for pixels in spec.ink_px],  # least and greatest of training, pixels
    'padding': 'with the grey of the background, the image in the middle',
    'polarity': {1: 'bright digits on dark paper', -1: 'dark digits on bright paper', 0: 'either'}[spec.ink],
    'inversion': float(run.config.synth.photo.inversion),  # share of dark digits on bright paper in training
  }
