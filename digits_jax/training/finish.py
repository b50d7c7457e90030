"""The end of a run: the temperature, then the test, once, with the best parameters; result.json and the pictures."""

import pathlib
import time

import jax
import numpy as np

from digits_jax import charts, drawing
from digits_jax.alphabet import Alphabet
from digits_jax.data import sources
from digits_jax.training import logbook, loop, parallel, rundir, scoring, states, temperature
from digits_jax.training.checkpoint import Checkpoints
from digits_jax.training.experiment import Experiment


def finish(experiment: Experiment, workdir: pathlib.Path, checkpoints: Checkpoints) -> dict:
  """Fits the temperature on the validation set and scores every test set with it.

  Writes result.json and plots/ (the lead process), and returns the result.
  """
  began = time.perf_counter()
  config = experiment.config
  state, progress = loop.start(experiment, checkpoints)
  params = checkpoints.restore_best(states.reading_params(state))
  batch_size = config.evaluation.batch_size
  fitted = temperature.fit(experiment.task, experiment.validation, params, batch_size=batch_size)
  tests, records = {}, {}
  for name, fixed in experiment.tests.items():
    score = scoring.make_scorer(experiment.task, fixed, batch_size=batch_size)
    records[name] = score(params, fitted.temperature)
    tests[name] = {'set': fixed.name, 'seed': fixed.seed} | scoring.summarise(records[name])
  result = {
    'config': config.name,
    'steps': int(state.step),
    'best_step': checkpoints.best_step(),
    'seconds': round(progress.seconds, 1),
    'test_seconds': round(time.perf_counter() - began, 1),
    'parameters': sum(leaf.size for leaf in jax.tree.leaves(params)),
    'devices': f'{jax.device_count()} x {jax.devices()[0].device_kind}',
    'validation': {config.selection.metric: progress.selection.best_value},
    'temperature': fitted.temperature,
    'temperature_fit': {'loss_before': fitted.loss_before, 'loss_after': fitted.loss_after},
    'tests': tests,
  }
  if parallel.is_lead():
    rundir.write_json(workdir / 'result.json', result)
    draw(experiment, workdir, records)
  return result


def draw(experiment: Experiment, workdir: pathlib.Path, records: dict[str, dict[str, np.ndarray]]) -> None:
  """The curves, accuracy against coverage, and for each test set a sheet of images with what was read, errors first."""
  config, plots = experiment.config, workdir / 'plots'
  plots.mkdir(exist_ok=True)
  charts.curves(plots / 'curves.png', logbook.read_metrics(workdir / 'metrics.jsonl'))
  charts.coverage(plots / 'coverage.png', {name: scoring.accuracy_coverage(of_set) for name, of_set in records.items()})
  for name, of_set in records.items():
    draw_sheet(plots / f'{name}.png', experiment.tests[name], of_set, experiment.alphabet, config.evaluation.sheet)


def draw_sheet(
  path: pathlib.Path, fixed: sources.FixedSet, records: dict[str, np.ndarray], alphabet: Alphabet, limit: int
) -> None:
  """A sheet of at most `limit` images of a set, with what was read, how surely, and in which file.

  Errors are first, the most confident foremost.
  """
  order = scoring.errors_first(records)[:limit]
  counted = np.asarray(records['is_right'])[np.asarray(records['mask'], bool)]
  names = fixed.files
  decode = lambda labels, lengths: [alphabet.decode(labels[i], lengths[i]) for i in order]
  drawing.readings_sheet(
    path,
    sources.draw_examples(fixed, order).images,
    decode(records['labels'], records['label_length']),
    decode(records['predicted'], records['predicted_length']),
    notes=[f'{records["confidence"][i]:.2%}  {pathlib.Path(names[i]).name if names else ""}'.rstrip() for i in order],
    title=f'{fixed.name}: errors first',
    whole=(int((~counted).sum()), len(counted)),
  )
