"""The loss benchmark: that it times what is right."""

import numpy as np
import pytest

from digits_jax.benchmark import loss, timing
from digits_jax.errors import InputError


def test_labels_fit_their_frames():
  logits, labels, lengths = loss.made_up(50, 16, 5)
  assert logits.shape == (50, 16, loss.CLASSES) and labels.shape == (50, 5)
  assert ((labels > 0).sum(1) == lengths).all() and labels.max() < loss.CLASSES
  inside = np.arange(1, 5) < lengths[:, None]
  assert (labels[:, 1:] != labels[:, :-1])[inside].all() and set(lengths) == {1, 2, 3, 4, 5}


def test_peers_agree():
  """On random labels, every length among them; optax's, and PyTorch's where it is installed."""
  found = loss.measure(repeats=1, batches=(20,), lengths=((16, 5), (32, 20)))
  rows = found['rows']
  for name in ('digits_jax', 'optax'):
    assert [(row['frames'], row['symbols']) for row in rows if row['loss'] == name] == [(16, 5), (32, 20)]
  assert all(row['largest_difference'] < 1e-5 and row['fastest'] <= row['milliseconds'] for row in rows)
  assert 'CTC loss and gradient' in loss.table(found) and min(found['notes'].values()) > 0


def test_figures(monkeypatch):
  monkeypatch.setattr(timing, 'interleave', lambda calls, repeats: {i: timing.Timing(1.0 + i, 0.5, 4.0) for i in calls})
  ours, optaxs = loss.measure(repeats=1, batches=(3,), lengths=((16, 5),))['rows'][:2]
  assert (ours['loss'], ours['batch'], ours['milliseconds'], ours['times_ours']) == ('digits_jax', 3, 1000.0, 1.0)
  assert (optaxs['loss'], optaxs['milliseconds'], optaxs['times_ours']) == ('optax', 2000.0, 0.5)
  assert (optaxs['fastest'], optaxs['slowest']) == (500.0, 4000.0)


def test_what_differs_is_refused():
  values = np.array([3.0, 2e4], np.float32), np.zeros((2, 3, 4), np.float32)
  assert loss.check(values, values, 'same') == 0
  assert loss.check((values[0] + [0, 1], values[1]), values, 'near') == pytest.approx(1 / 2e4, rel=0.01)
  with pytest.raises(InputError, match='other: losses differ'):
    loss.check((values[0] + [0.01, 0], values[1]), values, 'other')
  with pytest.raises(InputError, match='other: losses differ'):
    loss.check((values[0], values[1] + 0.01), values, 'other')
  with pytest.raises(InputError, match='other: losses differ by 0 and gradients by nan'):
    loss.check((values[0], values[1] + np.nan), values, 'other')


def test_a_peer_that_computes_something_else_is_left_out(capsys):
  losses = lambda value: (np.array([value], np.float32), np.zeros((1, 3, 4), np.float32))
  read = lambda found: found
  assert loss.is_right(lambda: losses(2.0), lambda: losses(2.0), read)
  assert not loss.is_right(lambda: losses(2.1), lambda: losses(2.0), read)

  def fails():
    raise RuntimeError('no such kernel')

  assert not loss.is_right(fails, lambda: losses(2.0), read)
  said = capsys.readouterr().err
  assert 'losses differ by' in said and 'no such kernel' in said
