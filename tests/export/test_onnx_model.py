"""ONNX: every kind of network, through onnxruntime, against JAX; what is stored with it."""

import json

import jax
import numpy as np
import pytest

from digits_jax.errors import InputError
from digits_jax.reading.trained import Run
from tests.export import runs

onnx = pytest.importorskip('onnx')
onnx_model = pytest.importorskip('digits_jax.export.onnx_model', exc_type=InputError)

MODELS = {
  'lstm': {},
  'two lstm': {'recurrent_layers': 2},
  'lstm, forward': {'is_bidirectional': False},
  'gru': {'recurrent': 'gru'},
  'two gru, forward': {'recurrent': 'gru', 'recurrent_layers': 2, 'is_bidirectional': False},
  'none': {'recurrent': 'none'},
  'not standardised': {'recurrent': 'none', 'is_standardised': False},
  'square patch, one block, no pool': {'patch': (4, 4), 'widths': (8,), 'pools': ((1, 1),), 'groups': 2},
  'bfloat16': {'dtype': 'bfloat16'},
}


def logits(run, images):
  return np.asarray(jax.jit(run.task.predict)(run.params, images)['logits'] / run.temperature)


@pytest.mark.parametrize('name', MODELS)
def test_it_computes_what_jax_computes(name, tmp_path):
  run = runs.make_run(**MODELS[name])
  onnx_model.write(tmp_path / 'model.onnx', run)
  onnx.checker.check_model(tmp_path / 'model.onnx', full_check=True)
  read, images = onnx_model.load(tmp_path / 'model.onnx'), runs.draw_images(3)
  images[1] *= 1e-6  # hardly any deviation to divide by
  images[2] = 0.5  # none
  exact = logits(runs.make_run(**MODELS[name] | {'dtype': 'float32'}), images)
  assert exact.std() > 0.1
  for size in (1, 3):
    got = read(images[:size])
    assert list(got) == ['logits'] and got['logits'].dtype == np.float32
    np.testing.assert_allclose(got['logits'], exact[:size], atol=2e-5)
  np.testing.assert_allclose(onnx_model.make_reference(run)(images)['logits'], exact, atol=2e-5)
  if name == 'bfloat16':
    apart = np.abs(logits(run, images) - exact).max()
    assert 1e-3 < apart < 0.3  # the run itself is no reference for it


def test_a_reader_of_photos_in_colour(tmp_path):
  run = runs.make_photo_run()
  onnx_model.write(tmp_path / 'model.onnx', run)
  images = runs.draw_images(3, (24, 24, 3))
  images[1, :, :, 2] = 0.5  # a channel without deviation
  np.testing.assert_allclose(onnx_model.load(tmp_path / 'model.onnx')(images)['logits'], logits(run, images), atol=2e-5)
  stored = {entry.key: entry.value for entry in onnx.load(tmp_path / 'model.onnx').metadata_props}
  assert json.loads(stored['input']) == {'images': 'float32[batch, 24, 24, 3] in [0, 1]'}
  told = json.loads(stored['preprocessing'])
  assert (told['height'], told['width']) == (24, 24) and 'red' in told['colours'] and 'each side' in told['resize']


def test_what_is_stored(tmp_path):
  run = runs.make_run()
  onnx_model.write(tmp_path / 'model.onnx', run)
  model = onnx.load(tmp_path / 'model.onnx')
  stored = {entry.key: entry.value for entry in model.metadata_props}
  assert stored['alphabet'] == '0123456789' and stored['format'] == 'onnx'
  assert 'largest logit' in stored['decoding'] and 'class 0 dropped' in model.doc_string
  versions = json.loads(stored['versions'])
  assert versions['jax'] == jax.__version__ and versions['onnx'] == onnx.__version__
  assert versions['opset'] == model.opset_import[0].version == onnx_model.OPSET
  shape = lambda value: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
  assert [(value.name, shape(value)) for value in model.graph.input] == [('images', ['batch', 24, 48, 1])]
  assert [(value.name, shape(value)) for value in model.graph.output] == [('logits', ['batch', 6, 11])]


@pytest.mark.parametrize(
  'inversion, polarity',
  [(0.0, 'bright digits on dark paper'), (1.0, 'dark digits on bright paper'), (0.3, 'either')],
)
def test_preprocessing_is_stored_as_data(inversion, polarity):
  run = runs.make_run()
  config = run.config.copy_and_resolve_references()
  config.synth.photo.inversion = inversion
  model = onnx_model.build(Run(config, run.alphabet, run.task, run.params, run.step, run.temperature))
  stored = json.loads({entry.key: entry.value for entry in model.metadata_props}['preprocessing'])
  assert (stored['height'], stored['width'], stored['inversion']) == (24, 48, inversion)
  assert stored['ink_height'] == [8.4, 11.2]  # of 14 pixels an em, 0.6 to 0.8
  assert stored['polarity'] == polarity and 'aspect' in stored['resize'] and 'background' in stored['padding']


def test_files_that_are_none(tmp_path):
  with pytest.raises(InputError, match='there is no exported model /'):
    onnx_model.load(tmp_path / 'nowhere.onnx')
  (tmp_path / 'text.onnx').write_text('no model')
  with pytest.raises(InputError, match=r'onnxruntime cannot read .*text\.onnx: .+'):
    onnx_model.load(tmp_path / 'text.onnx')


def test_another_task():
  run = runs.make_run()
  config = run.config.copy_and_resolve_references()
  config.task = 'read_boxes'
  with pytest.raises(InputError, match="the task 'read_boxes' cannot be exported in this format yet; 'read_ctc' can"):
    onnx_model.build(Run(config, run.alphabet, run.task, run.params, run.step, run.temperature))
