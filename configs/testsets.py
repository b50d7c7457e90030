"""The named test sets: fixed generators, so that no figure can be met by easing them. Never edit one; add a v2."""

from ml_collections import ConfigDict

from configs import common


def strings(min_length: int = 1, name: str = 'strings-v1') -> ConfigDict:
  """`strings-v1`: 1 to 7 handwritten digits on 32x128, scaled, rotated, unevenly spaced, with noise."""
  synth = common.synth()
  synth.number.update(min_length=min_length, max_length=7)
  synth.layout.update(
    kind='string', height=32, width=128, spacing='centres', spacing_px=(16.0, 19.0), spacing_jitter_px=1.5,
    wander_px=2.0, spread_y=0.0,
  )
  synth.warp.update(scale=(0.8, 1.0), rotation_degrees=8.0)
  return common.test_set(name, synth)


def seven() -> ConfigDict:
  """`seven-v1`: as strings-v1, all of 7 digits."""
  return strings(min_length=7, name='seven-v1')


def notes() -> ConfigDict:
  """`notes-v1`: 1 to 10 handwritten digits on 32x160, dark on paper of any grey, of many sizes, unevenly spaced."""
  synth = common.synth()
  synth.number.update(min_length=1, max_length=10)
  synth.layout.update(
    kind='string', height=32, width=160, spacing='centres', spacing_px=(12.0, 17.0), spacing_jitter_px=2.0,
    wander_px=1.5, tilt_degrees=2.0, spread_y=0.5,
  )
  synth.warp.update(scale=(0.62, 0.78), rotation_degrees=6.0, slant_degrees=10.0, zoom=(0.7, 1.25))
  synth.warp.update(stroke_frac=(-0.5, 0.3))
  synth.photo.update(blur_px=(0.2, 0.8), background=(0.1, 0.5), contrast=(0.3, 0.8), inversion=1.0, noise=(0.0, 0.04))
  return common.test_set('notes-v1', synth)


def triplets() -> ConfigDict:
  """`triplets-v1`: three undistorted handwritten digits side by side on 28x84."""
  synth = common.synth()
  synth.number.update(min_length=3, max_length=3)
  synth.layout.update(kind='stacked', height=28, width=84)
  synth.photo.noise = (0.0, 0.0)
  return common.test_set('triplets-v1', synth)


def grid() -> ConfigDict:
  """`grid-v1`: 1 to 5 undistorted handwritten digits in 28-pixel cells on 28x140, from a random cell on."""
  synth = common.synth()
  synth.number.update(min_length=1, max_length=5)
  synth.layout.update(kind='grid', height=28, width=140)
  synth.photo.noise = (0.0, 0.0)
  return common.test_set('grid-v1', synth)


def plates() -> ConfigDict:
  """`plates-v1`: 5 printed digits on 64x128, sizes 18 to 25, gaps 0 to 8, any place that fits, with noise."""
  synth = common.synth()
  synth.number.update(min_length=5, max_length=5)
  return common.test_set('plates-v1', synth)


def digits() -> ConfigDict:
  """`mnist-test-v1`: MNIST's 10,000 test images, each once and as it is, on 28x28."""
  synth = common.synth()
  synth.number.update(min_length=1, max_length=1)
  synth.layout.update(height=28, width=28)
  synth.photo.noise = (0.0, 0.0)
  return common.test_set('mnist-test-v1', synth, examples=10_000, draw='glyphs')


def printed() -> ConfigDict:
  """`printed-v1`: single printed digits on 32x32, sizes 18 to 25, any place that fits, with noise."""
  synth = common.synth()
  synth.number.update(min_length=1, max_length=1)
  synth.layout.update(height=32, width=32)
  return common.test_set('printed-v1', synth)


def five() -> ConfigDict:
  """`five-v1`: drawn as plates-v1 from a seed of its own: 5,000 other numbers, for what was chosen by looking at those.

  Its seed sets it apart: a recipe compared with others on plates-v1 is tested once, here.
  """
  return common.test_set('five-v1', plates().synth, seed=3)


def twelve() -> ConfigDict:
  """`twelve-v1`: 12 printed digits on 64x288, otherwise as plates-v1; a line too wide for its gaps has smaller ones."""
  synth = common.synth()
  synth.number.update(min_length=12, max_length=12)
  synth.layout.width = 288
  return common.test_set('twelve-v1', synth)


def lengths() -> ConfigDict:
  """`lengths-v1`: 1 to 15 printed digits on 64x360, otherwise as plates-v1: how far does a reader carry?"""
  synth = common.synth()
  synth.number.update(min_length=1, max_length=15)
  synth.layout.width = 360
  return common.test_set('lengths-v1', synth)


def families() -> ConfigDict:
  """`families-v1`: drawn as plates-v1, from a seed of its own, in faces of families that are not trained on."""
  return common.test_set('families-v1', plates().synth, seed=4)
