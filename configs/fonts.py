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

# Patches of 2x2 and a block more: it sees strokes of 2 pixels, and on a CPU a step takes less time than with 4x4.
FINE = {'patch': (2, 2), 'widths': (32, 64, 96, 128), 'pools': ((2, 2), (2, 1), (2, 1), (2, 1))}

# Of the folder that experiments/families/gather.py makes.
VALIDATION_FAMILIES = (
  'Allerta', 'GW', 'Gamaliel', 'Inter', 'Lobster', 'OCRA', 'OSP', 'Quattrocento', 'Tiresias', 'mononoki'
)


def get_config(argument=None):
  """Trained on 1 to 5 digits on 64x128, tested on 5; each variant below changes that. The default is `plates`."""
  variant = common.choose(argument, VARIANTS)
  config = common.get_config()
  config.name = common.run_name('fonts', variant)
  # Mixed lengths lead CTC off its plateaus; the test is 5 digits throughout.
  config.synth.number.update(min_length=1, max_length=5)
  config.tests.test = testsets.plates()
  config.update(steps=5000, batch_size=256, eval_every=500, checkpoint_every=500)
  config.optim.update(warmup_steps=100, average_decay=0.998)
  config.model.update(**FINE)
  config.selection.metric = 'loss'  # near 100% it says more than numbers read right or not
  config.validation.examples = 5000  # of fewer, all are soon read rightly
  VARIANTS[variant](config)
  return config


def plates(config):
  """As good as it gets; tested on 12 digits as well, which it never sees in training."""
  config.tests.twelve = testsets.twelve()


def quick(config):
  """Coarser, in minutes on two CPU cores."""
  for_cpu(config)
  config.update(steps=3000, eval_every=250, checkpoint_every=250)
  config.model.update(patch=(4, 4), widths=(64, 64, 128), pools=((2, 1), (2, 1), (2, 1)))


def five(config):
  """Half the training, on other numbers."""
  config.steps = 2500
  config.tests.test = testsets.five()
  config.tests.twelve = testsets.twelve()


def transfer(config):
  """A trained run's trunk, frozen, and a cyclic rate."""
  for_cpu(config)
  config.steps = 2000
  config.update(init_from='runs/digit-fonts', init_subtrees=('trunk',))
  config.optim.update(frozen=('trunk',), schedule='triangular', cycle_steps=1000)
  config.tests.test = testsets.five()
  config.tests.twelve = testsets.twelve()


def twelve(config):
  """A run of plates, trained on to read canvases of 64x288, with 1 to 8 digits; tested on 12."""
  for_cpu(config)
  config.update(init_from='runs/fonts-plates', steps=1000, eval_every=250, checkpoint_every=250)
  config.synth.number.max_length = 8
  config.synth.layout.width = 288
  config.tests.test = testsets.twelve()


def lengths(config):
  """Plates, tested on 1 to 15 digits too."""
  plates(config)
  config.tests.lengths = testsets.lengths()


def families(config):
  """Trained on the 100 and more families in data.font_dir, tested on those in data.test_font_dir."""
  families_shipped(config)
  config.data.update(font_dir='fonts/train', validation_families=VALIDATION_FAMILIES)


def families_shipped(config):
  """The same test, trained on the faces that matplotlib ships."""
  config.steps = 6000
  config.model.widths = (48, 96, 128, 192)
  config.synth.layout.width = 160  # so that the widest faces fit, distorted
  # Shapes between and beyond the faces that there are.
  config.synth.warp.update(scale=(0.85, 1.1), rotation_degrees=3.0, slant_degrees=8.0, elastic_px=0.4)
  config.synth.warp.stroke_frac = (-0.3, 0.4)
  config.data.test_font_dir = 'fonts/test'
  config.tests.test = testsets.families()


def tiny(config):
  """4 steps of `quick` on a smaller net, for tests; reads nothing well."""
  quick(config)
  common.shrink(config)
  config.model.pools = ((2, 1), (2, 1))
  config.data.font_sizes = (20,)


def for_cpu(config):
  """Steps and evaluations that two CPU cores can do."""
  config.batch_size = 32
  config.validation.examples = 1000
  config.optim.update(warmup_steps=20, average_decay=0.99)


VARIANTS = {
  'default': plates,
  'plates': plates,
  'quick': quick,
  'five': five,
  'transfer': transfer,
  'twelve': twelve,
  'lengths': lengths,
  'families': families,
  'families_shipped': families_shipped,
  'tiny': tiny,
}
