"""Files -> checked arrays, on the host."""
