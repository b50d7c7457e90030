"""The first steps of a training, as they have always been.

Update the figures where what a seed trains is to change: keys, synthesis, a model's layers or first parameters, a loss,
the optimiser, a config's default. Say so in the commit, for every figure in experiments/ is then of a revision before.
Do not update them because a change that was to change nothing does, nor to follow another machine: the tolerance allows
for rounding.
"""

import json

import numpy as np
import pytest

from configs import fonts, street
from digits_jax.training import experiment
from tests.training import runs

GOLDEN = {
  'fonts, read_ctc': (26.918991, 26.777798, 27.353777, 26.03915, 25.906632),
  'fonts, read_multidigit': (9.075679, 9.550638, 8.371113, 11.195737, 13.37651),
  'street': (15.239295, 15.700224, 15.733769, 15.077315, 16.029759),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', GOLDEN)
def test_four_steps(name, tmp_path):
  """Training losses, and the loss of validation after them."""
  config = (street if name == 'street' else fonts).get_config('tiny')
  config.update(log_every=1, steps_per_call=1, eval_every=4, checkpoint_every=4)
  if name == 'fonts, read_multidigit':
    config.task = 'read_multidigit'
  assert runs.run(tmp_path / 'run', experiment.build(config)) == 0
  records = [json.loads(line) for line in (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()]
  losses = [record['loss'] for record in records if record['kind'] == 'train']
  (validation,) = (record['loss'] for record in records if record['kind'] == 'validation')
  np.testing.assert_allclose([*losses, validation], GOLDEN[name], rtol=2e-4)
