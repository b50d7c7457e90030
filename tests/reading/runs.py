"""A run directory to read with: small, never trained, but reading something else in every image."""

import jax
import jax.numpy as jnp

from configs import fonts
from digits_jax.alphabet import Alphabet
from digits_jax.reading import trained
from digits_jax.training import checkpoint, experiment, rundir

HEIGHT, WIDTH, FRAMES = 32, 64, 16
TEMPERATURE = 1.7


def make_run(workdir, **changes):
  """Writes config, best parameters and a result's temperature as training does, of fonts.py:tiny on a small canvas."""
  config = fonts.get_config('tiny')
  config.synth.layout.update(height=HEIGHT, width=WIDTH)
  config.model.recurrent = 'none'
  config.update_from_flattened_dict(changes)
  task = experiment.make_task(config, Alphabet(config.alphabet))
  batch = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), trained.batch_shapes(config))
  params = jax.jit(task.init)(jax.random.key(3), batch)
  for name in {'head', 'lengths', 'symbols'} & set(params):  # surer of itself
    params[name] = {'kernel': 30 * params[name]['kernel'], 'bias': 3 * params[name]['bias']}
  if 'lengths' in params:  # whatever the image, each length alike but 0
    kernel, bias = params['lengths']['kernel'], params['lengths']['bias']
    params['lengths'] = {'kernel': 0 * kernel, 'bias': bias.at[0].set(-30)}
  workdir.mkdir(parents=True)
  rundir.write_config(workdir, config)
  rundir.write_json(workdir / 'result.json', {'best_step': 4, 'temperature': TEMPERATURE})
  checkpoints = checkpoint.Checkpoints(workdir)
  checkpoints.save_best(4, params)
  checkpoints.close()
  return workdir
