"""Readers of runs whose task is not CTC: the same answers; places where the model is aligned."""

import itertools

import jax
import numpy as np
import pytest

from digits_jax import tasks
from digits_jax.errors import InputError
from digits_jax.export import stablehlo
from digits_jax.reading import formats, trained
from digits_jax.reading.reader import Reader
from tests.reading import runs

IMAGES = np.zeros((5, runs.HEIGHT, runs.WIDTH), np.uint8)
for i in range(5):
  IMAGES[i, 2 + 5 * i : 7 + 5 * i, : 10 + 12 * i] = 255 - 40 * i
SYMBOLS = '0123456789'
FREE = {'beams': 3, 'n_best': 3, 'min_length': 0, 'max_length': None}


@pytest.fixture(scope='module')
def multidigit(tmp_path_factory):
  changes = {'task': 'read_multidigit', 'synth.number.max_length': 2, 'model.positions': 2}
  return Reader.load(runs.make_run(tmp_path_factory.mktemp('runs') / 'multidigit', **changes))


@pytest.fixture(scope='module')
def classify(tmp_path_factory):
  changes = {'task': 'classify', 'synth.number.max_length': 1}
  return Reader.load(runs.make_run(tmp_path_factory.mktemp('runs') / 'classify', **changes))


def outputs_of(reader):
  images = np.stack([np.asarray(image, np.float32) / 255 for image in IMAGES])[..., None]
  logits = jax.jit(reader.run.task.predict)(reader.run.params, images)
  return jax.tree.map(lambda leaf: np.asarray(jax.nn.softmax(leaf / runs.TEMPERATURE), np.float64), logits)


def test_softmax_heads(multidigit):
  heads = outputs_of(multidigit)
  texts = [''.join(number) for length in range(3) for number in itertools.product(SYMBOLS, repeat=length)]
  readings = list(multidigit.read(IMAGES, n_best=4))
  for i, found in enumerate(readings):
    of_symbols = lambda text: [heads.symbols[i, j, int(symbol)] for j, symbol in enumerate(text)]
    chances = {text: heads.lengths[i, len(text)] * np.prod(of_symbols(text)) for text in texts}
    ranked = sorted(texts, key=chances.get, reverse=True)[:4]
    assert [found.text, *(text for text, _ in found.alternatives)] == ranked
    np.testing.assert_allclose(found.confidence, chances[found.text], rtol=1e-4)
    np.testing.assert_allclose(found.digit_confidences, of_symbols(found.text), rtol=1e-4)
    assert found.spans == () and found.conditional_confidence is None
  assert len({found.text for found in readings}) > 1 and all(found.text for found in readings)
  two = next(multidigit.read(IMAGES[:1], min_length=2, max_length=2))
  assert len(two.text) == 2
  np.testing.assert_allclose(two.conditional_confidence, two.confidence / heads.lengths[0, 2], rtol=1e-4)


def test_aligned_heads_place_each_digit_in_its_strip(tmp_path):
  changes = {'synth.number.max_length': 4, 'model.positions': 4, 'model.is_aligned': True}
  workdir = runs.make_run(tmp_path / 'aligned', task='read_multidigit', **changes)
  strip = runs.WIDTH / 4
  for zooms in (), (1.1,):
    reader = Reader.load(workdir, zooms=zooms)
    readings = list(reader.read(IMAGES, max_length=3))
    for found in readings:
      assert found.spans == tuple((strip * i, strip * (i + 1)) for i in range(len(found.text)))
    assert any(found.text for found in readings)


def test_a_classifier(classify):
  chances = outputs_of(classify)['logits']
  for i, found in enumerate(classify.read(IMAGES, n_best=3)):
    order = np.argsort(-chances[i])[:3]
    assert [found.text, *(text for text, _ in found.alternatives)] == [SYMBOLS[j] for j in order]
    np.testing.assert_allclose(found.digit_confidences[0], found.confidence, rtol=1e-6)
    np.testing.assert_allclose(found.confidence, chances[i, order[0]], rtol=1e-4)
    assert found.spans == ()


def test_predict_writes_no_places(multidigit):
  found = next(found for found in multidigit.read(IMAGES) if found.text)
  digits = formats.as_record('a.png', found, 0.0)['digits']
  assert [digit['digit'] for digit in digits] == list(found.text)
  assert all(digit['left'] is digit['right'] is None for digit in digits)


@pytest.mark.parametrize('name, limits, problem', [
  ('multidigit', {'min_length': 3}, 'this model reads at most 2 digits, and at least 3 are asked for'),
  ('classify', {'min_length': 2}, 'this model reads one symbol in each image'),
  ('classify', {'max_length': 0}, 'this model reads one symbol in each image'),
])  # fmt: skip
def test_lengths_that_no_reading_has(request, name, limits, problem):
  with pytest.raises(InputError, match=problem):
    request.getfixturevalue(name).read(IMAGES, **limits)


@pytest.mark.parametrize('name', ['multidigit', 'classify'])
def test_a_stablehlo_file(request, tmp_path, name):
  run: trained.Run = request.getfixturevalue(name).run
  decode = stablehlo.make_decoder(run, **FREE)
  stablehlo.write(tmp_path / 'reader', run, decode, FREE)
  read, stored = stablehlo.load(tmp_path / 'reader')
  images = IMAGES[:2, :, :, None].astype(np.float32) / 255
  got, want = read(images), decode(images)
  assert list(got) == sorted(stablehlo.OUTPUTS) and stored['decoding']['method'] == tasks.TASKS[run.config.task].METHOD
  for output in want:
    np.testing.assert_allclose(got[output], want[output], atol=1e-5, err_msg=output)
