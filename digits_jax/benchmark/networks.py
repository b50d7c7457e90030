"""The networks that are built three times: in JAX as `models.crnn.CRNN`, in Keras and in PyTorch.

A CRNN as the field writes it: 3x3 convolutions with GroupNorm, relu and max-pooling, a dense layer over the columns,
a bidirectional LSTM, a dense head over blank and 10 digits. 32x128 images, grey, each standardised first.
"""

import dataclasses

HEIGHT, WIDTH = 32, 128
CLASSES = 11
EPSILON = 1e-6  # of GroupNorm, as in models.layers


@dataclasses.dataclass(frozen=True)
class Network:
  """Sizes that all three share."""

  name: str
  patch: int  # side of the square that becomes one position; 1 leaves the image as it is
  widths: tuple[int, ...]
  pools: tuple[tuple[int, int], ...]  # (down, across)
  groups: int = 8
  frame_features: int = 128
  recurrent_features: int = 96

  @property
  def rows(self) -> int:
    """Of the last features."""
    rows = HEIGHT // self.patch
    for down, _ in self.pools:
      rows //= down
    return rows

  @property
  def frames(self) -> int:
    """T."""
    frames = WIDTH // self.patch
    for _, across in self.pools:
      frames //= across
    return frames


NETWORKS = (
  Network('plain', 1, (32, 64, 128), ((2, 2), (2, 2), (2, 1))),  # the textbook's
  Network('patches', 4, (64, 64, 128), ((2, 1), (2, 1), (1, 1))),  # 4x4 patches first, as in configs/common.py
)
