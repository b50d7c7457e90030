"""The synthesis benchmark: that the peer draws the same plates, that figures add up."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from configs import fonts, mnist
from digits_jax.alphabet import Alphabet
from digits_jax.benchmark import plates, synth, timing
from digits_jax.data.fonts import find_faces
from digits_jax.training import experiment


@pytest.fixture(scope='module')
def source():
  config = fonts.get_config('tiny')
  return experiment.build_source(config, 'train')[0]


def test_plates_show_their_labels(source, monkeypatch):
  """Each digit's glyph stands on the image, pixel by pixel and in order; nothing else does."""
  monkeypatch.setattr(plates, 'NOISE', 0.0)
  generator = plates.Plates(source.constants)
  _check_labels(*generator.draw(40), [[ink for ink, _ in style] for style in generator._glyphs])


def _check_labels(images, labels, styles):
  """That each image shows its label in one of the styles, each of which is the inks of the digits 0 to 9."""
  assert images.shape == (40, 64, 128, 1) and images.dtype == np.float32 and labels.dtype == np.int32
  lengths = (labels > 0).sum(1)
  assert set(lengths) == {1, 2, 3, 4, 5} and set(labels[labels > 0]) == set(range(1, 11))
  for image, label, length in zip(images[..., 0], labels, lengths, strict=True):
    assert not label[length:].any() and label[:length].all()
    assert any(_reads(image, [style[digit - 1] for digit in label[:length]]) for style in styles)


@pytest.fixture(scope='module')
def paths():
  return [face.path for face in find_faces(None, alphabet=Alphabet('0123456789'))[0]][:3]


def test_texts_show_their_labels(paths, monkeypatch):
  monkeypatch.setattr(plates, 'NOISE', 0.0)
  generator = plates.Texts(paths, (18, 25))
  _check_labels(*generator.draw(40), [[_ink(font, digit) for digit in range(10)] for font in generator._fonts])


def _ink(font, digit):
  canvas = Image.new('L', (64, 64))
  ImageDraw.Draw(canvas).text((32, 32), str(digit), fill=255, font=font, anchor='ms')
  return np.asarray(canvas.crop(canvas.getbbox()), np.float32) / 255


@pytest.mark.slow
def test_texts_in_processes_are_the_same_kind_and_differ_from_each_other(paths):
  images, labels = plates.Texts(paths, (18, 25), processes=2).draw(9)
  assert images.shape == (9, 64, 128, 1) and labels.shape == (9, 5) and (labels[:, 0] > 0).all()
  assert len({image.tobytes() for image in images}) == 9


def _reads(image, inks):
  """Whether the image's ink is that of the glyphs, whose columns do not overlap."""
  total = sum(float(ink.sum()) for ink in inks)
  left = 0
  for ink in inks:
    windows = np.lib.stride_tricks.sliding_window_view(image, ink.shape)[:, left:]
    found = np.argwhere((windows == ink).all((2, 3)))
    if not len(found):
      return False
    left += int(found[:, 1].min()) + ink.shape[1]
  return total == pytest.approx(float(image.sum()), rel=1e-4)


@pytest.mark.parametrize('kind', ['plates', 'texts'])
def test_they_look_as_ours_do(source, kind):
  """How bright, how much ink, how noisy, and where the ink is."""
  if kind == 'plates':
    theirs, _ = plates.Plates(source.constants, seed=1, threads=2).draw(600)
  else:
    faces = find_faces(None, alphabet=Alphabet('0123456789'))[0]
    theirs, _ = plates.Texts([face.path for face in faces], fonts.get_config('tiny').data.font_sizes).draw(600)
  *_, draw = synth.ours(source, 0, 600, 1)
  ours = np.asarray(draw().images)
  assert theirs.min() >= 0 and theirs.max() <= 1
  assert theirs.mean() == pytest.approx(ours.mean(), rel=0.05)
  assert (theirs > 0.5).mean() == pytest.approx((ours > 0.5).mean(), rel=0.1)
  assert np.quantile(theirs, 0.8) == pytest.approx(np.quantile(ours, 0.8), rel=0.1)  # of paper and noise
  columns = lambda images: (images > 0.5).mean((0, 1, 3)).reshape(8, 16).mean(1)
  np.testing.assert_allclose(columns(theirs), columns(ours), rtol=0.35)


def test_only_the_same_plates_are_compared():
  assert synth.is_drawn_by_plates(fonts.get_config('quick'))
  changed = fonts.get_config('quick')
  changed.synth.photo.noise = (0.0, 0.1)
  assert not synth.is_drawn_by_plates(changed) and not synth.is_drawn_by_plates(mnist.get_config())


@pytest.mark.parametrize(
  ('field', 'value'),
  [
    ('data.source', 'street'), ('alphabet', '01234'), ('synth.warp.rotation_degrees', 10.0), ('synth.clutter.blobs', 5),
    ('synth.photo.blur_px', (1.0, 2.0)), ('synth.photo.inversion', 0.5), ('synth.layout.tilt_degrees', 10.0),
  ],
)  # fmt: skip
def test_numbers_that_plates_does_not_draw_are_not_compared(field, value):
  config = fonts.get_config('quick')
  config.update_from_flattened_dict({field: value})
  assert not synth.is_drawn_by_plates(config)


def test_several_batches_in_a_call_are_the_same(source):
  (*_, one), (name, _, count, two) = synth.ours(source, 5, 3, 1), synth.ours(source, 5, 3, 2)
  assert (name, count) == ('digits_jax', 2)
  alone = [np.asarray(one().images) for _ in range(3)]  # of steps 1, 2, 3
  np.testing.assert_allclose(two().images, alone[1:], atol=1e-5)
  assert not np.array_equal(alone[0], alone[1])


def test_figures(monkeypatch):
  monkeypatch.setattr(timing, 'interleave', lambda calls, repeats: {
    i: timing.Timing(1.0 + i, 1.0, 4.0) for i in calls
  })  # fmt: skip
  closed = []
  for kind in (plates.Plates, plates.Texts):
    monkeypatch.setattr(kind, 'close', lambda self: closed.append(type(self).__name__))
  found = synth.measure(fonts.get_config('tiny'), batches=[8, 16], repeats=1)
  assert [(row['generator'][:7], row['batch']) for row in found['rows'][:2]] == [('digits_', 8), ('NumPy a', 8)]
  first = found['rows'][0]
  assert (first['images_per_second'], first['slowest'], first['fastest'], first['times_ours']) == (8, 2, 8, 1.0)
  assert found['rows'][1]['times_ours'] == 0.5 and '64x128' in synth.table(found)
  names = [row['generator'][:7] for row in found['rows']]
  assert closed.count('Plates') == names.count('NumPy a') and closed.count('Texts') == names.count('Pillow ') > 1


def test_figures_of_several_batches_in_a_call(monkeypatch):
  monkeypatch.setattr(synth.parallel, 'choose_steps_per_call', lambda given: 3)
  monkeypatch.setattr(timing, 'interleave', lambda calls, repeats: {i: timing.Timing(1.0 + i, 1.0, 4.0) for i in calls})
  config = fonts.get_config('tiny')
  config.synth.clutter.blobs = 1  # no plates then
  one, several = synth.measure(config, batches=[8], repeats=1)['rows']
  assert (one['batches_per_call'], one['images_per_second'], one['times_ours']) == (1, 8, 1.0)
  assert (several['batches_per_call'], several['images_per_second'], several['times_ours']) == (3, 12, 1.5)


def test_a_closed_generator_has_no_workers(source, paths):
  for generator in (plates.Plates(source.constants, threads=2), plates.Texts(paths[:1], (18,), processes=2)):
    generator.close()
    with pytest.raises(RuntimeError, match='after shutdown'):
      generator.draw(4)
  plates.Texts(paths[:1], (18,)).close()  # which has none
