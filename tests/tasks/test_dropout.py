"""Every task drops, by the key of each example, the share that config.model.dropout says; where it is missing, none."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import digit, fonts, speedrun
from digits_jax.alphabet import Alphabet
from digits_jax.reading.trained import batch_shapes
from digits_jax.training import checks, experiment, rundir

CONFIGS = {'read_ctc': fonts, 'read_multidigit': speedrun, 'classify': digit}


@pytest.mark.parametrize('task', CONFIGS)
def test_the_loss_of_every_task_drops_with_keys_alone(task):
  config = CONFIGS[task].get_config('tiny')
  assert config.task == task
  alphabet, rng = Alphabet(config.alphabet), np.random.default_rng(0)
  batch = jax.tree.map(lambda leaf: np.zeros((3, *leaf.shape[1:]), leaf.dtype), batch_shapes(config))
  images = rng.uniform(size=batch.images.shape).astype(np.float32)
  labels, lengths = alphabet.pack(['1', '2', '3'], batch.labels.shape[1])
  batch = batch.replace(images=images, labels=labels, label_lengths=lengths)
  keys, losses = jax.random.split(jax.random.key(1), 3), {}
  for rate in (0.0, 0.5):
    config.model.dropout = rate
    made = experiment.make_task(config, alphabet)
    params = made.init(jax.random.key(0), batch)
    loss = jax.jit(lambda params, keys=None, made=made: made.loss(params, batch, keys)[0])
    losses[rate] = np.asarray(loss(params)), np.asarray(loss(params, keys))
  np.testing.assert_allclose(losses[0.5][0], losses[0.0][0], rtol=1e-6)
  np.testing.assert_allclose(losses[0.0][1], losses[0.0][0], rtol=1e-6)
  assert (np.abs(losses[0.5][1] - losses[0.5][0]) > 1e-4).all()


def test_a_run_from_before_dropout_can_still_be_read():
  fields = fonts.get_config('tiny').to_dict()
  del fields['model']['dropout']
  config = ConfigDict(rundir.with_later_fields(fields))
  checks.check(config)
  assert experiment.make_task(config, Alphabet(config.alphabet)).read
