"""digits_jax reads whole multi-digit numbers in images: handwriting, printed plates, house numbers.

digits_jax.Reader is what reads; it is imported when it is first asked for, so that importing digits_jax costs nothing.
"""

__version__ = '0.1.0'


def __getattr__(name):
  if name == 'Reader':
    from digits_jax.reading.reader import Reader

    return Reader
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
