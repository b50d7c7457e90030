"""Canvases of configs: how high training's digits are, and which way round."""

import pytest
from ml_collections import ConfigDict

from configs import fonts, mnist
from digits_jax.training.canvas import canvas_spec


def test_the_spec_of_a_config():
  assert canvas_spec(*groups(fonts.get_config())) == (64, 128, 1, (0.6 * 18, 0.8 * 25))
  config = mnist.get_config('triplets')
  assert canvas_spec(*groups(config)) == (28, 84, 1, (20, 20))
  assert canvas_spec(*groups(mnist.get_config('strings'))).ink_px == pytest.approx((15, 21 + 2 * 2))
  config.synth.warp.update(scale=(0.5, 1.5), zoom=(0.5, 2.0))
  config.synth.photo.inversion = 0.5
  assert canvas_spec(*groups(config)) == (28, 84, 0, (5, 60))
  config.synth.photo.inversion = 1.0
  assert canvas_spec(*groups(config)).ink == -1


def groups(config):
  plain = ConfigDict(config.to_dict())
  return plain.synth, plain.data
