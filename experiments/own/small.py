"""Printed numbers of 1 to 3 digits on 32x64: small, so that each way of training takes minutes.

See README.md.
"""

from configs import fonts


def get_config():
  """fonts.py:quick, smaller; the test is drawn as training is."""
  config = fonts.get_config('quick')
  config.name = 'own-small'
  config.data.font_sizes = (18, 20, 22)
  config.synth.layout.update(height=32, width=64, spacing_px=(0.0, 3.0))
  config.synth.number.max_length = 3
  config.tests.test.update(name='own-small', synth=config.synth.copy_and_resolve_references())
  config.model.update(widths=(32, 64, 96), pools=((2, 1), (2, 1), (1, 1)))
  config.steps = 1200
  return config
