"""A whole run: alike in all processes; its directory opened, or gone on with; described; trained; tested."""

import contextlib
import hashlib
import json
import pathlib
import signal
import textwrap

import jax
from ml_collections import ConfigDict

from digits_jax.errors import InputError
from digits_jax.tasks import TASKS, options_of
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
  data, where processes differ in what they must share, and as `loop.train` does.
  """
  check_alike(experiment)
  workdir = pathlib.Path(workdir)
  checkpoints = Checkpoints(workdir)

  def check():
    table = _layer_table(experiment)
    loop.check_start(experiment, checkpoints)
    return table

  table = parallel.in_all_processes(check, 'the config or its data')
  rundir.open_run(workdir, experiment.config)

  with rundir.locked(workdir), contextlib.closing(checkpoints):
    check_run(experiment, workdir, checkpoints)
    if parallel.is_lead():
      _describe(experiment, table, workdir, is_new=checkpoints.latest_step() is None)
    if received := loop.train(experiment, workdir, checkpoints, profile_steps=profile_steps):
      return received
    return finish.finish(experiment, workdir, checkpoints)


def check_alike(experiment: Experiment) -> None:
  """Raises InputError, in every process, where one has another config, data or code than the lead."""
  if jax.process_count() == 1:
    return
  files = sorted(pathlib.Path(__file__).parents[1].rglob('*.py'))
  ours = {
    'code': hashlib.sha256(b''.join(file.read_bytes() for file in files)).hexdigest(),
    'config': rundir.plain(experiment.config),
    'data': rundir.checksums(experiment.report),
  }
  lead = json.loads(parallel.from_lead(json.dumps(ours)))

  def check():
    if differing := rundir.differences(lead['config'], ours['config'], free=rundir.HOST_FIELDS):
      raise InputError(
        f'this process has another config than process 0; these fields differ (there -> here): {"; ".join(differing)}. '
        'Give the same --config and flags to all processes'
      )
    if lead['data'] != ours['data']:
      raise InputError(
        'this process has other data than process 0: images, glyphs, numbers or splits. Give the same to all processes'
      )
    if lead['code'] != ours['code']:
      raise InputError('this process runs another digits_jax than process 0: give all processes the same checkout')

  parallel.in_all_processes(check, 'this config, data or code')


def check_run(experiment: Experiment, workdir: pathlib.Path, checkpoints: Checkpoints) -> None:
  """Raises InputError, in every process, where one cannot go on with the run in workdir or finds another step there."""
  what = f'the run in {workdir}'
  step = parallel.in_all_processes(lambda: checkpoints.latest_step() or 0, what)
  of_lead = int(parallel.from_lead(str(step)))

  def check():
    if step != of_lead:
      raise InputError(
        f'process 0 finds the run in {workdir} at step {of_lead}, this one at step {step}: wait a minute, in case its '
        'file system is slow to tell, and start all processes again'
      )
    rundir.check_data(workdir, experiment.report)
    loop.check_steps(step, experiment.config.steps)

  parallel.in_all_processes(check, what)


def _layer_table(experiment):
  """The model's layers as text; raises InputError where it does not fit its images or numbers."""
  jax.eval_shape(experiment.initial_state)
  return experiment.task.table(jax.random.key(0), experiment.zero_batch)


def shown_fields(config: ConfigDict) -> str:
  """The config but for groups of other sources, the model's fields of other tasks, and the synth of test sets.

  A paragraph for each group.
  """
  task, groups = TASKS[config.task], {group for kind in feeds.FEEDS.values() for group in kind.GROUPS}
  of_task = options_of(task)
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


def _describe(experiment, table, workdir, *, is_new):
  """Stores what was found of data and the layer table; prints both and the config where the run is new."""
  if experiment.report:
    rundir.write_text(workdir / 'data.txt', experiment.report)
  rundir.write_text(workdir / 'model.txt', table)
  if is_new:
    print(shown_fields(experiment.config))
    print(f'all fields: {workdir / "config.json"}')
    print(*filter(None, (experiment.report, table)), sep='\n')
  print(f'{jax.device_count()} x {jax.devices()[0].device_kind}; run directory: {workdir}', flush=True)
