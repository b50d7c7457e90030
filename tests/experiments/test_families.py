"""experiments/families/gather.py: which faces it takes, that clones stay together, what it writes."""

import importlib.util
import pathlib
import shutil

import numpy as np
import pytest

from digits_jax.data import fonts

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def gather():
  spec = importlib.util.spec_from_file_location('gather', ROOT / 'experiments' / 'families' / 'gather.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture(scope='module')
def shipped(gather):
  return {pathlib.Path(face.path).stem: face for face in fonts.find_faces(None, alphabet=gather.SYMBOLS)[0]}


def described(name, style, weight, is_italic):
  return {'family': name, 'group': name, 'style': style, 'weight': weight, 'is_italic': is_italic, 'path': style}


def test_four_styles_of_a_family_and_eight_faces_of_a_group(gather):
  styles = [('Light', 300, False), ('Regular', 400, False), ('Medium', 500, False), ('Bold', 700, False)]
  styles += [('Italic', 400, True), ('Bold Italic', 700, True), ('Black', 900, False)]
  faces = [described('One', *style) for style in styles]
  assert [face['style'] for face in gather.limit([*faces, None])] == ['Regular', 'Bold', 'Italic', 'Light']
  siblings = [described(f'One {i}', *style) | {'group': 'One'} for i in range(3) for style in styles]
  kept = gather.limit(siblings)
  assert [face['family'] for face in kept] == ['One 0', 'One 1', 'One 2'] * 2 + ['One 0', 'One 1']


def test_what_matplotlib_ships_is_left_out(gather, shipped):
  assert gather.describe(pathlib.Path(shipped['DejaVuSans'].path)) is None


def test_clones_are_on_one_side(gather, shipped, monkeypatch):
  """Two names for one face are one group; one that is like a shipped face trains."""
  monkeypatch.setattr(gather, 'SHARES', {'test': 1, 'validation': 1})
  faces = [
    {'group': group, 'path': pathlib.Path(shipped[name].path)}
    for group, name in (('A', 'DejaVuSans'), ('B', 'DejaVuSans'), ('C', 'cmr10'), ('D', 'cmtt10'))
  ]
  assert set(gather.split(faces).values()) == {'train'}  # all are like shipped ones
  monkeypatch.setattr(gather.fonts, 'find_faces', lambda *_, **__: ([shipped['STIXGeneral']], {}))
  splits = gather.split(faces)
  assert splits['A'] == splits['B'] and sorted({splits[group] for group in 'ACD'}) == ['test', 'train', 'validation']


def test_what_is_written_draws_the_same_digits(gather, shipped, tmp_path):
  source = pathlib.Path(shipped['DejaVuSerif'].path)
  gather.write(source, tmp_path / 'a' / 'cut.ttf')
  shutil.copy(source, tmp_path / 'whole.ttf')
  (cut, whole), refused = fonts.find_faces(str(tmp_path), alphabet=gather.SYMBOLS)
  assert not refused and cut.family == whole.family == 'DejaVu'
  assert (tmp_path / 'a' / 'cut.ttf').stat().st_size < 10_000
  likeness = np.sum(gather.digits_of(cut.path) * gather.digits_of(whole.path), 1)  # hinting differs
  assert likeness.min() > 0.97
