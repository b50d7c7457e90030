"""The loss and its gradient against all paths, forward-backward in float64 and optax, then its promises."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from digits_jax.ctc import loss
from digits_jax.ctc.loss import LOGIT_FLOOR, ctc_loss, is_feasible
from tests.ctc import oracle


def _total(logits, *rest):
  result = ctc_loss(logits, *rest)
  return jnp.sum(result.loss), result


_gradient_and_result = jax.jit(jax.grad(_total, has_aux=True))


def loss_and_grad(*cases):
  """(loss [B], is_feasible [B], gradient [B, T, K]) as NumPy, jitted."""
  gradient, result = _gradient_and_result(*map(jnp.asarray, cases))
  return np.asarray(result.loss), np.asarray(result.is_feasible), np.asarray(gradient)


def random_cases(seed, cases, frames, classes, slots, *, scale=3.0, minus_inf=0.0):
  """Random logits, masks with holes, labels with many repeats and NaN in the masked frames."""
  rng = np.random.default_rng(seed)
  logits = rng.normal(0, scale, (cases, frames, classes)).astype(np.float32)
  logits[rng.random(logits.shape) < minus_inf] = -np.inf
  frame_mask = rng.random((cases, frames)) < rng.choice([0.5, 0.9, 1.0], (cases, 1))
  logits[~frame_mask] = np.nan
  label_lengths = rng.integers(0, slots + 1, cases).astype(np.int32)
  labels = rng.integers(1, classes, (cases, slots)).astype(np.int32)
  labels[np.arange(slots) >= label_lengths[:, None]] = 0
  return logits, frame_mask, labels, label_lengths


def check_against(expected, cases, *, loss_rtol=2e-6, grad_atol=5e-6):
  """Compares every case with `expected(kept logits, label)`; returns how many fitted."""
  logits, frame_mask, labels, label_lengths = cases
  loss, fits, gradient = loss_and_grad(*cases)
  for i in range(len(logits)):
    kept = np.maximum(logits[i][frame_mask[i]].astype(np.float64), LOGIT_FLOOR)
    want, want_gradient = expected(kept, labels[i, : label_lengths[i]].tolist())
    assert fits[i] == np.isfinite(want), i
    if not fits[i]:
      assert loss[i] == 0 and not gradient[i].any(), i
      continue
    # A label that needs a floored class costs 1e5; float32 then holds its gradient to two digits.
    is_floored = want > 1e4 and np.isneginf(logits[i]).any()
    np.testing.assert_allclose(loss[i], want, rtol=loss_rtol, atol=5e-6, err_msg=str(i))
    want_gradient = np.where(kept > LOGIT_FLOOR, want_gradient, 0)
    atol = 0.1 if is_floored else grad_atol
    np.testing.assert_allclose(gradient[i][frame_mask[i]], want_gradient, atol=atol, err_msg=str(i))
    assert not gradient[i][~frame_mask[i]].any(), i
  return int(fits.sum())


@pytest.mark.parametrize('frames, classes, slots', [(1, 3, 2), (3, 2, 2), (4, 4, 3), (5, 3, 4), (5, 4, 3)])
@pytest.mark.parametrize('minus_inf', [0.0, 0.2])
def test_equals_enumeration_of_all_paths(frames, classes, slots, minus_inf):
  cases = random_cases(frames * classes, 80, frames, classes, slots, minus_inf=minus_inf)
  fitted = check_against(oracle.enumerate_loss, cases)
  assert 25 < fitted < 80  # both kinds were among them


@pytest.mark.parametrize('frames, slots, scale', [(12, 5, 2.0), (40, 7, 2.0), (40, 7, 0.01)])
def test_equals_forward_backward(frames, slots, scale):
  cases = random_cases(frames, 24, frames, 11, slots, scale=scale)
  assert check_against(oracle.forward_backward, cases, grad_atol=5e-5) >= 12


@pytest.mark.parametrize('frames, classes, slots', [(12, 4, 5), (32, 11, 5), (32, 11, 20)])
def test_equals_optax(frames, classes, slots):
  logits, frame_mask, labels, lengths = random_cases(slots, 60, frames, classes, slots, scale=2.0)
  loss, fits, gradient = loss_and_grad(logits, frame_mask, labels, lengths)
  given = 1.0 - frame_mask, labels, 1.0 * (np.arange(slots) >= lengths[:, None])
  total = lambda logits: (lambda losses: (losses.sum(), losses))(optax.ctc_loss(logits, *given, log_epsilon=-1e30))
  filled = np.where(frame_mask[:, :, None], logits, 0.0)
  wanted_gradient, wanted = jax.jit(jax.grad(total, has_aux=True))(filled)
  assert fits.sum() >= 20 and (lengths[fits] == 0).any()
  np.testing.assert_allclose(loss[fits], wanted[fits], rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(gradient[fits], wanted_gradient[fits], rtol=1e-3, atol=3e-5)


def test_gradients_stay_exact_over_many_frames():
  """Within 2e-5 of float64, where optax's are 1e-4 away."""
  cases = random_cases(1, 12, 128, 11, 20, scale=1.0)
  assert check_against(oracle.forward_backward, cases, grad_atol=2e-5) >= 10


def test_one_pass_over_the_frames():
  """A GPU waits for each frame: its gradient takes no second pass, and the loss alone half of the work."""
  logits, *rest = (jnp.asarray(x) for x in random_cases(11, 2, 6, 4, 3))
  total = lambda logits: ctc_loss(logits, *rest).loss.sum()
  programs = str(jax.make_jaxpr(total)(logits)), str(jax.make_jaxpr(jax.grad(total))(logits))
  assert [program.count('scan[') for program in programs] == [1, 1]
  assert [('f32[7,2]' in program, 'f32[7,4]' in program) for program in programs] == [(True, False), (True, True)]


def test_huge_logits():
  cases = random_cases(3, 24, 32, 11, 7, scale=1e4)
  assert check_against(oracle.forward_backward, cases, grad_atol=0.02) >= 12


def test_a_dear_label_is_not_undercut_by_forbidden_paths():
  # Seven digits at 2e4 each. optax's default "log of zero", -1e5, makes skipping all of them cheaper.
  logits = jnp.where(jnp.arange(11) == 0, 1e4, -1e4)[None, None] * jnp.ones((1, 32, 1))
  loss, _, gradient = loss_and_grad(logits, jnp.ones((1, 32), bool), jnp.arange(1, 8)[None], jnp.array([7]))
  want, want_gradient = oracle.forward_backward(logits[0], range(1, 8))
  np.testing.assert_allclose(loss[0], want, rtol=1e-6)
  np.testing.assert_allclose(gradient[0], want_gradient, atol=0.02)


def test_oracles_agree():
  logits, frame_mask, labels, label_lengths = random_cases(5, 60, 4, 3, 3)
  for i in range(len(logits)):
    kept, label = logits[i][frame_mask[i]], labels[i, : label_lengths[i]].tolist()
    one, one_grad = oracle.enumerate_loss(kept, label)
    two, two_grad = oracle.forward_backward(kept, label)
    np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)
    if np.isfinite(one):
      np.testing.assert_allclose(one_grad, two_grad, atol=1e-12)
      listed = oracle.labellings(oracle.log_softmax(kept))
      np.testing.assert_allclose(listed[tuple(label)], -one, atol=1e-12)
      np.testing.assert_allclose(np.exp(list(listed.values())).sum(), 1)


def test_doubled_digits_need_a_blank_between():
  label = jnp.array([[2, 1, 1, 4, 4, 8, 8]])  # "1003377"
  logits = jax.random.normal(jax.random.key(0), (1, 10, 11))
  result = jax.jit(ctc_loss)(logits, jnp.ones((1, 10), bool), label, jnp.array([7]))
  only_path = [2, 1, 0, 1, 4, 0, 4, 8, 0, 8]
  want = -jax.nn.log_softmax(logits)[0, jnp.arange(10), jnp.array(only_path)].sum()
  np.testing.assert_allclose(result.loss[0], want, rtol=1e-6)
  assert not jax.jit(ctc_loss)(logits[:, :9], jnp.ones((1, 9), bool), label, jnp.array([7])).is_feasible[0]


def test_is_feasible():
  labels = jnp.array([[1, 1, 1], [1, 2, 1], [1, 1, 1], [0, 0, 0], [3, 3, 0], [3, 3, 0]])
  lengths = jnp.array([3, 3, 1, 0, 2, 2])
  needed = jnp.array([5, 3, 1, 0, 3, 3])
  assert is_feasible(labels, lengths, needed).tolist() == [True] * 6
  assert is_feasible(labels, lengths, needed - 1).tolist() == [False] * 6


@pytest.mark.parametrize('filling', [0.0, 1e4, -np.inf, np.nan])
def test_infeasible_labels_cost_exactly_nothing(filling):
  logits = jnp.full((2, 3, 4), filling)
  labels, lengths = jnp.array([[1, 1, 2], [1, 2, 3]]), jnp.array([3, 3])
  loss, fits, gradient = loss_and_grad(logits, jnp.array([[True] * 3, [True, True, False]]), labels, lengths)
  assert fits.tolist() == [False, False]
  assert loss.tolist() == [0, 0] and not gradient.any()


def test_no_frames_and_no_label():
  logits = jnp.full((2, 3, 4), jnp.nan)
  labels, lengths = jnp.array([[0, 0], [1, 0]]), jnp.array([0, 1])
  loss, fits, gradient = loss_and_grad(logits, jnp.zeros((2, 3), bool), labels, lengths)
  assert fits.tolist() == [True, False]
  assert loss.tolist() == [0, 0] and not gradient.any()


def test_all_minus_inf_is_finite():
  loss, fits, gradient = loss_and_grad(
    jnp.full((1, 4, 3), -jnp.inf), jnp.ones((1, 4), bool), jnp.array([[1, 2]]), jnp.array([2])
  )
  assert fits[0] and np.isfinite(loss).all() and np.isfinite(gradient).all()


def test_nan_in_a_valid_frame_is_noticed():
  logits = jnp.zeros((1, 4, 3)).at[0, 1, 2].set(jnp.nan)
  loss, _, _ = loss_and_grad(logits, jnp.ones((1, 4), bool), jnp.array([[1]]), jnp.array([1]))
  assert np.isnan(loss[0])


def test_never_negative():
  # Without the floor, some of these come out at -1e-7.
  labels = jnp.tile(jnp.arange(1, 8)[None], (64, 1))
  path = jnp.repeat(jnp.arange(1, 8), 6)
  margin = jnp.linspace(8, 20, 64)[:, None, None]
  logits = jax.nn.one_hot(path, 11)[None] * margin
  loss = jax.jit(ctc_loss)(logits, jnp.ones((64, 42), bool), labels, jnp.full(64, 7)).loss
  assert (loss >= 0).all()


def test_bf16_logits_are_computed_in_float32():
  logits, frame_mask, labels, lengths = map(jnp.asarray, random_cases(7, 32, 24, 11, 5))
  rounded = logits.astype(jnp.bfloat16)
  low, _, low_gradient = loss_and_grad(rounded, frame_mask, labels, lengths)
  high, _, high_gradient = loss_and_grad(rounded.astype(jnp.float32), frame_mask, labels, lengths)
  assert low.dtype == np.float32
  np.testing.assert_allclose(low, high, rtol=1e-6)
  np.testing.assert_allclose(low_gradient.astype(np.float32), high_gradient, rtol=2**-8, atol=1e-6)


def test_what_stands_behind_a_label_is_not_read():
  logits, frame_mask, labels, lengths = random_cases(8, 40, 12, 5, 4)
  want = loss_and_grad(logits, frame_mask, labels, lengths)
  last = labels[np.arange(40), np.maximum(lengths - 1, 0)][:, None]
  for garbage in (0, -1, 99, last):
    filled = np.where(np.arange(4) < lengths[:, None], labels, garbage).astype(np.int32)
    for a, b in zip(want, loss_and_grad(logits, frame_mask, filled, lengths), strict=True):
      np.testing.assert_array_equal(a, b)
  wide = np.pad(labels, ((0, 0), (0, 3)))
  for a, b in zip(want, loss_and_grad(logits, frame_mask, wide, lengths), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_vmap_equals_a_flat_batch():
  cases = [jnp.asarray(x) for x in random_cases(9, 12, 8, 4, 3)]
  flat = jax.jit(ctc_loss)(*cases)
  folded = jax.jit(jax.vmap(ctc_loss))(*(x.reshape(3, 4, *x.shape[1:]) for x in cases))
  np.testing.assert_allclose(folded.loss.reshape(12), flat.loss, rtol=1e-6)
  assert (folded.is_feasible.reshape(12) == flat.is_feasible).all()


def test_matrix_products_keep_float32_on_accelerators():
  cases = [jnp.asarray(x) for x in random_cases(10, 2, 6, 4, 3)]
  program = str(jax.make_jaxpr(jax.grad(lambda logits: ctc_loss(logits, *cases[1:]).loss.sum()))(cases[0]))
  products = program.split('dot_general[')[1:]
  assert products and all('precision=(Precision.HIGHEST' in product[:300] for product in products)


@pytest.mark.parametrize(('cases', 'size'), [(96, 24), (70, None), (64, 16), (97, None), (20, None)])
def test_a_large_batch_in_blocks_is_the_same(monkeypatch, cases, size):
  """Of the largest size that divides the batch and fits; whole where it fits, and where no size of 16 and more does."""
  given = random_cases(11, cases, 7, 5, 3, minus_inf=0.1)
  anew = lambda: lambda *given: jax.grad(_total, has_aux=True)(*given)  # jax remembers what it traced
  gradients, whole = jax.jit(anew())(*given)
  monkeypatch.setattr(loss, '_CACHE_BYTES', 24 * 7 * 7 * 2 * 4)  # 24 sequences of 7 frames and 7 states, twice
  program = str(jax.make_jaxpr(anew())(*given))
  assert size is None or f'[{cases // size},{size},7,5]' in program
  assert (program.count('scan[') > 1) == (size is not None)
  found_gradients, found = jax.jit(anew())(*given)
  np.testing.assert_array_equal(found.is_feasible, whole.is_feasible)
  np.testing.assert_allclose(found.loss, whole.loss, rtol=1e-6)
  np.testing.assert_allclose(found_gradients, gradients, atol=1e-6)
