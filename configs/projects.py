"""The recipes of public hobby projects that read numbers, as they describe them: what ours are compared with.

python -m digits_jax.main --config=configs/projects.py:seven
python -m digits_jax.main --config=configs/projects.py:triplets
python -m digits_jax.main --config=configs/projects.py:grid
python -m digits_jax.main --config=configs/projects.py:transfer   # begins with runs/digit-fonts: configs/digit.py:fonts

for part in "train 60000" "validation 2000" "test 5000"; do set -- $part
  python -m digits_jax.synthesise --config=configs/projects.py:drawn --distinct --split=$1 --count=$2 \
    --out=runs/plates-60000/$1; done
python -m digits_jax.main --config=configs/projects.py:plates

The projects give the task, the kind of network, the optimiser and its schedule; widths, batches and what else they do
not give are ours, and so are the test sets (configs/testsets.py): figures compare with our own recipes, and roughly
with theirs. One more project classifies single digits by a pretrained network of another kind: there is no config
of it. Figures: experiments/projects.
"""

from configs import common, fonts, testsets


def get_config(argument=None):
  """The recipe that one of the variants below says; the default is `seven`."""
  variant = common.choose(argument, VARIANTS)
  config = VARIANTS[variant]()
  config.name = common.run_name('projects', variant)
  return config


def seven():
  """7 handwritten digits on 32x128, blobs and noise, a CRNN, Adam, a rate lowered on plateaus, early stopping."""
  config = handwritten(testsets.seven())
  config.synth.clutter.blobs = 2
  config.optim.schedule = 'plateau'
  config.selection.update(patience=5, plateau_patience=2)
  config.update(steps=9400, eval_every=313, checkpoint_every=313)  # 30 epochs of 20,000 numbers at most
  return config


def triplets():
  """Three MNIST digits on 28x84, the image turned, zoomed and shifted, a CNN with an LSTM, 8 epochs."""
  config = handwritten(testsets.triplets())
  config.synth.warp.update(turn_degrees=10.0, zoom=(0.9, 1.1), shift_px=2.0)
  config.update(steps=2504, eval_every=313, checkpoint_every=313)  # 8 epochs of 20,000 numbers
  return config


def grid():
  """1 to 5 MNIST digits in cells on 28x140, a CNN with one softmax a position."""
  config = handwritten(testsets.grid())
  config.task = 'read_multidigit'
  config.model.dense_features = (256,)
  config.update(steps=4695, eval_every=313, checkpoint_every=313)  # 15 epochs of 20,000 numbers
  return config


def transfer():
  """5 printed digits, a GRU on the frozen trunk of a classifier of single ones, a cyclic rate."""
  config = fonts.get_config('transfer')
  config.synth.number.min_length = 5
  config.model.recurrent = 'gru'
  config.optim.name, config.optim.weight_decay = 'adam', 0.0
  return config


def drawn():
  """`plates`, from the generator that wrote the files."""
  config = by_adam()
  config.synth = testsets.plates().synth  # 5 digits throughout, sizes 18 to 25, 22 faces, gaps of 0 to 8 pixels
  config.optim.learning_rate = 3e-4
  config.selection.patience = 5
  config.update(batch_size=256, steps=3510, eval_every=234, checkpoint_every=234)  # 15 epochs at most
  return config


def plates():
  """60,000 files of 5 printed digits, Adam at 3e-4, batches of 256, patience 5."""
  config = drawn()
  config.data.update(source='folder', folder='runs/plates-60000', hold_out_numbers=False)
  config.tests.test.update(name='plates-60000', examples=5000)
  config.synth.photo.noise = (0.0, 0.0)  # it is in the files
  return config


def tiny():
  """4 steps of `seven`, for tests."""
  config = seven()
  common.shrink(config)
  config.model.update(patch=(4, 4), pools=((2, 1), (2, 1)))
  return config


def handwritten(test):
  """MNIST's digits, drawn as `test` draws them; two convolutions from full resolution on, each pooled by 2x2."""
  config = by_adam()
  config.data.update(glyphs='mnist', hold_out_numbers=False)
  config.tests.test = test
  config.synth = test.synth.copy_and_resolve_references()
  config.model.update(patch=(1, 1), widths=(32, 64), pools=((2, 2), (2, 2)), frame_features=64)
  config.model.update(recurrent='lstm', recurrent_features=128)
  return config


def by_adam():
  """Adam at a constant rate, no average, chosen by the validation loss."""
  config = common.get_config()
  config.optim.update(name='adam', schedule='constant', weight_decay=0.0, learning_rate=1e-3, average_decay=0.0)
  config.selection.metric = 'loss'
  config.validation.examples = 2000
  return config


VARIANTS = {
  'default': seven,
  'seven': seven,
  'triplets': triplets,
  'grid': grid,
  'transfer': transfer,
  'drawn': drawn,
  'plates': plates,
  'tiny': tiny,
}
