"""The loop: train, log, evaluate, decide, save, all on the same step number. It never asks which model it trains."""

import contextlib
import pathlib
import signal
import time

import jax
import numpy as np

from digits_jax.errors import InputError
from digits_jax.training import evaluate, logbook, parallel, stopping
from digits_jax.training import state as states
from digits_jax.training.checkpoint import Checkpoints
from digits_jax.training.experiment import Experiment


class Interrupts:
  """Remembers the first SIGTERM or Ctrl-C while it is entered; a second one acts as usual."""

  def __init__(self):
    self.received: signal.Signals | None = None

  def __enter__(self):
    self._before = {s: signal.signal(s, self._remember) for s in (signal.SIGTERM, signal.SIGINT)}
    return self

  def __exit__(self, *_):
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _remember(self, number, _frame):
    self.received = signal.Signals(number)
    signal.signal(number, self._before[number])


def train(experiment: Experiment, workdir: pathlib.Path, checkpoints: Checkpoints) -> bool:
  """Trains from the newest checkpoint, or from the start, to config.steps or until validation says stop.

  Returns whether training is complete; False after SIGTERM or Ctrl-C, with everything saved. Raises InputError
  on a loss that is not finite, naming the step; nothing of it is saved.
  """
  config = experiment.config
  began = time.perf_counter()
  state, progress = start(experiment, checkpoints)
  step = int(state.step)
  if is_over(step, progress, config):
    return True
  score = evaluate.make_scorer(experiment.task, experiment.validation, batch_size=config.evaluation.batch_size)
  steps_per_call = parallel.choose_steps_per_call(config.steps_per_call)
  call = parallel.make_train_call(
    experiment.task,
    experiment.train,
    experiment.optimiser,
    experiment.schedule,
    batch_size=config.batch_size,
    steps_per_call=steps_per_call,
    average_decay=config.optim.average_decay,
  )
  book = logbook.Logbook(
    workdir, step=step, steps=config.steps, batch_size=config.batch_size, is_lead=parallel.is_lead()
  )
  constants = parallel.replicate((jax.random.key(config.seed), experiment.train.constants))
  state = parallel.replicate(state)
  with contextlib.closing(book), Interrupts() as interrupts:
    while not is_over(step, progress, config):
      pause, is_interrupted, waiting = next_pause(step, config), False, None
      while step < pause and not is_interrupted:
        count = min(steps_per_call, pause - step)
        rate_scale = progress.selection.rate_scale
        state, rows, stop = call(state, constants, step, count, rate_scale, interrupts.received is not None)
        step += count
        if waiting:  # the metrics of the call before, while the devices work on this one
          progress, is_interrupted = take_in(progress, book, waiting)
        waiting = (step, count, rows, stop)
      progress, is_stopping = take_in(progress, book, waiting)
      is_interrupted |= is_stopping

      if step % config.log_every == 0:
        book.train(step, {name: float(total) / int(progress.summed_steps) for name, total in progress.sums.items()})
        progress = states.forget_sums(progress)
      if step == pause and (step % config.eval_every == 0 or step == config.steps):
        summary = evaluate.summarise(score(states.reading_params(state)))
        book.validation(step, summary)
        progress, is_best = decide(progress, step, summary, config)
        if is_best:
          checkpoints.save_best(step, states.reading_params(state))
      if is_interrupted or step % config.checkpoint_every == 0 or is_over(step, progress, config):
        now = time.perf_counter()
        progress, began = progress.replace(seconds=progress.seconds + (now - began)), now
        checkpoints.save_latest(step, state, progress)
      if is_interrupted and not is_over(step, progress, config):
        book.say(f'interrupted at step {step}; everything is saved, and the same command continues from there')
        return False
  return True


def start(experiment: Experiment, checkpoints: Checkpoints) -> tuple[states.TrainState, states.Progress]:
  """The newest checkpoint, else step 0. Raises InputError where the run is past config.steps."""
  state = initial_state(experiment)
  progress = states.create_progress(metric_names(experiment, state))
  if checkpoints.latest_step() is None:
    return state, progress
  state, progress = checkpoints.restore_latest(state, progress)
  if int(state.step) > experiment.config.steps:
    raise InputError(
      f'this run is at step {int(state.step)} already and config.steps is {experiment.config.steps}: '
      'raise config.steps, or choose another --workdir'
    )
  return state, progress


def is_over(step: int, progress: states.Progress, config) -> bool:
  """Whether training is complete."""
  return step >= config.steps or stopping.should_stop(progress.selection, config.selection.patience)


def next_pause(step: int, config) -> int:
  """The next step after `step` at which something is logged, evaluated or saved."""
  following = lambda every: (step // every + 1) * every
  every = (config.log_every, config.eval_every, config.checkpoint_every)
  return min(config.steps, *(following(e) for e in every))


def take_in(progress: states.Progress, book: logbook.Logbook, call) -> tuple[states.Progress, bool]:
  """Adds up the metrics of one call's steps; returns whether any process was asked to stop.

  Raises InputError on the first step whose loss or gradient is not finite.
  """
  step, count, rows, stop = call
  rows = {name: np.asarray(row, np.float64)[:count] for name, row in jax.device_get(rows).items()}
  is_bad = ~(np.isfinite(rows['loss']) & np.isfinite(rows['gradient_norm']))
  if is_bad.any():
    bad = step - count + int(np.argmax(is_bad)) + 1
    raise InputError(
      f'the loss or its gradient is not finite at step {bad}; checkpoints from before are kept. Lower '
      'config.optim.learning_rate or config.optim.clip_norm, and start in another --workdir'
    )
  book.advance(step, float(rows['loss'][-1]))
  return states.add_sums(progress, rows), int(stop) > 0


def decide(progress: states.Progress, step: int, summary: dict, config) -> tuple[states.Progress, bool]:
  """What validation says: the new progress, and whether this is the best step so far."""
  selection = config.selection
  updated, is_best = stopping.update(
    progress.selection,
    step=step,
    value=summary[selection.metric],
    metric=selection.metric,
    min_delta=selection.min_delta,
    plateau_patience=selection.plateau_patience if config.optim.schedule == 'plateau' else 0,
    plateau_factor=selection.plateau_factor,
    min_rate_scale=selection.min_rate_scale,
  )
  return progress.replace(selection=updated), is_best


def initial_state(experiment: Experiment) -> states.TrainState:
  """The state of step 0: a function of config.seed."""
  config = experiment.config
  batch = first_batch(experiment)
  k_params = jax.random.fold_in(jax.random.key(config.seed), 2**31 - 1)  # no step has this number
  params = jax.jit(experiment.task.init)(k_params, batch)
  return states.create(params, experiment.optimiser, has_average=config.optim.average_decay > 0)


def first_batch(experiment: Experiment):
  """A batch of the first training example, to learn shapes from."""
  source, key = experiment.train, jax.random.key(experiment.config.seed)
  draw = jax.jit(lambda constants, items: parallel.draw_batch(source, key, constants, 0, items, np.zeros(1, np.int32)))
  return draw(source.constants, source.feed(0, 0, 1))


def metric_names(experiment: Experiment, state: states.TrainState) -> list[str]:
  """What a training step reports, by name."""
  batch = first_batch(experiment)
  metrics = jax.eval_shape(experiment.task.loss, state.params, batch, jax.random.key(0))[1]
  return [*metrics, 'loss', 'gradient_norm', 'learning_rate']
