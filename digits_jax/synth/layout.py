"""Where glyphs go: the anchors of a number's digits on the canvas.

Assumes that each glyph is known by its extents, the reach of its ink left, up, right and down of its anchor,
in canvas pixels. Three layouts: `string` (free advance, any place that fits), `grid` (one cell a digit, random
start) and `stacked` (cells filled from the left). Every function places one number.

No digit leaves the canvas. What would: spacing gives way first, evenly; a number that is tilted, turned, zoomed or
sheared beyond the canvas is made smaller; shift and wander end where the canvas does. What elastic distortion and
thicker strokes add to the extents is not known here and may be cut.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.errors import InputError, check_name
from digits_jax.synth.draw import check_between, check_ranges, plus_minus, uniform

KINDS = ('string', 'grid', 'stacked')
SPACINGS = ('gaps', 'centres')
LEAST_FRAC = 0.5  # centres never come nearer than this part of the least spacing


@dataclasses.dataclass(frozen=True)
class LayoutSpec:
  """How digits stand on the canvas; every field is a static Python value, lengths in pixels."""

  kind: str  # 'string', 'grid' or 'stacked'
  height: int
  width: int
  spacing: str  # string: what spacing_px measures, 'gaps' between inks or distance of 'centres'
  spacing_px: tuple[float, float]  # string: one value a number; negative gaps overlap, up to half the narrower ink
  spacing_jitter_px: float  # string: +- this, each digit
  wander_px: float  # string: baseline +- this, each digit
  tilt_degrees: float  # string: baseline +- this, upright digits
  spread_x: float  # string: 1 any place that fits, 0 the middle, by the mean of its anchors
  spread_y: float  # the same, up and down
  cell_px: int  # grid, stacked: width and height of a cell

  def __post_init__(self):
    for name, value, known in (('kind', self.kind, KINDS), ('spacing', self.spacing, SPACINGS)):
      check_name(f'synth.layout.{name}', value, known)
    if self.height < 1 or self.width < 1:
      raise InputError(f'synth.layout: a canvas of {self.height}x{self.width} has no pixels')
    check_ranges(self, 'synth.layout', ('spacing_px',))
    check_between(self, 'synth.layout', 0, np.inf, ('spacing_jitter_px', 'wander_px'))
    check_between(self, 'synth.layout', 0, 60, ('tilt_degrees',))
    check_between(self, 'synth.layout', 0, 1, ('spread_x', 'spread_y'))
    check_between(self, 'synth.layout', 1, np.inf, ('cell_px',))
    least = self.spacing_px[0]
    if self.kind == 'string' and self.spacing == 'centres' and (least <= 0 or self.spacing_jitter_px > least / 2):
      raise InputError(
        f'synth.layout.spacing_px: centres {least} pixels apart, +- {self.spacing_jitter_px}, may change places: '
        'make spacing_px larger than 0 and spacing_jitter_px at most half of it'
      )


def place(
  key: jax.Array,
  own: jax.Array,
  extents: jax.Array,
  length: jax.Array,
  linear: jax.Array,
  shift: jax.Array,
  spec: LayoutSpec,
) -> tuple[jax.Array, jax.Array]:
  """Anchors float32[N, 2], (x, y) on the canvas, of the first `length` digits, and a factor float32[] <= 1.

  The digits are to be made smaller by the factor; it is 1 wherever the number fits. The anchors past `length`
  are arbitrary.

  Args:
    key: one key.
    own: float32[N, 4], (left, up, right, down) reach of each ink from its anchor, left and up negative, before
      the map of the whole number.
    extents: float32[N, 4], the same after it.
    length: int32[], at least 1.
    linear: float32[2, 2], the map of the whole number (turn, zoom, shear), for the line that digits stand on.
    shift: float32[2], moves the number as far as the canvas goes.
    spec: the layout.
  """
  size = jnp.array([spec.width, spec.height], jnp.float32)
  is_used = (jnp.arange(own.shape[0]) < length)[:, None]  # [N, 1]
  if spec.kind == 'string':
    k_space, k_jitter, k_wander, k_tilt, k_place = jax.random.split(key, 5)
    across = _advance(k_space, k_jitter, own, length, spec)
    slope = jnp.tan(jnp.deg2rad(plus_minus(k_tilt, (), spec.tilt_degrees)))
    line = jnp.stack([across, across * slope], -1)
    wander = plus_minus(k_wander, across.shape, spec.wander_px)
  else:
    line = _cells(key, own.shape[0], length, spec)
    wander = jnp.zeros(own.shape[:1])

  line = line @ linear.T  # [N, 2]
  low, high = _bounds(line, extents, is_used)  # [2] each
  fit = jnp.minimum(1.0, jnp.min(size / (high - low)))
  line, extents = line * fit, extents * fit
  line = line.at[:, 1].add(wander)

  low, high = _bounds(line, extents, is_used)
  first, last = -low, jnp.maximum(size - high, -low)
  if spec.kind == 'string':
    anchor = jnp.sum(jnp.where(is_used, line, 0.0), 0) / length  # [2]
    centred = jnp.clip(size / 2 - anchor, first, last)
    spread = jnp.array([spec.spread_x, spec.spread_y])
    offset = centred + spread * (first + jax.random.uniform(k_place, (2,)) * (last - first) - centred)
  else:
    # On whole pixels both ways, so that digits which nothing bends are copied.
    left, top = (spec.width - _row_width(spec)) // 2, (spec.height - spec.cell_px) // 2
    offset = jnp.array([left + _row_width(spec) / 2, top + spec.cell_px / 2])
  anchors = line + jnp.clip(offset + shift, first, last)[None]
  return jnp.clip(anchors, -extents[:, :2], size[None] - extents[:, 2:]), fit


def _bounds(line, extents, is_used):
  """The inks' least and greatest (x, y), float32[2] each."""
  low = jnp.min(jnp.where(is_used, line + extents[:, :2], jnp.inf), 0)
  return low, jnp.max(jnp.where(is_used, line + extents[:, 2:], -jnp.inf), 0)


def _advance(k_space, k_jitter, own, length, spec):
  """Anchors float32[N] along the line, from 0 at the first digit, of a number not wider than the canvas."""
  slots = own.shape[0]
  is_used, is_step = jnp.arange(slots) < length, (jnp.arange(slots) > 0) & (jnp.arange(slots) < length)
  wanted = uniform(k_space, (), spec.spacing_px) + plus_minus(k_jitter, (slots,), spec.spacing_jitter_px)  # [N]
  if spec.spacing == 'gaps':
    touching = jnp.roll(own[:, 2], 1) - own[:, 0]
    ink = own[:, 2] - own[:, 0]
    overlap = 0.5 * jnp.minimum(ink, jnp.roll(ink, 1))
    least = touching + jnp.maximum(spec.spacing_px[0] - spec.spacing_jitter_px, -overlap)
    wanted = jnp.maximum(wanted + touching, least)
  else:
    least = jnp.full(slots, LEAST_FRAC * spec.spacing_px[0], jnp.float32)

  def stand(give):
    """The anchors where each step gives up `give` pixels, if it has them."""
    return jnp.cumsum(jnp.where(is_step, jnp.maximum(wanted - give, least), 0.0))

  def over(give):
    across = stand(give)
    low = jnp.min(jnp.where(is_used, across + own[:, 0], jnp.inf))
    return jnp.max(jnp.where(is_used, across + own[:, 2], -jnp.inf)) - low - spec.width

  # The width falls with `give`, along straight pieces that end where a step has no more: the chord of the piece
  # in which the line begins to fit.
  ends = jnp.concatenate([jnp.zeros(1), jnp.where(is_step, wanted - least, 0.0)])  # [N+1]
  overs = jax.vmap(over)(ends)
  is_wide = overs > 0
  before, after = jnp.max(jnp.where(is_wide, ends, 0.0)), jnp.min(jnp.where(is_wide, jnp.max(ends), ends))
  excess = jnp.min(jnp.where(is_wide, overs, jnp.max(overs)))
  room = jnp.max(jnp.where(is_wide, jnp.min(overs), overs))
  give = before + (after - before) * jnp.clip(excess / jnp.maximum(excess - room, 1e-6), 0.0, 1.0)
  return stand(jnp.where(is_wide[0], give, 0.0))


def _cells(key, slots, length, spec):
  """Anchors float32[N, 2] about the middle of the row: digit i in cell start + i of as many cells as fit."""
  cells = spec.width // spec.cell_px
  start = jax.random.randint(key, (), 0, cells - length + 1) if spec.kind == 'grid' else jnp.int32(0)
  x = (start + jnp.arange(slots) - cells / 2 + 0.5) * spec.cell_px
  return jnp.stack([x, jnp.zeros_like(x)], -1)


def _row_width(spec):
  return spec.width // spec.cell_px * spec.cell_px


def check_fit(extents: np.ndarray, inks: np.ndarray, max_length: int, spec: LayoutSpec) -> None:
  """Raises InputError where the longest number of the largest glyphs cannot stand on the canvas.

  Args:
    extents: float[G, 4], the largest reach (left, up, right, down) of each glyph before the map of the whole number.
    inks: float[G, 2], the largest width and height of each glyph, likewise.
    max_length: symbols of the longest number.
    spec: the layout.
  """
  steps = max_length - 1
  if spec.kind == 'string':
    low = spec.spacing_px[0]
    glyph_width, glyph_height = inks.max(0)
    if spec.spacing == 'gaps':
      width = glyph_width * max_length + max(low, -glyph_width / 2) * steps
    else:
      # One glyph may lean left of its anchor and another right.
      apart = extents[:, 2].max() - extents[:, 0].min()
      width = max(glyph_width + low * steps, apart + LEAST_FRAC * low * steps)
    rise = np.tan(np.deg2rad(spec.tilt_degrees)) * max(width - glyph_width, 0)
    height = max(glyph_height + rise, 2 * spec.wander_px)
  else:
    width, height = spec.cell_px * max_length, spec.cell_px
  if width > spec.width or height > spec.height:
    raise InputError(
      f'{max_length} digits need up to {np.ceil(height):.0f}x{np.ceil(width):.0f} pixels and the canvas is '
      f'{spec.height}x{spec.width}: raise synth.layout.width and height, or lower synth.number.max_length, '
      'the glyph sizes or the spacing'
    )
