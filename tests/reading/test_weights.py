"""Readers as one file: the same readings, nothing of the machine, and files that are something else."""

import json
import math
import zipfile

import jax
import numpy as np
import pytest

from digits_jax import Reader
from digits_jax.data import sources
from digits_jax.errors import InputError
from digits_jax.export import stablehlo, writing
from digits_jax.reading import evaluation, trained
from digits_jax.training import weights
from tests.reading import runs


@pytest.fixture(scope='module')
def run(workdir):
  return trained.load(workdir)


@pytest.fixture(scope='module')
def written(workdir, tmp_path_factory):
  path = tmp_path_factory.mktemp('weights') / 'reader.npz'
  told = writing.write_weights(workdir, path)
  assert told.startswith(f'wrote {path} (') and 'in half precision' in told and '(tolerance 0.02)' in told
  return path


def rewrite(path, out, **changes):
  """The file again, with other arrays; None leaves one out."""
  with np.load(path) as file:
    arrays = {name: file[name] for name in file.files} | changes
  np.savez(out, **{name: array for name, array in arrays.items() if array is not None})
  return out


def about(**changes):
  return np.frombuffer(json.dumps(changes).encode(), np.uint8)


def test_it_reads_what_the_run_reads(written, reader, run):
  images = np.random.default_rng(0).uniform(size=(20, runs.HEIGHT, runs.WIDTH)).astype(np.float32)
  opened = Reader.load(written, beams=8)
  assert (opened.run.step, opened.run.temperature, opened.run.canvas) == (4, runs.TEMPERATURE, run.canvas)
  for got, want in zip(opened.read(images, n_best=2), reader.read(images, n_best=2), strict=True):
    assert got.text == want.text
    np.testing.assert_allclose(got.confidence, want.confidence, rtol=0.02)


def test_parameters_are_rounded_to_half_precision_and_no_more(written, run):
  found = trained.load(written).params
  assert jax.tree.structure(found) == jax.tree.structure(run.params)
  rounded = jax.tree.map(lambda leaf: np.asarray(leaf).astype(np.float16).astype(np.float32), run.params)
  jax.tree.map(np.testing.assert_array_equal, found, rounded)
  assert any(jax.tree.leaves(jax.tree.map(lambda leaf, one: (np.asarray(leaf) != one).any(), run.params, rounded)))


def test_it_holds_no_place_of_the_machine(tmp_path, run):
  config, paths = run.config.to_dict(), ('data_dir', 'folder', 'font_dir', 'glyph_path', 'test_font_dir')
  config = config | {'init_from': '/home/me/run', 'data': config['data'] | {name: f'/home/me/{name}' for name in paths}}
  weights.write(tmp_path / 'it.npz', config=config, params=run.params, step=4, temperature=1.0)
  assert b'/home' not in (tmp_path / 'it.npz').read_bytes()
  assert {f'config.data.{name}' for name in paths} <= set(weights.read_about(tmp_path / 'it.npz')['left_out'])


def test_a_test_that_it_cannot_find_is_refused_and_its_export_is_checked_with_noise(written, tmp_path, run):
  config = run.config.to_dict()
  config = config | {'data': config['data'] | {'test_font_dir': 'fonts/test'}}
  weights.write(tmp_path / 'it.npz', config=config, params=jax.device_get(run.params), step=4, temperature=1.0)
  opened = trained.load(tmp_path / 'it.npz')
  with pytest.raises(InputError, match=r'where its images lie \(config\.data\.test_font_dir\): give --config'):
    evaluation.config_sets(opened, opened.config)
  told = writing.write_weights(tmp_path / 'it.npz', tmp_path / 'again.npz')
  assert 'differs from the run by at most 0 ' in told
  assert 'images of noise, for its test cannot be drawn: this reader does not say' in told
  assert trained.load(tmp_path / 'again.npz').left_out == opened.left_out == ('config.data.test_font_dir',)
  whole = trained.load(written)
  assert not whole.left_out and set(evaluation.config_sets(whole, whole.config)) == {'test'}


@pytest.mark.parametrize('is_calibrated', [True, False])
def test_it_knows_whether_it_is_calibrated(tmp_path, run, is_calibrated):
  about = {'config': run.config.to_dict(), 'step': 4, 'temperature': 1.0, 'is_calibrated': is_calibrated}
  weights.write(tmp_path / 'it.npz', params=jax.device_get(run.params), **about)
  assert trained.load(tmp_path / 'it.npz').is_calibrated == is_calibrated


def test_a_value_too_large_for_half_precision(tmp_path, run):
  params = jax.tree.map(lambda leaf: leaf * 1e6, run.params)
  with pytest.raises(InputError, match='half precision cannot hold'):
    weights.write(tmp_path / 'it.npz', config=run.config.to_dict(), params=params, step=4, temperature=1.0)


@pytest.mark.parametrize(
  'changes, problem',
  [
    ({'about': None}, 'is not what `python -m digits_jax.export --format=weights` writes'),
    ({'about': about(step=1)}, 'is not what'),
    ({'about': np.frombuffer(b'{', np.uint8)}, 'is not what'),
    ({'about': about(config={}, left_out=(), step=1, temperature=0)}, 'is damaged: a temperature of 0'),
    ({'about': about(config={}, left_out=(), step=1, temperature=1)}, 'has schema_version None'),
    ({'about': about(config={}, left_out=(), step=1, temperature=1e-300)}, 'is damaged: a temperature of 1e-300'),
    ({'about': about(config={}, left_out=(), step=1, temperature=1e300)}, r'is damaged: a temperature of 1e\+300'),
    ({'about': about(config={}, left_out=(), step=math.inf, temperature=1)}, 'is not what'),
    ({'about': about(config={}, left_out=(), step=1, temperature=10**400)}, 'is not what'),
    ({'about': np.frombuffer(b'[' * 100_000, np.uint8)}, 'is not what'),
    ({'about': about(config={'schema_version': 3}, left_out=(), step=1, temperature=1)}, 'its config is not whole'),
    ({'params/head/bias': np.full(11, np.nan, np.float16)}, 'params/head/bias holds values that are not finite'),
    ({'params/head/bias': np.array(['x'])}, 'is not what'),
    ({'params/head/kernel/x': np.zeros(2, np.float16)}, 'its parameters are not a tree'),
    ({'params/head/kernel': None}, r"\['head'\]\['kernel'\] is missing there"),
    ({'params/head/kernel': np.zeros((2, 3), np.float16)}, r"\['head'\]\['kernel'\] is of shape \(2, 3\) there"),
    ({'params/head/kernel': np.array([{}], dtype=object)}, 'cannot be read as a file of weights: Object arrays'),
  ],
)
def test_files_that_do_not_fit(written, tmp_path, changes, problem):
  with pytest.raises(InputError, match=problem):
    Reader.load(rewrite(written, tmp_path / 'it.npz', **changes))


@pytest.mark.parametrize(
  ('field', 'value'), [('frame_features', 0), ('frame_features', 10**19), ('groups', 0), ('pools', ((0, 0), (2, 1)))]
)
def test_a_config_that_no_model_can_have(written, tmp_path, run, field, value):
  config = run.config.to_dict()
  config['model'][field] = value
  changed = rewrite(written, tmp_path / 'it.npz', about=about(config=config, left_out=(), step=1, temperature=1))
  with pytest.raises(InputError, match=r'it\.npz is damaged: its config is not whole'):
    Reader.load(changed)


def test_files_of_another_kind(tmp_path, written, monkeypatch):
  (tmp_path / 'text').write_text('not a reader')
  (tmp_path / 'cut.npz').write_bytes(written.read_bytes()[:2000])
  with zipfile.ZipFile(tmp_path / 'other.zip', 'w') as archive:
    archive.writestr('about.npy', 'no array')
  damaged = bytearray(written.read_bytes())
  at = damaged.find(b'PK\x01\x02')  # the first member in the directory at the end: a way to pack that nobody knows
  damaged[at + 10] = 77
  (tmp_path / 'packed.npz').write_bytes(damaged)
  for name in ('text', 'cut.npz', 'other.zip', 'packed.npz'):
    with pytest.raises(InputError, match=f'{name} cannot be read as a file of weights'):
      Reader.load(tmp_path / name)
  with zipfile.ZipFile(tmp_path / 'reader.zip', 'w') as archive:
    archive.writestr(stablehlo.MODULE, '')
  with pytest.raises(InputError, match=r'reader\.zip is an export to StableHLO, which digits_jax\.export'):
    Reader.load(tmp_path / 'reader.zip')
  monkeypatch.setattr(weights, 'LIMIT', 100)
  with pytest.raises(InputError, match='unpacks to more than 0 MiB'):
    Reader.load(written)


@pytest.mark.slow
def test_the_shipped_one_reads_house_numbers():
  from configs import street
  from digits_jax.training import experiment

  shipped = Reader.load()
  assert weights.SHIPPED.stat().st_size < 4e6
  config = street.get_config()
  assert shipped.run.canvas.shape == (config.scene.size, config.scene.size, 3)
  fixed = experiment.build(config).tests['test']  # shipped faces, numbers never trained on
  batch = sources.draw_examples(fixed, np.arange(64))
  labels = zip(batch.labels, batch.label_lengths, strict=True)
  right = sum(
    reading.text == shipped.run.alphabet.decode(*label)
    for reading, label in zip(shipped.read(list(batch.images)), labels, strict=True)
  )
  assert right >= 51  # of 64; 89.4% of 1,000
