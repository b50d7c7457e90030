"""The reader: what the program gives, image by image, whatever the images come as and however many there are."""

import dataclasses
import functools
import itertools
import json
import math
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import digits_jax
from digits_jax import Reader
from digits_jax.ctc.align import align, sequence_log_prob
from digits_jax.ctc.lengths import length_log_prob
from digits_jax.data import image_files
from digits_jax.errors import InputError
from digits_jax.reading import reader as reader_module
from digits_jax.reading import trained
from digits_jax.reading.program import make_program
from digits_jax.tasks import read_ctc, views
from digits_jax.training import rundir
from tests.reading.runs import FRAMES, HEIGHT, TEMPERATURE, WIDTH, make_run

COUNT = 70


@pytest.fixture(scope='module')
def images():
  """uint8[COUNT, H, W]: bright blocks on dark paper."""
  rng = np.random.default_rng(0)
  images = rng.integers(0, 20, (COUNT, HEIGHT, WIDTH), dtype=np.uint8)
  for image in images:
    for left in rng.integers(0, WIDTH - 6, 4):
      image[9:23, left : left + rng.integers(2, 6)] = rng.integers(150, 256)
  return images


@pytest.fixture(scope='module')
def readings(reader, images):
  return list(reader.read(images, n_best=3))


@pytest.fixture(scope='module')
def logits(workdir, images):
  """float32[COUNT, T, K], divided by the temperature, straight from the model."""
  run = trained.load(workdir)
  assert run.temperature == TEMPERATURE
  batch = images[..., None].astype(np.float32) / 255
  return jax.jit(run.task.predict)(run.params, batch)['logits'] / TEMPERATURE


@pytest.fixture(scope='module')
def alphabet(reader):
  return reader.run.alphabet


def log_probs(logits, alphabet, texts):
  """The exact log-probability of a text for each row of logits."""
  labels, lengths = alphabet.pack(texts, FRAMES)
  return np.asarray(jax.jit(sequence_log_prob)(logits, jnp.ones(logits.shape[:2], bool), labels, lengths))


def same(one, other):
  """That two readings agree, to rounding."""
  assert one.text == other.text and one.spans == other.spans
  assert one.confidence == pytest.approx(other.confidence, rel=1e-4)
  assert one.digit_confidences == pytest.approx(other.digit_confidences, rel=1e-4)


def test_readings_are_what_the_program_gives(reader, images, readings):
  run = reader.run
  program = jax.jit(make_program(run.task, beams=8, n_best=3))
  found = jax.device_get(program(run.params, images[..., None].astype(np.float32) / 255, run.temperature))
  assert len(readings) == COUNT and len({reading.text for reading in readings}) > COUNT / 2
  for i, reading in enumerate(readings):
    texts = [run.alphabet.decode(*row) for row in zip(found.labels[i], found.lengths[i], strict=True)]
    scores = np.exp(found.log_probs[i])
    assert [reading.text, *(text for text, _ in reading.alternatives)] == texts
    np.testing.assert_allclose([reading.confidence, *(score for _, score in reading.alternatives)], scores, rtol=1e-4)
    size = len(reading.text)
    np.testing.assert_allclose(reading.digit_confidences, found.posteriors[i, :size], rtol=1e-4)
    frame = WIDTH / FRAMES
    assert reading.spans == tuple(
      (frame * first, frame * (last + 1))
      for first, last in zip(found.first[i, :size], found.last[i, :size], strict=True)
    )
    assert reading.conditional_confidence is None


def test_wider_views(workdir, images, readings, alphabet, tmp_path):
  images = images[:12]
  looks = lambda reader, **options: list(reader.read(images, n_best=3, **options))
  wide = Reader.load(workdir, beams=8, zooms=(1.3,))
  found = looks(wide)
  assert [one.text for one in found] != [one.text for one in readings[:12]]
  run, batch = trained.load(workdir), images[..., None].astype(np.float32) / 255
  assert run.task.log_prob is read_ctc.log_prob  # zooms of the run itself: none
  both = [run.task.predict(run.params, seen)['logits'] / TEMPERATURE for seen in (batch, views.widen(batch, 1.3))]
  texts = [one.text for one in found]
  exact = np.mean([np.exp(log_probs(logits, alphabet, texts)) for logits in both], 0)
  np.testing.assert_allclose([one.confidence for one in found], exact, rtol=1e-3)
  labels, lengths = alphabet.pack(texts, FRAMES)
  placed = align(both[0], jnp.ones(both[0].shape[:2], bool), labels, lengths)
  frame = WIDTH / FRAMES
  for i, one in enumerate(found):
    at = range(len(one.text))
    assert one.spans == tuple((frame * placed.first[i, n], frame * (placed.last[i, n] + 1)) for n in at)
  (blank,) = wide.read(images[:1], max_length=0)
  assert blank.text == '' and blank.conditional_confidence == pytest.approx(1)
  for one in looks(wide, min_length=2, max_length=2):
    assert len(one.text) == 2 and one.confidence < one.conditional_confidence <= 1
  for one, other in zip(looks(Reader.load(workdir, beams=8, zooms=())), readings, strict=False):
    same(one, other)
  of_config = make_run(tmp_path / 'run', **{'evaluation.zooms': (1.3,)})
  for one, other in zip(looks(Reader.load(of_config, beams=8)), found, strict=True):
    same(one, other)
  for one, other in zip(looks(Reader.load(of_config, beams=8, zooms=())), readings, strict=False):
    same(one, other)
  greedy = make_run(tmp_path / 'greedy', **{'evaluation.decoder': 'greedy'})  # readers search all the same
  for one, other in zip(looks(Reader.load(greedy, beams=8, zooms=(1.3,))), found, strict=True):
    same(one, other)
  wrong = ((0.9,), r'zooms: 0\.9 must be above 1'), (1.1, r'zooms=1\.1: give a list'), ('1.1', 'give a list')
  for zooms, message in wrong:
    with pytest.raises(InputError, match=message):
      Reader.load(workdir, zooms=zooms)


def test_a_config_from_before_there_were_some_fields(workdir, tmp_path):
  older = tmp_path / 'older'
  shutil.copytree(workdir, older)
  config = json.loads((older / 'config.json').read_text())
  for name in rundir.LATER_FIELDS:
    group, field = name.split('.')
    del config[group][field]
  (older / 'config.json').write_text(json.dumps(config))
  opened = trained.load(older)
  assert opened.task.log_prob is read_ctc.log_prob
  assert (opened.config.evaluation.zooms, opened.config.model.dropout, opened.config.model.is_aligned) == ([], 0, False)


def test_images_may_share_a_buffer(reader, images, readings):
  def frames():  # as from a camera
    buffer = np.zeros_like(images[0])
    for image in images:
      buffer[:] = image
      yield buffer

  for one, other in zip(reader.read(frames()), readings, strict=True):
    same(one, other)


def test_confidences_are_the_exact_probabilities(readings, logits, alphabet):
  exact = np.exp(log_probs(logits, alphabet, [reading.text for reading in readings]))
  found = np.array([reading.confidence for reading in readings])
  np.testing.assert_allclose(found, exact, rtol=1e-3)
  for reading in readings:
    scores = [reading.confidence, *(score for _, score in reading.alternatives)]
    assert scores == sorted(scores, reverse=True)
    assert len({reading.text, *(text for text, _ in reading.alternatives)}) == 3


def test_length_constraints(reader, images, readings, logits, alphabet):
  lengths = [len(reading.text) for reading in readings]
  images, logits = images[:64], logits[:64]
  for low, high in ((4, 4), (6, None)):
    found = list(reader.read(images, min_length=low, max_length=high))
    of_lengths = jax.jit(functools.partial(length_log_prob, min_length=low, max_length=high))
    allowed = np.exp(of_lengths(logits, jnp.ones(logits.shape[:2], bool)))
    assert any(not low <= length <= (high or FRAMES) for length in lengths)  # the constraint does something
    exact = np.exp(log_probs(logits, alphabet, [reading.text for reading in found]))
    for i, reading in enumerate(found):
      assert low <= len(reading.text) <= (high or FRAMES)
      assert reading.confidence == pytest.approx(exact[i], rel=1e-3)  # of the text, not given its length
      assert reading.conditional_confidence == pytest.approx(reading.confidence / allowed[i], rel=1e-3)
      assert reading.conditional_confidence <= 1
      assert len(reading.spans) == len(reading.digit_confidences) == len(reading.text)


def test_what_images_come_as_makes_no_difference(reader, images, readings, tmp_path):
  image_files.write_png(tmp_path / 'a.png', images[0])
  Image.fromarray(images[0]).save(tmp_path / 'a.tif')
  kinds = [
    tmp_path / 'a.png', str(tmp_path / 'a.png'), tmp_path / 'a.tif', images[0], images[0][:, :, None],
    np.repeat(images[0][:, :, None], 3, 2), images[0].astype(np.float64) / 255, jnp.asarray(images[0]),
    Image.fromarray(images[0]), Image.open(tmp_path / 'a.png'),
  ]  # fmt: skip
  found = list(reader.read(kinds, n_best=3))
  assert len(found) == len(kinds)
  for reading in found:
    same(reading, readings[0])


def test_how_many_images_there_are_makes_no_difference(reader, images, readings):
  for image, reading in zip(images[:3], readings[:3], strict=True):
    same(next(reader.read([image], n_best=3)), reading)
  for one, other in zip(reader.read(images[:8], n_best=3), readings, strict=False):
    same(one, other)
  assert list(reader.read([])) == []


def test_few_programs_serve_all_numbers_of_images(reader, images):
  for count in (1, 2, 5, 8, 9, 40, 64, 65):
    assert len(list(reader.read(images[:count], n_best=3))) == count
  program = reader._programs[3, 0, None]
  assert program._cache_size() == len(reader_module.BATCH_SIZES)


def test_images_are_taken_as_they_are_needed(reader, images):
  taken = []

  def endless():
    for i in itertools.count():
      taken.append(i)
      yield images[i % COUNT]

  found = list(itertools.islice(reader.read(endless()), 3))
  assert len(found) == 3 and len(taken) == 2 * reader_module.BATCH_SIZES[-1]


def test_spans_are_columns_of_the_image_as_given(reader, images, readings):
  reading = next(reading for reading in readings if len(reading.text) > 2)
  image = images[readings.index(reading)]
  large = np.asarray(Image.fromarray(image).resize((3 * WIDTH, 3 * HEIGHT), Image.Resampling.NEAREST))
  low, high = reader.run.canvas.ink_px
  assert low < 14 < high  # the ink's height: the larger image is shrunk by three
  found = next(reader.read([large]))
  assert len(found.text) > 0
  spans = np.array(found.spans)
  frame = 3 * WIDTH / FRAMES
  np.testing.assert_allclose(spans / frame, np.round(spans / frame), atol=1e-5)
  assert (spans[:, 1] > spans[:, 0]).all() and (spans[1:, 0] >= spans[:-1, 1] - 1e-5).all()
  assert spans.min() >= 0 and spans.max() <= 3 * WIDTH


def test_an_image_turned_by_its_exif_data(reader, images, readings, tmp_path):
  turned = Image.fromarray(images[1]).transpose(Image.Transpose.ROTATE_90)
  exif = Image.Exif()
  exif[0x0112] = 6  # to be seen, turn it by 90 degrees clockwise
  turned.save(tmp_path / 'a.png', exif=exif)
  for reading in reader.read([tmp_path / 'a.png', Image.open(tmp_path / 'a.png')]):
    same(reading, readings[1])


def test_broken_images_have_their_place(reader, images, readings, tmp_path):
  (tmp_path / 'empty.png').write_bytes(b'')
  mixed = [images[0], tmp_path / 'none.png', images[1], np.zeros((3, 3), int), tmp_path / 'empty.png', images[2]]
  found = list(reader.read(mixed, return_errors=True))
  assert [isinstance(one, InputError) for one in found] == [False, True, False, True, True, False]
  for i, place in enumerate((0, 2, 5)):
    same(found[place], readings[i])
  assert str(found[1]) == f'there is no image {tmp_path / "none.png"}'
  assert str(found[3]).startswith('images[3]: an image array holds uint8')
  assert all(isinstance(one, InputError) for one in reader.read(mixed[3:5], return_errors=True))
  reading = reader.read(mixed)
  same(next(reading), readings[0])
  with pytest.raises(InputError, match=r'none\.png'):
    next(reading)


@pytest.mark.parametrize(
  'options, problem',
  [
    ({'n_best': 0}, 'n_best=0'),
    ({'n_best': 9}, 'n_best=9 must be from 1 to the 8 beams'),
    ({'min_length': -1}, 'min_length=-1, max_length=None: no number has such a length'),
    ({'min_length': 3, 'max_length': 2}, 'min_length=3, max_length=2: no number'),
    ({'n_best': 2.0}, r'n_best=2\.0 is no whole number'),
    ({'n_best': None}, 'n_best=None is no whole number'),
    ({'min_length': 2.5}, r'min_length=2\.5 is no whole number'),
    ({'max_length': '2'}, "max_length='2' is no whole number"),
    ({'min_length': FRAMES + 1}, f'reads at most {FRAMES} digits, and at least {FRAMES + 1} are asked for'),
  ],
)
def test_options_that_make_no_sense(reader, options, problem):
  with pytest.raises(InputError, match=problem):  # at once, before an image is asked for
    reader.read([], **options)


@pytest.mark.parametrize(
  'image',
  ['a.png', np.zeros((8, 9)), np.zeros((8, 9, 3), np.uint8), Image.new('L', (9, 8))],
  ids=lambda image: type(image).__name__,
)
def test_one_image_is_no_list(reader, image):
  with pytest.raises(InputError, match='give it as'):
    reader.read(image)


def test_beams_are_those_of_the_config_unless_asked_for(reader):
  config = reader.run.config.copy_and_resolve_references()
  config.evaluation.beams = 7
  run = dataclasses.replace(reader.run, config=config)
  assert (Reader(run).beams, Reader(run, beams=3).beams) == (7, 3)


def test_no_beams_and_no_run(reader, tmp_path):
  with pytest.raises(InputError, match='beams=0'):
    digits_jax.Reader(reader.run, beams=0)
  with pytest.raises(InputError, match=r'beams=3\.0 is no whole number'):
    digits_jax.Reader(reader.run, beams=3.0)
  with pytest.raises(InputError, match='holds no run'):
    digits_jax.Reader.load(tmp_path)


def test_importing_the_package_imports_no_reader():
  with pytest.raises(AttributeError, match='Reeder'):
    digits_jax.Reeder  # noqa: B018
  program = 'import sys, digits_jax; assert "numpy" not in sys.modules; digits_jax.Reader; print("jax" in sys.modules)'
  done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
  assert done.stdout.strip() == 'True', done.stderr


def test_blank_paper_reads_as_some_text_with_its_probability(reader):
  (reading,) = reader.read([np.zeros((50, 50), np.uint8)], max_length=0)
  assert (reading.text, reading.digit_confidences, reading.spans) == ('', (), ())
  assert reading.conditional_confidence == pytest.approx(1) and 0 < reading.confidence < 1
  assert math.isfinite(reading.confidence)


def test_a_temperature_is_of_its_own_parameters(workdir, tmp_path):
  """Training that goes on saves a better step before it has a new result."""
  shutil.copytree(workdir, tmp_path / 'run')
  result = json.loads((tmp_path / 'run' / 'result.json').read_text())
  for best_step, wanted in ((result['best_step'], TEMPERATURE), (result['best_step'] - 1, 1.0)):
    (tmp_path / 'run' / 'result.json').write_text(json.dumps(result | {'best_step': best_step}))
    opened = trained.load(tmp_path / 'run')
    assert (opened.temperature, opened.is_calibrated) == (wanted, wanted == TEMPERATURE)


@pytest.mark.parametrize('temperature', ['0', '-1.5', 'NaN', 'Infinity', '"warm"', 'null'])
def test_a_damaged_temperature(tmp_path, temperature):
  (tmp_path / 'result.json').write_text(f'{{"best_step": 4, "temperature": {temperature}}}')
  with pytest.raises(InputError, match=r'result\.json is damaged'):
    trained.read_temperature(tmp_path, 4)
  assert trained.read_temperature(tmp_path, 5) is None
