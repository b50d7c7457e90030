"""Every config at every argument: its fields, its parameters, its experiment; the tiny ones train end to end."""

import ast
import importlib
import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image, ImageDraw

from configs import common, fonts, testsets
from digits_jax import charts
from digits_jax.alphabet import Alphabet
from digits_jax.data import image_files, mnist_builder, sources, svhn_builder
from digits_jax.data.fonts import find_faces
from digits_jax.errors import InputError
from digits_jax.reading import trained
from digits_jax.training import experiment, feeds, rundir, stopping, transfer
from tests.data import made_svhn
from tests.data.test_mnist import idx_files

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = sorted(path for path in (ROOT / 'configs').glob('*.py') if path.stem not in ('common', 'testsets'))
MODULES = {path.stem: importlib.import_module(f'configs.{path.stem}') for path in FILES}
ALL = [(name, argument) for name, module in MODULES.items() for argument in (None, *module.VARIANTS)]
# When a model changes on purpose, so do these.
PARAMETERS = {
  ('digit', None): 931_114,
  ('digit', 'default'): 931_114,
  ('digit', 'fonts'): 451_082,
  ('digit', 'tiny'): 1_210,
  ('fonts', None): 393_931,
  ('fonts', 'default'): 393_931,
  ('fonts', 'plates'): 393_931,
  ('fonts', 'quick'): 328_139,
  ('fonts', 'five'): 393_931,
  ('fonts', 'transfer'): 393_931,
  ('fonts', 'twelve'): 393_931,
  ('fonts', 'lengths'): 393_931,
  ('fonts', 'families'): 600_107,
  ('fonts', 'families_shipped'): 600_107,
  ('fonts', 'tiny'): 4_075,
  ('forkme', None): 328_139,
  ('forkme', 'default'): 328_139,
  ('forkme', 'tiny'): 4_075,
  ('mnist', None): 1_053_067,
  ('mnist', 'strings'): 1_053_067,
  ('mnist', 'seven'): 1_053_067,
  ('mnist', 'notes'): 1_053_067,
  ('mnist', 'triplets'): 1_273_707,
  ('mnist', 'triplets_softmax'): 882_274,
  ('mnist', 'triplets_aligned'): 932_654,
  ('mnist', 'grid'): 1_273_707,
  ('mnist', 'grid_softmax'): 1_425_880,
  ('mnist', 'grid_goodfellow'): 18_076_712,
  ('mnist', 'tiny'): 3_819,
  ('own', None): 393_931,
  ('own', 'default'): 393_931,
  ('own', 'notes'): 1_053_067,
  ('own', 'tiny'): 3_723,
  ('projects', None): 252_203,
  ('projects', 'default'): 252_203,
  ('projects', 'seven'): 252_203,
  ('projects', 'triplets'): 248_107,
  ('projects', 'grid'): 4_047_640,
  ('projects', 'transfer'): 351_307,
  ('projects', 'drawn'): 328_139,
  ('projects', 'plates'): 328_139,
  ('projects', 'tiny'): 3_819,
  ('speedrun', None): 450_680,
  ('speedrun', 'default'): 450_680,
  ('speedrun', 'gpu'): 928_440,
  ('speedrun', 'tiny'): 2_504,
  ('street', None): 1_826_059,
  ('street', 'default'): 1_826_059,
  ('street', 'small'): 372_139,
  ('street', 'tiny'): 3_091,
  ('svhn', None): 5_553_995,
  ('svhn', 'default'): 5_553_995,
  ('svhn', 'extra'): 5_553_995,
  ('svhn', 'small'): 671_499,
  ('svhn', 'street'): 1_826_059,
  ('svhn', 'street_small'): 372_139,
  ('svhn', 'goodfellow'): 19_263_560,
  ('svhn', 'tiny'): 3_091,
}


@pytest.fixture(scope='session')
def data_dir(tmp_path_factory):
  """A small MNIST and SVHN of our own making: digits drawn in Pillow's font."""
  folder = tmp_path_factory.mktemp('data')
  rng = np.random.default_rng(0)

  def draw(count):
    labels = np.arange(count, dtype=np.uint8) % 10
    drawn = np.zeros((count, 28, 28), np.uint8)
    for i, label in enumerate(labels):
      page = Image.new('L', (28, 28))
      ImageDraw.Draw(page).text(rng.uniform(6, 12, 2), str(label), fill=255, font_size=int(rng.integers(14, 20)))
      drawn[i] = np.asarray(page) | rng.integers(0, 20, (28, 28), np.uint8)  # no two alike
    return drawn, labels

  files, archives = idx_files({'train': draw(600), 'test': draw(200)})
  (folder / 'downloads').mkdir()
  for name, contents in files.items():
    (folder / 'downloads' / name).write_bytes(contents)
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('XDG_CACHE_HOME', str(folder / 'cache'))
    assert mnist_builder.prepare(str(folder), str(folder / 'downloads'), mirrors=[], archives=archives)
    made_svhn.write(folder / 'photos', {'train': 40, 'test': 20, 'extra': 10})
    (folder / 'own').mkdir()
    for i in range(60):
      image_files.write_png(folder / 'own' / f'{i}.png', rng.integers(0, 256, (64, 128), np.uint8))
    svhn_builder.prepare(str(folder), str(folder / 'photos'), wanted=['train', 'test', 'extra'], mirrors=[])
    yield folder


def get(name, argument, data_dir=''):
  config = MODULES[name].get_config(argument)
  config.data.data_dir = str(data_dir)
  if config.data.source == 'folder':
    config.data.folder = str(data_dir / 'own')
  if config.data.test_font_dir:  # folders that no package brings
    config.data.update(font_dir='', test_font_dir='', validation_families=())
  if config.tests.test.draw == 'glyphs':  # each of them once, and the small MNIST has fewer
    config.validation.examples, config.tests.test.examples = 12, min(config.tests.test.examples, 200)
  return config


def leaves(fields, prefix=''):
  """{dotted name: kind of value} of all fields."""
  found = {}
  for name, value in fields.items():
    found |= leaves(value, f'{prefix}{name}.') if isinstance(value, ConfigDict) else {prefix + name: type(value)}
  return found


@pytest.mark.parametrize('name, argument', ALL)
def test_the_fields_are_those_of_common(name, argument):
  config, known = MODULES[name].get_config(argument), leaves(common.get_config())
  ours = leaves(config)
  for test in config.tests:  # further test sets have the fields of the first
    ours |= {re.sub(rf'^tests\.{test}\.', 'tests.test.', field): kind for field, kind in ours.items()}
  ours = {field: kind for field, kind in ours.items() if not field.startswith('tests.') or field in known}
  assert ours == known


@pytest.mark.parametrize('name, argument', ALL)
def test_it_builds_and_has_its_parameters(name, argument, data_dir):
  config = get(name, argument, data_dir)
  built = experiment.build(config)
  batch = built.zero_batch
  assert batch.images.shape == (1, *feeds.of(config).canvas(config).shape)
  assert batch.labels.shape == (1, feeds.of(config).slots(config))
  params = jax.eval_shape(built.task.init, jax.random.key(0), batch)
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == PARAMETERS.get((name, argument))


def test_the_tables_are_complete():
  assert set(PARAMETERS) == set(ALL)
  readme = (ROOT / 'configs' / 'README.md').read_text()
  for name, argument in ALL:
    assert argument in (None, 'default') or f'| `{name}.py:{argument}` |' in readme


def test_every_variant_has_a_run_directory_of_its_own():
  names = [MODULES[name].get_config(argument).name for name, argument in ALL if argument]
  assert len(set(names)) == len(names)
  assert all(name.split('-')[0] in MODULES for name in names)


@pytest.mark.parametrize('name', MODULES)
def test_the_docstring_says_the_command(name):
  module = MODULES[name]
  assert f'python -m digits_jax.main --config=configs/{name}.py' in module.__doc__
  for argument in module.VARIANTS:
    if isinstance(module.VARIANTS, dict):  # each is a function
      assert module.VARIANTS[argument].__doc__, argument
    else:
      assert f'`{argument}`' in module.get_config.__doc__
  for argument in re.findall(rf'configs/{name}\.py:(\w+)', module.__doc__):
    assert argument in module.VARIANTS


@pytest.mark.parametrize('name', MODULES)
def test_an_unknown_argument(name):
  with pytest.raises(InputError, match=r"this config has no argument 'tinny'; did you mean 'tiny'\?"):
    MODULES[name].get_config('tinny')


def test_every_default_has_a_comment():
  lines = (ROOT / 'configs' / 'common.py').read_text().splitlines()
  for node in ast.walk(ast.parse('\n'.join(lines))):
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
      is_group = 'ConfigDict()' in ast.unparse(node.value)
      line = lines[node.end_lineno - 1]
      assert is_group or '  # ' in line, f'configs/common.py, line {node.end_lineno}: {line.strip()} says nothing'


def test_a_misspelt_field_in_a_config_file_fails():
  config = common.get_config()
  config.tests.seven = testsets.seven()  # test sets may be added
  config.synth = config.tests.seven.synth.copy_and_resolve_references()
  groups = {'batchsize': config, 'width': config.model, 'hight': config.synth.layout, 'noize': config.synth.photo}
  groups |= {'example': config.tests.test, 'minlength': config.tests.seven.synth.number, 'sead': config.tests.seven}
  for field, group in groups.items():
    with pytest.raises((AttributeError, KeyError), match='Did you mean'):
      setattr(group, field, 3)


def test_what_is_no_value_and_no_test_set():
  config = common.get_config()
  config.synth.number.max_length = None
  with pytest.raises(InputError, match=r'config\.synth\.number\.max_length is None: give it a value'):
    experiment.build(config)
  config = common.get_config()
  config.tests.mine = testsets.plates
  with pytest.raises(InputError, match=r'config\.tests\.mine is no test set, as common\.test_set'):
    experiment.build(config)


@pytest.mark.parametrize('name', ['curves', 'coverage'])
def test_a_test_set_has_no_name_of_another_picture(name):
  config = fonts.get_config('tiny')
  config.tests[name] = config.tests.test.copy_and_resolve_references()
  with pytest.raises(InputError, match=rf'config\.tests\.{name}: plots/{name}\.png is another picture'):
    experiment.build(config)


def test_the_sets_of_twelve_and_five_digits():
  """As plates-v1, but for what their names say; twelve of the widest digits fit their canvas."""
  plates, five, twelve = testsets.plates(), testsets.five(), testsets.twelve()
  assert (five.name, five.seed, five.examples) == ('five-v1', 3, 5000) and five.synth == plates.synth
  assert (twelve.name, twelve.seed, twelve.examples) == ('twelve-v1', 2, 5000)
  changed = plates.synth.copy_and_resolve_references()
  changed.number.update(min_length=12, max_length=12)
  changed.layout.width = 288
  assert twelve.synth == changed
  config = fonts.get_config('tiny')
  config.data.font_sizes = (25,)
  config.tests.test = testsets.twelve()
  built = experiment.build(config)  # refuses what does not fit
  assert sources.example_shapes(built.tests['test'].source).images.shape == (1, 64, 288, 1)


def test_the_sets_of_unseen_families_and_of_many_lengths():
  """As plates-v1, but for what their names say; fifteen of the widest digits that are shipped fit their canvas."""
  plates, families, lengths = testsets.plates(), testsets.families(), testsets.lengths()
  assert (families.name, families.seed, families.examples) == ('families-v1', 4, 5000)
  assert families.synth == plates.synth
  assert (lengths.name, lengths.seed, lengths.examples) == ('lengths-v1', 2, 5000)
  changed = plates.synth.copy_and_resolve_references()
  changed.number.update(min_length=1, max_length=15)
  changed.layout.width = 360
  assert lengths.synth == changed
  built = experiment.build(fonts.get_config('lengths'))  # refuses what does not fit
  assert sources.example_shapes(built.tests['lengths'].source).images.shape == (1, 64, 360, 1)


def test_families_for_validation_and_test_are_never_trained_on():
  config, listed = fonts.get_config('families'), ROOT / 'experiments' / 'families' / 'families.json'
  families = json.loads(listed.read_text())
  groups = {split: set(families[split]['groups']) for split in ('train', 'validation', 'test')}
  assert set(config.data.validation_families) == groups['validation']
  assert len(groups['train']) >= 100 and len(set().union(*groups.values())) == sum(map(len, groups.values()))
  shipped = {face.family for face in find_faces(None, alphabet=Alphabet())[0]}
  assert not shipped & groups['test']
  assert fonts.get_config('families_shipped').data.font_dir == ''


def test_further_test_sets_are_built():
  config = fonts.get_config('tiny')
  config.tests.seven = testsets.plates()
  config.tests.seven.update(name='seven', seed=5)
  built = experiment.build(config)
  assert {name: (fixed.name, fixed.seed) for name, fixed in built.tests.items()} == {
    'test': ('plates-v1 (other glyphs)', 2),  # of one size
    'seven': ('seven', 5),
  }


def train(name, workdir, *arguments):
  """Trains configs/NAME.py:tiny, or FILE:tiny, as a user does; returns its output."""
  file = name if isinstance(name, pathlib.Path) else f'configs/{name}.py'
  line = [sys.executable, '-m', 'digits_jax.main', f'--config={file}:tiny', f'--workdir={workdir}']
  # Nobody waits for these few steps: what XLA saves by compiling fast is most of the time.
  environment = os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': '--xla_backend_optimization_level=0'}
  done = subprocess.run(
    [*line, '--compilation_cache=', *arguments], cwd=ROOT, capture_output=True, text=True, env=environment
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def assert_whole(workdir, out, config, parameters):
  """The run directory holds all that the README promises."""
  assert json.loads((workdir / 'config.json').read_text()) == json.loads(json.dumps(config.to_dict()))
  table = (workdir / 'model.txt').read_text()
  assert 'trunk' in table and 'Total Parameters' in table and table in out
  assert f'learning_rate: {config.optim.learning_rate}' in out
  records = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
  assert [(r['kind'], r['step']) for r in records] == [(k, s) for s in (2, 4) for k in ('train', 'validation')]
  assert {'loss', 'gradient_norm', 'learning_rate', 'infeasible'} <= set(records[0])
  assert {'sequence_accuracy', 'character_error_rate', 'examples'} <= set(records[1])
  result = json.loads((workdir / 'result.json').read_text())
  assert result['steps'] == 4 and result['seconds'] > 0
  assert result['parameters'] == parameters
  assert f'{result["parameters"]:,}' in table
  test = result['tests']['test']
  assert list(result['tests']) == ['test'] and test['examples'] == 20
  low, high = test['interval']
  assert 0 <= low <= test['sequence_accuracy'] <= high <= 1 and test['character_error_rate'] >= 0
  assert sum(count for _, count in test['by_length'].values()) == 20
  assert all(0 <= right <= count for right, count in test['by_length'].values())
  assert list(test['n_best_accuracy']) == ['1', '2', '3', '4', '5']
  assert test['n_best_accuracy']['1'] == test['sequence_accuracy'] <= test['n_best_accuracy']['5']
  assert 0 <= test['coverage_at_99'] <= test['coverage_at_98'] <= 1 and 0 <= test['calibration_error'] <= 1
  assert 0.099 < result['temperature'] < 10.001
  assert result['temperature_fit']['loss_after'] <= result['temperature_fit']['loss_before']
  assert list((workdir / 'tensorboard').glob('events.out.tfevents.*'))
  steps = {kind: [path.name for path in (workdir / 'checkpoints' / kind).iterdir()] for kind in ('latest', 'best')}
  # Four steps need not improve validation on every machine: the best step is what the records say.
  sign = 1 if stopping.METRICS[config.selection.metric] else -1
  best = max((sign * r[config.selection.metric], r['step']) for r in records if r['kind'] == 'validation')[1]
  assert steps == {'latest': ['4'], 'best': [str(best)]} and result['best_step'] == best
  charts.curves(workdir / 'wanted.png', records)
  drawn, wanted = (image_files.read_png(path) for path in (workdir / 'plots' / 'curves.png', workdir / 'wanted.png'))
  np.testing.assert_array_equal(drawn, wanted)
  for picture in ('coverage', 'test'):
    assert image_files.read_png(workdir / 'plots' / f'{picture}.png').std() > 5
  assert 'of 20 numbers right' in out and 'calibration error' in out and str(workdir) in out


@pytest.mark.slow
def test_fonts_tiny_trains_end_to_end(tmp_path):
  out = train('fonts', tmp_path / 'run')
  assert_whole(tmp_path / 'run', out, fonts.get_config('tiny'), PARAMETERS['fonts', 'tiny'])


@pytest.mark.slow
@pytest.mark.parametrize('name', ['mnist', 'digit', 'svhn', 'street', 'projects', 'speedrun'])
def test_tiny_configs_train_end_to_end(tmp_path, data_dir, name):
  out = train(name, tmp_path / 'run', f'--config.data.data_dir={data_dir}')
  assert_whole(tmp_path / 'run', out, get(name, 'tiny', data_dir), PARAMETERS[name, 'tiny'])


@pytest.mark.slow
def test_your_own_images_train_end_to_end(tmp_path, data_dir):
  changes = (f'--config.data.folder={data_dir / "own"}', '--config.data.held_out=0.2,0.5')
  out = train('own', tmp_path / 'run', f'--config.data.data_dir={data_dir}', *changes)
  config = get('own', 'tiny', data_dir)
  config.data.held_out = (0.2, 0.5)
  assert_whole(tmp_path / 'run', out, config, PARAMETERS['own', 'tiny'])


@pytest.mark.slow
def test_softmax_heads_on_squares_of_photos_train_end_to_end(tmp_path, data_dir):
  """The way of svhn.py:goodfellow, which is too large for a test."""
  small = ("--config.model.pools=((3,3),(3,3))", "--config.model.dense_features=(16,)", '--config.model.maxout=2')
  changes = ('--config.task=read_multidigit', '--config.photos.is_square=True', '--config.photos.max_digits=5')
  out = train('svhn', tmp_path / 'run', f'--config.data.data_dir={data_dir}', *changes, *small)
  result = json.loads((tmp_path / 'run' / 'result.json').read_text())
  assert result['tests']['test']['examples'] == 20 and 'of 20 numbers right' in out


@pytest.mark.slow
def test_softmax_heads_train_end_to_end(tmp_path):
  out = train('fonts', tmp_path / 'run', '--config.task=read_multidigit')
  config = fonts.get_config('tiny')
  config.task = 'read_multidigit'
  assert_whole(tmp_path / 'run', out, config, 278_552)


@pytest.mark.slow
def test_forkme_is_forked(tmp_path):
  """As a researcher would: copied under another name, a field changed, trained."""
  source = (ROOT / 'configs' / 'forkme.py').read_text()
  fork = tmp_path / 'mine.py'
  fork.write_text(source.replace("'forkme", "'mine").replace("recurrent='lstm'", "recurrent='none'"))
  out = train(fork, tmp_path / 'run', '--config.seed=5')
  written = json.loads((tmp_path / 'run' / 'config.json').read_text())
  assert (written['name'], written['seed'], written['model']['recurrent']) == ('mine-tiny', 5, 'none')
  result = json.loads((tmp_path / 'run' / 'result.json').read_text())
  assert result['config'] == 'mine-tiny' and result['parameters'] == 2_475 and 'of 20 numbers right' in out


def test_every_choice_of_forkme_is_commented():
  """Each line that sets something says why, itself or the comment above its paragraph."""
  lines = (ROOT / 'configs' / 'forkme.py').read_text().split('def get_config')[1].splitlines()
  paragraph = False
  for line in lines[1:]:
    paragraph = (paragraph and bool(line.strip())) or '#' in line
    assert paragraph or 'config.' not in line, line


BY_NAME = {(config := MODULES[name].get_config(argument)).name: config for name, argument in ALL}


@pytest.mark.parametrize('name', [name for name, config in BY_NAME.items() if config.init_from])
def test_a_run_begins_with_one_that_fits(name):
  def head_and_shapes(config):
    task = experiment.make_task(config, Alphabet(config.alphabet))
    return task.head, jax.eval_shape(task.init, jax.random.key(0), trained.batch_shapes(config))

  config = BY_NAME[name]
  given = BY_NAME[config.init_from.removeprefix('runs/')]
  assert given.name != name
  (head, ours), (_, theirs) = map(head_and_shapes, (config, given))
  foreign = transfer.foreign_subtrees(config, rundir.plain(given), head=head)
  report = transfer.compare(ours, theirs, tuple(config.init_subtrees), foreign=foreign)
  assert set(report.copied) >= (set(config.init_subtrees) or {'trunk'})
