"""`python -m digits_jax.predict`: every image has its line, in order, in each format, and broken ones do no harm."""

import csv
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types

import jax
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from jax.experimental.compilation_cache import compilation_cache

from digits_jax import Reader, command, drawing, predict
from digits_jax.data import image_files
from digits_jax.errors import InputError
from digits_jax.reading import formats, gallery
from digits_jax.reading.reader import Reading
from tests.reading import runs

ROOT = pathlib.Path(__file__).resolve().parents[1]
MINIMUM = 'jax_persistent_cache_min_compile_time_secs'
COUNT = 6
BROKEN = ('cut.png', 'empty.png', 'text.png')


@pytest.fixture(scope='module', autouse=True)
def cache(tmp_path_factory):
  """Every command compiles the same programs: here all but the first read them from a cache."""
  folder = str(tmp_path_factory.mktemp('compiled'))
  before = {name: getattr(jax.config, name) for name in ('jax_compilation_cache_dir', MINIMUM)}
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update(MINIMUM, 0.1)
  compilation_cache.reset_cache()
  yield folder
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  return runs.make_run(tmp_path_factory.mktemp('predict') / 'run')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """COUNT images, three broken ones, and what is passed over."""
  folder = tmp_path_factory.mktemp('images')
  rng = np.random.default_rng(0)
  for i in range(COUNT):
    image = rng.integers(0, 20, (runs.HEIGHT, runs.WIDTH), dtype=np.uint8)
    for left in rng.integers(0, runs.WIDTH - 6, 4):
      image[9:23, left : left + 4] = 255
    image_files.write_png(folder / f'b{i}.PNG', image)
  (folder / 'cut.png').write_bytes((folder / 'b0.PNG').read_bytes()[:300])
  (folder / 'empty.png').write_bytes(b'')
  (folder / 'text.png').write_text('no image')
  for name in ('labels.csv', '.hidden.png'):
    (folder / name).write_text('filename,label\n')
  (folder / 'within').mkdir()
  return folder


@pytest.fixture(scope='module')
def expected(workdir, folder):
  """The readings of the images that are whole, two of each."""
  return list(Reader.load(workdir).read([folder / f'b{i}.PNG' for i in range(COUNT)], n_best=2))


@pytest.fixture
def run(monkeypatch, capsys, workdir):
  """Runs the command within this process: (exit code, stdout, stderr)."""
  for name in ('JAX_COMPILATION_CACHE_DIR', 'XLA_PYTHON_CLIENT_PREALLOCATE', 'TF_CPP_MIN_LOG_LEVEL'):
    monkeypatch.setenv(name, '')  # what the command sets is put back

  def run(*arguments, workdir=f'--workdir={workdir}'):
    argv = ['predict.py', '--compilation_cache=', *map(str, arguments), *([workdir] if workdir else [])]
    monkeypatch.setattr(sys, 'argv', argv)
    with flagsaver.flagsaver():
      code = command._run(predict.main, argv)
      flags.FLAGS.unparse_flags()
    return code, *capsys.readouterr()

  return run


def names(rows):
  return [os.path.basename(row['path']) for row in rows]


def test_json(run, folder, expected):
  code, out, err = run(folder, '--format=json', '--nbest=2')
  assert code == 1 and err == '3 of 9 images could not be read\n'
  rows = json.loads(out)
  assert names(rows) == [*(f'b{i}.PNG' for i in range(COUNT)), *BROKEN]
  for row, reading in zip(rows, expected, strict=False):
    assert (row['text'], row['status'], row['reason']) == (reading.text, 'read', None)
    assert row['confidence'] == pytest.approx(reading.confidence, rel=1e-4)
    assert row['conditional_confidence'] is None
    assert ''.join(digit['digit'] for digit in row['digits']) == reading.text
    assert [(digit['left'], digit['right']) for digit in row['digits']] == list(reading.spans)
    assert [digit['confidence'] for digit in row['digits']] == pytest.approx(reading.digit_confidences, rel=1e-4)
    assert [other['text'] for other in row['alternatives']] == [text for text, _ in reading.alternatives]
  for row in rows[COUNT:]:
    assert (row['text'], row['confidence'], row['status']) == (None, None, 'error')
    assert row['path'] in row['reason']


def test_csv(run, folder, expected):
  code, out, _ = run(folder, '--format=csv', '--nbest=2')
  assert code == 1
  rows = list(csv.DictReader(io.StringIO(out)))
  fields = 'path,text,confidence,status,reason,conditional_confidence,text_2,confidence_2'
  assert out.splitlines()[0] == fields
  assert names(rows) == [*(f'b{i}.PNG' for i in range(COUNT)), *BROKEN]
  for row, reading in zip(rows, expected, strict=False):
    ((other, confidence),) = reading.alternatives
    assert (row['text'], row['status'], row['text_2']) == (reading.text, 'read', other)
    assert float(row['confidence']) == pytest.approx(reading.confidence, abs=2e-6)
    assert float(row['confidence_2']) == pytest.approx(confidence, abs=2e-6)
  assert [(row['text'], row['confidence'], row['status']) for row in rows[COUNT:]] == [('', '', 'error')] * 3
  assert rows[-2]['reason'].startswith('is empty') and None not in rows[-2].values()


def test_table(run, folder, expected):
  code, out, _ = run(folder, '--nbest=2')
  assert code == 1
  head, *lines = out.splitlines()
  assert head.split() == ['path', 'text', 'confidence', 'least', 'sure', 'alternatives'] and len(lines) == COUNT + 3
  for i, (line, reading) in enumerate(zip(lines, expected, strict=False)):
    path, text, confidence, digit, _, other, _ = line.split()
    assert (path, text) == (str(folder / f'b{i}.PNG'), reading.text)
    assert confidence == f'{reading.confidence:.2%}' and other == reading.alternatives[0][0]
    assert digit == min(zip(reading.digit_confidences, reading.text, strict=True))[1]
  assert f'{folder / "empty.png"}' in lines[-2] and '  error: is empty' in lines[-2]


def test_a_folder_says_which_photos_it_cannot_read(run, folder, tmp_path):
  (tmp_path / 'a.png').write_bytes((folder / 'b0.PNG').read_bytes())
  (tmp_path / 'photo.HEIC').write_bytes(b'\0\0\0\x18ftypheic')
  code, out, err = run(tmp_path, '--format=json')
  rows = json.loads(out)
  assert code == 1 and names(rows) == ['a.png', 'photo.HEIC'] and err == '1 of 2 images could not be read\n'
  assert 'is not an image of a kind that is read (PNG, JPEG' in rows[1]['reason']


def test_order_is_that_of_the_input(run, folder, monkeypatch):
  paths = [folder / f'b{i}.PNG' for i in (4, 1, 3)]
  pattern = folder / 'b[02].P*'
  lines = f'{folder / "b5.PNG"}\r\n\n{folder / "b1.PNG"}\n'.encode()
  monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO(lines)))
  code, out, err = run(*paths[:2], pattern, '-', paths[2], '--format=json', '--nbest=2')
  assert (code, err) == (0, '')
  assert names(json.loads(out)) == ['b4.PNG', 'b1.PNG', 'b0.PNG', 'b2.PNG', 'b5.PNG', 'b1.PNG', 'b3.PNG']


def test_lengths(run, folder, workdir, expected):
  pattern = folder / 'b*'
  of_length = Reader.load(workdir).read(sorted(folder.glob('b*')), min_length=4, max_length=4)
  known = [reading.text for reading in of_length]
  for flags_ in (['--length=4'], ['--min_length=4', '--max_length=4']):
    code, out, _ = run(pattern, '--format=json', *flags_)
    rows = json.loads(out)
    assert code == 0 and [row['text'] for row in rows] == known
    assert all(row['confidence'] < row['conditional_confidence'] <= 1 for row in rows)
  assert any(len(reading.text) != 4 for reading in expected)
  code, out, _ = run(pattern, '--length=4')
  assert 'of allowed' in out.splitlines()[0] and out.splitlines()[1].count('%') == 3


def test_zooms(run, folder, workdir, expected):
  wide = list(Reader.load(workdir, zooms=(1.3, 1.5)).read(sorted(folder.glob('b*'))))
  for zooms, wanted in (('1.3,1.5', wide), ('', expected)):
    code, out, err = run(folder / 'b*', '--format=json', f'--zooms={zooms}')
    rows = json.loads(out)
    assert code == 0 and [row['text'] for row in rows] == [one.text for one in wanted], err
    np.testing.assert_allclose([row['confidence'] for row in rows], [one.confidence for one in wanted], rtol=1e-4)
  assert [one.confidence for one in wide] != [one.confidence for one in expected]


def test_what_is_less_sure_is_withheld(run, folder, expected):
  limit = sorted(reading.confidence for reading in expected)[COUNT // 2] - 1e-5
  arguments = [folder / 'b*', f'--min_confidence={limit}', '--nbest=2']
  code, out, _ = run(*arguments, '--format=json')
  assert code == 0
  for row, reading in zip(json.loads(out), expected, strict=True):
    is_kept = reading.confidence >= limit
    assert row['status'] == ('read' if is_kept else 'rejected')
    assert row['text'] == (reading.text if is_kept else None)
    assert row['confidence'] == pytest.approx(reading.confidence, rel=1e-4)
    assert is_kept == bool(row['digits']) == bool(row['alternatives']) == (row['reason'] is None)
  _, out, _ = run(*arguments)
  assert out.count('(rejected)') == COUNT // 2
  _, out, _ = run(*arguments, '--format=csv')
  assert out.count(',,') >= COUNT // 2 and out.count(',rejected,') == COUNT // 2


def test_gallery(run, folder, expected, tmp_path, monkeypatch):
  monkeypatch.setattr(gallery, 'MOST', 4)
  drawn = []
  monkeypatch.setattr(drawing, 'gallery', lambda *given, **options: drawn.append((given, options)))
  code, out, err = run(folder, f'--gallery={tmp_path / "g.png"}', '--nbest=2', '--format=json')
  assert code == 1 and len(json.loads(out)) == COUNT + 3
  assert err.splitlines()[0] == f'wrote {tmp_path / "g.png"} with 4 of 9 images'
  (((path, pictures, captions, spans), options),) = drawn
  assert path == str(tmp_path / 'g.png') and options['title'] == '4 of 9 images'
  assert options['names'] == ['b0.PNG', 'b1.PNG', 'b2.PNG', 'b3.PNG']
  for i in range(4):
    np.testing.assert_array_equal(pictures[i], image_files.read_png(folder / f'b{i}.PNG'))
    assert captions[i] == f'{expected[i].text}  {expected[i].confidence:.2%}'
    assert spans[i] == list(expected[i].spans)


def test_a_gallery_takes_the_place_of_a_gallery(run, folder, tmp_path):
  path = tmp_path / 'g.png'
  drawing.gallery(path, [np.zeros((9, 9), np.uint8)], [''], [[]])
  before = path.read_bytes()
  assert run(folder / 'b0.PNG', f'--gallery={path}')[0] == 0
  assert drawing.is_ours(path) and path.read_bytes() != before


def test_a_gallery_of_nothing(run, folder, tmp_path):
  code, _, err = run(folder / 'empty.png', f'--gallery={tmp_path / "g.png"}')
  assert code == 1 and 'no image could be read' in err and not (tmp_path / 'g.png').exists()


@pytest.mark.parametrize(
  'arguments, problem',
  [
    ([], 'which images? Give files, folders'),
    (['FOLDER/within'], 'within holds no image (.png, .jpg'),
    (['FOLDER/within'], "those in folders within have a pattern such as 'FOLDER/within/**/*.png'"),
    (['FOLDER/x*.png'], 'no file matches'),
    (['FOLDER', '--length=3', '--max_length=4'], '--length sets both ends'),
    (['FOLDER', '--min_length=3', '--max_length=2'], '--min_length=3 is more than --max_length=2'),
    (['FOLDER', '--min_length=17'], 'reads at most 16 digits'),
    (['FOLDER', '--nbest=30'], '--nbest=30 is more than the search keeps: raise --beams=25'),
    (['FOLDER', '--zooms=1.1,much'], '--zooms=1.1,much: it takes numbers, such as 1.08,1.16'),
    (['FOLDER', '--zooms=1'], 'predict: --zooms: 1 must be above 1'),
    (['FOLDER', '--format=xml'], '--format=xml'),
    (['FOLDER', '--min_confidence=90'], '--min_confidence=90'),
    (['FOLDER', '--min_confidence=nan'], '--min_confidence=nan'),
    (['FOLDER', '--gallery=FOLDER'], 'give the name of a file that ends with .png'),
    (['FOLDER', '--gallery=FOLDER/b1.PNG'], 'b1.PNG: that file is there already and no sheet'),
    (['FOLDER', '--gallery=FOLDER/none/g.png'], 'there is no folder'),
    (['FOLDER', '--nbset=3'], "Unknown command line flag 'nbset'"),
  ],
)
def test_wrong_flags(run, folder, arguments, problem):
  code, out, err = run(*(argument.replace('FOLDER', str(folder)) for argument in arguments))
  assert (code, out) == (2, '') and problem.replace('FOLDER', str(folder)) in err
  assert err.startswith('python -m digits_jax.predict: ') and err.count('\n') == 1


def test_no_run(run, tmp_path):
  """Without one the reader that comes with the package reads."""
  image = np.zeros((40, 60, 3), np.uint8)
  image[8:32, 27:33] = 255
  image_files.Image.fromarray(image).save(tmp_path / 'one.png')
  code, out, err = run(tmp_path / 'one.png', '--format=json', workdir=None)
  assert code == 0 and json.loads(out)[0]['text'] == '1'
  assert err == 'read by the reader of house numbers that comes with the package; --workdir=RUN names another\n'
  code, out, err = run(tmp_path / 'one.png', workdir='--workdir=')
  assert (code, out) == (2, '') and '--workdir is empty' in err


def test_a_folder_without_a_run(run, folder, tmp_path):
  code, out, err = run(folder, workdir=f'--workdir={tmp_path}')
  assert (code, out) == (2, '') and 'holds no run' in err


def test_a_run_without_a_result_says_that_it_is_not_calibrated(run, folder, workdir, tmp_path):
  shutil.copytree(workdir, tmp_path / 'run')
  (tmp_path / 'run' / 'result.json').unlink()
  code, _, err = run(folder / 'b0.PNG', workdir=f'--workdir={tmp_path / "run"}')
  assert code == 0 and err.count('\n') == 1 and 'confidences are not calibrated: training of' in err


def test_ctrl_c(run, folder, monkeypatch):
  def stop(*given):
    raise KeyboardInterrupt

  monkeypatch.setattr(formats, 'as_record', stop)
  code, _, err = run(folder, '--nbest=2')
  assert code == 130 and err == 'python -m digits_jax.predict: interrupted\n'


@pytest.mark.parametrize('name', ['a\nb.png', 'a\rb.png', 'a\r\nb.png', 'a,b.png', '"a".png'])
def test_odd_names_are_one_cell(name):
  lines = formats.as_csv([formats.as_record(name, InputError(f'{name} is empty'), 0.0)], n_best=1)
  (row,) = csv.DictReader(io.StringIO('\n'.join(lines), newline=''))
  assert (row['path'], row['reason']) == (name, 'is empty')


def test_closed_streams(folder, workdir, cache):
  image = str(folder / 'b0.PNG')
  line = [sys.executable, '-m', 'digits_jax.predict', f'--compilation_cache={cache}', image, '--format=json']
  start = lambda *more, closed: subprocess.run(
    ['sh', '-c', f'"$@" {closed}>&-', 'sh', *line, *more], capture_output=True, text=True, cwd=ROOT, timeout=120
  )
  done = start(f'--workdir={workdir}', closed=1)
  assert (done.returncode, done.stdout) == (2, '') and done.stderr.count('\n') == 1
  assert 'predict: stdout is closed' in done.stderr
  done = start(closed=2)  # the note on the package's own reader is for stderr
  assert (done.returncode, [record['path'] for record in json.loads(done.stdout)]) == (0, [image])


def test_a_closed_pipe_and_odd_names(folder, workdir, cache, tmp_path):
  odd = tmp_path / os.fsdecode(b'caf\xe9, "1"\n.png')
  odd.write_bytes((folder / 'b0.PNG').read_bytes())
  line = [sys.executable, '-m', 'digits_jax.predict', '--format=csv', f'--workdir={workdir}']
  line += [f'--compilation_cache={cache}']
  given = os.fsencode(folder / 'b0.PNG') + b'\n'
  environment = os.environ | {'PYTHONPATH': str(ROOT)}
  done = subprocess.run([*line, tmp_path], capture_output=True, cwd=ROOT, env=environment, timeout=120)
  assert (done.returncode, done.stderr) == (0, b'')
  (row,) = csv.DictReader(io.StringIO(os.fsdecode(done.stdout)))
  assert row['path'] == str(odd)

  reads, writes = os.pipe()
  os.close(reads)
  with os.fdopen(writes, 'wb') as closed:
    done = subprocess.run(
      [*line, '-'], input=300 * given, stdout=closed, stderr=subprocess.PIPE, cwd=ROOT, env=environment, timeout=120
    )
  assert (done.returncode, done.stderr) == (141, b'')


def test_a_confidence_as_asked_for_is_enough():
  reading = Reading(
    text='7', confidence=0.5, digit_confidences=(0.5,), spans=((0, 1),), alternatives=(), conditional_confidence=None
  )
  assert formats.as_record('a', reading, 0.5)['status'] == 'read'
  assert formats.as_record('a', reading, 0.5000001)['status'] == 'rejected'


def test_a_file_whose_name_is_a_pattern(tmp_path):
  (tmp_path / 'plate[1].png').touch()
  assert predict.find_images([str(tmp_path / 'plate[1].png')]) == [str(tmp_path / 'plate[1].png')]


def test_paths_from_stdin_as_other_programs_write_them(monkeypatch):
  written = io.BytesIO(b'\xef\xbb\xbfa.png\r\n\nb.png')
  monkeypatch.setattr(sys, 'stdin', types.SimpleNamespace(buffer=written))
  assert predict.find_images(['-']) == ['a.png', 'b.png']


def test_two_stars_go_into_folders(tmp_path):
  (tmp_path / 'a' / 'b').mkdir(parents=True)
  paths = [str(tmp_path / name) for name in ('1.png', 'a/2.png', 'a/b/3.png')]
  for path in paths:
    pathlib.Path(path).touch()
  assert predict.find_images([str(tmp_path / '**' / '*.png')]) == paths


def test_marks_of_a_large_image_are_scaled_with_it(tmp_path, monkeypatch):
  image_files.write_png(tmp_path / 'a.png', np.full((400, 1000), 200, np.uint8))
  digit = {'digit': '7', 'confidence': 0.9, 'left': 500.0, 'right': 1000.0}
  sheet, drawn = gallery.Gallery(), []
  sheet.add({'path': str(tmp_path / 'a.png'), 'status': 'read', 'digits': [digit], 'text': '7', 'confidence': 0.9})
  monkeypatch.setattr(drawing, 'gallery', lambda *given, **_: drawn.append(given))
  sheet.save('g.png', 1)
  ((_, (small,), _, (((left, right),),)),) = drawn
  assert small.shape[1] < 1000 and right == pytest.approx(small.shape[1]) and left == pytest.approx(right / 2)


def test_beams_are_as_many_as_asked_for(run, folder):
  code, out, _ = run(folder / 'b0.PNG', '--beams=30', '--nbest=30', '--format=json')
  assert code == 0 and len(json.loads(out)[0]['alternatives']) == 29
  code, out, err = run(folder / 'b0.PNG', '--beams=1', '--nbest=2')
  assert (code, out) == (2, '') and '--nbest=2 is more than the search keeps: raise --beams=1' in err
