"""Handwritten numbers from MNIST digits: strings on 32x128, three side by side on 28x84, a grid on 28x140.

python -m digits_jax.prepare mnist
python -m digits_jax.main --config=configs/mnist.py:strings

The grid is read by CTC (configs/mnist.py:grid) or by one softmax a position (configs/mnist.py:grid_softmax, and
configs/mnist.py:grid_goodfellow, of the size in Goodfellow et al. 2013; 18 million parameters).

What limits all of them is how well a single digit is read: the net learns the 55,000 training digits by heart, so the
best step comes before the last (experiments/strings, grid, triplets). Meant for a GPU: on two CPU cores a run takes
hours. One seed each on one NVIDIA H100 that four other processes shared, with --config.steps_per_call=50:

strings       98.38% of strings-v1, 97.54% of seven-v1, 132 s
grid          98.84% of grid-v1, 84 s
grid_softmax  98.88% of grid-v1, 77 s
triplets      98.74% of triplets-v1, 80 s

seven and grid_goodfellow: not yet run.
"""

from configs import common, digit, testsets

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
  """`strings` (the default): 1 to 7 digits. `triplets`: tested on 3. `grid`, `grid_softmax`, `grid_goodfellow`: 1 to 5.

  `seven`: trained as `strings` on 4 to 7 digits, chosen and tested on 7. `tiny`: 4 steps, for tests.
  """
  variant = common.choose(argument or 'strings', VARIANTS)
  config = common.get_config()
  config.name = f'mnist-{variant}'
  config.data.update(glyphs='mnist', hold_out_numbers=False)
  config.tests.test = VARIANTS[variant]()
  config.synth = config.tests.test.synth.copy_and_resolve_references()
  # A trunk that reads single digits knows most of it already: digit.py's, trained on.
  config.update(init_from='runs/digit', init_subtrees=('trunk',))
  config.model.update(digit.TRUNK, frame_features=192, recurrent_features=128)
  config.update(steps=1200, batch_size=256, eval_every=300, checkpoint_every=300)  # more are learnt by heart
  config.optim.update(learning_rate=5e-4, warmup_steps=100, weight_decay=0.1, average_decay=0.998)
  config.validation.examples = 5000
  # Handwriting that MNIST does not have, and harder than the test: what the test does not show, real handwriting has.
  config.synth.warp.update(rotation_degrees=14.0, slant_degrees=14.0, slant_jitter_degrees=4.0, elastic_px=1.0)
  config.synth.warp.update(stroke_frac=(-0.4, 0.5), scale=(0.8, 1.0))
  config.synth.photo.noise = (0.0, 0.05)
  if config.synth.layout.height == 28:
    config.model.pools = (*digit.POOLS, (7, 1))
  else:  # 2 of 8 rows, and 32 frames
    config.model.pools = (*digit.POOLS, (4, 1))
    config.synth.number.min_length = 1  # mixed lengths lead CTC off its plateaus
    config.synth.warp.update(slant_degrees=11.0, elastic_px=1.3, scale=(0.75, 1.05))
    config.synth.photo.noise = (0.02, 0.1)
    config.update(steps=3000, eval_every=500, checkpoint_every=500)
  if variant in ('grid_softmax', 'grid_goodfellow'):
    config.task = 'read_multidigit'
    config.model.label_smoothing = 0.1
  if variant == 'grid_softmax':  # a vector for each cell
    config.model.update(pools=(*digit.POOLS, (7, 7)), dense_features=(512,))
  if variant == 'grid_goodfellow':
    # The last pool leaves little of the canvas: dense layers behind a whole one would be most of the model.
    pools = ((2, 2), (1, 1), (2, 2), (1, 1), (1, 1), (1, 1), (1, 1), (7, 5))
    config.model.update(common.goodfellow(), pools=pools)
    config.update(init_from='', init_subtrees=(), steps=4000)
    config.optim.learning_rate = 1e-3
  if variant == 'triplets':
    config.synth.number.min_length = 1  # as for strings
  if variant == 'seven':
    config.synth.number.min_length = 4  # more digits an image
  if variant == 'strings':
    config.tests.seven = testsets.seven()
  if variant == 'tiny':
    config.update(steps=4, batch_size=8, steps_per_call=2, log_every=2, eval_every=2, checkpoint_every=2)
    config.update(init_from='', init_subtrees=())
    config.model.update(patch=(4, 4), widths=(8, 8), pools=((2, 1), (2, 1)), frame_features=16, recurrent_features=8)
    config.validation.examples = 12
    config.tests.test.examples = 20
    config.evaluation.update(batch_size=8, sheet=12)
  return config
