"""One folder of compiled programs for all of these tests and the processes that they start."""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache


@pytest.fixture(scope='session', autouse=True)
def cache(tmp_path_factory):
  folder = tmp_path_factory.mktemp('xla')
  names = ('jax_compilation_cache_dir', 'jax_persistent_cache_min_compile_time_secs')
  before = {name: jax.config.values[name] for name in names}
  jax.config.update('jax_compilation_cache_dir', str(folder))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
  compilation_cache.reset_cache()  # something may have been compiled without it
  yield folder
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()
