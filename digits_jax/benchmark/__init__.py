"""How fast the parts are, beside what one would otherwise use, measured in one run."""
