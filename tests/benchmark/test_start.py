"""The start benchmark: what it takes for a first step, and for large packages."""

import pytest

from digits_jax.benchmark import start
from digits_jax.errors import InputError

LOG = """import time: self [us] | cumulative | imported package
import time:      2000 |       2000 |   numpy.core
import time:      1500 |       3500 | numpy
a word of the program's own
import time:     40000 |      50000 |     jax._src
import time:       700 |        700 | json
"""


def test_time_is_summed_by_package():
  found = start.packages(LOG)
  assert [*found] == ['jax', 'numpy', 'json'] and found == pytest.approx({'jax': 0.04, 'numpy': 0.0035, 'json': 0.0007})
  row = start._row('it', [3.0, 1.0, 2.0], found)
  assert row == {'what': 'it', 'seconds': 2.0, 'fastest': 1.0, 'slowest': 3.0, 'heavy': 'jax 40, numpy 4'}


def test_imports_are_timed_and_told():
  seconds, log = start.import_module('numpy', '-X', 'importtime')
  assert 0 < seconds < 60 and start.packages(log)['numpy'] > 0
  assert 'numpy' not in start.packages(start.import_module('digits_jax', '-X', 'importtime')[1])


def test_what_an_empty_process_takes_is_no_import(monkeypatch):
  seconds = {'pass': 1.0, 'import numpy': 3.0}
  monkeypatch.setattr(start, '_process', lambda program, *options: (seconds[program], [program, *options]))
  assert start.import_module('numpy', '-X', 'importtime') == (2.0, ['import numpy', '-X', 'importtime'])


def test_a_run_that_fails_says_why(tmp_path):
  with pytest.raises(InputError, match=r'first step: python -m digits_jax.main: .*no argument .tinny.; did you mean'):
    start.first_step('configs/fonts.py:tinny', tmp_path)


@pytest.mark.slow
def test_the_first_step_of_a_process(tmp_path):
  cold, _ = start.first_step(start.CONFIG, tmp_path / 'cache')
  assert any((tmp_path / 'cache').iterdir())
  warm, log = start.first_step(start.CONFIG, tmp_path / 'cache', '-X', 'importtime')
  assert warm < cold and 'tensorflow' not in start.packages(log) and start.packages(log)['jax'] > 0
