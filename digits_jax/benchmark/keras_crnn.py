"""The CRNN in Keras on TensorFlow, as its users write it: functional, AdamW, train_on_batch (a tf.function).

Imported only where TensorFlow is installed. The loss is tf.nn.ctc_loss on sparse labels, TensorFlow's native operation;
`keras.losses.CTC` gives it dense ones, which it then computes in Python loops over frames.
"""

import os

os.environ['KERAS_BACKEND'] = 'tensorflow'  # read at import

import keras
import numpy as np
import tensorflow as tf

from digits_jax.benchmark import networks

NAME, VERSION = 'Keras/TensorFlow', f'{keras.__version__}/{tf.__version__}'


def build(network: networks.Network) -> keras.Model:
  """images float32[B, 32, 128, 1] -> logits float32[B, T, K], compiled for training."""
  images = keras.Input((networks.HEIGHT, networks.WIDTH, 1))
  deviation = keras.ops.std(images, (1, 2, 3), keepdims=True)
  x = (images - keras.ops.mean(images, (1, 2, 3), keepdims=True)) / keras.ops.maximum(deviation, 1e-3)
  if (patch := network.patch) > 1:
    height, width = networks.HEIGHT // patch, networks.WIDTH // patch
    x = keras.layers.Reshape((height, patch, width, patch))(x)
    x = keras.layers.Permute((1, 3, 2, 4))(x)
    x = keras.layers.Reshape((height, width, patch * patch))(x)
  for features, pool in zip(network.widths, network.pools, strict=True):
    x = keras.layers.Conv2D(features, 3, padding='same', use_bias=False)(x)
    x = keras.layers.GroupNormalization(network.groups, epsilon=networks.EPSILON)(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.MaxPooling2D(pool)(x) if pool != (1, 1) else x
  x = keras.layers.Permute((2, 1, 3))(x)
  x = keras.layers.Reshape((network.frames, network.rows * network.widths[-1]))(x)
  x = keras.layers.Dense(network.frame_features, activation='relu')(x)
  x = keras.layers.Bidirectional(keras.layers.LSTM(network.recurrent_features, return_sequences=True))(x)
  model = keras.Model(images, keras.layers.Dense(networks.CLASSES)(x))
  model.compile(optimizer=keras.optimizers.AdamW(1e-3, weight_decay=1e-4), loss=ctc_loss)
  return model


def ctc_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
  """float32[B] of labels int32[B, N], right-padded with 0, and logits float32[B, T, K], class 0 the blank."""
  frames = tf.fill([tf.shape(logits)[0]], tf.shape(logits)[1])
  sparse = tf.sparse.from_dense(tf.cast(labels, tf.int32))
  return tf.nn.ctc_loss(sparse, logits, None, frames, logits_time_major=False, blank_index=0)


class Stepper:
  """One model with one batch: call it for a training step; returns the loss when the step is done."""

  def __init__(self, network: networks.Network, images: np.ndarray, labels: np.ndarray):
    self.model = build(network)
    self.parameters = self.model.count_params()
    self._batch = (tf.constant(images), tf.constant(labels))

  def __call__(self) -> float:
    return float(self.model.train_on_batch(*self._batch))
