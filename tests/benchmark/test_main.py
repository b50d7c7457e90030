"""The benchmark's command: which parts it runs with what, and what it says of wrong words."""

import json
import math
import time

import pytest
from absl import flags
from absl.testing import flagsaver

from digits_jax.benchmark import __main__ as main
from digits_jax.benchmark import decode, loss, start, step, synth
from digits_jax.errors import InputError


@pytest.fixture
def calls(monkeypatch):
  """What each part is asked to measure; nothing is measured."""
  if not flags.FLAGS.is_parsed():
    flags.FLAGS(['benchmark'])
  asked = []

  def fake(name):
    def measure(*positional, **options):
      asked.append((name, positional, options))
      time.sleep(0.01)
      return {'name': name, 'input': 'nothing', 'hardware': {}, 'rows': [{'stepper': name}]}

    return measure

  for part in (start, synth, step, loss, decode):
    name = part.__name__.rpartition('.')[2]
    monkeypatch.setattr(part, 'measure', fake(name))
    monkeypatch.setattr(part, 'table', lambda found: f'table of {found["name"]}')
  return asked


def test_all_is_every_part_with_its_flags(calls, tmp_path, capsys):
  chosen = {'batches': ['8', '16'], 'repeats': 2, 'widths': ['7'], 'sequences': 9, 'seconds': 7.0}
  chosen['out'] = str(tmp_path / 'new')
  began = time.perf_counter()
  with flagsaver.flagsaver(**chosen):
    assert main.main(['all']) == 0
  assert [name for name, *_ in calls] == ['start', 'synth', 'loss', 'decode', 'step'] == [*main.PARTS]
  by_name = {name: (positional, options) for name, positional, options in calls}
  for name in ('synth', 'step'):
    (config,), options = by_name[name]
    save = options.pop('save', None)
    limit = {'seconds': 7.0} if name == 'step' else {}
    if name == 'step':  # the seconds count from before the first part
      assert began <= options.pop('began') < time.perf_counter() - 0.05
    assert config.name == 'fonts-quick' and options == {'batches': [8, 16], 'repeats': 2} | limit
  save({'name': 'so far', 'rows': []})
  assert (tmp_path / 'new/so far.json').is_file()
  assert by_name['decode'] == ((None,), {'batch': 9, 'beams': [7], 'repeats': 2})
  assert by_name['loss'] == ((), {'repeats': 2})
  printed = capsys.readouterr().out
  for part in main.PARTS:
    assert f'table of {part}' in printed
    assert json.loads((tmp_path / f'new/{part}.json').read_text())['name'] == part
    assert (tmp_path / f'new/{part}.csv').read_text() == f'stepper\n{part}\n'


def test_one_part_alone(calls):
  main.main(['loss'])
  assert [name for name, *_ in calls] == ['loss']


@pytest.mark.parametrize('arguments', [[], ['stepp'], ['step', 'loss']])
def test_parts_that_are_not_there(calls, arguments):
  with pytest.raises(InputError, match='name one part to time, start, synth, loss, decode, step or all, '):
    main.main(arguments)
  assert not calls


@pytest.mark.parametrize('words', [['8', 'x'], ['0'], [], ['-3'], ['1.5']])
@pytest.mark.parametrize('flag', ['batches', 'widths'])
def test_lists_that_are_none(calls, flag, words):
  with flagsaver.flagsaver(**{flag: words}), pytest.raises(InputError, match=f'--{flag}=.* such as (64,256|10,25,100)'):
    main.main(['all'])
  assert not calls


@pytest.mark.parametrize(
  ('flag', 'value', 'said'),
  [('workdir', '', '--workdir is empty'), ('seconds', math.nan, '--seconds=nan')],
)
def test_flags_without_sense(calls, flag, value, said):
  with flagsaver.flagsaver(**{flag: value}), pytest.raises(InputError, match=said):
    main.main(['all'])
  assert not calls


def test_a_run_that_cannot_be_decoded_stops_all_parts(calls, tmp_path):
  workdir = str(tmp_path / 'none')
  with flagsaver.flagsaver(workdir=workdir), pytest.raises(InputError, match=r'there is no run directory.*none'):
    main.main(['all'])
  assert not calls
  with flagsaver.flagsaver(workdir=workdir):  # which other parts do not look at
    main.main(['loss'])


def test_the_config_is_looked_for_here(calls, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(InputError, match=r'no configs/fonts.py here: start in the folder of the project'):
    main.main(['step'])


def test_starts_are_repeated_at_most_three_times(monkeypatch):
  asked = []
  monkeypatch.setattr(start, 'measure', lambda **options: asked.append(options) or {'name': 'start', 'rows': []})
  monkeypatch.setattr(start, 'table', lambda found: '')
  for repeats in (2, 25):
    with flagsaver.flagsaver():
      flags.FLAGS(['x', f'--repeats={repeats}'], known_only=True)
      main.measure('start', 0.0, None)
      flags.FLAGS.unparse_flags()
  assert asked == [{'repeats': 2}, {'repeats': 3}]
