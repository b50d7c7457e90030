"""The shipped faces and their look-alikes, made-up fonts with one defect each, and the pixels drawn."""

import collections
import os
import pathlib
import shutil

import matplotlib
import numpy as np
import pytest
from fontTools import fontBuilder, ttLib
from fontTools.pens import ttGlyphPen

from digits_jax.alphabet import DIGITS, Alphabet
from digits_jax.data import fonts
from digits_jax.errors import InputError

SHIPPED = pathlib.Path(matplotlib.get_data_path(), 'fonts', 'ttf')
WITH_MARKS = Alphabet('0123456789.-')
SANS, SERIF = ('', '-Bold', '-Oblique', '-BoldOblique'), ('', '-Bold', '-Italic', '-BoldItalic')
REAL = {
  'DejaVu': {f'DejaVu{kind}' + s for kind, styles in (('Sans', SANS), ('SansMono', SANS), ('Serif', SERIF))
             for s in styles},
  'STIX': {'STIXGeneral', 'STIXGeneralBol', 'STIXGeneralBolIta', 'STIXGeneralItalic'},
  'Computer Modern': {'cmb10', 'cmmi10', 'cmr10', 'cmss10', 'cmti10', 'cmtt10'},
}


def make_font(path, drawn, family='Made Up'):
  """A font that draws, for each character, the outline DejaVu Sans has for another; '' draws nothing."""
  source = ttLib.TTFont(SHIPPED / 'DejaVuSans.ttf')
  outlines, names = source.getGlyphSet(), source.getBestCmap()
  glyphs = {'.notdef': names[ord('H')]} | {f'g{ord(c)}': o and names[ord(o)] for c, o in drawn.items()}
  build = fontBuilder.FontBuilder(source['head'].unitsPerEm)
  build.setupGlyphOrder(list(glyphs))
  build.setupCharacterMap({ord(c): f'g{ord(c)}' for c in drawn})
  shapes = {}
  for name, outline in glyphs.items():
    pen = ttGlyphPen.TTGlyphPen(None)
    if outline:
      outlines[outline].draw(pen)
    shapes[name] = pen.glyph(dropImpliedOnCurves=False)
  build.setupGlyf(shapes)
  build.setupHorizontalMetrics({name: (1300, 0) for name in glyphs})
  build.setupHorizontalHeader(ascent=1900, descent=-500)
  build.setupNameTable({'familyName': family, 'styleName': 'Regular'})
  build.setupOS2()
  build.setupPost()
  build.save(path)


@pytest.fixture(scope='module')
def shipped():
  return fonts.find_faces(None, alphabet=Alphabet())


def test_the_shipped_faces_are_22_in_three_families(shipped):
  faces, _ = shipped
  assert {family: {f.name for f in faces if f.family == family} for family in REAL} == REAL
  assert len(faces) == len(set(faces)) == 22
  assert [face.name for face in faces] == sorted(face.name for face in faces)


def test_shipped_look_alikes_are_refused_with_a_reason(shipped):
  faces, refused = shipped
  assert len(refused) + len(faces) == len([*SHIPPED.glob('*.ttf')])
  assert 'last-resort' in refused['LastResortHE-Regular.ttf']
  assert '2 of 10 look like themselves' in refused['cmsy10.ttf']
  assert 'outside its line' in refused['cmex10.ttf']
  for name in refused.keys() - {'LastResortHE-Regular.ttf', 'cmsy10.ttf', 'cmex10.ttf'}:
    assert name.startswith(('STIXSiz', 'STIXNonUni', 'DejaVuS'))
    assert refused[name] == "it has no glyph for '0123456789'"


def test_marks_are_looked_at_too():
  faces, refused = fonts.find_faces(None, alphabet=WITH_MARKS)
  assert len(faces) == 21 and refused['cmmi10.ttf'] == "it draws something else for '.'"


def test_a_small_alphabet_is_no_way_in_for_symbols():
  assert 'cmsy10.ttf' in fonts.find_faces(None, alphabet=Alphabet('23'))[1]


@pytest.mark.parametrize(
  ('change', 'reason'),
  [
    ({}, None),
    ({'.': '.', '-': '-'}, None),
    ({'7': None}, "it has no glyph for '7'"),
    ({'3': ''}, "its '3' is blank"),
    ({d: '5' for d in DIGITS}, "its '0' and '1' are drawn alike"),
    ({'9': '6'}, "its '6' and '9' are drawn alike"),
    ({'4': 'H'}, "its '4' is the box for missing glyphs"),
    (dict(zip(DIGITS, DIGITS[1:] + '0', strict=True)), 'look like themselves'),
    (dict(zip(DIGITS, 'ABCDEFGKLM', strict=True)), 'look like themselves'),
    ({'.': "'", '-': '-'}, "it draws something else for '.'"),
    ({'.': ';', '-': '-'}, "it draws something else for '.'"),
    ({'.': '.', '-': '\xb7'}, "it draws something else for '-'"),
    ({'.': ',', '-': '|'}, "it draws something else for '-'"),
    ({'.': '.', '-': '_'}, "it draws something else for '-'"),
  ],
)
def test_one_defect_one_reason(tmp_path, change, reason):
  drawn = {c: o for c, o in (dict(zip(DIGITS, DIGITS, strict=True)) | change).items() if o is not None}
  make_font(tmp_path / 'made.ttf', drawn)
  make_font(tmp_path / 'good.ttf', {c: c for c in WITH_MARKS.symbols})
  faces, refused = fonts.find_faces(str(tmp_path), alphabet=WITH_MARKS if '.' in drawn else Alphabet())
  assert [face.name for face in faces] == (['good'] if reason else ['good', 'made'])
  assert reason in refused['made.ttf'] if reason else not refused


def test_folders_are_searched_to_any_depth_and_broken_files_refused(tmp_path):
  (tmp_path / 'a' / 'b').mkdir(parents=True)
  shutil.copy(SHIPPED / 'cmr10.ttf', tmp_path / 'a' / 'b' / 'deep.TTF')
  shutil.copy(SHIPPED / 'cmr10.ttf', tmp_path / 'notes.txt')
  collection = ttLib.TTCollection()
  collection.fonts = [ttLib.TTFont(SHIPPED / name) for name in ('STIXGeneral.ttf', 'cmsy10.ttf')]
  collection.save(tmp_path / 'two.ttc')
  (tmp_path / 'broken.ttf').write_bytes(b'not a font')
  (tmp_path / 'empty.otf').write_bytes(b'')
  (tmp_path / 'half.ttf').write_bytes((SHIPPED / 'DejaVuSans.ttf').read_bytes()[:300_000])
  faces, refused = fonts.find_faces(str(tmp_path), alphabet=Alphabet())
  assert [(face.name, face.family) for face in faces] == [('a/b/deep', 'Computer Modern'), ('two', 'STIX')]
  assert refused.keys() == {'broken.ttf', 'empty.otf', 'half.ttf'}
  assert all('cannot be read as a font' in reason for reason in refused.values())


def test_several_folders_and_the_shipped_faces(tmp_path):
  for folder in ('a', 'b'):
    (tmp_path / folder).mkdir()
    shutil.copy(SHIPPED / 'cmr10.ttf', tmp_path / folder / f'{folder}.ttf')
    (tmp_path / folder / 'broken.ttf').write_bytes(b'not a font')
  shipped, _ = fonts.find_faces('', alphabet=Alphabet())
  several = os.pathsep.join(['shipped', str(tmp_path / 'a'), str(tmp_path / 'b')])
  faces, refused = fonts.find_faces(several, alphabet=Alphabet())
  assert {face.name for face in faces} == {face.name for face in shipped} | {'a', 'b'} and len(shipped) > 20
  assert [face.name for face in faces] == sorted(face.name for face in faces)
  assert refused.keys() == {f'{tmp_path}/a/broken.ttf', f'{tmp_path}/b/broken.ttf'}
  for wrong, message in (('nowhere', "'nowhere' does not exist"), ('', 'is missing')):
    with pytest.raises(InputError, match=message):
      fonts.find_faces(os.pathsep.join(['shipped', wrong]), alphabet=Alphabet())


def test_a_folder_without_a_usable_face_is_one_sentence(tmp_path):
  with pytest.raises(InputError, match=r"nowhere' does not exist"):
    fonts.find_faces(str(tmp_path / 'nowhere'), alphabet=Alphabet())
  with pytest.raises(InputError, match=f"{tmp_path.name}' has no face.*no file ends in .ttf"):
    fonts.find_faces(str(tmp_path), alphabet=Alphabet())
  shutil.copy(SHIPPED / 'cmex10.ttf', tmp_path)
  with pytest.raises(InputError, match=r"no face that draws '0123456789' \(1 refused: cmex10.ttf: its '0'"):
    fonts.find_faces(str(tmp_path), alphabet=Alphabet())


@pytest.mark.parametrize(
  ('group', 'names'),
  [
    ('Noto', ['Noto Sans', 'NotoSerif', 'Noto Sans CJK JP']),
    ('IBM', ['IBM Plex Sans', 'IBMPlexMono']),
    ('STIX', ['STIXGeneral', 'STIX Two Text']),
    ('DejaVu', ['DejaVu Sans Mono', 'DejaVuSerif', 'Bitstream Vera Sans']),
    ('Computer Modern', ['cmr10', 'cmtt12', 'CMU Serif', 'Latin Modern Roman', 'LMRoman10']),
  ],
)
def test_siblings_share_a_family(group, names):
  assert {fonts.family_of(name) for name in names} == {group}


def test_families_are_held_out_whole(shipped):
  faces, _ = shipped
  splits = fonts.split_families(faces, validation_families=['stix'], test_families=['Computer Modern'])
  assert {s: {f.family for f in kept} for s, kept in splits.items()} == {
    'train': {'DejaVu'}, 'validation': {'STIX'}, 'test': {'Computer Modern'}
  }
  assert sum(len(kept) for kept in splits.values()) == 22
  assert fonts.split_families(faces) == {'train': faces, 'validation': faces, 'test': faces}
  splits = fonts.split_families(faces, test_families=['STIX'])
  assert splits['validation'] == splits['train'] and len(splits['train']) == 18


@pytest.mark.parametrize(
  ('validation', 'test', 'message'),
  [
    ([], ['Helvetica'], r"test family 'Helvetica' is not one of \['Computer Modern', 'DejaVu', 'STIX'\]"),
    (['STIX'], ['STIX'], "'STIX' is held out for validation and for test"),
    (['DejaVu'], ['STIX', 'Computer Modern'], 'none is left to train on'),
  ],
)
def test_impossible_splits_are_refused(shipped, validation, test, message):
  with pytest.raises(InputError, match=message):
    fonts.split_families(shipped[0], validation_families=validation, test_families=test)


def ink_box(image):
  y, x = np.nonzero(image >= 64)
  return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])


@pytest.mark.parametrize('size', [18, 25, 48])
def test_glyphs_share_a_baseline_and_are_centred(shipped, size):
  for face in shipped[0]:
    images = fonts.render_face(face, size=size, alphabet=Alphabet())
    assert images.dtype == np.uint8 and len(images) == 10 and images.max() > 200
    assert images.shape[1] % 2 == images.shape[2] % 2 == 0
    boxes = np.array([ink_box(image) for image in images])
    assert np.abs(boxes[:, [0, 2]].mean(1) - images.shape[2] / 2).max() <= 0.5
    assert abs((boxes[:, 1].min() + boxes[:, 3].max()) / 2 - images.shape[1] / 2) <= 0.5
    if face.name not in ('cmmi10', 'cmti10'):  # whose digits hang below the line
      assert np.ptp(boxes[:, 3]) <= 1 + size // 24
    assert images[:, :, [0, -1]].any() and images[:, [0, -1]].any()


def test_old_style_digits_keep_their_places(shipped):
  face = next(face for face in shipped[0] if face.name == 'cmmi10')
  images = fonts.render_face(face, size=40, alphabet=Alphabet())
  tops, bottoms = np.array([ink_box(image)[[1, 3]] for image in images]).T
  assert tops[6] < tops[0] - 5 and bottoms[9] > bottoms[0] + 5 and abs(bottoms[6] - bottoms[0]) <= 1


def test_marks_stay_on_their_lines_and_the_anchor_is_the_digits(tmp_path):
  make_font(tmp_path / 'comma.ttf', {c: ',' if c == '.' else c for c in WITH_MARKS.symbols})
  hanging, _ = fonts.find_faces(str(tmp_path), alphabet=WITH_MARKS)
  for face in hanging + fonts.find_faces(None, alphabet=WITH_MARKS)[0]:
    images = fonts.render_face(face, size=40, alphabet=WITH_MARKS)
    boxes = np.array([ink_box(image) for image in images])
    assert abs(boxes[10, 3] - boxes[1, 3]) <= 1 or face in hanging
    assert boxes[1, 1] + 5 < boxes[11, 1] and boxes[11, 3] < boxes[1, 3] - 3
    digits = fonts.render_face(face, size=40, alphabet=Alphabet())
    tops = np.array([ink_box(digit)[1] for digit in digits])
    np.testing.assert_array_equal(boxes[:10, 1] - images.shape[1] // 2, tops - digits.shape[1] // 2)


def test_every_style_is_its_face_at_its_size_in_a_common_frame(shipped):
  faces = shipped[0][::7]
  images, labels, styles = fonts.render(faces, sizes=(18, 25), alphabet=Alphabet('3517'))
  assert (images.dtype, labels.dtype, styles.dtype) == (np.uint8, np.int32, np.int32)
  assert collections.Counter(zip(styles.tolist(), labels.tolist(), strict=True)) == {
    (r, a): 1 for r in range(2 * len(faces)) for a in (1, 2, 3, 4)
  }
  h, w = images.shape[1:]
  for i, face in enumerate(faces):
    for j, size in enumerate((18, 25)):
      alone = fonts.render_face(face, size=size, alphabet=Alphabet('3517'))
      y, x = (h - alone.shape[1]) // 2, (w - alone.shape[2]) // 2
      style = images[styles == 2 * i + j]
      assert (style[:, y : h - y, x : w - x] == alone).all() and style.sum() == alone.sum()


def test_ink_grows_with_the_size(shipped):
  heights = [np.ptp(ink_box(fonts.render_face(shipped[0][0], size=s, alphabet=Alphabet())[8])[[1, 3]])
             for s in (20, 40, 80, 160)]
  np.testing.assert_allclose(np.divide(heights[1:], heights[:-1]), 2, atol=0.15)


@pytest.mark.parametrize('size', [0, 5, 257, 18.5, '18'])
def test_sizes_out_of_range_are_refused(shipped, size):
  with pytest.raises(InputError, match='font size'):
    fonts.render(shipped[0][:1], sizes=(size,), alphabet=Alphabet())


def test_no_sizes_and_too_many_glyphs_are_refused(shipped, monkeypatch):
  with pytest.raises(InputError, match='nothing to render'):
    fonts.render(shipped[0], sizes=(), alphabet=Alphabet())
  monkeypatch.setattr(fonts, 'MAX_BYTES', 2**10)
  with pytest.raises(InputError, match='2 fonts and sizes need over'):
    fonts.render(shipped[0][:1], sizes=(18, 20), alphabet=Alphabet())
  with pytest.raises(InputError, match='it is larger than'):
    fonts.find_faces(None, alphabet=Alphabet())
