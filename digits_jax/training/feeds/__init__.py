"""Where examples come from: one module for each kind of source, by the name in config.data.source.

Each offers GROUPS, the groups of the config's fields that it takes beside `data`, and from a config of its kind:
  canvas(config) -> the CanvasSpec of its images, and slots(config) -> the symbols of its longest number, for which
    nothing is loaded: a run can be read with where its data is not;
  train(config, alphabet) -> the Source that is trained on;
  validation(config, alphabet) -> the FixedSet that every choice looks at;
  tests(config, alphabet) -> the FixedSets of the test by name, `test` among them.
They raise InputError, naming the field, where the config cannot work, and where data is missing.
"""

from types import ModuleType

from ml_collections import ConfigDict

from digits_jax.errors import check_name
from digits_jax.training.feeds import folder, street, svhn, synthetic

FEEDS = {'synthetic': synthetic, 'folder': folder, 'svhn': svhn, 'street': street}


def of(config: ConfigDict) -> ModuleType:
  """The module of the config's kind; raises InputError, with a suggestion, where there is none."""
  name = config.data.source
  check_name('config.data.source', name, FEEDS)
  return FEEDS[name]
