"""Where data sets and caches lie on this machine."""

import os


def data_folder(data_dir: str | None) -> str:
  """The folder of data sets: data_dir, or TFDS's default."""
  default = os.environ.get('TFDS_DATA_DIR') or os.path.join('~', 'tensorflow_datasets')
  return os.path.expanduser(data_dir or default)


def cache_folder() -> str:
  """Where decoded arrays are kept; safe to delete at any time."""
  base = os.environ.get('XDG_CACHE_HOME', '')
  base = base if os.path.isabs(base) else os.path.expanduser(os.path.join('~', '.cache'))
  return os.path.join(base, 'digits_jax')
