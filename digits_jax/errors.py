"""The one exception for what a user can put right.

Its message is one clear sentence (or two) that names the thing and the way out. `command.run` prints it
without a traceback and exits with code 2; every other exception is a defect and keeps its traceback.
"""


class InputError(ValueError):
  """Something given from outside (a config field, a file, a folder, a label) cannot be used as it is."""
