"""Single digits: MNIST's on 28x28, or printed ones, whose trunk a reader of printed numbers may start from.

python -m digits_jax.prepare mnist
python -m digits_jax.main --config=configs/digit.py --workdir=runs/digit
python -m digits_jax.main --config=configs/digit.py:fonts --workdir=runs/digit-fonts

MNIST: 99.70% of its 10,000 test images (99.57% to 99.79%), one seed, 278,922 parameters, 33 minutes on 2 CPU cores that
other jobs kept busy (experiments/digit).
"""

from configs import common, fonts, testsets

VARIANTS = ('default', 'fonts', 'tiny')


def get_config(argument=None):
  """`default`: MNIST, one small net. `fonts`: printed digits, any place on 32x32. `tiny`: 4 steps, for tests."""
  variant = common.choose(argument, VARIANTS)
  config = common.get_config()
  config.name = 'digit' if variant == 'default' else f'digit-{variant}'
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
  config.synth.warp.update(rotation_degrees=12.0, slant_degrees=12.0, elastic_px=0.7, shift_px=2.5)
  config.synth.warp.update(stroke_frac=(-0.4, 0.5), zoom=(0.85, 1.12))
  config.model.update(patch=(2, 2), widths=(64, 64, 128, 128), pools=((1, 1), (2, 2), (1, 1), (7, 7)))
  config.model.dense_features = (128,)
  config.update(steps=12_000, batch_size=128, eval_every=1000, checkpoint_every=1000)
  config.optim.update(learning_rate=3e-3, weight_decay=1e-2, warmup_steps=200)
  if variant == 'tiny':
    config.update(steps=4, batch_size=8, steps_per_call=2, log_every=2, eval_every=2, checkpoint_every=2)
    config.model.update(widths=(8, 8), pools=((2, 2), (7, 7)), dense_features=(16,))
    config.validation.examples = 12
    config.tests.test.examples = 20
    config.evaluation.update(batch_size=8, sheet=12)
  return config
