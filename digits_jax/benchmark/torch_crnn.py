"""The CRNN in PyTorch, as its users write it: an nn.Module, nn.CTCLoss, AdamW.

Imported only where PyTorch is installed.
"""

import contextlib
import os
import shutil

import numpy as np
import torch
from torch import nn

from digits_jax.benchmark import networks

VERSION = torch.__version__


def device() -> str:
  """Where it computes, in jax's words."""
  return 'gpu' if torch.cuda.is_available() else 'cpu'


def kinds() -> list[str]:
  """Eager and, where it finds a C++ compiler, torch.compile; on a CPU also eager with features last in memory."""
  has_compiler = any(map(shutil.which, (os.environ.get('CXX', 'g++'), 'clang++')))
  return ['eager', *(['channels last'] if device() == 'cpu' else []), *(['compiled'] if has_compiler else [])]


def use_tensor_cores() -> None:
  """On a GPU: float32 products in TF32, as jax computes them by default; cuDNN's fastest convolutions, by trial."""
  torch.set_float32_matmul_precision('high')
  torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True


class CRNN(nn.Module):
  """images float32[B, 1, 32, 128] -> logits float32[T, B, K], as nn.CTCLoss takes them."""

  def __init__(self, network: networks.Network):
    super().__init__()
    layers = [nn.PixelUnshuffle(network.patch)] if network.patch > 1 else []
    features = network.patch**2
    for width, pool in zip(network.widths, network.pools, strict=True):
      layers += [
        nn.Conv2d(features, width, 3, padding=1, bias=False),
        nn.GroupNorm(network.groups, width, eps=networks.EPSILON),
        nn.ReLU(inplace=True),
      ]
      layers += [nn.MaxPool2d(pool)] if pool != (1, 1) else []
      features = width
    self.trunk = nn.Sequential(*layers)
    self.frames = nn.Linear(network.rows * features, network.frame_features)
    self.lstm = nn.LSTM(network.frame_features, network.recurrent_features, bidirectional=True)
    for bias in (self.lstm.bias_hh_l0, self.lstm.bias_hh_l0_reverse):  # the second of two biases that are only added
      nn.init.zeros_(bias)
      bias.requires_grad_(False)
    self.head = nn.Linear(2 * network.recurrent_features, networks.CLASSES)

  def forward(self, images):
    mean = images.mean((1, 2, 3), keepdim=True)
    deviation = images.std((1, 2, 3), keepdim=True, correction=0)
    x = self.trunk((images - mean) / deviation.clamp(min=1e-3))  # [B, F, H', T]
    x = x.permute(3, 0, 2, 1).flatten(2)  # [T, B, H'*F]
    x = torch.relu(self.frames(x))
    return self.head(self.lstm(x)[0])


class Stepper:
  """One model with one batch: call it for a training step. Its loss stays on the device; reading it waits."""

  def __init__(
    self, network: networks.Network, images: np.ndarray, labels: np.ndarray, *, kind: str, dtype: str = 'float32'
  ):
    self._device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if self._device == 'cuda':
      use_tensor_cores()
    layout = torch.channels_last if kind == 'channels last' else torch.contiguous_format
    self.model = CRNN(network).to(self._device, memory_format=layout)
    trained = [leaf for leaf in self.model.parameters() if leaf.requires_grad]
    self.parameters = sum(leaf.numel() for leaf in trained)
    self._forward = self.model
    if kind == 'compiled':
      torch._dynamo.config.recompile_limit = 100  # of all models of this class; beyond it, it is eager and says nothing
      self._forward = torch.compile(self.model)
    self._optimiser = torch.optim.AdamW(trained, lr=1e-3, weight_decay=1e-4, fused=self._device == 'cuda')
    self._criterion = nn.CTCLoss(blank=0, zero_infinity=True, reduction='sum')
    self._images = torch.from_numpy(np.moveaxis(images, 3, 1)).to(self._device).contiguous(memory_format=layout)
    self._labels = torch.from_numpy(labels).to(self._device)
    self._lengths = torch.from_numpy((labels > 0).sum(1))  # these stay on the host: ctc_loss reads them there
    self._frames = torch.full((len(images),), network.frames)
    self._is_bfloat16 = dtype == 'bfloat16'

  def __call__(self) -> torch.Tensor:
    precision = torch.autocast(self._device, torch.bfloat16) if self._is_bfloat16 else contextlib.nullcontext()
    with precision:
      logits = self._forward(self._images)
    log_probs = logits.float().log_softmax(2)
    loss = self._criterion(log_probs, self._labels, self._frames, self._lengths) / len(self._images)
    self._optimiser.zero_grad()
    loss.backward()
    self._optimiser.step()
    return loss.detach()
