"""Made to be copied: every choice of an experiment, and why one would make another one.

cp configs/forkme.py configs/mine.py  # then change what your question is about, and the name below
python -m digits_jax.main --config=configs/forkme.py --workdir=runs/forkme

Here belongs what you ask and what came out: the command, the result with its interval, seeds, hardware, minutes. As it
stands: 1 to 5 printed digits on 64x128, the task of fonts.py. One seed: 99.28% of plates-v1 (99.00% to 99.48%), 9.8
minutes on one core of a 2-core CPU (AMD EPYC), beside other jobs, revision 5e453d2.
"""

from configs import common, testsets

VARIANTS = ('default', 'tiny')


def get_config(argument=None):
  """`default`: the experiment. `tiny`: 4 steps, so that a test sees in seconds that all of it works."""
  variant = common.choose(argument, VARIANTS)  # the part after the colon in --config=configs/forkme.py:tiny
  config = common.get_config()  # every field, its unit and its default; a field that is not there is an error
  config.name = common.run_name('forkme', variant)  # of the run directory; yours needs its own

  # The question in one place: what is read. Lengths are mixed, because CTC learns 5 digits at once very slowly.
  config.alphabet = '0123456789'  # fonts also have '.' and '-': '0123456789.-'
  config.task = 'read_ctc'  # any length; 'read_multidigit' has a softmax for each position, 'classify' reads one digit
  config.synth.number.update(min_length=1, max_length=5)

  # What digits are made of: 'fonts' need no download, 'mnist' needs `prepare mnist`, 'folder' and 'csv' are your own.
  config.data.glyphs = 'fonts'
  config.data.font_sizes = (18, 19, 20, 21, 22, 23, 24, 25)  # pixels an em; each size of each face is a style
  config.data.hold_out_numbers = True  # the test's numbers of 3 and more digits are never trained on

  # Where digits stand. What training draws should be wider than the test, never narrower.
  config.synth.layout.update(height=64, width=128, spacing='gaps', spacing_px=(0.0, 8.0))
  config.synth.warp.update(rotation_degrees=0.0, slant_degrees=0.0)  # each digit, the whole number
  config.synth.photo.update(noise=(0.05, 0.05), inversion=0.0)  # inversion 0.5 reads dark ink and bright ink

  # The test: a named set that never changes, so that figures compare. Validation is drawn as it is, with other seeds.
  config.tests.test = testsets.plates()
  # config.tests.mine = common.test_set('mine-v1', config.synth.copy_and_resolve_references(), seed=5)  # a second

  # The model. 328,139 parameters: the trunk sees 4x4 patches, three convolution blocks halve the height only, so that
  # each of 32 columns is a frame; a label of L digits with R doubled neighbours needs L + R frames.
  config.model.update(patch=(4, 4), widths=(64, 64, 128), pools=((2, 1), (2, 1), (2, 1)))
  config.model.update(recurrent='lstm', recurrent_features=96)  # 'gru': a quarter smaller, 'none': sees no context

  # Training. Early on CTC needs steps more than clean gradients: rather more steps than a larger batch.
  config.seed = 0  # a figure worth a table has three of them: experiments/sweep.py --vary seed 0 1 2
  config.steps = 3000
  config.batch_size = 32  # over all devices and processes
  config.optim.update(name='adamw', learning_rate=2e-3, schedule='cosine', warmup_steps=20, clip_norm=1.0)
  config.optim.average_decay = 0.99  # what is read with is the average of about the last 100 steps; 0: the last step

  # What validation decides: the best step, and whether to stop. The test decides nothing.
  config.update(eval_every=250, checkpoint_every=250)
  config.selection.update(metric='sequence_accuracy', patience=0)  # patience 5: stop after 5 evaluations without a gain

  if variant == 'tiny':  # small in everything that takes time, the same in everything else
    config.update(steps=4, batch_size=8, steps_per_call=2, log_every=2, eval_every=2, checkpoint_every=2)
    config.model.update(widths=(8, 8), pools=((2, 1), (2, 1)), frame_features=16, recurrent_features=8)
    config.data.font_sizes = (20,)
    config.validation.examples = 12
    for test in config.tests.values():
      test.examples = 20
    config.evaluation.update(batch_size=8, sheet=12)
  return config
