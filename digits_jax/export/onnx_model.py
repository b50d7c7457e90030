"""The CRNN as ONNX: images float32[batch, H, W, C] in [0, 1] -> logits float32[batch, T, K], computed in float32.

Written with the `onnx` package, operator by operator as in `models.crnn` and `models.layers`; the recurrences are
ONNX's own LSTM and GRU. ONNX has no beam search: decoding is the caller's, and the metadata say how.
"""

import json
import os
import pathlib
from collections.abc import Callable

import jax
import numpy as np

from digits_jax.errors import InputError, reason
from digits_jax.export import metadata
from digits_jax.models import layers
from digits_jax.reading.trained import Run
from digits_jax.training import experiment

try:
  import onnx
  import onnxruntime
  from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
  raise InputError(
    f"ONNX takes the packages onnx and onnxruntime ({error}): pip install 'onnx>=1.18,<2' 'onnxruntime>=1.20,<2'"
  ) from error

OPSET, IR_VERSION = 21, 10  # the oldest with GroupNormalization as flax has it, so that old runtimes read it too
GREEDY = (
  'not included; greedily: the class of the largest logit of each frame, equal neighbours merged, class 0 dropped'
)
OF_VIEWS = '; the run looks at each image several times, and the temperature is of the mean; the file looks once'


def write(path: pathlib.Path, run: Run) -> None:
  """Writes the model with its metadata (`metadata_props`: text as it is, all else as JSON)."""
  model = build(run)
  onnx.checker.check_model(model, full_check=True)
  path.write_bytes(model.SerializeToString())


def load(path: str | pathlib.Path) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
  """The file in onnxruntime, on the CPU: images float32[B, H, W, C] -> {'logits': float32[B, T, K]}, B at least 1.

  Raises InputError where the file is no such model.
  """
  path = pathlib.Path(os.path.expanduser(path))
  if not path.is_file():
    raise InputError(f'there is no exported model {path}')
  try:
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
  except Exception as error:  # onnxruntime has kinds of its own, without a common parent
    raise InputError(f'onnxruntime cannot read {path}: {reason(error)}') from error
  return lambda images: {'logits': session.run(['logits'], {'images': images})[0]}


def build(run: Run) -> onnx.ModelProto:
  """The run's network and its metadata. Raises InputError where the run holds another task."""
  metadata.check_task(run, ('read_ctc',))
  stored = metadata.describe(
    run,
    file_format='onnx',
    decoding=GREEDY + (OF_VIEWS if run.config.evaluation.zooms else ''),
    outputs={'logits': 'float32[batch, frames, classes], unnormalised, divided by the temperature'},
    versions={
      'onnx': onnx.__version__,
      'onnxruntime': onnxruntime.__version__,
      'opset': OPSET,
      'ir_version': IR_VERSION,
    },
  )
  graph = Graph()
  frames, classes = crnn(graph, run)
  value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ['batch', *shape])
  model = helper.make_model(
    helper.make_graph(
      graph.nodes,
      'digits_jax',
      [value('images', *run.canvas.shape)],
      [value('logits', frames, classes)],
      graph.weights,
    ),
    opset_imports=[helper.make_opsetid('', OPSET)],
    ir_version=IR_VERSION,
    producer_name='digits_jax',
    producer_version=stored['versions']['digits_jax'],
    doc_string=f'Reads numbers. CTC decoding: {GREEDY}. Symbol i of the alphabet is class i + 1.',
  )
  helper.set_model_props(model, {k: v if isinstance(v, str) else json.dumps(v) for k, v in stored.items()})
  return model


def make_reference(run: Run) -> Callable[[jax.Array], dict[str, jax.Array]]:
  """What the file is to compute, by JAX: the run's network in float32, whatever it was trained in; jitted."""
  config = run.config.copy_and_resolve_references()
  config.model.dtype = 'float32'
  config.evaluation.zooms = ()  # the file is the network alone
  predict = experiment.make_task(config, run.alphabet).predict
  return jax.jit(lambda images: {'logits': predict(run.params, images)['logits'] / run.temperature})


class Graph:
  """Nodes and weights in the order in which they are added; every node has one output that is read."""

  def __init__(self):
    self.nodes, self.weights = [], []

  def weight(self, array) -> str:
    """The name of a constant; float arrays become float32."""
    array = np.asarray(array)
    array = array if array.dtype == np.int64 else array.astype(np.float32)
    name = f'weight_{len(self.weights)}'
    self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    return name

  def add(self, operator: str, *inputs: str, output: str | None = None, **attributes) -> str:
    """The name of the node's output."""
    output = output or f'{operator}_{len(self.nodes)}'
    self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
    return output

  def reshape(self, x: str, *shape: int) -> str:
    """As in NumPy; -1 is the batch."""
    return self.add('Reshape', x, self.weight(np.array(shape, np.int64)))

  def dense(self, x: str, kernel, bias) -> str:
    return self.add('Add', self.add('MatMul', x, self.weight(kernel)), self.weight(bias))


def crnn(graph: Graph, run: Run) -> tuple[int, int]:
  """Adds the network between `images` and `logits`; returns T and K."""
  params, model = run.params, run.config.model
  x, (features, height, frames) = _trunk(graph, params['trunk'], run.canvas.shape, model)  # [B, F, H', T]
  x = graph.reshape(graph.add('Transpose', x, perm=[3, 0, 2, 1]), frames, -1, height * features)  # [T, B, H'*F]
  x = graph.add('Relu', graph.dense(x, **params['frames']))
  for i in range(model.recurrent_layers if model.recurrent != 'none' else 0):
    x = _recurrent(graph, x, params[f'recurrent_{i}'], model.recurrent, frames)
  kernel, bias = (np.asarray(params['head'][name]) / run.temperature for name in ('kernel', 'bias'))
  graph.add('Transpose', graph.dense(x, kernel, bias), output='logits', perm=[1, 0, 2])
  return frames, bias.shape[0]


def _standardise(graph, x):
  """Mean 0 and deviation 1 for each channel of each image, as `layers.standardise`."""
  axes = graph.weight(np.array([1, 2], np.int64))
  x = graph.add('Sub', x, graph.add('ReduceMean', x, axes))
  variance = graph.add('ReduceMean', graph.add('Mul', x, x), axes)
  return graph.add('Div', x, graph.add('Max', graph.add('Sqrt', variance), graph.weight(1e-3)))


def _trunk(graph, params, shape, model):
  """`layers.Trunk` with channels first: images -> [B, F, H', T], and (F, H', T)."""
  (height, width, channels), (p, q) = shape, model.patch
  height, width = height // p, width // q
  x = _standardise(graph, 'images') if model.is_standardised else 'images'
  x = graph.reshape(x, -1, height, p, width, q, channels)
  x = graph.reshape(graph.add('Transpose', x, perm=[0, 2, 4, 5, 1, 3]), -1, p * q * channels, height, width)
  for i, (down, across) in enumerate(model.pools):
    block = params[f'ConvBlock_{i}']
    kernel = np.transpose(block['Conv_0']['kernel'], (3, 2, 0, 1))
    x = graph.add('Conv', x, graph.weight(kernel), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    scale, bias = (graph.weight(block['GroupNorm_0'][name]) for name in ('scale', 'bias'))
    epsilon = layers.GroupNorm.epsilon
    x = graph.add('GroupNormalization', x, scale, bias, num_groups=model.groups, epsilon=epsilon)
    x = graph.add('Relu', x)
    if (down, across) != (1, 1):
      x = graph.add('MaxPool', x, kernel_shape=[down, across], strides=[down, across])
    height, width = height // down, width // across
  return x, (kernel.shape[0], height, width)


def _recurrent(graph, x, params, kind, frames):
  """`recurrence.Recurrent`: [T, B, F] -> [T, B, features * directions]."""
  recurrent = np.asarray(params['recurrent'])  # [D, F, gates * F]
  directions, features = recurrent.shape[:2]
  # Ours are update, forget, candidate, output and reset, update, candidate.
  order = {'lstm': (0, 3, 1, 2), 'gru': (1, 0, 2)}[kind]
  sorted_gates = lambda array: np.concatenate([np.split(array, len(order), -1)[i] for i in order], -1)
  by_direction = lambda array: np.stack(np.split(np.asarray(array), directions, -1))  # [..., D * c] -> [D, ..., c]
  rows = lambda array: graph.weight(sorted_gates(array).swapaxes(1, 2))  # [D, inputs, gates * F] -> its transpose
  bias = by_direction(params['input']['bias'])  # [D, gates * F]
  if kind == 'lstm':
    second = np.zeros_like(bias)
    second[:, features : 2 * features] = 1  # recurrence._lstm_step adds it to the forget gate
    attributes = {}
  else:
    second = np.asarray(params['recurrent_bias'])[:, 0]
    attributes = {'linear_before_reset': 1}
  y = graph.add(
    kind.upper(),
    x,
    rows(by_direction(params['input']['kernel'])),
    rows(recurrent),
    graph.weight(np.concatenate([sorted_gates(bias), sorted_gates(second)], -1)),
    direction='bidirectional' if directions == 2 else 'forward',
    hidden_size=features,
    **attributes,
  )  # [T, D, B, F]
  return graph.reshape(graph.add('Transpose', y, perm=[0, 2, 1, 3]), frames, -1, directions * features)
