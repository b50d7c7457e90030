"""Printed numbers in 22 faces, sizes 18 to 25, varied spacing, any place that fits (no download needed).

python -m digits_jax.main --config=configs/fonts.py:quick --workdir=runs/quick
python -m digits_jax.main --config=configs/fonts.py:plates --workdir=runs/fonts-plates
python -m digits_jax.main --config=configs/fonts.py:families --workdir=runs/families   # experiments/families: its fonts
python -m digits_jax.main --config=configs/fonts.py:lengths --workdir=runs/lengths

The batches of plates, five and families are made for a GPU; on two CPU cores plates takes an hour. On one NVIDIA H100
that up to five others shared: plates 99.96% and 100.00% of plates-v1 with two seeds, 99.92% and 99.86% of twelve-v1,
in 103 and 86 s (experiments/plates, twelve); lengths, chosen by 1,000 validation numbers, 99.74% of lengths-v1 in 78 s
(experiments/length); families, chosen so too, 99.76% of families-v1, 82 s of training (experiments/families).
On one CPU core that other jobs shared five reads 99.92% of five-v1 and 99.74% of twelve-v1 after 64 minutes; with
96,000 images families reads 98.52% and families_shipped 91.58%. families_shipped at its size here: not yet run.
"""

from configs import common, testsets

VARIANTS = (
  'default', 'plates', 'quick', 'five', 'transfer', 'twelve', 'lengths', 'families', 'families_shipped', 'tiny'
)
# Patches of 2x2 and a block more: it sees strokes of 2 pixels, and on a CPU a step takes less time than with 4x4.
FINE = {'patch': (2, 2), 'widths': (32, 64, 96, 128), 'pools': ((2, 2), (2, 1), (2, 1), (2, 1))}

# Of the folder that experiments/families/gather.py makes.
VALIDATION_FAMILIES = (
  'Allerta', 'GW', 'Gamaliel', 'Inter', 'Lobster', 'OCRA', 'OSP', 'Quattrocento', 'Tiresias', 'mononoki'
)


def get_config(argument=None):
  """Trained on 1 to 5 digits on 64x128, and tested on 5, and on 12 (never trained on) on 64x288.

  `plates` (the `default` is the same): as good as it gets. `quick`: coarser, in minutes on two CPU cores. `five`:
  half the training, on other numbers. `transfer`: a trained run's trunk, frozen, and a cyclic rate. `twelve`: a run of
  plates, trained on to read canvases of 64x288, with 1 to 8 digits. `lengths`: plates, tested on 1 to 15 digits too.
  `families`: trained on the 100 and more families in data.font_dir, tested on those in data.test_font_dir.
  `families_shipped`: the same test, trained on the faces that matplotlib ships. `tiny`: 4 steps, for tests; reads
  nothing well.
  """
  variant = common.choose(argument, VARIANTS)
  config = common.get_config()
  config.name = 'fonts' if variant == 'default' else f'fonts-{variant}'
  # Mixed lengths lead CTC off its plateaus; the test is 5 digits throughout.
  config.synth.number.update(min_length=1, max_length=5)
  config.tests.test = testsets.five() if variant in ('five', 'transfer') else testsets.plates()
  config.tests.twelve = testsets.twelve()
  config.update(steps=5000, batch_size=256, eval_every=500, checkpoint_every=500)
  config.optim.update(warmup_steps=100, average_decay=0.998)
  config.model.update(**FINE)
  config.selection.metric = 'loss'  # near 100% it says more than numbers read right or not
  config.validation.examples = 5000  # of fewer, all are soon read rightly
  if variant == 'five':
    config.steps = 2500
  if variant in ('transfer', 'twelve', 'quick', 'tiny'):  # made for CPUs
    config.batch_size = 32
    config.validation.examples = 1000
    config.optim.update(warmup_steps=20, average_decay=0.99)
  if variant == 'transfer':
    config.steps = 2000
    config.update(init_from='runs/digit-fonts', init_subtrees=('trunk',))
    config.optim.update(frozen=('trunk',), schedule='triangular', cycle_steps=1000)
  if variant == 'twelve':
    config.update(init_from='runs/fonts-plates', steps=1000, eval_every=250, checkpoint_every=250)
    config.synth.number.max_length = 8
    config.synth.layout.width = 288
    config.tests.test = testsets.twelve()
    del config.tests.twelve
  if variant == 'lengths':
    config.tests.lengths = testsets.lengths()
  if variant in ('families', 'families_shipped'):
    config.model.widths = (48, 96, 128, 192)
    config.synth.layout.width = 160  # so that the widest faces fit, distorted
    # Shapes between and beyond the faces that there are.
    config.synth.warp.update(scale=(0.85, 1.1), rotation_degrees=3.0, slant_degrees=8.0, elastic_px=0.4)
    config.synth.warp.stroke_frac = (-0.3, 0.4)
    config.steps = 6000
    config.data.test_font_dir = 'fonts/test'
    config.tests.test = testsets.families()
    del config.tests.twelve
  if variant == 'families':
    config.data.update(font_dir='fonts/train', validation_families=VALIDATION_FAMILIES)
  if variant in ('quick', 'tiny'):
    config.update(steps=3000, eval_every=250, checkpoint_every=250)
    config.model.update(patch=(4, 4), widths=(64, 64, 128), pools=((2, 1), (2, 1), (2, 1)))
    del config.tests.twelve
  if variant == 'tiny':
    common.shrink(config)
    config.model.update(widths=(8, 8), pools=((2, 1), (2, 1)), frame_features=16, recurrent_features=8)
    config.data.font_sizes = (20,)
  return config
