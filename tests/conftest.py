"""Two CPU devices for every test, and no silent rank promotion."""

import os

os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=2'

import jax

jax.config.update('jax_numpy_rank_promotion', 'raise')
