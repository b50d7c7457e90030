"""Printed numbers in 22 faces, sizes 18 to 25, varied spacing, any place that fits (no download needed).

python -m digits_jax.main --config=configs/fonts.py:quick --workdir=runs/quick
python -m digits_jax.main --config=configs/fonts.py:plates --workdir=runs/plates
"""

from configs import common, testsets

VARIANTS = ('default', 'plates', 'quick', 'five', 'transfer', 'twelve', 'tiny')
# Patches of 2x2 and a block more: it sees strokes of 2 pixels, and on a CPU a step takes less time than with 4x4.
FINE = {'patch': (2, 2), 'widths': (32, 64, 96, 128), 'pools': ((2, 2), (2, 1), (2, 1), (2, 1))}


def get_config(argument=None):
  """Trained on 1 to 5 digits on 64x128, and tested on 5, and on 12 (never trained on) on 64x288.

  `plates` (the `default` is the same): as good as it gets. `quick`: coarser, in minutes on two CPU cores. `five`:
  less training, on other numbers. `transfer`: the same with the trunk of a trained run, frozen, and a cyclic rate.
  `twelve`: a run of plates, trained on to read canvases of 64x288, with 1 to 8 digits. `tiny`: 4 steps, for tests;
  reads nothing well.
  """
  variant = common.choose(argument, VARIANTS)
  config = common.get_config()
  config.name = 'fonts' if variant == 'default' else f'fonts-{variant}'
  # Mixed lengths lead CTC off its plateaus; the test is 5 digits throughout.
  config.synth.number.update(min_length=1, max_length=5)
  config.tests.test = testsets.five() if variant in ('five', 'transfer') else testsets.plates()
  config.tests.twelve = testsets.twelve()
  # Small batches: early on, CTC needs steps more than it needs clean gradients.
  config.update(steps=8000, batch_size=32, eval_every=500, checkpoint_every=500)
  config.model.update(**FINE)
  config.selection.metric = 'loss'  # near 100% it says more than 1,000 numbers read right or not
  if variant in ('five', 'transfer'):
    config.steps = 2000
  if variant == 'transfer':
    config.update(init_from='runs/digit-fonts', init_subtrees=('trunk',))
    config.optim.update(frozen=('trunk',), schedule='triangular', cycle_steps=1000)
  if variant == 'twelve':
    config.update(init_from='runs/fonts-plates', steps=1000, eval_every=250, checkpoint_every=250)
    config.synth.number.max_length = 8
    config.synth.layout.width = 288
    config.tests.test = testsets.twelve()
    del config.tests.twelve
  if variant in ('quick', 'tiny'):
    config.update(steps=3000, eval_every=250, checkpoint_every=250)
    config.model.update(patch=(4, 4), widths=(64, 64, 128), pools=((2, 1), (2, 1), (2, 1)))
    config.selection.metric = 'sequence_accuracy'
    del config.tests.twelve
  if variant == 'tiny':
    config.update(steps=4, batch_size=8, steps_per_call=2, log_every=2, eval_every=2, checkpoint_every=2)
    config.model.update(widths=(8, 8), pools=((2, 1), (2, 1)), frame_features=16, recurrent_features=8)
    config.data.font_sizes = (20,)
    config.validation.examples = 12
    config.tests.test.examples = 20
    config.evaluation.update(batch_size=8, sheet=12)
  return config
