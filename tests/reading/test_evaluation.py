"""Evaluation of a run: the figures of its result, the same texts from PNG files, other configs' sets."""

import csv
import dataclasses
import json
import pathlib
import shutil
import sys

import jax
import matplotlib
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from configs import fonts
from configs import own as own_config
from digits_jax import command
from digits_jax import evaluate as evaluate_command
from digits_jax.alphabet import Alphabet
from digits_jax.data import canvas, image_files, sources
from digits_jax.data.sources import Source
from digits_jax.errors import InputError
from digits_jax.reading import evaluation, trained
from digits_jax.reading.reader import Reader
from digits_jax.training import checkpoint, experiment, finish, loop, rundir, scoring
from tests.export import runs as export_runs
from tests.reading import runs
from tests.synth import specs

EXAMPLES = 20


def tiny(**changes):
  """fonts.py:tiny on the canvas of `runs`, with numbers of 1 to 3 digits."""
  config = fonts.get_config('tiny')
  config.model.recurrent = 'none'
  for synth in (config.synth, config.tests.test.synth):
    synth.layout.update(height=runs.HEIGHT, width=runs.WIDTH)
    synth.number.update(min_length=1, max_length=3)
  config.update_from_flattened_dict(changes)
  return config


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """A run whose parameters were drawn, not learnt, then finished as training does."""
  workdir = tmp_path_factory.mktemp('evaluated') / 'run'
  workdir.mkdir()
  config = tiny()
  built = experiment.build(config)
  rundir.open_run(workdir / 'new', config)
  workdir = workdir / 'new'
  (workdir / 'metrics.jsonl').touch()
  checkpoints = checkpoint.Checkpoints(workdir)
  state, progress = loop.start(built, checkpoints)
  params = state.params
  params['head'] = {'kernel': 30 * params['head']['kernel'], 'bias': 3 * params['head']['bias']}
  checkpoints.save_latest(0, state, progress)
  checkpoints.save_best(0, params)
  result = finish.finish(built, workdir, checkpoints)
  checkpoints.close()
  assert 0.1 < result['temperature'] < 10 and result['temperature'] != 1
  return workdir


@pytest.fixture(scope='module')
def run(finished):
  return trained.load(finished)


@pytest.fixture(scope='module')
def own(run):
  """The run's own set and its records."""
  fixed = evaluation.config_sets(run, run.config)['test']
  return fixed, evaluation.score(run, fixed)


@pytest.fixture(scope='module')
def stored(run, own):
  """The records of the run's own set with images of 8 bits, as PNG files have them: parameters that were not learnt
  are in doubt between several readings, and rounding may decide."""
  batch = sources.draw_examples(own[0], np.arange(EXAMPLES))
  batch = batch.replace(images=np.rint(batch.images * 255) / np.float32(255))

  def feed(step, first, count):  # behind the last one again the last
    rows = np.minimum(np.arange(first, first + count), EXAMPLES - 1)
    return jax.tree.map(lambda leaf: leaf[rows], batch)

  source = Source(constants=(), feed=feed, example=lambda key, constants, item: item)
  return evaluation.score(run, dataclasses.replace(own[0], source=source))


def texts(run, records):
  return [run.alphabet.decode(*row) for row in zip(records['predicted'], records['predicted_length'], strict=True)]


def save(folder, images, labels, parents=False):
  """Writes PNG files and labels.csv as `synthesise` does; returns the path of the latter."""
  folder.mkdir(parents=parents)
  names = [f'{i:06d}.png' for i in range(len(images))]
  for name, image in zip(names, images, strict=True):
    image_files.write_png(folder / name, image_files.to_uint8(image))
  with (folder / 'labels.csv').open('w', newline='') as file:
    csv.writer(file).writerows([('filename', 'label'), *zip(names, labels, strict=True)])
  return folder / 'labels.csv'


def labels_of(alphabet, batch):
  return [alphabet.decode(*row) for row in zip(batch.labels, batch.label_lengths, strict=True)]


@pytest.mark.slow
def test_the_runs_own_sets_give_its_result(finished, run, own):
  result = json.loads((finished / 'result.json').read_text())
  fixed, records = own
  figures = json.loads(json.dumps({'set': fixed.name, 'seed': fixed.seed} | scoring.summarise(records)))
  assert figures == result['tests']['test']
  assert len(set(texts(run, records))) > 5  # or equal figures would say little


@pytest.mark.slow
def test_png_files_of_the_same_numbers_give_the_same_texts(run, own, stored, tmp_path):
  batch = sources.draw_examples(own[0], np.arange(EXAMPLES))
  path = save(tmp_path / 'plates', batch.images, labels_of(run.alphabet, batch))
  again = evaluation.score(run, evaluation.labelled_set(run, path))
  assert texts(run, again) == texts(run, stored)
  for name in ('rank', 'edit_distance', 'mask', 'loss', 'confidence'):
    np.testing.assert_array_equal(again[name], stored[name])
  assert again['mask'].tolist() == [True] * EXAMPLES  # 20 examples in batches of 8

  # The reader reads the same files alike, in batches of its own: a low temperature leaves no near-ties to rounding.
  sharp = dataclasses.replace(run, temperature=run.temperature / 20)
  again = evaluation.score(sharp, evaluation.labelled_set(sharp, path))
  found = list(Reader(sharp).read(sorted(path.parent.glob('*.png'))))
  assert [reading.text for reading in found] == texts(run, again)
  np.testing.assert_allclose([reading.confidence for reading in found], again['confidence'], rtol=1e-2)


@pytest.mark.slow
def test_images_of_another_size_are_placed_as_the_reader_does(run, tmp_path):
  config = tiny(**{'tests.test.synth.layout.height': 48, 'tests.test.synth.layout.width': 80})
  fixed = evaluation.config_sets(run, config)['test']
  drawn = sources.draw_examples(sources.FixedSet('', own_source(config), 2, 4), np.arange(4))
  placed = sources.draw_examples(fixed, np.arange(4))
  assert drawn.images.shape[1:3] == (48, 80) and placed.images.shape[1:] == run.canvas.shape
  for image, small in zip(drawn.images, placed.images, strict=True):
    np.testing.assert_allclose(small, canvas.load(image, run.canvas)[0], atol=1e-5)
  assert labels_of(run.alphabet, placed) == labels_of(run.alphabet, drawn)

  # The same images from files; behind the last one comes padding.
  path = save(tmp_path / 'larger', drawn.images, labels_of(run.alphabet, drawn))
  stored = evaluation.labelled_set(run, path)
  again = stored.source.feed(0, 0, 6)
  assert again.mask.tolist() == [True] * 4 + [False] * 2
  np.testing.assert_allclose(again.images[:4], placed.images, atol=0.01)
  assert labels_of(run.alphabet, again)[:4] == labels_of(run.alphabet, placed)


def own_source(config):
  return experiment.build_source(config, 'test')[0]


@pytest.mark.slow
def test_labels_become_the_runs_classes(run, own):
  # The same digits in another order: other classes for the same numbers.
  config = tiny(alphabet='9876543210')
  # Both eight at a time: one image at a time is another program, which differs in the last bit on some CPUs.
  ours = evaluation.config_sets(run, config)['test'].source.feed(0, 0, 8)
  theirs = sources.draw_examples(sources.FixedSet('', own_source(config), 2, 8), np.arange(8))
  assert labels_of(run.alphabet, ours) == labels_of(Alphabet('9876543210'), theirs)
  assert (ours.labels != theirs.labels).any()
  specs.assert_packed(ours.labels, ours.label_lengths)
  np.testing.assert_array_equal(ours.images, theirs.images)
  assert evaluation.config_sets(run, tiny(alphabet='0123'))['test'].examples == EXAMPLES


def test_symbols_that_the_run_does_not_know(reader):
  with pytest.raises(InputError, match=r"written in '0123456789\.-', and this run does not know '-', '\.'"):
    evaluation.config_sets(reader.run, tiny(alphabet='0123456789.-'))


@pytest.fixture
def call(monkeypatch, capsys):
  """call(*arguments) -> (exit code, stdout, stderr) of `python -m digits_jax.evaluate` within this process."""

  def call(*arguments):
    monkeypatch.setattr(command, '_prepare_environment', lambda: None)
    monkeypatch.setattr(sys, 'argv', ['digits_jax/evaluate.py', *map(str, arguments)])
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
      flags.FLAGS.unparse_flags()
      command.run(evaluate_command.main)
    return ended.value.code, *capsys.readouterr()

  return call


@pytest.mark.slow
def test_the_command(call, finished, run, own, stored, tmp_path):
  batch = sources.draw_examples(own[0], np.arange(EXAMPLES))
  path = save(tmp_path / 'plates', batch.images, labels_of(run.alphabet, batch))
  out, sheet, table = tmp_path / 'figures.json', tmp_path / 'sheet.png', tmp_path / 'readings.csv'
  files = [f'--out={out}', f'--sheet={sheet}', f'--readings={table}']
  code, said, complaint = call(f'--workdir={finished}', f'--labels={path}', *files)
  assert code == 0, complaint
  with table.open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert [row['image'] for row in rows] == [str(path.parent / f'{i:06d}.png') for i in range(EXAMPLES)]
  assert [row['label'] for row in rows] == labels_of(run.alphabet, batch)
  assert [row['text'] for row in rows] == texts(run, stored)
  np.testing.assert_allclose([float(row['confidence']) for row in rows], stored['confidence'], atol=1e-6)
  written = json.loads(out.read_text())
  assert (written['step'], written['temperature'], written['zooms']) == (0, run.temperature, [])
  figures, wanted = written['tests']['labels'], json.loads(json.dumps(scoring.summarise(stored)))
  assert figures['set'] == str(path)
  for name in ('sequence_accuracy', 'character_error_rate', 'by_length', 'n_best_accuracy', 'loss', 'examples'):
    assert figures[name] == wanted[name], name
  assert f'labels ({path}): {wanted["sequence_accuracy"]:.2%} of 20 numbers right' in said
  assert image_files.read_png(sheet).std() > 5
  assert call(f'--workdir={finished}', f'--labels={path}', f'--sheet={sheet}')[0] == 0  # in place of the one before

  labels = path.read_bytes()
  code, said, complaint = call(f'--workdir={finished}', f'--labels={path}', f'--readings={path}')
  assert (code, said) == (2, '') and 'labels.csv: that file is there already and has other columns' in complaint
  assert path.read_bytes() == labels
  assert call(f'--workdir={finished}', f'--readings={table}')[0] == 0  # in place of the one before
  rows = list(csv.reader(table.open(newline='')))
  assert rows[0] == list(evaluation.COLUMNS) and [row[0] for row in rows[1:]] == [str(i) for i in range(EXAMPLES)]

  photo = tmp_path / 'plates' / '000001.png'
  content = photo.read_bytes()
  code, said, complaint = call(f'--workdir={finished}', f'--labels={path}', f'--sheet={photo}')
  assert (code, said) == (2, '') and '000001.png: that file is there already and no sheet' in complaint
  assert photo.read_bytes() == content

  (tmp_path / 'plates' / '000001.png').write_bytes(b'\x89PNG')
  code, _, complaint = call(f'--workdir={finished}', f'--labels={path}')
  assert code == 2 and '000001.png' in complaint and complaint.count('\n') == 1


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['FILE'], "unexpected argument 'FILE'"),
    (['--workdir=', '--labels=a.csv'], '--workdir is empty'),
    (['--workdir=RUN', '--labels=a.csv', '--config=configs/fonts.py:tiny'], 'give one of them'),
    (['--workdir=RUN', '--labels='], '--labels is empty'),
    (['--workdir=RUN', '--zooms=3'], ' --zooms: 3 must be'),
    (['--workdir=RUN', '--labels=a.csv', '--validation'], '--validation and --labels each say what to read'),
    (['--workdir=RUN', '--zooms=1.2', '--decoder=greedy'], "which --decoder='greedy' does not: set it to 'beam'"),
    (['--workdir=RUN', '--out=figures.txt'], 'ends with .json'),
    (
      ['--workdir=RUN', '--sheet=s.png', '--config=configs/fonts.py:tiny', '--config.evaluation.sheet=0'],
      ': config.evaluation.sheet=0 must be at least 1',
    ),
    (['--workdir=RUN', '--sheet=none/sheet.png'], 'there is no folder'),
    (['--workdir=RUN', '--labels=none.csv'], 'there is no file of labels none.csv'),
  ],
)
def test_wrong_flags(call, workdir, arguments, message):
  code, said, complaint = call(*(a.replace('RUN', str(workdir)) for a in arguments))
  assert (code, said) == (2, '') and complaint.count('\n') == 1 and message in complaint, complaint


def test_each_of_several_sheets_is_known_to_be_writable_before_anything_is_scored(tmp_path):
  path = str(tmp_path / 'sheet.png')
  check = lambda path: command.check_sheet('--sheet', path)
  assert evaluate_command.file_names(None, ['one'], check) == {}
  assert evaluate_command.file_names(path, ['one'], check) == {'one': tmp_path / 'sheet.png'}
  wanted = {name: tmp_path / f'sheet-{name}.png' for name in ('one', 'two')}
  assert evaluate_command.file_names(path, ['one', 'two'], check) == wanted
  (tmp_path / 'sheet-two.png').mkdir()
  with pytest.raises(InputError, match=r'--sheet=.*sheet-two\.png: give the name of a file'):
    evaluate_command.file_names(path, ['one', 'two'], check)


@pytest.mark.parametrize(('field', 'value'), [('seed', -1), ('examples', 0), ('seed', None)])
def test_another_config_is_checked_as_that_of_a_training(reader, field, value):
  other = tiny()
  other.tests.test[field] = value
  with pytest.raises(InputError, match=rf'config\.tests\.test\.{field}'):
    evaluation.config_sets(reader.run, other)


@pytest.mark.slow
def test_the_validation_set_is_that_of_training(call, finished, run, tmp_path):
  code, said, complaint = call(f'--workdir={finished}', '--validation', f'--out={tmp_path / "figures.json"}')
  assert code == 0, complaint
  built = experiment.build(run.config)
  score = scoring.make_scorer(run.task, built.validation, batch_size=run.config.evaluation.batch_size)
  wanted = json.loads(json.dumps(scoring.summarise(score(run.params, run.temperature))))
  figures = json.loads((tmp_path / 'figures.json').read_text())['tests']
  assert figures == {'validation': {'set': 'validation', 'seed': 1} | wanted}
  assert said.startswith('validation (validation): ')


@pytest.mark.slow
def test_greedy_reading_of_a_run_that_was_scored_by_the_beam_search(call, finished, run, own, tmp_path):
  out = tmp_path / 'figures.json'
  code, _, complaint = call(f'--workdir={finished}', '--decoder=greedy', f'--out={out}', f'--sheet={tmp_path}/s.png')
  assert code == 0, complaint
  written = json.loads(out.read_text())
  figures = written['tests']['test']
  batch = sources.draw_examples(own[0], np.arange(EXAMPLES))
  paths = np.asarray(run.task.predict(run.params, batch.images)['logits']).argmax(-1)  # [20, T]
  merged = [[c for c, before in zip(path, [0, *path[:-1]], strict=True) if c and c != before] for path in paths]
  found = [run.alphabet.decode(np.array(classes), len(classes)) for classes in merged]
  right = [one == label for one, label in zip(found, labels_of(run.alphabet, batch), strict=True)]
  assert figures['sequence_accuracy'] == np.mean(right)
  assert (written['decoder'], list(figures['n_best_accuracy'])) == ('greedy', ['1'])
  assert found != texts(run, own[1])  # or either decoder would do
  assert figures['loss'] == json.loads((finished / 'result.json').read_text())['tests']['test']['loss']


def test_softmax_heads_have_no_decoder(call, tmp_path):
  workdir = runs.make_run(tmp_path / 'run', task='read_multidigit')
  code, said, complaint = call(f'--workdir={workdir}', '--decoder=greedy')
  assert (code, said) == (2, '') and 'reads by read_multidigit, whose most probable reading is exact' in complaint


def test_zooms_of_a_run_that_is_scored_by_greedy_decoding(call, tmp_path):
  workdir = runs.make_run(tmp_path / 'run', **{'evaluation.decoder': 'greedy'})
  code, said, complaint = call(f'--workdir={workdir}', '--zooms=1.2')
  assert (code, said) == (2, '') and complaint.count('\n') == 1
  assert "list readings, which config.evaluation.decoder='greedy' does not" in complaint


def test_a_folder_of_labelled_images(reader, tmp_path):
  """Its labels.csv, the names of its images, or, where splits are given, those for the test."""
  run = reader.run
  images = np.random.default_rng(0).random((4, 30, 40, 1), np.float32)
  save(tmp_path / 'plain', images, ['1', '22', '3', '4'])
  assert evaluation.labelled_set(run, str(tmp_path / 'plain')).examples == 4
  (tmp_path / 'named').mkdir()
  for i, image in enumerate(images):
    image_files.write_png(tmp_path / 'named' / f'{i}5.png', image_files.to_uint8(image))
  named = evaluation.labelled_set(run, str(tmp_path / 'named'))
  batch = sources.draw_examples(named, np.arange(4))
  assert labels_of(run.alphabet, batch) == ['05', '15', '25', '35']
  for split, part in (('train', images[:1]), ('validation', images[1:2]), ('test', images[2:])):
    save(tmp_path / 'parts' / split, part, ['7'] * len(part), parents=True)
  assert evaluation.labelled_set(run, str(tmp_path / 'parts')).examples == 2
  labels = tmp_path / 'plain' / 'labels.csv'
  rows = labels.read_text().splitlines()
  labels.write_text('\n'.join([f'{rows[0]},split', *(f'{row},train' for row in rows[1:])]))
  with pytest.raises(InputError, match='has the splits train, and no image for the test'):
    evaluation.labelled_set(run, str(tmp_path / 'plain'))
  assert evaluation.labelled_set(run, str(labels)).examples == 4


def test_the_folder_that_a_run_was_trained_on(tmp_path):
  images = np.random.default_rng(0).random((3, 30, 40, 1), np.float32)
  labels = save(tmp_path / 'mine', images, ['1', '22', '3'])
  config = own_config.get_config('tiny')
  config.data.folder = str(tmp_path / 'mine')
  trained_on = export_runs.as_run(config)
  holds = lambda path: evaluation.has_training_images(trained_on, str(path))
  assert holds(tmp_path / 'mine') and holds(labels)
  other = save(tmp_path / 'other', images, ['1', '22', '3'])
  assert not holds(tmp_path / 'other')
  beside = tmp_path / 'mine' / 'beside.csv'  # of other images, in the same folder
  beside.write_text(f'filename,label\n{tmp_path / "other" / "000000.png"},1\n')
  assert not holds(beside)
  config.data.folder = str(other)
  assert holds(other) and holds(tmp_path / 'other') and not holds(labels)
  for split in ('train', 'validation', 'test'):
    save(tmp_path / 'parts' / split, images[:1], ['7'], parents=True)
  config.data.folder = str(tmp_path / 'parts')
  assert not holds(tmp_path / 'parts')  # its test alone is taken
  assert holds(tmp_path / 'parts' / 'train') and not holds(tmp_path / 'parts' / 'test')
  config.data.source = 'synthetic'
  assert not holds(labels)


@pytest.mark.slow
def test_a_run_whose_own_fonts_have_changed_is_not_scored(call, finished, tmp_path):
  """As training refuses to go on with it; another config's sets are scored all the same."""
  fonts_dir, workdir = tmp_path / 'fonts', tmp_path / 'run'
  fonts_dir.mkdir()
  shutil.copy(pathlib.Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'), fonts_dir)
  shutil.copytree(finished, workdir)
  config = json.loads((workdir / 'config.json').read_text())
  config['data']['font_dir'] = str(fonts_dir)
  (workdir / 'config.json').write_text(json.dumps(config))
  report = experiment.build(tiny(**{'data.font_dir': str(fonts_dir)})).report
  (workdir / 'data.txt').write_text(report)
  assert call(f'--workdir={workdir}')[0] == 0
  name = 'checksum of the glyphs of test: '
  (workdir / 'data.txt').write_text(report.replace(name, f'{name}0'))
  code, said, complaint = call(f'--workdir={workdir}')
  assert (code, said) == (2, '') and 'holds a run of other data' in complaint
