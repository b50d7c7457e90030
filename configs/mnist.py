"""Handwritten numbers from MNIST digits: strings on 32x128, notes on 32x160, three side by side on 28x84, a grid.

python -m digits_jax.prepare mnist
python -m digits_jax.main --config=configs/mnist.py:strings

The grid is read by CTC (configs/mnist.py:grid) or by one softmax a position (configs/mnist.py:grid_softmax, and
configs/mnist.py:grid_goodfellow, of the size in Goodfellow et al. 2013; 18 million parameters).

So are triplets: by CTC (configs/mnist.py:triplets), or by one softmax a position, of the whole image
(configs/mnist.py:triplets_softmax) or of the digit's own strip (configs/mnist.py:triplets_aligned).

triplets, grid and grid_softmax begin with the trunk of a run of configs/digit.py, which must be there:

python -m digits_jax.main --config=configs/digit.py

Numbers as they are written on paper, for photos (experiments/notes): configs/mnist.py:notes.

What limits the others is how well a single digit is read: the nets learn the 55,000 training digits by heart
(experiments/strings, grid, triplets). Meant for a GPU: on two CPU cores a run takes hours. One seed each, all but the
last four on one NVIDIA H100 that up to five other processes shared, with --config.steps_per_call=50:

strings           98.38% of strings-v1, 97.54% of seven-v1, 132 s
grid              99.18% of grid-v1, 180 s
grid_softmax      99.20% of grid-v1, 146 s
triplets          98.90% of triplets-v1, 164 s
triplets_softmax  99.04% of triplets-v1, 98 minutes on one CPU core that it had to share
triplets_aligned  99.18% of triplets-v1 (a second seed: 98.82%), 100 minutes on two CPU cores
seven             97.46% of seven-v1, 94 minutes on two CPU cores that it had to share
notes             95.52% of notes-v1, 71.00% of 100 photos, 87 minutes on two CPU cores that it had to share

grid_goodfellow: not yet run.
"""

from configs import common, digit, testsets


def get_config(argument=None):
  """Handwritten numbers; each variant below says which. The default is `strings`."""
  variant = common.choose(argument or 'strings', VARIANTS)
  config = common.get_config()
  config.name = common.run_name('mnist', variant)
  config.data.update(glyphs='mnist', hold_out_numbers=False)
  config.batch_size = 256
  config.validation.examples = 2000
  config.optim.update(warmup_steps=200, weight_decay=0.1, average_decay=0.999)
  config.model.update(frame_features=192, recurrent_features=128)
  VARIANTS[variant](config)
  return config


def strings(config):
  """1 to 7 digits on 32x128."""
  on_lines(config, testsets.strings())
  config.tests.seven = testsets.seven()


def seven(config):
  """4 to 7 digits on 32x128, chosen and tested on 7."""
  on_lines(config, testsets.seven())
  config.synth.number.min_length = 4  # more digits an image, so fewer steps
  config.update(batch_size=128, steps=8000, eval_every=1600, checkpoint_every=800)
  config.validation.examples = 5000


def notes(config):
  """1 to 10 digits as written on paper and photographed: smaller, fainter, unevenly spaced; dark ink."""
  on_lines(config, testsets.notes())
  config.update(batch_size=128, steps=4000, eval_every=1000, checkpoint_every=500)
  config.synth.warp.update(rotation_degrees=12.0, slant_degrees=16.0, elastic_px=1.2, scale=(0.58, 0.8))
  config.synth.warp.update(stroke_frac=(-0.55, 0.5), zoom=(0.7, 1.3), turn_degrees=4.0)
  config.synth.layout.update(spacing_px=(11.5, 19.0), spacing_jitter_px=2.5, wander_px=2.0, tilt_degrees=3.0)
  config.synth.photo.update(blur_px=(0.0, 0.9), background=(0.0, 0.6), contrast=(0.3, 0.9), noise=(0.0, 0.04))


def triplets(config):
  """Three digits side by side on 28x84, by CTC."""
  in_cells(config, testsets.triplets())


def triplets_softmax(config):
  """The same by one softmax a position, of the whole image; from scratch, for a CPU."""
  in_cells(config, testsets.triplets())
  from_scratch_by_softmax(config)
  config.update(steps=2800, eval_every=700, checkpoint_every=350)
  config.synth.number.min_length = 3
  config.model.update(patch=(2, 2), widths=(32, 64, 96, 128, 160, 192), positions=3, dense_features=(384,))
  config.model.pools = ((1, 1), (2, 2), (1, 1), (1, 1), (1, 1), (7, 7))
  config.optim.update(learning_rate=3e-3, weight_decay=0.05, warmup_steps=100, average_decay=0.998)
  config.synth.warp.update(rotation_degrees=12.0, slant_degrees=11.0, elastic_px=0.9)
  config.synth.warp.update(stroke_frac=(-0.35, 0.45), scale=(0.82, 1.0))
  config.synth.photo.noise = (0.0, 0.03)


def triplets_aligned(config):
  """The same by one softmax a position, of the digit's own strip: the net of digit.py, which looks at three cells."""
  in_cells(config, testsets.triplets())
  from_scratch_by_softmax(config)
  config.update(batch_size=128, steps=4800, eval_every=800, checkpoint_every=400)
  config.synth.number.min_length = 3
  config.synth.warp.scale = (0.82, 1.0)
  config.model.update(pools=(*digit.POOLS, (7, 7)), positions=3, is_aligned=True, dense_features=(128,))
  config.optim.update(learning_rate=3e-3, weight_decay=0.03)
  config.validation.examples = 5000


def grid(config):
  """1 to 5 digits in cells on 28x140, by CTC."""
  in_cells(config, testsets.grid())


def grid_softmax(config):
  """The same by one softmax a position, of all features: a vector for each cell."""
  in_cells(config, testsets.grid())
  by_softmax(config)
  config.model.update(pools=(*digit.POOLS, (7, 7)), dense_features=(512,))


def grid_goodfellow(config):
  """The same by the network of Goodfellow et al. 2013; 18 million parameters."""
  in_cells(config, testsets.grid())
  from_scratch_by_softmax(config)
  # The last pool leaves little of the canvas: dense layers behind a whole one would be most of the model.
  pools = ((2, 2), (1, 1), (2, 2), (1, 1), (1, 1), (1, 1), (1, 1), (7, 5))
  config.model.update(common.goodfellow(), pools=pools)


def tiny(config):
  """4 steps on strings, for tests."""
  on_lines(config, testsets.strings())
  common.shrink(config)
  config.model.update(patch=(4, 4), pools=((2, 1), (2, 1)))


def on_lines(config, test):
  """Numbers written on 32x128, by CTC, from scratch."""
  distorted(config, test)
  # Patches for strokes of 2 pixels: 16 rows of them, 8, 4 and 2 after the pools.
  config.model.update(patch=(2, 2), widths=(32, 64, 96, 128, 160, 192))
  config.model.pools = ((1, 1), (2, 2), (1, 1), (2, 1), (1, 1), (2, 1))
  config.optim.update(learning_rate=3e-3, weight_decay=0.2)
  config.synth.warp.update(slant_degrees=11.0, elastic_px=1.3, scale=(0.75, 1.05))
  config.synth.photo.noise = (0.02, 0.1)
  config.synth.number.min_length = 1
  config.update(steps=9000, eval_every=3000, checkpoint_every=3000)


def in_cells(config, test):
  """Digits in cells of 28 pixels, by CTC, begun with the trunk of digit.py, which is trained on."""
  distorted(config, test)
  config.update(init_from='runs/digit', init_subtrees=('trunk',))
  config.model.update(digit.TRUNK, pools=(*digit.POOLS, (7, 1)))
  config.optim.learning_rate = 1e-3
  config.synth.warp.update(slant_degrees=14.0, slant_jitter_degrees=4.0, elastic_px=1.0, scale=(0.8, 1.0))
  config.synth.photo.noise = (0.0, 0.05)
  config.synth.number.min_length = 1  # mixed lengths lead CTC off its plateaus
  config.update(steps=3000, eval_every=500, checkpoint_every=500)


def distorted(config, test):
  """Tested on `test`; trained on handwriting that MNIST does not have, and harder than the test.

  What the test does not show, real handwriting has.
  """
  config.tests.test = test
  config.synth = test.synth.copy_and_resolve_references()
  config.synth.warp.update(rotation_degrees=14.0, slant_jitter_degrees=5.0, stroke_frac=(-0.4, 0.5))


def by_softmax(config):
  """A softmax for each position in place of CTC."""
  config.task = 'read_multidigit'
  config.model.label_smoothing = 0.1


def from_scratch_by_softmax(config):
  """The same without the trunk of digit.py."""
  by_softmax(config)
  config.update(init_from='', init_subtrees=())


VARIANTS = {
  'strings': strings,
  'seven': seven,
  'notes': notes,
  'triplets': triplets,
  'triplets_softmax': triplets_softmax,
  'triplets_aligned': triplets_aligned,
  'grid': grid,
  'grid_softmax': grid_softmax,
  'grid_goodfellow': grid_goodfellow,
  'tiny': tiny,
}
