"""For every test: two CPU devices, no network, no silent rank promotion, no program compiled twice by any worker."""

import os
import socket
import tempfile

os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=2'

import jax
import pytest

jax.config.update('jax_numpy_rank_promotion', 'raise')

# Many tests make a function anew that others have compiled; most of their time is compilation. The first process makes
# the folder and removes it at exit; pytest-xdist's workers find it in their environment.
if 'PYTEST_XDIST_WORKER' not in os.environ:
  _COMPILED = tempfile.TemporaryDirectory(prefix='digits_jax-tests-')
  os.environ['DIGITS_JAX_TESTS_COMPILED'] = _COMPILED.name
jax.config.update('jax_compilation_cache_dir', os.environ['DIGITS_JAX_TESTS_COMPILED'])
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)


@pytest.fixture(scope='session', autouse=True)
def no_network():
  """A test that looks up another machine in its own process fails, wherever the error would be caught."""
  look_up, known = socket.getaddrinfo, {'localhost', '127.0.0.1', '::1', '', None, socket.gethostname()}

  def look_up_this_machine(host, *arguments, **options):
    if (host.decode() if isinstance(host, bytes) else host) not in known:
      pytest.fail(f'this test asks for the network: {host}')
    return look_up(host, *arguments, **options)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(socket, 'getaddrinfo', look_up_this_machine)
    yield
