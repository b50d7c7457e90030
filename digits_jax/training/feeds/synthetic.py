"""Numbers that are drawn from glyphs: config.synth and config.tests.NAME.synth, with the glyphs of config.data."""

import dataclasses
import hashlib
import json

import jax
from ml_collections import ConfigDict

from digits_jax.alphabet import DIGITS, Alphabet
from digits_jax.data import glyphs, sources
from digits_jax.data.canvas import CanvasSpec
from digits_jax.data.sources import FixedSet
from digits_jax.errors import InputError, check_name
from digits_jax.synth import clutter, layout, number, photo, sequence, warp

GROUPS = ('synth.number', 'synth.layout', 'synth.warp', 'synth.clutter', 'synth.photo')
# Height of a digit, least and greatest, as a part of a font's em (old-style digits too), or of MNIST's box for digits,
# which your own digits are brought to.
_DIGIT_FRAC = {'fonts': (0.6, 0.8), 'mnist': (1.0, 1.0), 'folder': (1.0, 1.0), 'csv': (1.0, 1.0)}
_MNIST_PX = 20
# The named test sets of configs/testsets.py: `definition`, and what their ten digits are. A set that is drawn otherwise
# has another name.
NAMED = {
  'strings-v1': ('5de66d9d40cc2104', 'mnist'),
  'seven-v1': ('c27fe21d5aafdfbe', 'mnist'),
  'notes-v1': ('887fad3625e15fc6', 'mnist'),
  'triplets-v1': ('1ebf29c0de6cdb13', 'mnist'),
  'grid-v1': ('1aa442c9a002b769', 'mnist'),
  'mnist-test-v1': ('84f7da49115c851b', 'mnist'),
  'plates-v1': ('35e9a7b2dffe8655', 'fonts'),
  'five-v1': ('057d36ec7742703c', 'fonts'),
  'twelve-v1': ('89974e2ddb431006', 'fonts'),
  'lengths-v1': ('f04bb40d887503cb', 'fonts'),
  'printed-v1': ('05f347f2e2d0fd4e', 'fonts'),
  'families-v1': ('80532bfdf1b29afe', 'own fonts'),
}
_NAMED_SIZES = (18, 19, 20, 21, 22, 23, 24, 25)  # of their fonts, all faces that come along but for families-v1


def canvas(config: ConfigDict) -> CanvasSpec:
  """What training draws on; a test set may have a canvas of another size."""
  synth, data = config.synth, config.data
  least, most = _DIGIT_FRAC[data.glyphs]
  sizes = data.font_sizes if data.glyphs == 'fonts' else [_MNIST_PX]
  low = least * min(sizes) * synth.warp.scale[0] * synth.warp.zoom[0]
  high = most * max(sizes) * synth.warp.scale[1] * synth.warp.zoom[1] + 2 * synth.layout.wander_px
  ink = {0: 1, 1: -1}.get(synth.photo.inversion, 0)
  return CanvasSpec(synth.layout.height, synth.layout.width, ink, (low, high))


def slots(config: ConfigDict) -> int:
  """Symbols of the longest number that training draws."""
  return config.synth.number.max_length


def train(config: ConfigDict, alphabet: Alphabet) -> sources.Source:
  """Endless numbers, drawn as config.synth says."""
  return _source(config, alphabet, 'train', config.synth, _load_bank(config, alphabet, 'train'))


def validation(config: ConfigDict, alphabet: Alphabet) -> FixedSet:
  """Drawn as the test set `test` is, from the glyphs and numbers of validation."""
  bank = _load_bank(config, alphabet, 'validation')
  seed, examples = config.validation.seed, config.validation.examples
  return _fixed_set(config, alphabet, 'validation', bank, config.tests.test, 'validation', seed, examples)


def tests(config: ConfigDict, alphabet: Alphabet) -> dict[str, FixedSet]:
  """Each drawn as it says itself, from the glyphs and numbers of the test; its name is that of `title`."""
  bank = _load_bank(config, alphabet, 'test')
  return {
    name: _fixed_set(config, alphabet, 'test', bank, test, title(config, test), test.seed, test.examples)
    for name, test in config.tests.items()
  }


def title(config: ConfigDict, test: ConfigDict) -> str:
  """The name of a test set, and in brackets what keeps its images from being those that are known by that name."""
  data, own = config.data, own_glyphs(config, 'test')
  known, kind = NAMED.get(test.name, ('', ''))
  if own and kind != 'own fonts':
    return f'{test.name} (own glyphs)'
  if not known:
    return test.name
  is_printed = kind != 'mnist'
  has_glyphs = config.alphabet == DIGITS and data.glyphs == ('fonts' if is_printed else 'mnist')
  has_faces = not is_printed or (tuple(data.font_sizes) == _NAMED_SIZES and bool(own) == (kind == 'own fonts'))
  if kind == 'fonts':
    has_faces &= not (data.validation_families or data.test_families)
  if kind == 'own fonts':  # a folder for the test alone, all of it; which faces lie there is its owner's to say
    has_faces &= data.test_font_dir not in ('', data.font_dir) and not data.test_families
  if not (has_glyphs and has_faces):
    return f'{test.name} (other glyphs)'
  has_numbers = test.synth.number.max_length < 3 or data.hold_out_numbers == is_printed  # short ones: all splits'
  return test.name if definition(test) == known and has_numbers else f'{test.name} (changed)'


def definition(test: ConfigDict) -> str:
  """A checksum of what a test set says of its images, but for how many there are."""
  fields = {'seed': test.seed, 'draw': test.draw, **test.synth.to_dict()}
  numbers = jax.tree.map(lambda leaf: float(leaf) if isinstance(leaf, int | float) else leaf, fields)
  return hashlib.blake2b(json.dumps(numbers, sort_keys=True).encode(), digest_size=8).hexdigest()


def own_glyphs(config: ConfigDict, split: str) -> str:
  """Where the user's own glyphs of a split lie; '' where they come with packages or are MNIST's."""
  data = config.data
  if data.glyphs == 'fonts':
    return (data.test_font_dir if split == 'test' else '') or data.font_dir
  return data.glyph_path if data.glyphs in ('folder', 'csv') else ''


def _fixed_set(config, alphabet, split, bank, test, name, seed, examples):
  """What a test set shows of the glyphs of a split."""
  if test.draw == 'numbers':
    source = _source(config, alphabet, split, test.synth, bank)
  elif test.draw == 'glyphs':
    size = test.synth.layout
    source = sources.each_glyph(bank, height=size.height, width=size.width, examples=examples)
    source = _reported(config, split, source)
  else:
    raise InputError(f'config.tests: {test.name} has draw={test.draw!r}; it is numbers or glyphs')
  return FixedSet(name, source, seed, examples)


def _source(config, alphabet, split, synth, bank):
  held_out = split if config.data.hold_out_numbers else None
  spec = sequence.SequenceSpec(
    number=number.NumberSpec(alphabet=alphabet, split=held_out, **synth.number),
    layout=layout.LayoutSpec(**synth.layout),
    warp=warp.WarpSpec(**synth.warp),
    clutter=clutter.ClutterSpec(**synth.clutter),
    photo=photo.PhotoSpec(**synth.photo),
  )
  return _reported(config, split, sources.synthetic(bank, spec))


def _reported(config, split, source):
  """The source of a split, saying what it has of the user's own glyphs."""
  own = own_glyphs(config, split)
  return dataclasses.replace(source, report=sources.report(source.constants, split, own)) if own else source


def _load_bank(config, alphabet, split):
  """The glyphs of a split, as config.data.glyphs names them. Raises InputError for an unknown name."""
  data = config.data
  check_name('config.data.glyphs', data.glyphs, _DIGIT_FRAC)
  if data.glyphs == 'fonts':
    return glyphs.from_fonts(
      split,
      alphabet,
      sizes=tuple(data.font_sizes),
      font_dir=data.font_dir or None,
      test_font_dir=data.test_font_dir or None,
      validation_families=tuple(data.validation_families),
      test_families=tuple(data.test_families),
    )
  if data.glyphs == 'mnist':
    return glyphs.from_mnist(split, alphabet, data_dir=data.data_dir or None)
  own = {'kind': data.glyphs, 'path': data.glyph_path, 'held_out': tuple(data.held_out)}
  return glyphs.from_own_digits(split, alphabet, split_seed=data.split_seed, **own)
