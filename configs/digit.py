"""Single digits: MNIST's on 28x28, or printed ones, whose trunk a reader of printed numbers may start from.

python -m digits_jax.prepare mnist
python -m digits_jax.main --config=configs/digit.py --workdir=runs/digit
python -m digits_jax.main --config=configs/digit.py:fonts --workdir=runs/digit-fonts

MNIST: seven convolutions, the first two at full resolution, 46 passes over its digits. Meant for a GPU: on two CPU
cores it takes hours. One seed on one NVIDIA H100 that three others shared, 79 s: 99.77% of the 10,000 test images
(experiments/digit). Printed ones, one seed there, 27 s: 100.00% of printed-v1's 5,000 (99.92% to 100.00%).
"""

from configs import common, fonts, testsets

VARIANTS = ('default', 'fonts', 'tiny')
# Full resolution for strokes of 2 pixels, and 40 pixels to see at the end: all of a digit.
TRUNK = {'patch': (1, 1), 'widths': (32, 64, 96, 96, 160, 192, 192)}
POOLS = ((1, 1), (2, 2), (1, 1), (2, 2), (1, 1), (1, 1))  # and one that differs


def get_config(argument=None):
  """`default`: MNIST, 0.9 million parameters. `fonts`: printed digits, any place on 32x32. `tiny`: for tests."""
  variant = common.choose(argument, VARIANTS)
  config = common.get_config()
  config.name = common.run_name('digit', variant)
  config.task = 'classify'
  config.optim.average_decay = 0.998
  config.model.label_smoothing = 0.1
  if variant == 'fonts':  # the trunk of fonts.py
    config.model.update(**fonts.FINE)
    config.data.hold_out_numbers = False
    config.tests.test = testsets.printed()
    config.synth = config.tests.test.synth.copy_and_resolve_references()
    config.steps = 2000
    return config
  config.data.update(glyphs='mnist', hold_out_numbers=False)
  config.tests.test = testsets.digits()
  config.validation.examples = 5000  # all that MNIST's training digits leave for it
  config.synth = config.tests.test.synth.copy_and_resolve_references()
  config.synth.layout.kind = 'stacked'
  config.synth.warp.update(rotation_degrees=14.0, slant_degrees=14.0, elastic_px=1.0, shift_px=2.0)
  config.synth.warp.update(stroke_frac=(-0.4, 0.5), zoom=(0.82, 1.12))
  config.synth.photo.noise = (0.0, 0.05)
  config.model.update(TRUNK, pools=(*POOLS, (7, 7)), dense_features=(128,))
  config.update(steps=10_000, batch_size=256, eval_every=1000, checkpoint_every=1000)
  config.optim.update(learning_rate=3e-3, weight_decay=3e-2, warmup_steps=200, average_decay=0.999)
  if variant == 'tiny':
    common.shrink(config)
    config.model.update(patch=(2, 2), pools=((2, 2), (7, 7)), dense_features=(16,))
  return config
