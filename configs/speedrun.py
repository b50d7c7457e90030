"""A race in the manner of the CIFAR-10 speed runs: 98.5% of grid-v1 (1 to 5 MNIST digits on 28x140) in the least time.

python -m digits_jax.main --config=configs/speedrun.py --workdir=runs/speedrun

The clock runs from the start of the process. The number of steps is fixed beforehand, and the test made once.
Softmax heads read it: in cells every digit stands by itself, and needs no recurrence. Figures: experiments/speed.
"""

from configs import common, mnist

VARIANTS = ('default', 'gpu', 'tiny')


def get_config(argument=None):
  """`default`: the race on CPUs. `gpu`: larger steps of a larger net. `tiny`: 4 steps, for tests."""
  variant = common.choose(argument, VARIANTS)
  config = mnist.get_config('grid_softmax')
  config.name = common.run_name('speedrun', variant)
  config.update(init_from='', init_subtrees=(), steps=5000, batch_size=64)
  config.model.update(patch=(2, 2), widths=(32, 64, 128), pools=((2, 2), (1, 1), (7, 7)))
  config.optim.update(learning_rate=4e-3, weight_decay=1e-2, warmup_steps=50, average_decay=0.995)
  config.validation.examples = 1000
  # Handwriting that MNIST does not have, though less of it than a long training would want.
  config.synth.warp.update(rotation_degrees=8.0, slant_degrees=6.0, slant_jitter_degrees=4.0, elastic_px=0.5)
  config.synth.warp.update(stroke_frac=(-0.2, 0.3), scale=(0.9, 1.0))
  config.synth.photo.noise = (0.0, 0.0)
  if variant == 'gpu':
    config.update(steps=1200, batch_size=256, steps_per_call=50)
    config.model.update(widths=(32, 64, 96, 128, 192), pools=((1, 1), (2, 2), (1, 1), (1, 1), (7, 7)))
    config.optim.update(learning_rate=3e-3, weight_decay=0.05, warmup_steps=100)
    config.synth.warp.update(rotation_degrees=11.0, slant_degrees=9.0, elastic_px=0.8, stroke_frac=(-0.3, 0.4))
  config.update(eval_every=config.steps, checkpoint_every=config.steps)  # validation decides nothing
  if variant == 'tiny':
    common.shrink(config)
    config.model.update(patch=(2, 2), pools=((2, 2), (7, 7)), dense_features=(16,))
  return config
