"""What devices send each other in a step: the gradients of what is trained, once, and a few numbers."""

import pytest

from configs import fonts
from digits_jax.errors import InputError
from digits_jax.training import experiment
from experiments.speed import communication
from tests.experiments import scripts

NUMBERS = 5  # valid examples, loss, two metrics, the signal to stop


@pytest.mark.parametrize('frozen', [(), ('trunk',)])
def test_a_step_sums_the_gradients_once(frozen):
  config = fonts.get_config('tiny')
  config.optim.frozen = frozen
  built = experiment.build(config)
  trained = communication.parameters(built)
  assert (trained < 4_075) == bool(frozen)
  assert communication.sent(built)[1] == 4 * (trained + NUMBERS)


@pytest.mark.parametrize('config', ['configs/none.py', 'fonts.py:quick', 'configs/../experiments/own/small.py'])
def test_no_such_config(config):
  with pytest.raises(InputError, match=r'give one of configs/, such as configs/fonts\.py:quick'):
    communication.count(config)


def test_rows_are_written_where_out_says(tmp_path):
  committed = scripts.ROOT / 'experiments' / 'speed' / 'communication.csv'
  before = committed.read_bytes()
  for arguments in ([], [f'--out={tmp_path / "x.csv"}']):
    code, said, complaint = scripts.start('speed/communication.py', *arguments, 'configs/fonts.py:tiny')
    assert code == 0 and said.startswith('configs/fonts.py:tiny 4075 '), complaint
  assert committed.read_bytes() == before
  lines = (tmp_path / 'x.csv').read_text().splitlines()
  assert lines == ['config,trained_parameters,sums,bytes', said.strip().replace(' ', ',')]
