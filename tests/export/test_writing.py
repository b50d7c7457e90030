"""From a run directory to a file that stands where it was asked for, or to none."""

import dataclasses
import os
import sys

import numpy as np
import pytest

import digits_jax.export
from digits_jax.errors import InputError
from digits_jax.export import check, stablehlo, writing
from digits_jax.reading import trained
from tests.export import runs


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  return runs.write_run(tmp_path_factory.mktemp('runs') / 'run', runs.make_config())


@pytest.fixture
def images(monkeypatch):
  """The check's images without the test set, whose drawing takes seconds to compile."""
  monkeypatch.setattr(check, 'draw_images', lambda run: (runs.draw_images(check.IMAGES), 'noise'))


@pytest.mark.slow
def test_onnx(workdir, tmp_path, images):
  onnx_model = pytest.importorskip('digits_jax.export.onnx_model', exc_type=InputError)
  out = tmp_path / 'reader.onnx'
  out.write_text('one that was there')
  told = writing.write_onnx(workdir, out)
  assert 'CTC decoding is left to the caller\nread back, it differs from the run by at most ' in told
  assert os.listdir(tmp_path) == ['reader.onnx']
  run, two = runs.make_run(), runs.draw_images(2)
  logits = run.task.predict(run.params, two)['logits'] / run.temperature
  np.testing.assert_allclose(onnx_model.load(out)(two)['logits'], logits, atol=2e-5)


@pytest.mark.slow
def test_wider_views(tmp_path, images):
  config = runs.make_config()
  config.evaluation.zooms = (1.2,)
  workdir = runs.write_run(tmp_path / 'run', config)
  writing.write_stablehlo(workdir, tmp_path / 'reader.zip')
  assert stablehlo.load(tmp_path / 'reader.zip').metadata['decoding']['zooms'] == [1.2]
  writing.write_stablehlo(workdir, tmp_path / 'reader.zip', zooms=())
  once = stablehlo.load(tmp_path / 'reader.zip')
  assert 'zooms' not in once.metadata['decoding']
  decode = stablehlo.make_decoder(runs.make_run(), beams=25, n_best=1, min_length=0, max_length=None)
  two = runs.draw_images(2)
  np.testing.assert_allclose(once.read(two)['log_probs'], decode(two)['log_probs'], atol=1e-4)
  pytest.importorskip('digits_jax.export.onnx_model', exc_type=InputError)
  told = writing.write_onnx(workdir, tmp_path / 'reader.onnx')
  assert 'caller; the file looks at each image once, where the run has config.evaluation.zooms\n' in told


def test_onnx_of_bfloat16_says_that_it_is_none(tmp_path, images):
  pytest.importorskip('digits_jax.export.onnx_model', exc_type=InputError)
  workdir = runs.write_run(tmp_path / 'run', runs.make_config(dtype='bfloat16'))
  told = writing.write_onnx(workdir, tmp_path / 'reader.onnx')
  assert 'computed in float32, where the run computes in bfloat16\n' in told


def test_a_file_that_fails_its_check_is_removed(workdir, tmp_path, monkeypatch, images):
  load = stablehlo.load

  def load_broken(path):
    read, stored = load(path)
    return stablehlo.Exported(lambda images: read(images) | {'posteriors': read(images)['posteriors'] + 0.002}, stored)

  monkeypatch.setattr(stablehlo, 'load', load_broken)
  monkeypatch.setattr(check, 'BATCHES', (1,))
  (tmp_path / 'reader').write_text('one that was there')
  with pytest.raises(InputError, match=r'posteriors differs by 0\.002 at batch size 1, more than 0\.001; it was remov'):
    writing.write_stablehlo(workdir, tmp_path / 'reader', beams=3, max_length=2)
  assert os.listdir(tmp_path) == ['reader'] and (tmp_path / 'reader').read_text() == 'one that was there'


@pytest.mark.parametrize('size', [1, 64])
def test_the_check_looks_at_every_batch_size(size):
  images = np.zeros((64, 2, 2, 1), np.float32)
  right = lambda images: {'log_probs': np.full((len(images), 2), -np.inf), 'labels': np.zeros((len(images), 2, 3))}
  assert check.compare(right, right, images) == 0
  for name, wrong in ('log_probs', np.nan), ('log_probs', -1e9), ('labels', 1), ('labels', np.nan):
    got = lambda images: right(images) | ({name: right(images)[name] * 0 + wrong} if len(images) == size else {})
    with np.errstate(invalid='ignore'), pytest.raises(InputError, match=f'{name} differs .* batch size {size}, '):
      check.compare(got, right, images)
  swapped = right(images)['labels']
  swapped[:, 1] = 5  # the second best reading
  assert check.compare(lambda images: right(images) | {'labels': swapped[: len(images)]}, right, images) == 0
  short = lambda images: right(images[:1])
  with pytest.raises(InputError, match='log_probs differs by inf at batch size 64'):
    check.compare(short, right, images)


def test_the_check_sees_the_images_of_the_test_on_the_canvas_of_the_model():
  run = runs.make_run()
  run.config.tests.test.synth.layout.width = 64
  try:
    images, kind = check.draw_images(run)
  finally:
    run.config.tests.test.synth.layout.width = 48
  assert kind == 'the test'
  assert images.shape == (64, 24, 48, 1) and images.std() > 0.05
  assert len({image.tobytes() for image in images}) == 64


def test_a_run_without_its_data_is_checked_on_noise(tmp_path):
  config = runs.make_config()
  config.data.test_font_dir = str(tmp_path / 'gone')
  images, kind = check.draw_images(runs.as_run(config))
  assert kind.startswith('noise, for its test cannot be drawn: ') and str(tmp_path / 'gone') in kind
  assert images.shape == (64, 24, 48, 1) and images.std() > 0.2


@pytest.mark.parametrize(
  'options, problem',
  [
    ({'beams': 2, 'n_best': 3}, '--nbest=3 is more than the search keeps: raise --beams=2'),
    ({'min_length': 3, 'max_length': 2}, '--min_length=3 is more than --max_length=2'),
  ],
)
def test_wrong_options(workdir, tmp_path, options, problem):
  with pytest.raises(InputError, match=problem):
    writing.write_stablehlo(workdir, tmp_path / 'reader', **options)
  assert os.listdir(tmp_path) == []


def test_places_that_cannot_be_written_to(workdir, tmp_path):
  with pytest.raises(InputError, match=r'--out=\. is a folder: give a file'):
    writing.write_stablehlo(workdir, '.')
  with pytest.raises(InputError, match=f'--out={tmp_path} is a folder: give a file'):
    writing.write_stablehlo(workdir, tmp_path)
  (tmp_path / 'file').write_text('')
  with pytest.raises(InputError, match=f'cannot write --out={tmp_path}/file/reader: '):
    writing.write_stablehlo(workdir, tmp_path / 'file' / 'reader')
  assert os.listdir(tmp_path) == ['file']


def test_runs_that_are_none(tmp_path):
  with pytest.raises(InputError, match=f'there is no run directory, and no file of weights, {tmp_path}/run'):
    writing.write_stablehlo(tmp_path / 'run', tmp_path / 'reader')
  runs.write_run(tmp_path / 'run', runs.make_config(), with_params=False)
  with pytest.raises(InputError, match=f'{tmp_path}/run holds nothing to read with yet'):
    writing.write_stablehlo(tmp_path / 'run', tmp_path / 'reader')
  assert os.listdir(tmp_path) == ['run']


@pytest.mark.parametrize('package', ['onnx', 'onnxruntime'])
def test_onnx_without_its_packages_names_them(workdir, tmp_path, monkeypatch, package):
  monkeypatch.setitem(sys.modules, package, None)
  monkeypatch.delitem(sys.modules, 'digits_jax.export.onnx_model', raising=False)
  monkeypatch.delattr(digits_jax.export, 'onnx_model', raising=False)
  with pytest.raises(InputError, match=f'import of {package} .*: pip install .onnx>=1.18,<2. .onnxruntime>=1.20,<2.$'):
    writing.write_onnx(workdir, tmp_path / 'reader.onnx')
  assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('is_calibrated', [True, False])
def test_weights_of_a_run_that_has_not_ended(tmp_path, monkeypatch, is_calibrated):
  run, load = dataclasses.replace(runs.make_run(), is_calibrated=is_calibrated), trained.load
  monkeypatch.setattr(trained, 'load', lambda path, **options: run if path == 'run' else load(path, **options))
  told = writing.write_weights('run', tmp_path / 'it.npz')
  assert ('its confidences are not calibrated' in told) == (not is_calibrated)
  assert load(tmp_path / 'it.npz').is_calibrated == is_calibrated
