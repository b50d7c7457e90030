"""A run that was trained on photos in colour reads files, arrays, labelled images and other configs' test sets."""

import numpy as np
import pytest

from configs import fonts
from digits_jax.data import image_files, sources
from digits_jax.reading import evaluation, reader, trained
from tests.reading import runs

SIZE = 32


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """Opened from its directory; there is no SVHN anywhere."""
  workdir = tmp_path_factory.mktemp('photos') / 'run'
  changes = {'data.source': 'svhn', 'data.data_dir': str(workdir / 'nowhere'), 'augment.size': SIZE}
  return trained.load(runs.make_run(workdir, **changes, **{'evaluation.beams': 3, 'evaluation.n_best': 1}))


def test_files_arrays_and_labelled_files(run, tmp_path):
  assert run.canvas.shape == (SIZE, SIZE, 3)
  photos = np.random.default_rng(0).integers(0, 256, (7, SIZE, SIZE, 3), np.uint8)
  paths = [tmp_path / f'{i}.png' for i in range(len(photos))]
  for path, photo in zip(paths, photos, strict=True):
    image_files.write_png(path, photo)
  read = reader.Reader(run).read
  *found, turned = read([*paths, photos[0][:, :, ::-1]])  # blue for red
  assert found[0] != turned and found == list(read(photos))[: len(found)]
  assert all(0 <= left < right <= SIZE for one in found for left, right in one.spans)
  lines = [f'{path.name},{one.text}' for path, one in zip(paths, found, strict=True) if one.text]
  (tmp_path / 'labels.csv').write_text('\n'.join(['filename,label', *lines]))
  scored = evaluation.score(run, evaluation.labelled_set(run, str(tmp_path / 'labels.csv')))
  assert scored['is_right'].all() and len(scored['is_right']) == len(lines) > 3


def test_grey_numbers_of_another_config_are_shown_in_colour(run):
  batch = sources.draw_examples(evaluation.config_sets(run, fonts.get_config('tiny'))['test'], np.arange(3))
  assert batch.images.shape == (3, SIZE, SIZE, 3)
  np.testing.assert_array_equal(batch.images[..., 0], batch.images[..., 2])
  assert batch.images.std() > 0.05 and batch.labels.any(1).all()
