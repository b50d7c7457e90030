"""The loop: train, log, evaluate, decide, save, all on the same step number. It never asks which model it trains."""

import contextlib
import pathlib
import signal
import time
from typing import NamedTuple

import jax
import numpy as np

from digits_jax.errors import InputError
from digits_jax.training import blanks, logbook, parallel, profile, rundir, scoring, states, stopping, transfer
from digits_jax.training.checkpoint import Checkpoints
from digits_jax.training.experiment import Experiment
from digits_jax.training.step import METRICS


class Interrupts:
  """Remembers the first SIGTERM or Ctrl-C while it is entered; a second one, of either kind, acts as usual."""

  def __init__(self):
    self.received: signal.Signals | None = None

  def __enter__(self):
    self._before = {s: signal.signal(s, self._remember) for s in (signal.SIGTERM, signal.SIGINT)}
    return self

  def __exit__(self, *_):
    self._restore()

  def _remember(self, number, _frame):
    self.received = signal.Signals(number)
    self._restore()

  def _restore(self):
    for number, before in self._before.items():
      signal.signal(number, signal.SIG_DFL if before is None else before)  # None: not Python's, cannot be put back


def train(
  experiment: Experiment, workdir: pathlib.Path, checkpoints: Checkpoints, *, profile_steps: int = 0
) -> signal.Signals | None:
  """Trains from the newest checkpoint, or from the start, to config.steps or until validation says stop.

  Returns None, or the signal (SIGTERM or Ctrl-C, SIGTERM where another process received it) that ended training
  early, with everything saved. Raises InputError on a loss that is not finite, naming the step; nothing of it is
  saved. profile_steps: steps of this start that a jax.profiler trace in workdir/profile shows.
  """
  config = experiment.config
  began = time.perf_counter()
  state, progress = resume(experiment, workdir, checkpoints)
  step = int(state.step)
  if is_over(step, progress, config):
    if parallel.is_lead():
      why = f', after config.selection.patience={config.selection.patience} evaluations without improvement'
      print(f'nothing is left to train: the run ended at step {step}{why * (step < config.steps)}', flush=True)
      if profile_steps:
        print('no trace was written: give another --workdir, or raise config.steps', flush=True)
    return None
  score = scoring.make_scorer(experiment.task, experiment.validation, batch_size=config.evaluation.batch_size)
  steps_per_call = parallel.choose_steps_per_call(config.steps_per_call)
  call, constants = experiment.make_train_call(steps_per_call), experiment.train_constants()
  book = logbook.Logbook(
    workdir, step=step, steps=config.steps, seconds=progress.seconds, batch_size=config.batch_size
  )
  watch = blanks.Watch(warmup_steps=config.optim.warmup_steps, patience=config.blank_patience)
  state = parallel.replicate(state)
  trace = profile.Trace(workdir / 'profile', steps=profile_steps)
  is_alone = jax.process_count() == 1  # several hear of a signal by the step itself, to stop at the same one
  with contextlib.closing(book), contextlib.closing(trace), Interrupts() as interrupts:
    while not is_over(step, progress, config):
      pause, is_interrupted, waiting = next_pause(step, config), False, None
      while step < pause and not is_interrupted:
        count = min(steps_per_call, pause - step)
        rate_scale = progress.selection.rate_scale
        trace.before_call(step)
        state, rows, stop = call(state, constants, step, count, rate_scale, interrupts.received is not None)
        step += count
        trace.after_call(step, state)
        if waiting:  # the metrics of the call before, while the devices work on this one
          progress, is_interrupted = collect_metrics(progress, book, waiting)
        waiting = Dispatched(step, count, rows, stop)
        if is_alone and interrupts.received:
          break
      progress, is_stopping = collect_metrics(progress, book, waiting)
      is_interrupted |= is_stopping or (is_alone and interrupts.received is not None)

      if step % config.log_every == 0:
        progress = log_means(progress, step, book, watch)
      is_best = False
      if step == pause and (step % config.eval_every == 0 or step == config.steps):
        summary = scoring.summarise(score(states.reading_params(state)))
        progress, is_best = update_selection(progress, step, summary, config)
        book.validation(step, summary)
      is_complete = is_over(step, progress, config)
      is_interrupted |= is_alone and interrupts.received is not None  # since the last call
      if is_best or is_interrupted or is_complete or step % config.checkpoint_every == 0:
        now = time.perf_counter()
        progress, began = progress.replace(seconds=progress.seconds + (now - began)), now
        checkpoints.save_latest(step, state, progress)
      if is_best:  # after the latest, which `train` makes it from where a run is killed between the two
        checkpoints.save_best(step, states.reading_params(state))
      if is_complete:  # a signal may have come since the last call
        is_interrupted = parallel.any_process(is_interrupted or interrupts.received is not None)
      if is_complete and step < config.steps:
        book.say_last(f'stopped at step {step}: {config.selection.patience} evaluations without improvement')
      if is_interrupted:
        book.say_last(f'interrupted at step {step}; everything is saved, and the same command continues from there')
        return interrupts.received or signal.SIGTERM
  return None


def resume(
  experiment: Experiment, workdir: pathlib.Path, checkpoints: Checkpoints
) -> tuple[states.TrainState, states.Progress]:
  """Returns what `start` does, and removes later records and checkpoints from the run directory."""
  state, progress = start(experiment, checkpoints)
  checkpoints.tidy()
  step = int(state.step)
  if parallel.is_lead():
    rundir.write_config(workdir, experiment.config)
    logbook.cut_back(workdir / 'metrics.jsonl', step)
  if step == progress.selection.best_step != checkpoints.best_step():  # killed between the two saves
    checkpoints.save_best(step, states.reading_params(state))
  return state, progress


def start(experiment: Experiment, checkpoints: Checkpoints) -> tuple[states.TrainState, states.Progress]:
  """The state to go on from. Raises InputError where the run is past config.steps, or cannot begin as its config says.

  1. The run's own newest checkpoint, wherever it began: nothing else is looked at any more.
  2. Else, of the run at config.init_from, the parameters that config.init_subtrees names.
  3. Else, where that names none, all of that run's parameters that fit.
  4. Else from scratch, as config.seed says.
  """
  config, shapes = experiment.config, jax.eval_shape(experiment.initial_state)
  progress = states.create_progress(metric_names(experiment, shapes))
  if checkpoints.latest_step() is not None:
    return restore(checkpoints, shapes, progress, config.steps)  # 1
  state, frozen = experiment.initial_state(), tuple(config.optim.frozen)
  if config.init_from:
    state = transfer.begin(state, config, head=experiment.task.head)  # 2, 3
  elif frozen and parallel.is_lead():
    print(f'frozen at a random start: {", ".join(frozen)} (config.init_from is empty)', flush=True)
  return state, progress


def restore(
  checkpoints: Checkpoints, shapes: states.TrainState, progress: states.Progress, steps: int
) -> tuple[states.TrainState, states.Progress]:
  """The newest checkpoint. Raises InputError where it is past `steps`, or at that step and not evaluated."""
  state, progress = checkpoints.restore_latest(shapes, progress)
  step = int(state.step)
  check_steps(step, steps)
  if step == steps != progress.selection.last_step:
    raise InputError(
      f'this run was stopped at step {steps}, which was not evaluated: config.steps must be larger to go on'
    )
  return state, progress


def check_steps(step: int, steps: int) -> None:
  """Raises InputError where a run at `step` is past config.steps."""
  if step > steps:
    raise InputError(
      f'this run is at step {step} already and config.steps is {steps}: raise config.steps, or choose another --workdir'
    )


def check_start(experiment: Experiment, checkpoints: Checkpoints) -> None:
  """Raises InputError, before a run directory is made, where a first start could not copy what its config says."""
  config = experiment.config
  if config.init_from and checkpoints.latest_step() is None:
    transfer.check(jax.eval_shape(experiment.initial_state).params, config, head=experiment.task.head)


def is_over(step: int, progress: states.Progress, config) -> bool:
  """Whether training is complete."""
  return step >= config.steps or stopping.should_stop(progress.selection, config.selection.patience)


def next_pause(step: int, config) -> int:
  """The next step after `step` at which something is logged, evaluated or saved."""
  following = lambda every: (step // every + 1) * every
  every = (config.log_every, config.eval_every, config.checkpoint_every)
  return min(config.steps, *(following(e) for e in every))


class Dispatched(NamedTuple):
  """A call of the training step whose results may not be there yet."""

  step: int  # that it takes training to
  count: int  # of its steps
  rows: dict[str, jax.Array]  # metrics float32[steps_per_call], of which `count` are meant
  stop: jax.Array  # int32[], above 0 where a process was asked to stop


def collect_metrics(
  progress: states.Progress, book: logbook.Logbook, done: Dispatched
) -> tuple[states.Progress, bool]:
  """Adds up the metrics of one call's steps; returns whether any process was asked to stop.

  Raises InputError on the first step whose loss, gradient or new parameters are not finite.
  """
  step, count = done.step, done.count
  rows = {name: np.asarray(row, np.float64)[:count] for name, row in jax.device_get(done.rows).items()}
  is_good = np.isfinite([rows[name] for name in ('loss', 'gradient_norm', 'parameter_norm')]).all(0)  # [count]
  if not is_good.all():
    raise _not_finite('the loss, its gradient or a parameter', step - count + int(np.argmin(is_good)) + 1)
  book.advance(step, float(rows['loss'][-1]))
  return states.add_sums(progress, rows), int(done.stop) > 0


def log_means(progress: states.Progress, step: int, book: logbook.Logbook, watch: blanks.Watch) -> states.Progress:
  """Writes the means of the metrics since the last time, and the warning of the blank trap; forgets their sums."""
  means = {name: total / progress.summed_steps for name, total in progress.sums.items()}
  book.train(step, means)
  if sentence := watch.see(step, means):
    book.say(sentence)
  return states.forget_sums(progress)


def update_selection(progress: states.Progress, step: int, summary: dict, config) -> tuple[states.Progress, bool]:
  """What validation says: the new progress, and whether this is the best step so far.

  Raises InputError on a loss that is not finite, and where the model can read none of its numbers.
  """
  selection = config.selection
  if summary['loss'] is None:
    raise InputError(
      'the model can read no number of validation: they have more symbols than it has positions or frames. Change '
      'the model, or the numbers of config.tests.test, in another --workdir'
    )
  if not np.isfinite(summary['loss']):
    raise _not_finite('the validation loss', step)
  updated, is_best = stopping.update(
    progress.selection,
    step=step,
    value=stopping.value_of(summary, selection.metric),
    metric=selection.metric,
    min_delta=selection.min_delta,
    plateau_patience=selection.plateau_patience if config.optim.schedule == 'plateau' else 0,
    plateau_factor=selection.plateau_factor,
    min_rate_scale=selection.min_rate_scale,
  )
  return progress.replace(selection=updated), is_best


def _not_finite(what, step):
  return InputError(
    f'{what} is not finite at step {step}; checkpoints from before are kept. Lower config.optim.learning_rate '
    'or config.optim.clip_norm, and start in another --workdir'
  )


def metric_names(experiment: Experiment, state: states.TrainState) -> list[str]:
  """What a training step reports, by name."""
  metrics = jax.eval_shape(experiment.task.loss, state.params, experiment.zero_batch, None)[1]
  return [*metrics, *METRICS]
