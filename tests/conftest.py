"""Two CPU devices for every test, no silent rank promotion, and no program compiled twice, by any worker."""

import os
import tempfile

os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=2'

import jax

jax.config.update('jax_numpy_rank_promotion', 'raise')

# Many tests make a function anew that others have compiled; most of their time is compilation. The first process makes
# the folder and removes it at exit; pytest-xdist's workers find it in their environment.
if 'PYTEST_XDIST_WORKER' not in os.environ:
  _COMPILED = tempfile.TemporaryDirectory(prefix='digits_jax-tests-')
  os.environ['DIGITS_JAX_TESTS_COMPILED'] = _COMPILED.name
jax.config.update('jax_compilation_cache_dir', os.environ['DIGITS_JAX_TESTS_COMPILED'])
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
