"""Where glyphs go: the anchors of a number's digits on the canvas.

Assumes that each glyph is known by its extents, the reach of its ink left, up, right and down of its anchor,
in canvas pixels. Three layouts: `string` (free advance, any place that fits), `grid` (one cell a digit, random
start) and `stacked` (cells filled from the left). Every function places one number.
"""

import dataclasses
import difflib

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.errors import InputError
from digits_jax.synth.draw import check_ranges, plus_minus, uniform

KINDS = ('string', 'grid', 'stacked')
SPACINGS = ('gaps', 'centres')


@dataclasses.dataclass(frozen=True)
class LayoutSpec:
  """How digits stand on the canvas; every field is a static Python value, lengths in pixels."""

  kind: str  # 'string', 'grid' or 'stacked'
  height: int
  width: int
  spacing: str  # string: what spacing_px measures, 'gaps' between inks or distance of 'centres'
  spacing_px: tuple[float, float]  # string: one value a number; negative gaps overlap
  spacing_jitter_px: float  # string: +- this, each digit
  wander_px: float  # string: baseline +- this, each digit
  tilt_degrees: float  # string: baseline +- this, upright digits
  spread_x: float  # string: 1 any place that fits, 0 centred
  spread_y: float
  cell_px: int  # grid, stacked: width and height of a cell

  def __post_init__(self):
    for name, value, known in (('kind', self.kind, KINDS), ('spacing', self.spacing, SPACINGS)):
      if value not in known:
        near = difflib.get_close_matches(str(value), known, 1)
        hint = f'did you mean {near[0]!r}?' if near else f'it is one of {", ".join(known)}'
        raise InputError(f'synth.layout.{name}: there is no {value!r}; {hint}')
    if self.height < 1 or self.width < 1:
      raise InputError(f'synth.layout: a canvas of {self.height}x{self.width} has no pixels')
    check_ranges(self, 'synth.layout', ('spacing_px',))


def place(key: jax.Array, extents: jax.Array, length: jax.Array, linear: jax.Array, spec: LayoutSpec) -> jax.Array:
  """Anchors float32[N, 2], (x, y) on the canvas, of the first `length` digits; the rest are arbitrary.

  Args:
    key: one key.
    extents: float32[N, 4], (left, up, right, down) reach of each ink from its anchor, left and up negative.
    length: int32[], at least 1.
    linear: float32[2, 2], the map of the whole number (turn, zoom, shear), applied to its line as well.
    spec: the layout.
  """
  if spec.kind == 'string':
    return _string(key, extents, length, linear, spec)
  return _cells(key, extents.shape[0], length, linear, spec)


def _string(key, extents, length, linear, spec):
  k_space, k_jitter, k_wander, k_tilt, k_place = jax.random.split(key, 5)
  slots = extents.shape[0]
  spacing = uniform(k_space, (), spec.spacing_px)
  jitter = plus_minus(k_jitter, (slots,), spec.spacing_jitter_px)
  wander = plus_minus(k_wander, (slots,), spec.wander_px)
  slope = jnp.tan(jnp.deg2rad(plus_minus(k_tilt, (), spec.tilt_degrees)))
  u_x, u_y = jax.random.uniform(k_place, (2,))

  is_step = (jnp.arange(slots) > 0) & (jnp.arange(slots) < length)
  advance = spacing + jitter  # [N], from the digit before to this one
  if spec.spacing == 'gaps':
    advance += jnp.roll(extents[:, 2], 1) - extents[:, 0]
  advance = jnp.where(is_step, advance, 0.0)
  # A line wider than the canvas gives up spacing, evenly; `check_fit` knows how far that can go.
  across = jnp.cumsum(advance)
  steps = jnp.maximum(length - 1, 1)
  over = _span(across, extents[:, 0], extents[:, 2], length) - spec.width
  across = jnp.cumsum(jnp.where(is_step, advance - jnp.maximum(over, 0.0) / steps, 0.0))

  line = jnp.stack([across, across * slope + wander], -1) @ linear.T  # [N, 2]
  return jnp.stack(
    [
      line[:, 0] + _offset(u_x, line[:, 0], extents[:, 0], extents[:, 2], length, spec.width, spec.spread_x),
      line[:, 1] + _offset(u_y, line[:, 1], extents[:, 1], extents[:, 3], length, spec.height, spec.spread_y),
    ],
    -1,
  )


def _cells(key, slots, length, linear, spec):
  """Digit i in cell start + i of as many cells as fit; the row of cells stands in the middle of the canvas."""
  cells = spec.width // spec.cell_px
  start = jax.random.randint(key, (), 0, cells - length + 1) if spec.kind == 'grid' else jnp.int32(0)
  x = (start + jnp.arange(slots) - cells / 2 + 0.5) * spec.cell_px
  centre = jnp.array([cells * spec.cell_px / 2, spec.height / 2])
  return jnp.stack([x, jnp.zeros_like(x)], -1) @ linear.T + centre[None]


def _span(positions, before, after, length):
  low, high = _bounds(positions, before, after, length)
  return high - low


def _bounds(positions, before, after, length):
  is_used = jnp.arange(positions.shape[0]) < length
  low = jnp.min(jnp.where(is_used, positions + before, jnp.inf))
  return low, jnp.max(jnp.where(is_used, positions + after, -jnp.inf))


def _offset(u, positions, before, after, length, size, spread):
  """Where the line goes along one axis: from centred anchors (spread 0) to any place that fits (spread 1)."""
  low, high = _bounds(positions, before, after, length)
  is_used = jnp.arange(positions.shape[0]) < length
  anchor = jnp.sum(jnp.where(is_used, positions, 0.0)) / length
  first, last = -low, jnp.maximum(size - high, -low)
  centred = jnp.clip(size / 2 - anchor, first, last)
  return centred + spread * (first + u * (last - first) - centred)


def check_fit(extents: np.ndarray, zoom: float, max_length: int, spec: LayoutSpec) -> None:
  """Raises InputError where the longest number with the largest glyphs cannot stand on the canvas.

  Args:
    extents: float[4], the largest reach (left, up, right, down) of any glyph after its warp.
    zoom: the largest zoom of the whole number.
    max_length: symbols of the longest number.
    spec: the layout.
  """
  if spec.kind == 'string':
    glyph_width, glyph_height = float(extents[2] - extents[0]), float(extents[3] - extents[1])
    low = spec.spacing_px[0] * zoom
    inks = max_length if spec.spacing == 'gaps' else 1
    line = glyph_width * inks + low * (max_length - 1)
    width = max(line, glyph_width)
    height = glyph_height + 2 * spec.wander_px + np.tan(np.deg2rad(spec.tilt_degrees)) * max(line - glyph_width, 0)
  else:
    width, height = spec.cell_px * max_length, spec.cell_px
  if width > spec.width or height > spec.height:
    raise InputError(
      f'{max_length} digits need up to {height:.0f}x{width:.0f} pixels and the canvas is {spec.height}x{spec.width}: '
      'raise synth.layout.width and height, or lower synth.number.max_length, the glyph sizes or the spacing'
    )
