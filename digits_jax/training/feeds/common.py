"""What several kinds of source refuse alike."""

from ml_collections import ConfigDict

from digits_jax.errors import InputError


def only_test(config: ConfigDict) -> ConfigDict:
  """config.tests.test. Raises InputError where there are other test sets, of a source that has one."""
  if set(config.tests) != {'test'}:
    raise InputError(
      f'config.tests: source {config.data.source} has one test set, `test`, not {", ".join(config.tests)}'
    )
  return config.tests.test
