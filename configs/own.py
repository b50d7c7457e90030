r"""Your own labelled images: point it at a folder.

python -m digits_jax.main --config=configs/own.py --config.data.folder=DIR --workdir=runs/own

DIR holds `labels.csv` (columns filename,label, and split where you give train, validation and test yourself), or
folders `train`, `validation` and `test`, or images called by their number (12345.png, 12345_7.png). What
`python -m digits_jax.synthesise --out=DIR` writes is such a folder. From 60,000 such files of 5 printed digits it reads
99.50% of 5,000 others (experiments/own).

Few images: fine-tune a run on drawn numbers, whose model this one has:

python -m digits_jax.main --config=configs/own.py --config.data.folder=DIR --config.init_from=runs/fonts-plates \
  --config.optim.learning_rate=5e-4 --config.steps=1500 --workdir=runs/own-tuned

Photos of handwriting: own.py:notes, begun with a run of mnist.py:notes. 57 photos took it from 34 to 42 of 43 others
(experiments/notes).
"""

from configs import common, fonts, mnist

VARIANTS = ('default', 'notes', 'tiny')


def get_config(argument=None):
  """`default`: 8,000 steps of 32 images, a fifth of what `fonts.py:plates` sees. `tiny`: 4 steps, for tests.

  `notes`: handwriting, begun with the parameters of a run of `mnist.py:notes`, whose model and canvas this one has.
  """
  variant = common.choose(argument, VARIANTS)
  config = common.get_config()
  config.name = common.run_name('own', variant)
  config.data.source = 'folder'
  config.tests.test.update(name='own', examples=1_000_000)  # all images for the test
  config.validation.examples = 2000  # at most: each evaluation takes its time
  # The longest number, and the canvas: images of another size are scaled to fit it, as `predict` does.
  config.synth.number.max_length = 8
  config.synth.layout.update(height=64, width=128)
  # No two passes over the images are alike: moved, turned and exposed a little otherwise each time.
  config.synth.warp.update(shift_px=2.0, zoom=(0.85, 1.0), turn_degrees=2.0, shear_degrees=3.0)
  config.synth.photo.update(contrast=(0.7, 1.0), background=(0.0, 0.2), blur_px=(0.0, 0.5), noise=(0.0, 0.05))
  config.data.hold_out_numbers = False  # of drawn numbers; here images are split, not numbers
  config.update(steps=8000, batch_size=32, eval_every=500, checkpoint_every=500)
  config.model.update(**fonts.FINE)
  if variant == 'notes':
    begun = mnist.get_config('notes')
    common.begin_with(config, begun)
    config.synth.layout, config.synth.number = begun.synth.layout, begun.synth.number
    config.synth.photo.inversion = 0.1  # not 0, which would make all ink bright: there it is dark
    config.update(steps=600, eval_every=100, checkpoint_every=100)
    config.optim.update(learning_rate=5e-4, weight_decay=0.1)
  if variant == 'tiny':
    common.shrink(config)
    config.model.pools = ((2, 1), (2, 1))
  return config
