"""`python -m digits_jax.synthesise`: what lies on the disk is what training and the test of a run see."""

import csv
import hashlib
import pathlib
import sys

import jax
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from jax.experimental.compilation_cache import compilation_cache

from configs import fonts
from digits_jax import command, drawing, synthesise
from digits_jax.alphabet import Alphabet
from digits_jax.data import drawn, image_files, labelled_files, sources
from digits_jax.errors import InputError
from digits_jax.training import experiment

ROOT = pathlib.Path(__file__).resolve().parents[1]
MINIMUM = 'jax_persistent_cache_min_compile_time_secs'
TINY = '--config=configs/fonts.py:tiny'
TWO_DIGITS = ['--config.synth.number.max_length=2', '--config.synth.number.min_length=2']


@pytest.fixture(scope='module', autouse=True)
def compiled_once(tmp_path_factory):
  """Every command compiles the same two programs: here all but the first read them from a cache."""
  before = {name: getattr(jax.config, name) for name in ('jax_compilation_cache_dir', MINIMUM)}
  jax.config.update('jax_compilation_cache_dir', str(tmp_path_factory.mktemp('compiled')))
  jax.config.update(MINIMUM, 0.1)
  compilation_cache.reset_cache()
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


@pytest.fixture
def run(monkeypatch, capsys):
  """Runs the command within this process, 8 images at a time: (exit code, stdout, stderr)."""
  monkeypatch.chdir(ROOT)
  monkeypatch.setattr(drawn, 'BATCH', 8)
  for name in ('JAX_COMPILATION_CACHE_DIR', 'XLA_PYTHON_CLIENT_PREALLOCATE', 'TF_CPP_MIN_LOG_LEVEL'):
    monkeypatch.setenv(name, '')  # what the command sets is put back

  def run(*arguments):
    argv = ['synthesise.py', '--compilation_cache=', *map(str, arguments)]
    monkeypatch.setattr(sys, 'argv', argv)
    with flagsaver.flagsaver():
      code = command._run(synthesise.main, argv)
      flags.FLAGS.unparse_flags()
    return code, *capsys.readouterr()

  return run


def read(folder):
  """(file names, labels, images) of a folder that the command wrote."""
  with (folder / 'labels.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert list(rows[0]) == ['filename', 'label']
  names = [row['filename'] for row in rows]
  assert sorted(path.name for path in folder.iterdir()) == sorted([*names, 'labels.csv'])
  return names, [row['label'] for row in rows], np.stack([image_files.read_png(folder / name) for name in names])


def assert_same_picture(one, other):
  np.testing.assert_array_equal(image_files.read_png(one), image_files.read_png(other))


def as_pixels(batch):
  return np.rint(np.asarray(batch.images)[..., 0] * 255).astype(np.uint8)


def test_the_test_split_is_the_set_of_result_json(run, tmp_path):
  code, out, err = run(TINY, f'--out={tmp_path / "new" / "set"}', '--count=20', '--split=test')
  assert code == 0, err
  assert out == f'wrote 20 images and labels.csv into {tmp_path / "new" / "set"}\n'
  names, labels, pixels = read(tmp_path / 'new' / 'set')
  assert names[0] == '000000.png' and names[-1] == '000019.png'
  built = experiment.build(fonts.get_config('tiny'))
  batch = sources.draw_examples(built.tests['test'], np.arange(20))
  assert labels == [built.alphabet.decode(*row) for row in zip(batch.labels, batch.label_lengths, strict=True)]
  np.testing.assert_array_equal(pixels, as_pixels(batch))


def test_a_set_that_stands_beside_the_test(run, tmp_path):
  flags = ('--config=configs/fonts.py:lengths', '--split=test', '--test=lengths', '--count=3')
  code, _, err = run(*flags, f'--out={tmp_path / "set"}')
  assert code == 0, err
  _, labels, pixels = read(tmp_path / 'set')
  assert pixels.shape == (3, 64, 360)
  source = experiment.build_source(fonts.get_config('lengths'), 'test', test='lengths')[0]
  batch = sources.draw_examples(sources.FixedSet('lengths-v1', source, 2, 3), np.arange(3))
  assert labels == [Alphabet().decode(*row) for row in zip(batch.labels, batch.label_lengths, strict=True)]
  cases = {'--test=length': 'no such test set; it has lengths, test, twelve', '--split=train': 'give --split=test too'}
  for wrong, words in cases.items():
    code, _, err = run(*flags, f'--out={tmp_path / "no"}', wrong)
    assert code == 2 and words in err and err.count('\n') == 1


@pytest.mark.slow
def test_the_train_split_is_the_first_step_of_training(run, tmp_path):
  flag = '--preview=' + str(tmp_path / 'sheet.png')
  assert run(TINY, f'--out={tmp_path / "set"}', '--count=12', flag)[0] == 0
  _, labels, pixels = read(tmp_path / 'set')
  config = fonts.get_config('tiny')
  source, places = experiment.build(config).train, np.arange(12, dtype=np.int32)
  draw = lambda key, constants: sources.draw_batch(source, key, constants, 0, places, places)
  batch = jax.device_get(jax.jit(draw)(sources.training_key(config.seed), source.constants))
  alphabet = Alphabet(config.alphabet)
  assert labels == [alphabet.decode(*row) for row in zip(batch.labels, batch.label_lengths, strict=True)]
  np.testing.assert_array_equal(pixels, as_pixels(batch))
  drawing.contact_sheet(tmp_path / 'wanted.png', batch.images, labels, title=f'{config.name}, train')
  assert_same_picture(tmp_path / 'sheet.png', tmp_path / 'wanted.png')


def test_an_image_depends_on_its_id_and_the_seed_alone(run, tmp_path):
  assert run(TINY, f'--out={tmp_path / "a"}', '--count=9', '--seed=7')[0] == 0
  assert run(TINY, f'--out={tmp_path / "b"}', '--count=6', '--seed=8')[0] == 0
  assert run(TINY, f'--out={tmp_path / "c"}', '--count=5', '--seed=7')[0] == 0
  (_, labels_a, a), (_, labels_b, b), (_, labels_c, c) = (read(tmp_path / name) for name in 'abc')
  assert labels_a[:5] == labels_c and labels_a[:6] != labels_b
  np.testing.assert_array_equal(a[:5], c)
  assert (a[:6] != b).any((1, 2)).all()


def test_distinct_numbers(run, tmp_path):
  flags = [TINY, *TWO_DIGITS, '--count=100']
  assert run(*flags, f'--out={tmp_path / "all"}')[0] == 0
  assert run(*flags, f'--out={tmp_path / "once"}', '--distinct')[0] == 0
  (_, repeated, drawn), (_, labels, pixels) = read(tmp_path / 'all'), read(tmp_path / 'once')
  assert sorted(labels) == [f'{number:02d}' for number in range(100)] != sorted(repeated)
  kept = [i for i, label in enumerate(repeated) if label not in repeated[:i]]
  assert labels[: len(kept)] == [repeated[i] for i in kept]  # repeats are passed over, the order stays
  np.testing.assert_array_equal(pixels[: len(kept)], drawn[kept])


def test_checksums(run, tmp_path):
  code, out, err = run(TINY, f'--out={tmp_path / "set"}', '--count=9', '--split=test', '--checksum')
  assert code == 0, err
  _, labels, pixels = read(tmp_path / 'set')
  expected = (hashlib.sha256(''.join(f'{text}\n' for text in labels).encode()), hashlib.sha256(pixels.tobytes()))
  assert out.splitlines()[1:] == [f'9 numbers {expected[0].hexdigest()}', f'9 images  {expected[1].hexdigest()}']


PRINTED = {
  'plates-v1': ['--config=configs/fonts.py:quick'],
  'five-v1': ['--config=configs/fonts.py:five'],
  'twelve-v1': ['--config=configs/fonts.py:twelve'],
  'lengths-v1': ['--config=configs/fonts.py:lengths', '--test=lengths'],
  'printed-v1': ['--config=configs/digit.py:fonts'],
}
# Of digits of our own making, in place of MNIST's.
HANDWRITTEN = {
  'strings-v1': 'b389c4bb6f4fa68b9285a59cc7bbe14ca16550e1aebbb1348ff9f50e5fe901ca',
  'seven-v1': 'c00c71004c993ef23b8bc938ee5ef2ce9a73ee9abfd55eabaa212b40966823a5',
  'notes-v1': '2b420332569ebe0876c03e1b135883c3b31df06ccc257416325927b1ece93dbc',
  'triplets-v1': 'd2076ecd970415503d311498d35cc12650e6dce7a783ddac3e0cb9dc8a760165',
  'grid-v1': 'cdcd4ba4d023ad33e998fa15ca62a1da0a9c37da678c9abd3a440cb7a4489826',
}


def first_64(run, *arguments):
  """The checksums of numbers and of pixels."""
  code, out, err = run('--count=64', '--split=test', '--checksum', *arguments)
  assert code == 0, err
  return [line.split()[2] for line in out.splitlines()]


def skip_without_fma():
  """Skips the rest where products and sums are not rounded once, on which pixels depend as docs/benchmark.md says."""
  cpu = pathlib.Path('/proc/cpuinfo')
  if not (cpu.is_file() and ' fma ' in cpu.read_text()):
    pytest.skip('the numbers are right; pixels are compared on a CPU with FMA alone')


@pytest.mark.parametrize('name', PRINTED)
def test_a_printed_set_is_what_docs_benchmark_says(run, name):
  """Not to be updated: numbers are the same everywhere, pixels wherever docs/benchmark.md says so."""
  numbers, pixels = first_64(run, *PRINTED[name])
  row = f'| `{name}` | `{numbers}` | `'
  text = (ROOT / 'docs' / 'benchmark.md').read_text()
  assert row in text
  skip_without_fma()
  assert row + f'{pixels}` |' in text


@pytest.fixture(scope='module')
def made_digits(tmp_path_factory):
  """A CSV file of 300 digits: crossed strokes, no two alike."""
  path, raw = tmp_path_factory.mktemp('digits') / 'made.csv', np.random.Philox(0).random_raw(300 * 4) % 20
  with path.open('w') as file:
    for i, (left, top, low, right) in enumerate(raw.reshape(300, 4).astype(int)):
      digit = np.zeros((28, 28), int)
      digit[4:24, left + 3 : left + 5] = 255
      digit[top + 3 : top + 6, 4:24] = 200 + i % 50
      digit[low + 4, right + 4] = 255
      file.write(','.join(map(str, [i % 10, *digit.ravel()])) + '\n')
  return path


@pytest.mark.parametrize('name', HANDWRITTEN)
def test_a_handwritten_set_is_drawn_as_ever(run, made_digits, name):
  """Not to be updated: its numbers are those of docs/benchmark.md, its pixels those that go with the sums there."""
  config = f'--config=configs/mnist.py:{name.removesuffix("-v1")}'
  numbers, pixels = first_64(run, config, '--config.data.glyphs=csv', f'--config.data.glyph_path={made_digits}')
  assert f'| `{name}` | `{numbers}` | `' in (ROOT / 'docs' / 'benchmark.md').read_text()
  skip_without_fma()
  assert pixels == HANDWRITTEN[name]


def test_too_few_distinct_numbers(run, tmp_path):
  code, _, err = run(TINY, *TWO_DIGITS, '--count=101', '--distinct', f'--out={tmp_path / "set"}')
  assert code == 2 and 'draws show 100 different numbers, and --count=101 asks for more' in err
  assert not (tmp_path / 'set').exists()


def test_the_home_directory_in_paths(run, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  code, out, err = run(TINY, '--preview=~/sheet.png', '--out=~/images', '--count=2')
  assert code == 0, err
  assert f'wrote {tmp_path}/sheet.png' in out and (tmp_path / 'sheet.png').is_file()
  assert len(read(tmp_path / 'images')[0]) == 2


def test_a_preview_alone(run, tmp_path):
  sheet = tmp_path / 'sheet.png'
  for _ in range(2):  # the second takes the place of the first
    code, out, err = run(TINY, f'--preview={sheet}', '--count=3')
    assert (code, out) == (0, f'wrote {sheet}\n'), err
  assert run(TINY, f'--out={tmp_path / "set"}', '--count=3')[0] == 0
  _, labels, pixels = read(tmp_path / 'set')
  drawing.contact_sheet(tmp_path / 'wanted.png', pixels[..., None], labels, title='fonts-tiny, train')
  assert_same_picture(sheet, tmp_path / 'wanted.png')
  image_files.write_png(sheet, np.zeros((4, 4), np.uint8))
  before = sheet.read_bytes()
  code, _, err = run(TINY, f'--preview={sheet}', '--count=3')
  assert code == 2 and 'sheet.png: that file is there already and no sheet' in err and sheet.read_bytes() == before


def test_an_interrupted_folder_has_no_labels(run, tmp_path, monkeypatch):
  write_png = image_files.write_png

  def stop_at_tenth(path, image):
    if path.name == '000010.png':
      raise KeyboardInterrupt
    write_png(path, image)

  monkeypatch.setattr(image_files, 'write_png', stop_at_tenth)
  code, _, err = run(TINY, f'--out={tmp_path}', '--count=12')
  assert code == 130 and 'interrupted' in err
  assert (tmp_path / '000003.png').exists() and not (tmp_path / 'labels.csv').exists()
  with pytest.raises(InputError, match='is not complete'):
    labelled_files.find(tmp_path, Alphabet())
  code, _, err = run(TINY, f'--out={tmp_path}', '--count=12')
  assert code == 2 and f'{tmp_path} is not empty' in err and 'interrupted' in err


@pytest.mark.parametrize(
  'arguments, problem',
  [
    ([TINY], 'Give --out=DIR for images, --preview=FILE.png'),
    ([TINY, '--preview=labels.csv'], '--preview=labels.csv: give the name of a file that ends with .png'),
    ([TINY, '--preview=README.md/sheet.png'], 'there is no folder'),
    ([TINY, '--preview=configs'], 'give the name of a file that ends with .png'),
    ([TINY, '--out=new'], 'Give --count=60000'),
    ([TINY, '--checksum'], 'Give --count=60000'),
    ([TINY, '--out=new', '--count=0'], '--count=0'),
    ([TINY, '--out=new', '--count=3', '--split=tset'], 'train|validation|test'),
    ([TINY, '--out=configs', '--count=3'], 'configs is not empty: choose another --out'),
    ([TINY, '--out=README.md', '--count=3'], 'README.md'),
    ([TINY, '--out=README.md/new', '--count=3'], 'README.md'),
    ([TINY, '--out=new', '--count=3', 'more'], "unexpected argument 'more'"),
    (['--out=new', '--count=3'], 'which experiment? Give --config='),
    ([TINY, '--config.synth.layout.width=20', '--out=new', '--count=3'], 'the canvas is 64x20'),
  ],
)
def test_wrong_flags(run, arguments, problem):
  code, out, err = run(*arguments)
  assert (code, out) == (2, '') and problem in err
  assert err.startswith('python -m digits_jax.synthesise: ') and err.count('\n') == 1
  assert not (ROOT / 'new').exists()


def test_a_seed_of_0_is_a_seed(run):
  said = {}
  for seed in ('', '--seed=2', '--seed=0'):  # 2 is the test's own
    code, said[seed], err = run(TINY, '--split=test', '--count=3', '--checksum', *[seed] * bool(seed))
    assert code == 0, err
  assert said[''] == said['--seed=2'] != said['--seed=0']


def test_images_of_ones_own(run, tmp_path):
  """No more than there are, and in training in the order that a run of that seed has."""
  rng = np.random.default_rng(0)
  for split, count in (('train', 9), ('validation', 1), ('test', 5)):
    (tmp_path / split).mkdir()
    for i in range(count):
      image_files.write_png(tmp_path / split / f'{i}.png', rng.integers(0, 256, (64, 128), np.uint8))
  own = ('--config=configs/own.py:tiny', f'--config.data.folder={tmp_path}', '--checksum')
  assert run(*own, '--split=test', '--count=5')[0] == 0
  code, _, err = run(*own, '--split=test', '--count=6')
  assert code == 2 and '--count=6: test has 5 images' in err
  said = [run(*own, '--count=9', *seed)[1] for seed in ([], ['--seed=5'], ['--config.seed=5'])]
  assert said[0] != said[1] == said[2] != ''
