"""Folders of data and caches: where they are, and what lies in them."""

import pytest

from digits_jax.data import places
from digits_jax.errors import InputError


@pytest.mark.parametrize(
  ('given', 'wanted'), [('/there', '/there'), ('relative', '/home/me/.cache'), ('', '/home/me/.cache')]
)
def test_the_cache_is_where_the_system_says(monkeypatch, given, wanted):
  """XDG's rule: a path that is relative is passed over."""
  monkeypatch.setenv('XDG_CACHE_HOME', given)
  monkeypatch.setenv('HOME', '/home/me')
  assert places.cache_folder() == f'{wanted}/digits_jax'


def test_all_files_below_a_folder(tmp_path, refuse):
  (tmp_path / 'b' / 'c').mkdir(parents=True)
  files = [tmp_path / name for name in ('a.txt', 'b/c/d.txt', 'b/e.txt')]
  for file in files:
    file.touch()
  assert places.files_below(tmp_path) == files
  refuse('c')
  with pytest.raises(InputError, match=r'the folder .*/b/c cannot be read: Permission denied'):
    places.files_below(tmp_path)
