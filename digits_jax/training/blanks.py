"""The blank trap: CTC models first learn to read nothing, and some never leave that. Training says so, once."""

from collections.abc import Mapping

TRAPPED_SHARE = 0.95  # of the images of all steps since the last log, read as nothing


class Watch:
  """Looks at the metric `empty` where a task has it; lives as long as one start of a run and decides nothing.

  Every CTC run reads nothing at first. It is trapped when it still does `patience` steps (0: never) after warm-up.
  """

  def __init__(self, *, warmup_steps: int, patience: int):
    self._first_step = warmup_steps + patience if patience else None
    self._is_trapped, self._is_over = False, False

  def see(self, step: int, means: Mapping[str, float]) -> str | None:
    """A sentence for people where the model is found trapped or to have left, once each, else None.

    means: of the training metrics up to `step`, since the last were seen.
    """
    empty = means.get('empty', 0.0)
    is_empty = empty > TRAPPED_SHARE
    if self._is_trapped and not is_empty:
      self._is_trapped, self._is_over = False, True
      return f'step {step}: the model has left the blanks; {1 - empty:.0%} of the images are read as something'
    if self._first_step is None or self._is_trapped or self._is_over or step < self._first_step or not is_empty:
      return None
    self._is_trapped = True
    return (
      f'step {step}: {empty:.0%} of the images are still read as nothing: mix short numbers in '
      '(config.synth.number.min_length=1), change config.optim.learning_rate, or begin with a trained trunk '
      '(config.init_from)'
    )
