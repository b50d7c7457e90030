"""How fast the parts are, beside what one would otherwise use, measured in one run."""

import contextlib

with contextlib.suppress(ImportError):  # a part of PyTorch for GPUs; loaded after TensorFlow it is a segmentation fault
  import triton  # noqa: F401
