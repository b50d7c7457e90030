"""Handwritten numbers from MNIST digits: strings on 32x128, three side by side on 28x84, a grid on 28x140.

python -m digits_jax.prepare mnist
python -m digits_jax.main --config=configs/mnist.py:strings

The grid is read by CTC (configs/mnist.py:grid) or by one softmax a position (configs/mnist.py:grid_softmax, small, and
configs/mnist.py:grid_goodfellow, of the size in Goodfellow et al. 2013; 18 million parameters, not yet run). With the
trunk of a run of configs/digit.py, grid_softmax read 98.46% of grid-v1 (experiments/grid has the command); from scratch
it is not yet run.
"""

from configs import common, testsets

VARIANTS = {
  'strings': testsets.strings,
  'seven': testsets.seven,
  'triplets': testsets.triplets,
  'grid': testsets.grid,
  'grid_softmax': testsets.grid,
  'grid_goodfellow': testsets.grid,
  'tiny': testsets.strings,
}


def get_config(argument=None):
  """`strings` (the default): 1 to 7 digits. `triplets`: exactly 3. `grid`, `grid_softmax`, `grid_goodfellow`: 1 to 5.

  `seven`: trained as `strings`, chosen and tested on 7 digits. `tiny`: 4 steps, for tests.
  """
  variant = common.choose(argument or 'strings', VARIANTS)
  config = common.get_config()
  config.name = f'mnist-{variant}'
  config.data.update(glyphs='mnist', hold_out_numbers=False)
  config.tests.test = VARIANTS[variant]()
  config.synth = config.tests.test.synth.copy_and_resolve_references()
  # Strokes of 2 pixels want finer patches than printed digits of 18 to 25 pixels do.
  if config.synth.layout.height == 28:  # 14 rows of patches, 7 after the first pool
    config.model.update(patch=(2, 2), widths=(32, 64, 128), pools=((2, 2), (1, 1), (1, 1)))
  else:
    config.model.update(patch=(2, 2), widths=(32, 64, 128, 128), pools=((2, 2), (2, 1), (2, 1), (1, 1)))
  if variant in ('grid_softmax', 'grid_goodfellow'):
    config.task = 'read_multidigit'
    # The last pool leaves little of the canvas: dense layers behind a whole one would be most of the model.
    pools = ((2, 2), (1, 1), (2, 2), (1, 1), (1, 1), (1, 1), (1, 1), (7, 5))
    config.model.update(common.goodfellow(), pools=pools)
    # Handwriting that MNIST does not have.
    config.synth.warp.update(rotation_degrees=10.0, slant_degrees=10.0, slant_jitter_degrees=5.0, elastic_px=0.6)
    config.synth.warp.update(stroke_frac=(-0.3, 0.4), scale=(0.85, 1.0))
  if variant == 'grid_softmax':  # the trunk of digit.py, and a vector for each cell
    config.model.update(patch=(2, 2), widths=(64, 64, 128, 128), pools=((1, 1), (2, 2), (1, 1), (7, 7)))
    config.model.update(kernel=3, maxout=1, dense_features=(512, 512))
    config.update(steps=2000, eval_every=500, checkpoint_every=500)
    config.optim.update(learning_rate=3e-3, warmup_steps=100, weight_decay=1e-2, average_decay=0.995)
  if variant in ('strings', 'seven', 'tiny'):
    config.synth.number.min_length = 1  # mixed lengths lead CTC off its plateaus
    # Harder than the test: what the test does not show, real handwriting has.
    config.synth.warp.update(rotation_degrees=12.0, slant_degrees=10.0, slant_jitter_degrees=5.0, elastic_px=0.6)
    config.synth.warp.update(stroke_frac=(-0.3, 0.4), scale=(0.75, 1.05))
    config.update(steps=10_000, eval_every=500, checkpoint_every=500)
    config.optim.update(learning_rate=3e-3, average_decay=0.998, weight_decay=1e-2, warmup_steps=100)
  if variant == 'strings':
    config.tests.seven = testsets.seven()
  if variant == 'tiny':
    config.update(steps=4, batch_size=8, steps_per_call=2, log_every=2, eval_every=2, checkpoint_every=2)
    config.model.update(patch=(4, 4), widths=(8, 8), pools=((2, 1), (2, 1)), frame_features=16, recurrent_features=8)
    config.validation.examples = 12
    config.tests.test.examples = 20
    config.evaluation.update(batch_size=8, sheet=12)
  return config
