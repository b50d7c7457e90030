"""A whole run: its directory opened, or gone on with; described; trained; tested."""

import contextlib
import dataclasses
import pathlib
import signal
import textwrap

import jax
from ml_collections import ConfigDict

from digits_jax.tasks import TASKS
from digits_jax.training import feeds, finish, loop, parallel, rundir
from digits_jax.training.checkpoint import Checkpoints
from digits_jax.training.experiment import Experiment


def train_and_evaluate(
  experiment: Experiment, workdir: str | pathlib.Path, *, profile_steps: int = 0
) -> dict | signal.Signals:
  """Trains the experiment in workdir, or goes on with the run that is there, and scores its test sets.

  Every process calls it. profile_steps: as in `loop.train`.

  Returns what result.json holds, or the signal that ended training early, with everything saved. Raises InputError
  where the model does not fit its images or numbers, where the directory holds another run or its run is of other
  data, and as `loop.train` does.
  """
  workdir = pathlib.Path(workdir)
  checkpoints = Checkpoints(workdir)

  def check():
    table = _layer_table(experiment)
    loop.check_start(experiment, checkpoints)
    return table

  table = parallel.in_all_processes(check, 'the config or its data')
  rundir.open_run(workdir, experiment.config)

  def check_run():
    rundir.check_data(workdir, experiment.report)
    loop.check_steps(checkpoints.latest_step() or 0, experiment.config.steps)

  parallel.in_all_processes(check_run, f'the run in {workdir}')
  with rundir.locked(workdir), contextlib.closing(checkpoints):
    if parallel.is_lead():
      _describe(experiment, table, workdir)
    if received := loop.train(experiment, workdir, checkpoints, profile_steps=profile_steps):
      return received
    return finish.finish(experiment, workdir, checkpoints)


def _layer_table(experiment):
  """The model's layers as text; raises InputError where it does not fit its images or numbers."""
  jax.eval_shape(experiment.initial_state)
  return experiment.task.table(jax.random.key(0), experiment.zero_batch)


def shown_fields(config: ConfigDict) -> str:
  """The config but for groups of other sources, the model's fields of other tasks, and the synth of test sets.

  A paragraph for each group.
  """
  task, groups = TASKS[config.task], {group for kind in feeds.FEEDS.values() for group in kind.GROUPS}
  of_task = {*task.OPTIONS, *(field.name for field in dataclasses.fields(task.MODEL))}
  others = groups - set(feeds.of(config).GROUPS)
  others |= {f'model.{name}' for name in config.model if name not in of_task}
  others |= {f'evaluation.{name}' for name in ('decoder', 'beams') if name not in of_task}
  others |= {f'tests.{name}.synth' for name in config.tests}
  paragraphs = []

  def add(group, prefix):
    used = {name: value for name, value in group.items() if prefix + name not in others}
    pieces = [f'{name}: {value!r}' for name, value in used.items() if not isinstance(value, ConfigDict)]
    if pieces:  # at their blanks no line ends
      text = ', '.join(piece.replace(' ', '\xa0') for piece in pieces)
      paragraphs.append(f'config.{prefix}'.removesuffix('.') + f'  {text}')
    for name, value in used.items():
      if isinstance(value, ConfigDict):
        add(value, f'{prefix}{name}.')

  add(config, '')
  wrap = textwrap.TextWrapper(116, subsequent_indent='    ', break_on_hyphens=False, break_long_words=False)
  return '\n'.join(map(wrap.fill, paragraphs)).replace('\xa0', ' ')


def _describe(experiment, table, workdir):
  """Prints the config, what was found of data and the layer table, and stores the latter two."""
  print(shown_fields(experiment.config))
  print(f'all fields: {workdir / "config.json"}')
  if data := experiment.report:
    rundir.write_text(workdir / 'data.txt', data)
    print(data)
  rundir.write_text(workdir / 'model.txt', table)
  print(table)
  print(f'{jax.device_count()} x {jax.devices()[0].device_kind}; run directory: {workdir}', flush=True)
