"""What a config says of the canvas that its numbers stand on."""

from ml_collections import ConfigDict

from digits_jax.data.canvas import CanvasSpec

# Height of a digit, least and greatest, as a part of a font's em (old-style digits too), or of MNIST's box for digits,
# which your own digits are brought to.
_DIGIT_FRAC = {'fonts': (0.6, 0.8), 'mnist': (1.0, 1.0), 'folder': (1.0, 1.0), 'csv': (1.0, 1.0)}
_MNIST_PX = 20


def canvas_spec(synth: ConfigDict, data: ConfigDict) -> CanvasSpec:
  """What the groups `synth` and `data` of a run's config say of the canvas."""
  least, most = _DIGIT_FRAC[data.glyphs]
  sizes = data.font_sizes if data.glyphs == 'fonts' else [_MNIST_PX]
  warp, layout = synth.warp, synth.layout
  low = least * min(sizes) * warp.scale[0] * warp.zoom[0]
  high = most * max(sizes) * warp.scale[1] * warp.zoom[1] + 2 * layout.wander_px
  return CanvasSpec(layout.height, layout.width, {0: 1, 1: -1}.get(synth.photo.inversion, 0), (low, high))
