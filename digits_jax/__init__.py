"""digits_jax reads whole multi-digit numbers in images: handwriting, printed plates, house numbers."""

__version__ = '0.1.0'
