"""What the specs refuse, each by the name of its field, and what the named test sets draw."""

import functools

import jax
import numpy as np
import pytest

from configs import testsets
from digits_jax.alphabet import Alphabet
from digits_jax.errors import InputError
from digits_jax.synth import sequence
from digits_jax.synth.draw import uniform
from tests.synth import specs

CENTRES = {'spacing': 'centres', 'spacing_px': (10.0, 20.0)}
WRONG = [
  ('layout', {'kind': 'strng'}, r"synth\.layout\.kind: there is no 'strng'; did you mean 'string'\?"),
  ('layout', {'kind': 7}, r'synth\.layout\.kind: there is no 7; it is one of string, grid, stacked'),
  ('layout', {'spacing': 'gap'}, r"synth\.layout\.spacing: .* did you mean 'gaps'\?"),
  ('layout', {'spacing_px': (6.0, 2.0)}, r'synth\.layout\.spacing_px: \(6\.0, 2\.0\) is not \(low, high\)'),
  ('layout', {'spacing_px': (float('nan'), 2.0)}, r'synth\.layout\.spacing_px'),
  ('layout', {'spacing_px': (1.0,)}, r'synth\.layout\.spacing_px'),
  ('layout', {'height': 0}, 'a canvas of 0x120 has no pixels'),
  ('layout', {'wander_px': -1.0}, r'synth\.layout\.wander_px: -1\.0 does not lie in \[0, inf\]'),
  ('layout', {'spacing_jitter_px': -1.0}, r'synth\.layout\.spacing_jitter_px'),
  ('layout', {'tilt_degrees': 90.0}, r'synth\.layout\.tilt_degrees'),
  ('layout', {'spread_x': 1.5}, r'synth\.layout\.spread_x'),
  ('layout', {'cell_px': 0}, r'synth\.layout\.cell_px'),
  ('layout', CENTRES | {'spacing_px': (0.0, 9.0)}, r'synth\.layout\.spacing_px: centres .* may change places'),
  ('layout', CENTRES | {'spacing_jitter_px': 6.0}, r'synth\.layout\.spacing_px: centres .* spacing_jitter_px at most'),
  ('warp', {'scale': (1.2, 0.8)}, r'synth\.warp\.scale'),
  ('warp', {'scale': (0.0, 1.0)}, 'scale and zoom must be above 0'),
  ('warp', {'zoom': (-1.0, 1.0)}, 'scale and zoom must be above 0'),
  ('warp', {'stroke_frac': (0.5, -0.5)}, r'synth\.warp\.stroke_frac'),
  ('warp', {'stroke_frac': (0.0, 2.0)}, r'synth\.warp\.stroke_frac: .* does not lie in \[-1, 1\]'),
  ('warp', {'rotation_degrees': -5.0}, r'synth\.warp\.rotation_degrees'),
  ('warp', {'turn_degrees': 200.0}, r'synth\.warp\.turn_degrees'),
  ('warp', {'elastic_px': -1.0}, r'synth\.warp\.elastic_px'),
  ('warp', {'shift_px': float('inf')}, r'synth\.warp\.shift_px: inf does not lie in'),
  ('layout', {'spacing_jitter_px': float('inf')}, r'synth\.layout\.spacing_jitter_px: inf does not lie in'),
  ('warp', {'shear_degrees': 80.0}, r'synth\.warp\.shear_degrees'),
  ('warp', {'slant_degrees': 50.0, 'slant_jitter_degrees': 20.0}, 'slants beyond 60 degrees'),
  ('clutter', {'blobs': -1}, r'blobs must be at least 0'),
  ('clutter', {'blob_px': (0.0, 1.0)}, r'blob_px above 0'),
  ('clutter', {'blob_ink': (0.5, 1.5)}, r'synth\.clutter\.blob_ink'),
  ('photo', {'noise': (0.2, 0.1)}, r'synth\.photo\.noise'),
  ('photo', {'noise': (-0.1, 0.1)}, 'blur_px and noise must be at least 0'),
  ('photo', {'blur_px': (2.0, 1.0)}, r'synth\.photo\.blur_px'),
  ('photo', {'blur_px': (0.0, float('inf'))}, r'synth\.photo\.blur_px: \(0\.0, inf\) is not .* both finite'),
  ('photo', {'inversion': 1.5}, r'synth\.photo\.inversion: 1\.5 does not lie in \[0, 1\]'),
  ('photo', {'inversion': -0.1}, r'synth\.photo\.inversion'),
  ('photo', {'background': (0.0, 0.5), 'contrast': (0.6, 1.0)}, 'on paper of 0.5, the brightest .* 0.6 brighter'),
  ('photo', {'background': (-0.1, 0.5), 'contrast': (0.5, 1.0)}, r'synth\.photo\.background: .* does not lie in'),
  ('photo', {'contrast': (0.0, 1.0)}, r'synth\.photo\.contrast: \(0\.0, 1\.0\) must be above 0'),
  ('number', {'min_length': 0}, r'synth\.number: min_length 0 and max_length 5'),
  ('number', {'min_length': 6}, r'synth\.number: min_length 6 and max_length 5'),
  ('number', {'dot_fraction': 1.5}, r'synth\.number\.dot_fraction'),
  ('number', {'minus_fraction': -0.5}, r'synth\.number\.minus_fraction'),
  ('number', {'alphabet': Alphabet('01'), 'split': 'test'}, r'at least 3 digits: set data\.hold_out_numbers=False'),
]


@pytest.mark.parametrize(
  'name, fields, message', WRONG, ids=[f'{n} {list(f)[-1]} {i}' for i, (n, f, _) in enumerate(WRONG)]
)
def test_wrong_specs_name_their_field(name, fields, message):
  with pytest.raises(InputError, match=message):
    specs.part(name, **fields)


# The blocks are at most 16 pixels wide and high, within 9 pixels of their anchors.
@pytest.mark.parametrize(
  'layout, warp, message',
  [
    ({'width': 79, 'spacing_px': (0.0, 4.0)}, {}, '5 digits need up to 40x80|5 digits need up to 16x80'),
    (
      {'height': 15},
      {},
      '5 digits need up to 16x88 pixels and the canvas is 15x120: raise synth.layout.width and height',
    ),
    ({'width': 99, 'spacing_px': (0.0, 4.0)}, {'scale': (1.0, 1.25)}, '5 digits need up to 20x100'),
    (CENTRES | {'width': 55}, {}, '5 digits need up to 16x56'),
    ({'wander_px': 30.0}, {}, '5 digits need up to 60x88'),
    ({'tilt_degrees': 45.0}, {}, '5 digits need up to 88x88'),
    ({'kind': 'grid', 'width': 119}, {}, '5 digits need up to 24x120'),
    ({'kind': 'stacked', 'height': 23}, {}, '5 digits need up to 24x120'),
    (
      {'kind': 'grid', 'cell_px': 19},
      {},
      'glyph images of 20x20 pixels, scaled by 1.0, do not fit a cell of 19: raise synth',
    ),
    ({'kind': 'grid'}, {'scale': (1.0, 1.3)}, 'do not fit a cell of 24'),
  ],
)
def test_numbers_that_cannot_fit(layout, warp, message):
  with pytest.raises(InputError, match=message):
    sequence.plan(specs.blocks(), specs.make(layout=layout, warp=warp))


def test_numbers_that_just_fit():
  for layout in (
    {'width': 80, 'height': 16, 'spacing_px': (0.0, 4.0)},
    CENTRES | {'width': 56, 'height': 16},
    {'kind': 'grid', 'width': 120, 'height': 24},
  ):
    sequence.plan(specs.blocks(), specs.make(layout=layout))


def test_uniform_fills_its_range_and_one_value_costs_no_bits():
  values = np.asarray(uniform(jax.random.key(0), (5000,), (2.0, 3.0)))
  assert 2.0 <= values.min() < 2.01 and 2.99 < values.max() <= 3.0 and abs(values.mean() - 2.5) < 0.02
  constant = jax.make_jaxpr(functools.partial(uniform, shape=(3,), limits=(2.0, 2.0)))(jax.random.key(0))
  assert 'random' not in str(constant)


def test_set_spec(test_set, **number):
  synth = test_set.synth
  return specs.make(
    **{name: dict(synth[name]) for name in ('layout', 'warp', 'clutter', 'photo')}, number=dict(synth.number) | number
  )


test_set_spec.__test__ = False


def test_strings_v1_stands_as_it_is_defined():
  """Centres 16 to 19 apart, +- 1.5 each, or evenly less where the line is too wide; rows +- 2 about the middle."""
  spec = test_set_spec(testsets.strings())
  _, lengths, _, maps, anchors = specs.arrange(spec, count=600)
  is_used = np.arange(7) < lengths[:, None]
  scales = np.sqrt(np.linalg.det(maps.astype(np.float64)))
  assert 0.8 - 1e-6 <= scales.min() < 0.805 and 0.995 < scales.max() <= 1 + 1e-6
  angles = np.degrees(np.arctan2(maps[..., 1, 0], maps[..., 0, 0]))
  assert -8 - 1e-4 <= angles.min() < -7.9 and 7.9 < angles.max() <= 8 + 1e-4
  steps = np.diff(anchors[..., 0], axis=1)
  is_step = is_used[:, 1:]
  is_short = lengths <= 5  # 4 * 20.5 + 2 * 12 and less: never pressed
  free = steps[is_short][is_step[is_short]]
  assert 14.5 - 1e-3 <= free.min() < 15 and 20 < free.max() <= 20.5 + 1e-3
  spacing = np.array([step[kept].mean() for step, kept in zip(steps[lengths == 5], is_step[lengths == 5], strict=True)])
  assert abs(spacing.mean() - 17.5) < 0.3
  assert steps[is_step].min() > 8  # the promised bound; as good as always 14 and more
  assert np.mean(steps[is_step] < 14) < 0.005
  rows = anchors[..., 1][is_used] - 16
  assert np.abs(rows).max() <= 4  # +- 2 about a mean that is itself of +- 2
  mean = np.array([row[kept].mean() for row, kept in zip(anchors[..., 1], is_used, strict=True)])
  np.testing.assert_allclose(mean, 16, atol=0.6)  # the number stands in the middle


def test_plates_gaps_and_places():
  """Gaps of 0 to 8 pixels, one value a number, and any place that fits."""
  spec, bank = test_set_spec(testsets.plates()), specs.blocks()
  _, lengths, ids, _, anchors = specs.arrange(spec, count=600)
  assert (lengths == 5).all()
  boxes = bank.boxes[ids] - 10 + np.tile(anchors, 2)
  gaps = boxes[:, 1:, 0] - boxes[:, :-1, 2]
  np.testing.assert_allclose(gaps, np.broadcast_to(gaps[:, :1], gaps.shape), atol=1e-3)
  assert -1e-3 <= gaps.min() < 0.2 and 7.8 < gaps.max() <= 8 + 1e-3
  left, top = boxes[..., 0].min(1), boxes[..., 1].min(1)
  room_x, room_y = 128 - (boxes[..., 2].max(1) - left), 64 - (boxes[..., 3].max(1) - top)
  is_free = room_x > 1  # a wide line has no choice
  for share in (left[is_free] / room_x[is_free], top / room_y):
    assert share.min() >= -1e-3 and share.max() <= 1 + 1e-3
    counts = np.histogram(share, 4, (-1e-3, 1 + 1e-3))[0]
    assert (np.abs(counts - counts.mean()) < 5 * np.sqrt(counts.mean())).all()
