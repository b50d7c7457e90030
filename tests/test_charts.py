"""The charts: what the curves are made of, and that each of them is in the picture."""

import math
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from digits_jax import charts
from digits_jax.data import image_files


def _colour(name):
  return np.rint(255 * np.asarray(to_rgb(name))).astype(int)


def _axes(monkeypatch, records):
  figures = []
  monkeypatch.setattr(charts, 'save', lambda figure, path: figures.append(figure))
  charts.curves('curves.png', records)
  return figures[0].axes


def test_curves_show_the_recorded_values(monkeypatch):
  nan = math.nan
  loss, rate = _axes(
    monkeypatch,
    [
      {'kind': 'train', 'step': 10, 'loss': 2.0, 'images_per_second': 100.0},
      {'kind': 'train', 'step': 20, 'loss': nan},
      {'kind': 'validation', 'step': 20, 'sequence_accuracy': 0.25, 'character_error_rate': 1.5, 'loss': 1.5},
      {'kind': 'train', 'step': 30, 'loss': 0.0},
      {'kind': 'train', 'step': None, 'loss': 9.0},
      {'kind': 'train', 'step': 40, 'loss': 0.5},
      {'kind': 'validation', 'step': 40, 'sequence_accuracy': 0.75, 'character_error_rate': None},
      {'kind': 'validation', 'step': 60, 'sequence_accuracy': 0.5, 'character_error_rate': 0.25},
      {'kind': 'test', 'step': 40, 'sequence_accuracy': 0.1, 'loss': 7.0},
    ],
  )
  lines = {line.get_label(): line.get_xydata() for line in [*loss.lines, *rate.lines]}
  np.testing.assert_array_equal(lines['training'], [[10, 2.0], [20, nan], [30, nan], [40, 0.5]])
  np.testing.assert_array_equal(lines['validation'], [[20, 1.5]])
  np.testing.assert_array_equal(lines['whole numbers right (best 75.00%)'], [[20, 25], [40, 75], [60, 50]])
  np.testing.assert_array_equal(lines['character error rate (lowest 25.00%)'], [[20, 150], [40, nan], [60, 25]])
  assert loss.get_yscale() == 'log' and rate.get_yscale() == 'linear'
  assert rate.get_ylim()[1] > 150
  for axes in (loss, rate):
    assert axes.get_title(loc='left') and axes.get_xlabel() == 'training step' and axes.get_ylabel()


def test_many_training_lines_get_their_running_mean(monkeypatch):
  losses = np.random.default_rng(0).uniform(1, 2, 500)
  loss, _ = _axes(monkeypatch, [{'kind': 'train', 'step': i, 'loss': float(x)} for i, x in enumerate(losses)])
  every, mean = (line.get_xydata() for line in loss.lines)
  np.testing.assert_array_equal(every[:, 1], losses)
  for step, value in mean[[0, 100, -1]]:
    assert value == pytest.approx(losses[int(step) - 9 : int(step) + 1].mean())


def test_an_empty_panel_says_so(monkeypatch):
  loss, rate = _axes(monkeypatch, [])
  assert loss.texts[0].get_text() == 'no loss recorded yet'
  assert rate.texts[0].get_text() == 'no validation recorded yet'
  loss, rate = _axes(monkeypatch, [{'kind': 'train', 'step': 1, 'loss': math.inf}])
  assert loss.texts and rate.texts
  loss, rate = _axes(monkeypatch, [{'kind': 'validation', 'step': 1, 'sequence_accuracy': 0.5}])
  assert loss.texts and not rate.texts


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('losses', [[], [3.0], [1e-9, 1e6], [math.nan, 1.0, math.inf], [2.0] * 300, [0.0] * 300])
def test_curves_write_a_picture(tmp_path, losses):
  records = [{'kind': 'train', 'step': i, 'loss': loss} for i, loss in enumerate(losses)]
  records += [{'kind': 'validation', 'step': 0, 'sequence_accuracy': 0.0, 'character_error_rate': 1.0}]
  path = tmp_path / 'plots' / 'curves.png'
  charts.curves(path, records)
  picture = image_files.read_png(path)
  assert picture.shape == (420, 1100, 3)
  blue = (np.abs(picture.astype(int) - _colour('#0072b2')).sum(-1) < 10).any(0)
  assert blue[550:].any() and blue[:550].any() == any(loss > 0 for loss in losses)


def test_charts_need_no_window_and_loads_matplotlib_late(tmp_path):
  code = (
    'import sys; from digits_jax import charts; assert "matplotlib" not in sys.modules; '
    f'charts.curves({str(tmp_path / "a.png")!r}, []); assert "matplotlib.pyplot" not in sys.modules'
  )
  subprocess.run([sys.executable, '-c', code], check=True)


def test_coverage_shows_every_curve(tmp_path):
  curves = {'test': (np.array([0.25, 0.5, 1.0]), np.array([1.0, 0.99, 0.9])), 'seven': (np.ones(1), np.array([0.5]))}
  charts.coverage(tmp_path / 'new' / 'both.png', curves)
  charts.coverage(tmp_path / 'one.png', {'test': curves['test']})
  for name, colours in (('new/both', ('#0072b2', '#d55e00')), ('one', ('#0072b2',))):
    picture = image_files.read_png(tmp_path / f'{name}.png')
    for colour in ('#0072b2', '#d55e00'):
      assert (picture == _colour(colour)).all(-1).any() == (colour in colours), (name, colour)
  charts.coverage(tmp_path / 'perfect.png', {'test': (np.ones(1), np.ones(1))})
  charts.coverage(tmp_path / 'hopeless.png', {'test': (np.ones(1), np.zeros(1))})
