"""Several views of each image: what they see, and the mixture of what they read, against enumeration."""

import contextlib
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from configs import fonts
from digits_jax import structs
from digits_jax.alphabet import Alphabet
from digits_jax.ctc import align
from digits_jax.errors import InputError
from digits_jax.models.multidigit import Heads
from digits_jax.tasks import classify, read_ctc, read_multidigit, views
from digits_jax.training import checks, experiment
from tests.ctc import oracle

RNG = np.random.default_rng(0)
CTC = read_ctc.make(
  alphabet=Alphabet(), decoder='beam', beams=40, n_best=4, patch=(4, 4), widths=(8,), pools=((2, 1),), groups=4,
  frame_features=8, recurrent='none', recurrent_features=0, recurrent_layers=1, is_bidirectional=True,
  dtype=jnp.float32,
)  # fmt: skip
HEADS = read_multidigit.make(
  alphabet=Alphabet(), n_best=4, label_smoothing=0.0, patch=(4, 4), widths=(8,), pools=((2, 2),), groups=4, kernel=3,
  maxout=1, positions=2, dense_features=(8,), dtype=jnp.float32,
)  # fmt: skip
SINGLE = classify.make(
  alphabet=Alphabet(), n_best=4, label_smoothing=0.0, patch=(4, 4), widths=(8,), pools=((2, 2),), groups=4,
  dense_features=(8,), dtype=jnp.float32,
)  # fmt: skip


def of_views(task, count=3):
  return views.with_zooms(task, [1 + 0.1 * (i + 1) for i in range(count - 1)], beams=40, n_best=4)


def read(task, outputs, **options):
  return jax.device_get(jax.jit(functools.partial(task.read, **options))(outputs))


def batch_of(labels, lengths):
  examples = len(lengths)
  labels, lengths = np.asarray(labels, np.int32), np.asarray(lengths, np.int32)
  boxes = np.zeros((*labels.shape, 4), np.float32)
  return structs.Batch(np.zeros((examples, 8, 16, 1), np.float32), labels, lengths, boxes, np.ones(examples, bool))


def mixture(logits):
  """{labelling: probability} by enumeration of float[V, T, K]."""
  each = [oracle.labellings(oracle.log_softmax(one)) for one in logits]
  return {one: np.mean([np.exp(view[one]) for view in each]) for one in each[0]}


def listed(found, row):
  """[(labelling, probability)] of the used slots of one row of `Decoded`."""
  rows = zip(found.labels[row], found.lengths[row], found.log_probs[row], strict=True)
  return [(tuple(labels[:length].tolist()), np.exp(score)) for labels, length, score in rows if score > -np.inf]


@pytest.mark.parametrize(('height', 'width', 'zoom'), [(21, 34, 1.08), (12, 12, 1.5), (30, 9, 2.0)])
def test_a_wider_view_is_what_pillow_makes_of_the_image_with_its_edges_repeated(height, width, zoom):
  image = RNG.uniform(size=(height, width, 3)).astype(np.float32)
  padding = 40
  around = np.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode='edge')
  low = [padding + size * (1 - zoom) / 2 for size in (width, height)]
  box = (*low, low[0] + zoom * width, low[1] + zoom * height)
  resize = lambda channel: Image.fromarray(channel).resize((width, height), Image.Resampling.BILINEAR, box=box)
  expected = np.stack([np.asarray(resize(around[:, :, i].copy())) for i in range(3)], -1)
  seen = jax.jit(views.widen, static_argnums=1)(np.stack([image, 1 - image]), zoom)
  np.testing.assert_allclose(seen, np.stack([expected, 1 - expected]), atol=2e-5)


@pytest.mark.parametrize('frames', [1, 3])
def test_all_readings_are_those_of_enumeration(frames):
  logits = RNG.normal(0, 2, (5, 3, frames, 3)).astype(np.float32)  # B, V, T, K
  found = read(of_views(CTC), {'logits': logits}, beams=40, n_best=40)
  for i in range(5):
    exact, pairs = mixture(logits[i]), listed(found, i)
    assert len(pairs) == len(exact) and {labels for labels, _ in pairs} == set(exact)
    np.testing.assert_allclose([score for _, score in pairs], sorted(exact.values(), reverse=True), rtol=1e-4)
    np.testing.assert_allclose([score for _, score in pairs], [exact[labels] for labels, _ in pairs], rtol=1e-4)
  assert (found.labels[found.log_probs == -np.inf] == 0).all() and (found.allowed_log_prob == 0).all()


def test_the_best_readings_under_limits_of_length():
  logits = RNG.normal(0, 3, (8, 2, 4, 3)).astype(np.float32)
  found = read(of_views(CTC, 2), {'logits': logits}, beams=40, n_best=2, min_length=1, max_length=2)
  for i in range(8):
    exact = {labels: score for labels, score in mixture(logits[i]).items() if 1 <= len(labels) <= 2}
    best = sorted(exact, key=exact.get, reverse=True)[:2]
    assert [labels for labels, _ in listed(found, i)] == best
    np.testing.assert_allclose(np.exp(found.allowed_log_prob[i]), sum(exact.values()), rtol=1e-4)


def test_the_reading_that_no_view_likes_best():
  # 1 and 2 are the best of one view each, 3 the second of both; and nothing at all is read where that is likeliest.
  chances = np.array([[[0.0, 0.5, 0.1, 0.4], [0.0, 0.1, 0.5, 0.4]], [[0.7, 0.3, 0.0, 0.0], [0.6, 0.0, 0.4, 0.0]]])
  logits = np.log(chances + 1e-9).astype(np.float32)[:, :, None]  # B, V, 1, K
  found = read(of_views(CTC, 2), {'logits': logits}, beams=4, n_best=3)
  assert [labels for labels, _ in listed(found, 0)] == [(3,), (1,), (2,)]
  assert [labels for labels, _ in listed(found, 1)] == [(), (2,), (1,)]
  np.testing.assert_allclose(np.exp(found.log_probs), [[0.4, 0.3, 0.3], [0.65, 0.2, 0.15]], rtol=1e-4)
  best = read(of_views(CTC, 2), {'logits': logits}, beams=5, n_best=1)
  assert [listed(best, i)[0][0] for i in range(2)] == [(3,), ()]


def test_an_unused_slot_is_no_reading_of_nothing():
  is_used = np.array([[False, True, True, True, True]])
  labels, lengths = np.array([[[0, 0], [1, 0], [0, 0], [1, 0], [1, 0]]]), np.array([[0, 1, 0, 1, 2]])
  assert views._is_new(labels, lengths, is_used).tolist() == [[False, True, True, False, True]]


def test_digits_stand_where_the_image_as_it_is_has_them():
  logits = RNG.normal(0, 3, (6, 3, 7, 4)).astype(np.float32)
  found = read(of_views(CTC), {'logits': logits}, beams=10, n_best=1)
  mask = np.ones((6, 7), bool)
  place = jax.jit(align.align)
  each = [place(logits[:, view], mask, found.labels[:, 0], found.lengths[:, 0]) for view in range(3)]
  np.testing.assert_array_equal(found.first, each[0].first)
  np.testing.assert_array_equal(found.last, each[0].last)
  assert (found.first >= 0).any() and not np.array_equal(each[0].first, each[1].first)
  np.testing.assert_allclose(found.posteriors, np.mean([one.posteriors for one in each], 0), rtol=1e-5)


def test_softmax_heads():
  heads = Heads(*(RNG.normal(0, 2, (4, 2, *shape)).astype(np.float32) for shape in ((3,), (2, 10))))  # B, V, ...
  chances = jax.tree.map(lambda leaf: np.asarray(jax.nn.softmax(leaf), np.float64), heads)
  numbers = [labels for length in range(3) for labels in itertools.product(range(1, 11), repeat=length)]
  found = read(of_views(HEADS, 2), heads, beams=1000, n_best=150)
  for i in range(4):
    of = lambda view, labels: chances.lengths[i, view, len(labels)] * np.prod(
      [chances.symbols[i, view, place, label - 1] for place, label in enumerate(labels)]
    )
    exact = {labels: (of(0, labels) + of(1, labels)) / 2 for labels in numbers}
    pairs = listed(found, i)
    assert len(pairs) == len(numbers) == 111
    np.testing.assert_allclose([score for _, score in pairs], [exact[labels] for labels, _ in pairs], rtol=1e-4)
    assert pairs[0][0] == max(exact, key=exact.get)


def random_outputs(name):
  if name == 'heads':
    return Heads(RNG.normal(size=(5, 3)).astype(np.float32), RNG.normal(size=(5, 2, 10)).astype(np.float32))
  shape = (5, 4, 11) if name == 'ctc' else (5, 10)
  return {'logits': RNG.normal(0, 2, shape).astype(np.float32)}


@pytest.mark.parametrize(('name', 'task'), [('ctc', CTC), ('heads', HEADS), ('single', SINGLE)])
def test_what_a_task_says_of_its_own_readings(name, task):
  outputs = random_outputs(name)
  found, log_prob = read(task, outputs, beams=10, n_best=4), jax.jit(task.log_prob)
  for i in range(4):
    log_probs = log_prob(outputs, found.labels[:, i], found.lengths[:, i])
    np.testing.assert_allclose(log_probs, found.log_probs[:, i], rtol=1e-4)
  placed = jax.jit(task.locate)(outputs, found.labels[:, 0], found.lengths[:, 0])
  for one, other in zip(placed, found[4:], strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4)
  too_long = log_prob(outputs, np.tile([1, 2, 3, 4, 5], (5, 1)), np.full(5, 5))
  assert (np.asarray(too_long) == -np.inf).all()


@pytest.mark.parametrize(
  ('name', 'task', 'has_views'),  # a classifier looks once
  [('ctc', CTC, False), ('ctc', CTC, True), ('heads', HEADS, False), ('heads', HEADS, True), ('single', SINGLE, False)],
)
def test_a_loss_that_is_not_finite_is_seen(name, task, has_views):
  """NaN is no label that the task cannot read, whose loss would be 0."""
  outputs = jax.tree.map(lambda leaf: leaf.at[0].set(jnp.nan), jax.tree.map(jnp.asarray, random_outputs(name)))
  if has_views:
    task, outputs = of_views(task, 2), jax.tree.map(lambda leaf: jnp.stack([leaf, leaf], 1), outputs)
  scored = jax.jit(task.score)(outputs, batch_of([[1]] * 5, [1] * 5))
  assert np.isnan(scored['loss']).tolist() == [True, False, False, False, False]
  assert scored['is_feasible'].all()


def test_records():
  task = of_views(CTC, 2)
  logits = RNG.normal(0, 2, (3, 2, 4, 11)).astype(np.float32)
  found = read(task, {'logits': logits}, beams=40, n_best=4)
  labels = np.array([[*found.labels[0, 1], 0], [1, 2, 3, 4, 5], [*found.labels[2, 0], 0]])  # second, too long, best
  batch = batch_of(labels, [found.lengths[0, 1], 5, found.lengths[2, 0]])
  scored = jax.device_get(jax.jit(task.score)({'logits': logits}, batch))
  score = jax.jit(CTC.score)
  each = [jax.device_get(score({'logits': logits[:, view]}, batch)) for view in range(2)]
  assert set(scored) == set(each[0])
  expected = -np.log(np.mean([np.exp(-one['loss']) for one in each], 0))
  np.testing.assert_allclose(scored['loss'][[0, 2]], expected[[0, 2]], rtol=1e-4)
  assert scored['loss'][1] == 0 and scored['is_feasible'].tolist() == [True, False, True]
  assert scored['rank'].tolist() == [1, 4, 0] and scored['is_right'].tolist() == [False, False, True]
  np.testing.assert_allclose(scored['confidence'], np.exp(found.log_probs[:, 0]), rtol=1e-4)
  assert scored['n_best'].tolist() == [4] * 3


def test_outputs_are_those_of_the_image_and_of_wider_ones():
  images = RNG.uniform(size=(3, 8, 16, 1)).astype(np.float32)
  params = jax.jit(CTC.init)(jax.random.key(0), batch_of([[1]] * 3, [1] * 3))
  task = views.with_zooms(CTC, (1.2, 1.5), beams=40, n_best=4)
  outputs = jax.jit(task.predict)(params, images)['logits']
  assert outputs.shape == (3, 3, 4, 11)
  for view, seen in enumerate((images, views.widen(images, 1.2), views.widen(images, 1.5))):
    np.testing.assert_allclose(outputs[:, view], jax.jit(CTC.predict)(params, seen)['logits'], atol=1e-5)
  assert task.loss is CTC.loss and task.init is CTC.init


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'evaluation.zooms': (1.1, 1.0)}, r'config\.evaluation\.zooms: 1 must be above 1 and at most 2'),
    ({'evaluation.zooms': (2.5,)}, r'zooms: 2\.5 must be'),
    ({'evaluation.zooms': (float('nan'),)}, 'zooms: nan must be'),
    ({'evaluation.decoder': 'greedy'}, "list readings, which config.evaluation.decoder='greedy' does not: set"),
    (
      {'task': 'read_multidigit', 'evaluation.beams': 1},
      'evaluation.n_best=5 must be at most config.evaluation.beams=1 with zooms',
    ),
    ({'task': 'classify'}, 'zooms: the task classify looks at each image once; leave them out'),
    ({'task': 'read_multidigit', 'evaluation.decoder': 'greedy'}, None),  # which has no decoder
  ],
)
def test_zooms_that_cannot_be(changes, message):
  config = fonts.get_config('tiny')
  config.update_from_flattened_dict({'evaluation.zooms': (1.1,)} | changes)
  with pytest.raises(InputError, match=message) if message else contextlib.nullcontext():
    checks.check_decoder(config)
    experiment.make_task(config, Alphabet())
