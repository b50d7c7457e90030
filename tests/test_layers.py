"""Who may import whom: the table of docs/design.md, "Layers"."""

import ast
import graphlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Of a module, or of a folder with all that is in it.
LAYERS = {'digits_jax': 5}
LAYERS |= {f'digits_jax.{name}': 0 for name in ('errors', 'conventions', 'structs', 'alphabet', 'cpu')}
LAYERS |= {f'digits_jax.{name}': 1 for name in ('synth', 'ctc', 'models', 'positions')}
LAYERS |= {f'digits_jax.{name}': 1 for name in ('metrics', 'confidence')}
LAYERS |= {f'digits_jax.{name}': 2 for name in ('data', 'drawing', 'charts')}
LAYERS |= {'digits_jax.tasks': 3, 'digits_jax.training': 4, 'digits_jax.reading': 4}
LAYERS |= {f'digits_jax.{name}': 5 for name in ('command', 'flag_errors', 'processes', 'main', 'synthesise')}
LAYERS |= {f'digits_jax.{name}': 5 for name in ('prepare', 'plots', 'predict', 'evaluate', 'export', 'benchmark')}
FILES = {
  '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__'): path
  for path in sorted((ROOT / 'digits_jax').rglob('*.py'))
}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def imports(name, statements):
  """The names of modules that import statements among the statements name."""
  package = name if FILES[name].name == '__init__.py' else name.rpartition('.')[0]
  for node in statements:
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{name} imports relative to {package}: the project writes whole names'
      for alias in node.names:
        whole = f'{node.module}.{alias.name}'
        yield whole if whole in FILES else node.module


def at_top(name):
  """Statements that run when the module is imported: all but those within functions."""
  waiting = list(TREES[name].body)
  for node in waiting:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
      waiting.extend(ast.iter_child_nodes(node))
  return waiting


def layer(name):
  """The layer of the module or of the folder that it is in; None where the table has neither."""
  return LAYERS.get(name, LAYERS.get('.'.join(name.split('.')[:2])))


def ours(names):
  return {name for name in names if name.split('.')[0] == 'digits_jax'}


def test_every_module_has_a_layer():
  assert [name for name in FILES if layer(name) is None] == []


@pytest.mark.parametrize('name', FILES)
def test_imports_point_down(name):
  for other in ours(imports(name, ast.walk(TREES[name]))) - {name}:
    assert layer(other) <= layer(name), f'{name} (layer {layer(name)}) imports {other} (layer {layer(other)})'


def test_no_cycles():
  graph = {name: ours(imports(name, at_top(name))) - {name} for name in FILES}
  list(graphlib.TopologicalSorter(graph).static_order())


def test_nothing_imports_what_is_not_part_of_the_package():
  for name, tree in TREES.items():
    found = {one.split('.')[0] for one in imports(name, ast.walk(tree))}
    assert not found & {'configs', 'experiments', 'tests'}, name


def test_training_never_imports_reading():
  for name in FILES:
    if name.startswith('digits_jax.training'):
      assert not any(one.startswith('digits_jax.reading') for one in imports(name, ast.walk(TREES[name]))), name


def test_one_module_says_pmap():
  assert [name for name, path in FILES.items() if 'pmap' in path.read_text()] == ['digits_jax.training.parallel']


def test_two_modules_draw():
  found = {name: {one for one in imports(name, ast.walk(tree)) if 'matplotlib' in one} for name, tree in TREES.items()}
  found = {name: modules for name, modules in found.items() if modules}
  assert set(found) == {'digits_jax.drawing', 'digits_jax.charts'}


@pytest.mark.parametrize('name', ['digits_jax', *(n for n in FILES if n.count('.') == 1 and layer(n) == 5)])
def test_commands_start_without_heavy_libraries(name):
  heavy = ('jax', 'flax', 'tensorflow', 'tensorflow_datasets', 'matplotlib', 'orbax', 'grain', 'optax', 'PIL', 'numpy')
  program = f'import sys, {name}; print(*(m for m in {heavy!r} if m in sys.modules))'
  done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, check=True)
  assert done.stdout.split() == []
