"""Where examples come from: one module for each kind of source, by the name in config.data.source.

Each offers, from a config of its kind:
  canvas(config) -> the CanvasSpec of its images, and slots(config) -> the symbols of its longest number, for which
    nothing is loaded: a run can be read with where its data is not;
  train(config, alphabet) -> the Source that is trained on;
  validation(config, alphabet) -> the FixedSet that every choice looks at;
  tests(config, alphabet) -> the FixedSets of the test by name, `test` among them.
They raise InputError, naming the field, where the config cannot work, and where data is missing.
"""

import difflib
from types import ModuleType

from ml_collections import ConfigDict

from digits_jax.errors import InputError
from digits_jax.training.feeds import folder, street, svhn, synthetic

FEEDS = {'synthetic': synthetic, 'folder': folder, 'svhn': svhn, 'street': street}


def of(config: ConfigDict) -> ModuleType:
  """The module of the config's kind; raises InputError, with a suggestion, where there is none."""
  name = config.data.source
  if name not in FEEDS:
    near = difflib.get_close_matches(name, FEEDS, 1)
    hint = f'did you mean {near[0]!r}?' if near else f'it is one of {", ".join(FEEDS)}'
    raise InputError(f'config.data.source: there is no {name!r}; {hint}')
  return FEEDS[name]
