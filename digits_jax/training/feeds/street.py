"""House numbers that are drawn: config.scene, with the faces of config.data as distance fields; no photo is needed.

The images are crops as SVHN's are: whatever is trained here reads photos that are cropped to the box of their digits.
"""

import dataclasses

from ml_collections import ConfigDict

from digits_jax.alphabet import Alphabet
from digits_jax.data import distance_fields, sources
from digits_jax.data.canvas import CanvasSpec
from digits_jax.data.sources import FixedSet
from digits_jax.errors import InputError
from digits_jax.synth import background, camera, number, paint, scene
from digits_jax.synth.augment import AugmentSpec
from digits_jax.training.feeds import common

GROUPS = ('scene', 'synth.number', 'augment')


def canvas(config: ConfigDict) -> CanvasSpec:
  """Both sides of a crop, in colour; a photo that is given to a reader is stretched to it."""
  size = config.scene.size
  return CanvasSpec(size, size, 0, (0.0, size), fit='stretch')


def slots(config: ConfigDict) -> int:
  """Digits of the longest number that is drawn."""
  return config.synth.number.max_length


def train(config: ConfigDict, alphabet: Alphabet) -> sources.Source:
  """Endless house numbers."""
  return _source(config, alphabet, 'train', AugmentSpec(**config.augment))


def validation(config: ConfigDict, alphabet: Alphabet) -> FixedSet:
  """Drawn as those of training, from the faces and numbers of validation, and not augmented."""
  source = _source(config, alphabet, 'validation', AugmentSpec())
  return FixedSet('validation', source, config.validation.seed, config.validation.examples)


def tests(config: ConfigDict, alphabet: Alphabet) -> dict[str, FixedSet]:
  """The same from the faces and numbers of the test."""
  test = common.only_test(config)
  source = _source(config, alphabet, 'test', AugmentSpec())
  return {'test': FixedSet(test.name, source, test.seed, test.examples)}


def _source(config, alphabet, split, changes):
  data = config.data
  if data.glyphs != 'fonts' or data.test_font_dir:
    raise InputError(
      "config.data: source 'street' draws fonts, of one folder for all splits: leave glyphs at 'fonts' and "
      'test_font_dir empty, and name test_families'
    )
  bank = distance_fields.load(
    data.font_dir or None,
    split=split,
    alphabet=alphabet,
    validation_families=tuple(data.validation_families),
    test_families=tuple(data.test_families),
  )
  source = sources.scenes(bank, spec(config, alphabet, split, changes))
  return dataclasses.replace(source, report=sources.report(bank, split, data.font_dir)) if data.font_dir else source


def spec(config: ConfigDict, alphabet: Alphabet, split: str, changes: AugmentSpec) -> scene.SceneSpec:
  """What config.scene and config.synth.number say, for a split's numbers, augmented by `changes`."""
  drawn = config.scene
  return scene.SceneSpec(
    size=drawn.size,
    number=number.NumberSpec(
      alphabet=alphabet, split=split if config.data.hold_out_numbers else None, **config.synth.number
    ),
    shape=scene.ShapeSpec(**drawn.shape),
    paint=paint.PaintSpec(**drawn.paint),
    ground=background.GroundSpec(**drawn.ground),
    camera=camera.CameraSpec(**drawn.camera),
    augment=dataclasses.replace(changes, size=drawn.size),
  )
