"""What these tests and the processes that they start compile, they compile once."""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from digits_jax.training import parallel


@pytest.fixture(scope='session', autouse=True)
def cache(tmp_path_factory):
  """A folder of compiled programs, also for the processes."""
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


@pytest.fixture(scope='session', autouse=True)
def shared_calls():
  """Runs here on the same task, source and optimiser share their calls: several CPU devices never read that folder."""
  made = {}

  def share(make):
    def shared(*parts, **options):
      key = (make, *map(id, parts[1:]), parts[0], *sorted(options.items()))
      if key not in made:
        made[key] = parts, make(*parts, **options)  # parts that are kept alive keep their ids
      return made[key][1]

    return shared

  with pytest.MonkeyPatch.context() as patch:
    for name in ('make_train_call', 'make_score_call'):
      patch.setattr(parallel, name, share(getattr(parallel, name)))
    yield
