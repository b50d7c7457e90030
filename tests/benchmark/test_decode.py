"""The decoder benchmark: that peers are asked the same question, that figures add up."""

import csv
import json

import numpy as np
import pytest

from digits_jax.benchmark import decode, decoders, report, timing
from digits_jax.data import sources
from digits_jax.errors import InputError
from digits_jax.reading import trained
from digits_jax.training import experiment, weights
from tests.export import runs


def easy_logits():
  """Two sequences whose best labelling is beyond doubt, one with doubled digits, one empty."""
  paths = np.array([[0, 1, 1, 0, 1, 3, 0, 2], [0] * 8])
  return np.where(np.arange(4) == paths[:, :, None], 8.0, 0.0).astype(np.float32)


def exact(logits):
  return decoders.ours(logits, is_exact=True)


@pytest.mark.parametrize('make', [decoders.ours, exact, *decoders.PEERS], ids=lambda make: make.__name__)
def test_each_decoder_reads_what_is_beyond_doubt(make):
  try:
    decoder = make(easy_logits())
  except ImportError:
    pytest.skip('not installed')
  assert decoder.version[0].isdigit()
  assert decoder.read(decoder.decode(5)) == [(1, 1, 3, 2), ()]


def test_another_search_agrees_where_it_is_exact_too():
  """fast-ctc-decode sums alignments as we do; flashlight keeps paths apart, TensorFlow differs at repeats."""
  pytest.importorskip('fast_ctc_decode')
  logits = decode.made_up_logits(100, frames=20)
  one, other = decoders.ours(logits), decoders.fast_ctc_decode(logits)
  same = [a == b for a, b in zip(one.read(one.decode(50)), other.read(other.decode(50)), strict=True)]
  assert np.mean(same) >= 0.97


@pytest.mark.slow
def test_logits_of_a_trained_run_are_those_of_its_test_images(tmp_path):
  config = runs.make_config()
  runs.write_run(tmp_path / 'run', config)
  logits = decode.trained_logits(tmp_path / 'run', 3)
  opened = trained.load(tmp_path / 'run')
  source, seed = experiment.build_source(config, 'test')
  fixed = sources.FixedSet('test', source, seed, 3)
  for i in range(3):
    wanted = opened.task.predict(opened.params, sources.draw_examples(fixed, [i]).images)['logits']
    np.testing.assert_allclose(logits[i], wanted[0], rtol=1e-4, atol=1e-4)
  with pytest.raises(InputError, match='test images: lower --sequences'):
    decode.trained_logits(tmp_path / 'run', config.tests.test.examples + 1)
  decode.check_run(tmp_path / 'run', config.tests.test.examples)
  with pytest.raises(InputError, match='test images: lower --sequences'):
    decode.check_run(tmp_path / 'run', config.tests.test.examples + 1)


def test_weights_alone_do_not_say_what_was_tested():
  with pytest.raises(InputError, match=r'street\.npz does not say where its test images lie: give the directory'):
    decode.trained_logits(weights.SHIPPED, 3)


def test_figures_and_files(tmp_path):
  found = decode.measure(None, batch=8, beams=[2, 3], repeats=2)
  first = found['rows'][0]
  assert (first['decoder'], first['beams'], first['agreement'], first['times_ours']) == ('digits_jax', 2, 1.0, 1.0)
  assert {row['beams'] for row in found['rows']} == {2, 3}
  for row in found['rows']:
    assert 0 < row['slowest'] <= row['sequences_per_second'] <= row['fastest']
  assert '8x32x11 of made-up' in decode.table(found) and found['hardware']['cores'] >= 1
  report.write(tmp_path, found)
  assert json.loads((tmp_path / 'decode.json').read_text()) == found
  rows = list(csv.DictReader((tmp_path / 'decode.csv').open()))
  assert [row['decoder'] for row in rows] == [row['decoder'] for row in found['rows']]


def test_figures_of_a_peer(monkeypatch):
  """It takes twice as long as ours and reads 2 of 8 sequences otherwise; seconds go with the sequences given."""

  def installed(logits):
    count = len(logits)
    readings = {'ours': [(1,)] * 8, 'peer': [(1,)] * 6 + [(2,), ()]}
    return [
      decoders.Decoder('ours', '1', lambda beams: count * 1.0, lambda result: readings['ours']),
      decoders.Decoder('peer', '2', lambda beams: count * 2.0, lambda result: readings['peer']),
    ]

  monkeypatch.setattr(decoders, 'installed', installed)
  monkeypatch.setattr(timing, 'interleave', lambda calls, repeats: {
    name: timing.Timing(call(), call(), call()) for name, call in calls.items()
  })  # fmt: skip
  ours, peer = decode.measure(None, batch=8, beams=[5], repeats=1)['rows']
  assert (ours['times_ours'], ours['milliseconds_alone'], ours['agreement']) == (1.0, 1000.0, 1.0)
  assert (peer['times_ours'], peer['milliseconds_alone'], peer['agreement']) == (0.5, 2000.0, 0.75)
  assert (ours['sequences_per_second'], peer['sequences_per_second'], peer['version']) == (1.0, 0.5, '2')


def test_calls_take_turns_and_the_first_round_is_not_timed(monkeypatch):
  clock, log = [0.0], []
  monkeypatch.setattr(timing.time, 'perf_counter', lambda: clock[0])

  def call(name, seconds):
    def run():
      log.append(name)
      clock[0] += seconds.pop(0)

    return run

  found = timing.interleave({'a': call('a', [50, 1, 2, 9]), 'b': call('b', [60, 3, 3, 3])}, repeats=3)
  assert log == ['a', 'b'] * 4
  assert found == {'a': timing.Timing(2, 1, 9), 'b': timing.Timing(3, 3, 3)}
