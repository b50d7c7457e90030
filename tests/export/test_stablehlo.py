"""StableHLO: a round trip with decoding, any batch size, every platform; and files that are none."""

import dataclasses
import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.ctc.align import sequence_log_prob
from digits_jax.errors import InputError
from digits_jax.export import stablehlo
from digits_jax.training import weights
from tests.export import runs

FREE = {'beams': 4, 'n_best': 2, 'min_length': 0, 'max_length': None}
TWO = {'beams': 111, 'n_best': 2, 'min_length': 2, 'max_length': 2}  # beams for all prefixes of 0, 1 and 2 digits
MODELS = {
  'lstm': {},
  'two gru, bfloat16': {'recurrent': 'gru', 'recurrent_layers': 2, 'dtype': 'bfloat16'},
}


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  """The file of a run without a recurrence that reads exactly two symbols."""
  path, run = tmp_path_factory.mktemp('stablehlo') / 'reader', runs.make_run(recurrent='none')
  stablehlo.write(path, run, stablehlo.make_decoder(run, **TWO), TWO)
  return path


@pytest.mark.parametrize('name', MODELS)
def test_a_round_trip(name, tmp_path):
  run, images = runs.make_run(**MODELS[name]), runs.draw_images(3)
  decode = stablehlo.make_decoder(run, **FREE)
  stablehlo.write(tmp_path / 'reader', run, decode, FREE)
  read, _ = stablehlo.load(tmp_path / 'reader')
  for size in (1, 3) if name == 'lstm' else (3,):
    got, want = read(images[:size]), decode(images[:size])
    assert list(got) == sorted(want) == sorted(stablehlo.OUTPUTS)
    for output in want:
      assert got[output].dtype == want[output].dtype
      np.testing.assert_allclose(got[output], want[output], atol=1e-5, err_msg=output)


@pytest.mark.slow
def test_readings_against_the_loss(written):
  run, images = runs.make_run(recurrent='none'), runs.draw_images(3)
  read, stored = stablehlo.load(written)
  got = read(images)
  assert got['labels'].shape == (3, 2, 2) and (got['lengths'] == 2).all()
  logits = run.task.predict(run.params, images)['logits'] / runs.TEMPERATURE
  mask = jnp.ones(logits.shape[:2], bool)
  every = jnp.asarray([[a, b] for a in range(1, 11) for b in range(1, 11)])
  score = jax.jit(lambda labels: sequence_log_prob(logits, mask, jnp.tile(labels, (3, 1)), jnp.full(3, 2)))
  log_probs, best = jax.lax.top_k(jnp.stack([score(labels) for labels in every], 1), 2)
  np.testing.assert_allclose(got['log_probs'], log_probs, atol=1e-4)
  np.testing.assert_array_equal(got['labels'], every[best])
  texts = [''.join(stored['alphabet'][label - 1] for label in row if label) for row in got['labels'][:, 0]]
  assert texts == [run.alphabet.decode(row) for row in np.asarray(got['labels'][:, 0])]


def test_what_is_stored(written):
  stored = stablehlo.load(written).metadata
  assert stored['input'] == {'images': 'float32[batch, 24, 48, 1] in [0, 1]'}
  assert stored['decoding'] == {'method': 'CTC prefix beam search', **TWO}
  assert stored['versions']['jax'] == jax.__version__ and stored['versions']['platforms'] == ['cpu', 'cuda', 'tpu']
  assert (stored['alphabet'], stored['temperature'], stored['step']) == ('0123456789', runs.TEMPERATURE, 7)


def test_jax_alone_reads_the_module(written):
  with zipfile.ZipFile(written) as file:
    exported = jax.export.deserialize(bytearray(file.read('module.bin')))
  assert exported.platforms == ('cpu', 'cuda', 'tpu')
  assert [str(image.shape) for image in exported.in_avals] == ['(batch, 24, 48, 1)']


def test_files_that_are_none(written, tmp_path):
  with pytest.raises(InputError, match='there is no exported model /'):
    stablehlo.load(tmp_path / 'nowhere')
  (tmp_path / 'text').write_text('no zip')
  with zipfile.ZipFile(tmp_path / 'other', 'w') as file:
    file.writestr('diary.txt', 'dear diary')
  with zipfile.ZipFile(tmp_path / 'versions', 'w') as file:
    file.writestr('module.bin', b'')
    file.writestr('metadata.json', '{"versions": [1]}')
  packed = written.read_bytes()
  method, bits = packed.rindex(b'PK\x01\x02') + 10, packed.rindex(b'PK\x01\x02') + 8  # of the last member's entry
  (tmp_path / 'method').write_bytes(packed[:method] + b'\x63' + packed[method + 1 :])
  (tmp_path / 'locked').write_bytes(packed[:bits] + b'\x01' + packed[bits + 1 :])
  for name in ('text', 'other', 'versions', 'method', 'locked'):
    with pytest.raises(InputError, match=f'{name} is no StableHLO file of digits_jax.export'):
      stablehlo.load(tmp_path / name)


def test_a_file_that_unpacks_to_too_much(written, monkeypatch):
  with zipfile.ZipFile(written) as file:
    size = sum(member.file_size for member in file.infolist())
  monkeypatch.setattr(weights, 'LIMIT', size)
  stablehlo.load(written)
  monkeypatch.setattr(weights, 'LIMIT', size - 1)
  with pytest.raises(InputError, match=r'unpacks to more than \d+ MiB'):
    stablehlo.load(written)


@pytest.mark.parametrize('part', ['module', 'code in it'])
def test_a_module_that_this_jax_cannot_read_is_known_when_it_is_loaded(written, tmp_path, part):
  module = b'of another jax'
  if part != 'module':  # as of a jax that is newer by more than some weeks
    with zipfile.ZipFile(written) as file:
      exported = jax.export.deserialize(bytearray(file.read('module.bin')))
    module = bytes(dataclasses.replace(exported, mlir_module_serialized=module).serialize())
  with zipfile.ZipFile(tmp_path / 'reader', 'w') as file:
    file.writestr('module.bin', module)
    file.writestr('metadata.json', json.dumps({'versions': {'jax': '9.1'}}))
  problem = f'jax {jax.__version__} cannot read {tmp_path}/reader: .*; read it with jax 9.1, which wrote it, or'
  with pytest.raises(InputError, match=problem):
    stablehlo.load(tmp_path / 'reader')


def test_lengths_that_no_reading_can_have():
  with pytest.raises(InputError, match='this model reads at most 6 digits, and at least 7 are asked for'):
    stablehlo.make_decoder(runs.make_run(), **FREE | {'min_length': 7})
