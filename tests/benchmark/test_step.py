"""The step benchmark: that all three are the same network on the same loss, that costs and figures add up."""

import csv
import dataclasses
import json
import types

import jax
import numpy as np
import pytest

from configs import fonts, street, svhn
from digits_jax import benchmark, structs
from digits_jax.benchmark import device, networks, report, step, steppers, timing
from digits_jax.errors import InputError
from digits_jax.training import rundir
from tests.export import runs
from tests.training import toy

SMALL = networks.Network('small', 4, (8, 16), ((2, 2), (2, 1)), groups=4, frame_features=12, recurrent_features=6)
PLAIN = networks.Network('small', 1, (8,), ((4, 4),), groups=4, frame_features=12, recurrent_features=6)


def test_the_batch_given_is_the_one_that_is_drawn_first(monkeypatch):
  monkeypatch.setattr(steppers.experiment, 'build', toy.build)
  given, drawn = steppers.own(toy.get_config(), 4, 'float32')
  assert (given.name, drawn.name, given.steps) == (steppers.GIVEN, steppers.DRAWN, 1)
  (first, second), (drawn_first, drawn_second) = [[float(one.run()[0]) for _ in range(2)] for one in (given, drawn)]
  np.testing.assert_allclose(drawn_first, first, rtol=1e-5)
  assert second < first and abs(second - drawn_second) > 0.01  # both train, from here on on other batches


def test_a_network_is_the_peers_whatever_the_config(monkeypatch, tmp_path):
  """Where the config's own pools do not fit 32x128 images, and where its data is missing, too."""
  images, labels = steppers.made_up_batch(2)
  tasks, keys = [], jax.random.split(jax.random.key(0), 2)
  batch = structs.Batch(images, labels, (labels > 0).sum(1), np.zeros((2, 5, 4)), np.ones(2, bool))
  changed, missing = fonts.get_config('tiny'), svhn.get_config('tiny')
  changed.model.update({'dropout': 0.5, 'is_standardised': False, 'kernel': 5})
  missing.data.data_dir = str(tmp_path)

  def ours(name, built, steps):
    tasks.append(built.task)
    return steppers.Stepper(name, '1', 7, steps, lambda: None)

  monkeypatch.setattr(networks, 'NETWORKS', (SMALL,))
  monkeypatch.setattr(steppers, 'ours', ours)
  for peer in ('keras', 'pytorch'):
    monkeypatch.setattr(steppers, peer, lambda *given: [])
  configs = fonts.get_config('tiny'), changed, street.get_config('tiny'), missing
  for config in configs:
    (name, *_, build), _ = step.plan(config, [2])
    assert name == 'small' and build()
  params = tasks[0].init(keys[0], batch)
  losses = [jax.jit(task.loss)(params, batch, keys)[0] for task in tasks]
  assert len(losses) == len(configs)
  for other in losses[1:]:
    np.testing.assert_array_equal(losses[0], other)


def test_a_config_without_its_data_leaves_the_networks(monkeypatch, tmp_path, capsys):
  config, asked = svhn.get_config('tiny'), []
  config.data.data_dir = str(tmp_path)
  network = steppers.Stepper('ours', '1', 7, 1, lambda: None)
  monkeypatch.setattr(networks, 'NETWORKS', (SMALL,))
  monkeypatch.setattr(device, 'measure', lambda repeats: device.Limits({'float32': 1.0}, 1.0))
  monkeypatch.setattr(step, 'installed', lambda *given: asked.append(given) or [network])
  found = step.measure(config, batches=[2], repeats=1)
  assert [row['network'] for row in found['rows']] == ['small'] and found['input'].endswith('on 32x128 images')
  assert found['notes']['svhn-tiny'].startswith('not timed: ') and 'prepare' in found['notes']['svhn-tiny']
  assert 'svhn-tiny float32 2 not timed: ' in capsys.readouterr().err and len(asked) == 1
  config.model.widths = (0,)
  with pytest.raises(InputError, match=r'config\.model\.widths'):
    step.measure(config, batches=[2], repeats=1)
  with pytest.raises(InputError, match='--batches=0 cannot be shared'):
    step.measure(fonts.get_config('tiny'), batches=[0], repeats=1)
  assert len(asked) == 1  # these are refused before anything is timed


@pytest.mark.slow
def test_a_network_trains_on_what_it_is_given():
  images, labels = steppers.made_up_batch(4)
  assert images.shape == (4, networks.HEIGHT, networks.WIDTH, 1) and labels.shape == (4, steppers.SLOTS)
  assert ((labels > 0).sum(1) > 0).all() and ((labels > 0).cumprod(1) == (labels > 0)).all()
  built = steppers.from_network(SMALL, images, labels, 'float32')
  logits = jax.eval_shape(built.task.predict, built.initial_state().params, images)['logits']
  assert logits.shape == (4, SMALL.frames, networks.CLASSES)
  stepper = steppers.ours('ours', built, steps=1)
  before, after = stepper.run(), [stepper.run() for _ in range(40)][-1]
  assert before.shape == (1,) and after[0] < before[0] - 1


def test_networks_that_differ_are_not_compared(monkeypatch):
  one, other = (steppers.Stepper(name, '1', count, 1, lambda: None) for name, count in (('one', 4), ('other', 5)))
  monkeypatch.setattr(steppers, 'ours', lambda *given, steps: one)
  monkeypatch.setattr(steppers, 'keras', lambda *given: [other])
  monkeypatch.setattr(steppers, 'pytorch', lambda *given: [])
  with pytest.raises(AssertionError, match=r"not the same network: .*'other': 5"):
    steppers.installed(SMALL, 2, 'float32')


def test_pytorch_waits_as_seldom_as_ours(monkeypatch):
  """After each step, and where ours does several in a call, after as many: the same model in both."""
  done = []

  class Model:
    parameters = 7

    def __call__(self):
      done.append(self)
      return 0.5

  peer = types.SimpleNamespace(
    device=jax.default_backend, kinds=lambda: ['eager', 'compiled'], VERSION='2', Stepper=lambda *_, **__: Model()
  )
  monkeypatch.setattr(benchmark, 'torch_crnn', peer, raising=False)
  monkeypatch.setattr(steppers, 'steps_per_call', lambda: [1, 10])
  found = steppers.pytorch(SMALL, *steppers.made_up_batch(2), 'float32')
  assert [(one.name, one.steps) for one in found] == [
    ('PyTorch, eager', 1), ('PyTorch, eager', 10), ('PyTorch, compiled', 1), ('PyTorch, compiled', 10),
  ]  # fmt: skip
  for one in found:
    done.clear()
    assert one.run() == 0.5 and len(done) == one.steps and len(set(done)) == 1


def test_operations_are_those_of_the_layers():
  """Counted by hand: products alone, 3 of them (outputs, gradients of inputs and of weights), edges of images apart."""
  images, labels = steppers.made_up_batch(16)
  network = dataclasses.replace(PLAIN, widths=(32,), frame_features=64, recurrent_features=64)
  cost = steppers.count(steppers.from_network(network, images, labels, 'float32'))
  rows, frames, recurrent = network.rows, network.frames, network.recurrent_features
  forward = 9 * 32 * networks.HEIGHT * networks.WIDTH * 2 / 3  # the images need no gradient
  forward += frames * (rows * 32 * 64 + 64 * 8 * recurrent + 8 * recurrent**2 + 2 * recurrent * networks.CLASSES)
  assert cost['flops'] == pytest.approx(3 * 2 * 16 * forward, rel=0.25)
  assert cost['bytes'] > 16 * networks.HEIGHT * networks.WIDTH * 32 * 4 and cost['program_bytes'] > images.nbytes


@pytest.mark.slow
def test_operations_are_the_same_where_libraries_hide_them(monkeypatch):
  images, labels = steppers.made_up_batch(4)
  built = steppers.from_network(SMALL, images, labels, 'float32')
  wanted = steppers.count(built)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  monkeypatch.setattr(jax.stages.Compiled, 'cost_analysis', lambda program: {'flops': -1.0, 'bytes accessed': 5.0})
  found = steppers.count(built)
  assert found['flops'] == pytest.approx(wanted['flops'], rel=0.1)
  assert found['bytes'] == 5 and found['program_bytes'] > images.nbytes


def test_on_a_gpu_ours_is_compiled_first_and_failing_peers_are_left_out(monkeypatch, capsys):
  log = []

  def stepper(name, error=None, count=None):
    def run():
      log.append(name)
      clock[0] += 1 if count else 40
      if error:
        raise error

    return steppers.Stepper(name, '1', 7, 1, run, count)

  clock, about = [0.0], ['net', 'float32', 8]
  broken = stepper('broken', RuntimeError('no compiler'))
  ways = [stepper('peer'), stepper('ours', count=lambda: None), broken, stepper('late')]
  monkeypatch.setattr(step.time, 'perf_counter', lambda: clock[0])
  assert step.ready(about, ways, 60) == ways and not log  # on a CPU the first round of the timing compiles
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  found = step.ready(about, ways, 60)
  assert log == ['ours', 'peer', 'broken'] and [one.name for one in found] == ['peer', 'ours']
  said = capsys.readouterr().err
  assert 'net float32 8 without broken: no compiler' in said and 'net float32 8 without late: the seconds' in said


def test_when_time_runs_out_the_rows_so_far_stay(monkeypatch, capsys):
  """On a GPU the largest batch has come first, the textbook's network last; without a limit, costs are counted."""

  def built(name):
    return lambda *given: [steppers.Stepper(name, '1', 7, 1, lambda: clock.__setitem__(0, clock[0] + 1), costs)]

  clock, costs, saved = [0.0], lambda: counted.append(1) or {'flops': 1, 'bytes': 1, 'program_bytes': 1}, []
  counted = []
  monkeypatch.setattr(step.time, 'perf_counter', lambda: clock[0])
  monkeypatch.setattr(step.device, 'measure', lambda repeats: device.Limits({'float32': 1.0, 'bfloat16': 1.0}, 1.0))
  monkeypatch.setattr(step, 'installed', built('installed'))
  monkeypatch.setattr(step, 'own', built('own'))
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  save = lambda found: saved.append(len(found['rows']))
  given = {'batches': [8, 16], 'repeats': 1, 'save': save}
  found = step.measure(fonts.get_config('tiny'), seconds=8.0, **given)
  assert [(row['network'], row['dtype'], row['batch']) for row in found['rows']] == [
    ('patches', 'float32', 16), ('fonts-tiny', 'float32', 16), ('patches', 'bfloat16', 16),
  ]  # fmt: skip
  assert saved == [1, 2, 3, 3] and not counted and found['rows'][0]['gigaflops'] is None
  assert 'plain float32 8 not timed: the seconds are over' in capsys.readouterr().err
  assert len(step.measure(fonts.get_config('tiny'), **given)['rows']) == 12 and counted


def test_rates_of_the_device_and_the_least_time():
  limits = device.measure(repeats=1, side=64, megabytes=1)
  assert limits.flops['float32'] > 0 and limits.bandwidth > 0
  limits = device.Limits({'float32': 10.0}, 4.0)
  assert (limits.seconds(20, 4, 'float32'), limits.seconds(10, 12, 'float32')) == (2.0, 3.0)
  assert all(value > 50 and 'so far' in name for name, value in device.peak_memory().items())


def test_rates_count_a_sum_as_two_operations_and_a_copy_as_two_passes(monkeypatch):
  monkeypatch.setattr(timing, 'interleave', lambda calls, repeats: dict.fromkeys(calls, timing.Timing(1.0, 0.5, 2.0)))
  limits = device.measure(repeats=1, side=64, megabytes=1)
  assert (limits.flops['float32'], limits.bandwidth) == (2 * 64**3, 2 * 2**20)


def test_figures_and_files(tmp_path, monkeypatch):
  cost = lambda: {'flops': 3e9, 'bytes': 1e9, 'program_bytes': 2**21}
  stepper = lambda name, seconds, steps=1, count=None: steppers.Stepper(name, '1', 7, steps, lambda: seconds, count)
  monkeypatch.setattr(networks, 'NETWORKS', (SMALL,))
  monkeypatch.setattr(device, 'measure', lambda repeats: device.Limits({'float32': 6e9}, 4e9))
  monkeypatch.setattr(timing, 'interleave', lambda calls, repeats: {
    name: timing.Timing(call(), call() / 2, call() * 2) for name, call in calls.items()
  })  # fmt: skip
  monkeypatch.setattr(step, 'installed', lambda *given: [stepper('ours', 1.0, count=cost), stepper('peer', 4.0, 8)])
  monkeypatch.setattr(step, 'own', lambda *given: [stepper(steppers.GIVEN, 1.0), stepper(steppers.DRAWN, 1.25)])
  found = step.measure(runs.make_config(), batches=[100], repeats=2)
  ours, peer, given, drawn = found['rows']
  assert found['input'] == 'training steps on 32x128 images, of fonts-tiny on 24x48'
  assert (ours['network'], ours['batch'], ours['dtype']) == ('small', 100, 'float32')
  assert (ours['images_per_second'], ours['slowest'], ours['fastest'], ours['times_ours']) == (100, 50, 200, 1.0)
  assert (ours['gigaflops'], ours['gigabytes'], ours['program_mib'], ours['limit_share']) == (3.0, 1.0, 2, 0.5)
  assert (peer['images_per_second'], peer['times_ours'], peer['steps_per_call']) == (200, 2.0, 8)
  assert peer['gigaflops'] is None and given['network'] == 'fonts-tiny'
  assert (given['synthesis_share'], drawn['synthesis_share'], drawn['times_ours']) == (None, 0.2, 0.8)
  table = step.table(found)
  assert '6 G operations/s in float32, 4.0 GB/s' in table and 'resident' in table and '20.0%' in table
  report.write(tmp_path, found)
  assert json.loads((tmp_path / 'step.json').read_text()) == found
  assert len(list(csv.DictReader((tmp_path / 'step.csv').open()))) == 4


def test_shares_of_slow_steps_and_small_programs(monkeypatch):
  """They come from what was measured, not from figures that are rounded for people."""
  cost = lambda: {'flops': 1e6, 'bytes': 2e4, 'program_bytes': 100}
  stepper = lambda name, seconds: steppers.Stepper(name, '1', 7, 2, lambda: seconds, cost)
  monkeypatch.setattr(networks, 'NETWORKS', ())
  monkeypatch.setattr(device, 'measure', lambda repeats: device.Limits({'float32': 1e5}, 1e5))
  monkeypatch.setattr(timing, 'interleave', lambda calls, repeats: {
    name: timing.Timing(call(), call(), call()) for name, call in calls.items()
  })  # fmt: skip
  monkeypatch.setattr(step, 'own', lambda *given: [stepper(steppers.GIVEN, 80.0), stepper(steppers.DRAWN, 100.0)])
  given, drawn = step.measure(fonts.get_config('tiny'), batches=[10], repeats=1)['rows']
  assert (given['images_per_second'], drawn['images_per_second'], drawn['synthesis_share']) == (0.25, 0.2, 0.2)
  assert (given['gigaflops'], given['limit_share'], drawn['limit_share']) == (0.0, 0.25, 0.2)


def test_files_are_replaced_whole(tmp_path, monkeypatch):
  replaced = []
  monkeypatch.setattr(rundir.os, 'replace', lambda source, path: replaced.append(path.name))
  report.write(tmp_path, {'name': 'n', 'rows': [{'a': 1}]})
  assert replaced == ['n.json', 'n.csv'] and not any((tmp_path / name).exists() for name in replaced)


def test_empty_cells_stay_empty():
  found = {'name': 'n', 'input': 'i', 'hardware': {}, 'rows': [{'a': 1, 'b': None}, {'a': 2, 'b': 0.5}]}
  assert report.show(found, {'A': '{a}', 'B': '{b:.1%}', 'C': '({a} {c})'}).splitlines()[1:] == [
    'A      B  C', '1', '2  50.0%',
  ]  # fmt: skip


def test_rates():
  assert timing.Timing(2.0, 1.0, 4.0).rates('images', 8) == {'images_per_second': 4, 'slowest': 2, 'fastest': 8}
  few, many = (timing.Timing(3.0, 3.0, 3.0).rates('images', work)['images_per_second'] for work in (1, 4000))
  assert few == 0.333 and many == 1333


def _ours(network, batch=4):
  """Our network with random parameters: (built, params, images, labels)."""
  images, labels = steppers.made_up_batch(batch)
  built = steppers.from_network(network, images, labels, 'float32')
  rng = np.random.default_rng(0)
  draw = lambda leaf: rng.normal(scale=0.3, size=leaf.shape).astype(np.float32)
  return built, jax.tree.map(draw, built.initial_state().params), images, labels


def _our_loss(built, params, images, labels):
  lengths = (labels > 0).sum(1).astype(np.int32)
  batch = steppers.structs.Batch(images, labels, lengths, None, None)
  return built.task.predict(params, images)['logits'], float(built.task.loss(params, batch, None)[0].mean())


@pytest.mark.parametrize('network', [SMALL, PLAIN])
def test_keras_computes_the_same(network):
  pytest.importorskip('tensorflow')
  from digits_jax.benchmark import keras_crnn

  built, params, images, labels = _ours(network)
  model = keras_crnn.build(network)
  weights = []
  for i in range(len(network.widths)):
    block = params['trunk'][f'ConvBlock_{i}']
    weights += [block['Conv_0']['kernel'], block['GroupNorm_0']['scale'], block['GroupNorm_0']['bias']]
  weights += [params['frames']['kernel'], params['frames']['bias']]
  recurrent, count = params['recurrent_0'], 4 * network.recurrent_features
  forget = np.repeat([0.0, 1.0, 0.0, 0.0], network.recurrent_features)  # ours adds 1 outside the parameters
  for direction in range(2):
    part = slice(direction * count, (direction + 1) * count)
    kernel, bias = recurrent['input']['kernel'][:, part], recurrent['input']['bias'][part]
    weights += [kernel, recurrent['recurrent'][direction], bias + forget]
  model.set_weights([*weights, params['head']['kernel'], params['head']['bias']])
  logits, loss = _our_loss(built, params, images, labels)
  np.testing.assert_allclose(model(images).numpy(), logits, atol=2e-3)
  stepper = keras_crnn.Stepper(network, images, labels)
  assert stepper.parameters == sum(leaf.size for leaf in jax.tree.leaves(params))
  stepper.model.set_weights(model.get_weights())
  assert stepper() == pytest.approx(loss, rel=1e-3)
  assert stepper() < loss


@pytest.mark.parametrize('kind', ['eager', 'channels last'])
@pytest.mark.parametrize('network', [SMALL, PLAIN])
def test_pytorch_computes_the_same(network, kind):
  torch = pytest.importorskip('torch')
  from digits_jax.benchmark import torch_crnn

  built, params, images, labels = _ours(network)
  stepper = torch_crnn.Stepper(network, images, labels, kind=kind)
  assert stepper.parameters == sum(leaf.size for leaf in jax.tree.leaves(params))
  ours = []
  for i in range(len(network.widths)):
    block = params['trunk'][f'ConvBlock_{i}']
    kernel = block['Conv_0']['kernel'].transpose(3, 2, 0, 1)
    ours += [kernel, block['GroupNorm_0']['scale'], block['GroupNorm_0']['bias']]
  ours += [params['frames']['kernel'].T, params['frames']['bias']]
  recurrent, count = params['recurrent_0'], 4 * network.recurrent_features
  forget = np.repeat([0.0, 1.0, 0.0, 0.0], network.recurrent_features)  # ours adds 1 outside the parameters
  for direction in range(2):
    part = slice(direction * count, (direction + 1) * count)
    ours += [recurrent['input']['kernel'][:, part].T, recurrent['recurrent'][direction].T]
    ours += [recurrent['input']['bias'][part] + forget]
  ours += [params['head']['kernel'].T, params['head']['bias']]
  trained = [leaf for leaf in stepper.model.parameters() if leaf.requires_grad]
  with torch.no_grad():
    for leaf, value in zip(trained, ours, strict=True):
      leaf.copy_(torch.from_numpy(np.array(value)))
  logits, loss = _our_loss(built, params, images, labels)
  found = stepper.model(torch.from_numpy(images).permute(0, 3, 1, 2)).detach().transpose(0, 1)
  np.testing.assert_allclose(found, logits, atol=2e-3)
  assert float(stepper()) == pytest.approx(loss, rel=1e-3)
  assert float(stepper()) < loss


@pytest.mark.parametrize('is_bidirectional', [False, True])
def test_what_a_scan_hides_is_added(monkeypatch, is_bidirectional):
  built = steppers.from_network(SMALL, *steppers.made_up_batch(4), 'float32')
  built.config.model.is_bidirectional = is_bidirectional
  monkeypatch.setattr(jax.stages.Compiled, 'cost_analysis', lambda program: {'flops': 0.0, 'bytes accessed': 5.0})
  sizes = {'argument': 100, 'output': 40, 'temp': 7, 'alias': 30}  # results that take an argument's place count once
  memory = types.SimpleNamespace(**{f'{name}_size_in_bytes': size for name, size in sizes.items()})
  monkeypatch.setattr(jax.stages.Compiled, 'memory_analysis', lambda program: memory)
  products = (SMALL.frames - 1) * (1 + is_bidirectional) * 4 * SMALL.recurrent_features**2  # an LSTM's
  cost = steppers.count(built)
  assert cost['flops'] == 2 * 2 * 4 * products * built.config.model.recurrent_layers
  assert (cost['bytes'], cost['program_bytes']) == (5, 117)
