"""Faces of installed font packages -> a folder to train on and one to test on, families apart; cut to the digits.

python experiments/families/gather.py --root=/ --out=fonts

Assumes the packages of packages.txt under --root, as `apt-get install` (root /) or `dpkg-deb -x` left them. Families
whose digits are nearly alike (clones under other names) are on one side.
"""

import argparse
import collections
import hashlib
import json
import logging
import pathlib

import numpy as np
from fontTools import subset, ttLib
from PIL import Image

from digits_jax.alphabet import Alphabet
from digits_jax.data import boxes, fonts

SYMBOLS = Alphabet('0123456789.-')
LEFT_OUT = ('DejaVu', 'STIX', 'Computer Modern')  # matplotlib ships them
# Jokes, symbols, and digits that need not be legible; looked at before anything was trained.
LEFT_OUT += ('Junkyard', 'Penguin', 'Wargames', 'It', 'Domestic', 'El', 'Standard', 'F', 'Joscelyn')
STYLES = 4  # faces of one font family: regular, bold, italic, and a condensed, bold italic or light one
GROUP = 8  # faces of one `family_of`, such as all of Noto
ALIKE = 0.93  # mean correlation of ten digits, each stretched to a square
SHARES = {'test': 20, 'validation': 10}  # groups of families; the others train


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--root', type=pathlib.Path, default=pathlib.Path('/'))
  parser.add_argument('--out', type=pathlib.Path, required=True)
  arguments = parser.parse_args()
  logging.disable(logging.WARNING)  # fontTools says much about old files
  faces = limit(describe(path) for path in find(arguments.root))
  if not faces:
    parser.error(f'--root={arguments.root}: no font that can be used lies in usr/share/fonts there')
  splits = split(faces)
  for face in faces:
    side = 'test' if splits[face['group']] == 'test' else 'train'
    package = face['path'].parent.name
    write(face['path'], arguments.out / side / package / face['path'].name)
  report = {}
  for name in ('train', 'validation', 'test'):
    kept = [face for face in faces if splits[face['group']] == name]
    groups, families = sorted({face['group'] for face in kept}), sorted({face['family'] for face in kept})
    report[name] = {'faces': len(kept), 'groups': groups, 'families': families}
    print(f'{name}: {len(kept)} faces of {len(families)} families, {len(groups)} by `family_of`')
  (arguments.out / 'families.json').write_text(json.dumps(report, indent=1))


def find(root):
  """Font files that the package can use, in the folders of fonts under root (one folder a package, or several)."""
  paths = [p for p in root.glob('usr/share/fonts/**/*') if p.suffix.lower() in ('.ttf', '.otf')]
  return sorted(p for p in paths if not p.is_symlink())


def describe(path):
  """What `limit` chooses by; None where the face is refused or left out."""
  try:
    group, _ = fonts._identify(path, SYMBOLS)
    file = ttLib.TTFont(path, lazy=True)
    if group in LEFT_OUT or 'fvar' in file:
      return None
    names = file['name']
    return {
      'path': path,
      'group': group,
      'family': names.getBestFamilyName() or path.stem,
      'style': names.getBestSubFamilyName() or '',
      'weight': file['OS/2'].usWeightClass if 'OS/2' in file else 400,
      'is_italic': bool(file['post'].italicAngle),
    }
  except Exception:  # fonts without digits, broken files: as `find_faces`
    return None


def limit(faces):
  """At most STYLES of a family and GROUP of those with one `family_of`, by family and file name."""
  families = collections.defaultdict(dict)
  for face in faces:
    if face and 'DejaVu' not in face['family']:
      families[face['family']].setdefault((face['style'], face['weight'], face['is_italic']), face)
  groups = collections.defaultdict(list)
  for name in sorted(families):
    chosen = choose_styles(list(families[name].values()))
    groups[chosen[0]['group']].append(chosen)
  kept = []
  for name in sorted(groups):
    in_turn = [chosen[i] for i in range(STYLES) for chosen in groups[name] if i < len(chosen)]
    kept += in_turn[:GROUP]
  return kept


def choose_styles(faces):
  chosen = []

  def choose(candidates, weight):
    left = [face for face in candidates if face not in chosen]
    chosen.extend(sorted(left, key=lambda face: abs(face['weight'] - weight))[:1])

  upright, italic = ([face for face in faces if face['is_italic'] == is_italic] for is_italic in (False, True))
  choose(upright or faces, 400)
  choose([face for face in upright if face['weight'] >= 600], 700)
  choose(italic, 400)
  others = [face for face in faces if 'ond' in face['style'] or face['weight'] <= 300]
  choose(others or [face for face in italic if face['weight'] >= 600], 400)
  return chosen


def split(faces):
  """{`family_of`: 'train', 'validation' or 'test'}, by a hash of the name; clones together."""
  vectors = np.array([digits_of(face['path']) for face in faces])  # [faces, 10, pixels]
  shipped = np.array([digits_of(face.path) for face in fonts.find_faces(None, alphabet=SYMBOLS)[0]])
  groups = [face['group'] for face in faces]
  first = {group: group for group in groups}  # of the groups that are alike, the first name
  for i, j in np.argwhere(likeness(vectors, vectors) >= ALIKE):
    old, new = sorted((first[groups[i]], first[groups[j]]), reverse=True)
    first = {group: new if name == old else name for group, name in first.items()}
  known = {first[groups[i]] for i, _ in np.argwhere(likeness(vectors, shipped) >= ALIKE)}
  order = sorted(set(first.values()) - known, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
  splits = dict.fromkeys(first.values(), 'train')
  for name, count in SHARES.items():
    splits |= dict.fromkeys(order[:count], name)
    order = order[count:]
  print(f'{len(splits)} groups whose digits differ, {len(known)} of them like a face that matplotlib ships')
  return {group: splits[name] for group, name in first.items()}


def likeness(one, other):
  return np.einsum('idp,jdp->ijd', one, other).mean(-1)


def digits_of(path):
  """Each digit's ink, stretched to a square: zero mean and unit length, float64[10, 256]."""
  font, rows = fonts._open(path, 64), []
  for digit in SYMBOLS.digits:
    image = fonts._draw(font, digit)
    left, top, right, bottom = boxes.from_mask(image >= fonts.INK)
    small = Image.fromarray(image[top:bottom, left:right]).resize((16, 16), Image.Resampling.BOX)
    vector = np.ravel(small) - np.mean(small)
    rows.append(vector / max(np.linalg.norm(vector), 1e-9))
  return np.array(rows)


def write(source, target):
  """The face with its digits, '.', '-' and names, and nothing else."""
  kept = {'CFF ', 'OS/2', 'cmap', 'glyf', 'head', 'hhea', 'hmtx', 'loca', 'maxp', 'name', 'post'}
  file = ttLib.TTFont(source, recalcTimestamp=False)
  for table in set(file.keys()) - kept - {'GlyphOrder'}:
    del file[table]
  options = subset.Options(hinting=False, layout_features=[], notdef_outline=True, name_IDs=[1, 2, 4, 6, 16, 17])
  cutter = subset.Subsetter(options)
  cutter.populate(text=SYMBOLS.symbols)
  cutter.subset(file)
  target.parent.mkdir(parents=True, exist_ok=True)
  file.save(target)


if __name__ == '__main__':
  main()
