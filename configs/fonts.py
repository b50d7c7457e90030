"""Printed plates: 5 digits in 22 faces on 64x128, sizes 18 to 25, varied spacing (no download needed).

python -m digits_jax.main --config=configs/fonts.py:quick --workdir=runs/quick
"""

from configs import common, testsets

VARIANTS = ('default', 'quick', 'tiny')


def get_config(argument=None):
  """`quick`: minutes on two CPU cores. `default`: longer. `tiny`: 4 steps, for tests; reads nothing well."""
  variant = common.choose(argument, VARIANTS)
  config = common.get_config()
  config.name = 'fonts' if variant == 'default' else f'fonts-{variant}'
  # Mixed lengths lead CTC off its plateaus; the test is 5 digits throughout.
  config.synth.number.update(min_length=1, max_length=5)
  config.tests.test = testsets.plates()
  config.steps = 6000
  if variant == 'quick':
    # Small batches: early on, CTC needs steps more than it needs clean gradients.
    config.update(steps=3000, batch_size=32)
  if variant == 'tiny':
    config.update(steps=4, batch_size=8, steps_per_call=2, log_every=2, eval_every=2, checkpoint_every=2)
    config.model.update(widths=(8, 8), pools=((2, 1), (2, 1)), frame_features=16, recurrent_features=8)
    config.data.font_sizes = (20,)
    config.validation.examples = 12
    config.tests.test.examples = 20
    config.evaluation.update(batch_size=8, sheet=12)
  return config
