"""Every field of an experiment, with its unit and its default. A config file starts from get_config() and changes it.

Lengths are in canvas pixels, angles in degrees, grey levels in [0, 1], unless a name says otherwise. A pair is a
range (low, high), drawn uniformly.
"""

from ml_collections import ConfigDict

from digits_jax.errors import InputError, suggest


def get_config() -> ConfigDict:
  """The defaults of all experiments: printed numbers of 1 to 5 digits on 64x128 canvases."""
  config = ConfigDict()
  config.schema_version = 3  # raised when a field changes its meaning or one that reading needs is added
  config.name = 'common'  # of the run directory, runs/<name>, where --workdir is not given

  config.seed = 0  # of the parameters, the training numbers and everything random in training
  config.steps = 3000  # of training
  config.batch_size = 64  # images a step, over all devices and processes
  config.steps_per_call = 0  # steps in one dispatch to the devices; 0 is 1 on a CPU and 10 elsewhere
  config.log_every = 50  # steps; these three, `steps` and the rest of rundir.FREE_FIELDS may change on resume
  config.eval_every = 250  # steps
  config.checkpoint_every = 250  # steps
  config.blank_patience = 1000  # steps after warm-up before training warns that only blanks are read; 0 never warns
  config.alphabet = '0123456789'  # digits, some or all; with fonts also '.' and '-' after them
  config.task = 'read_ctc'  # what is learnt: 'read_ctc', 'read_multidigit' or 'classify'
  config.init_from = ''  # run directory, or file of weights, whose parameters this run begins with; '' is from scratch
  config.init_subtrees = ()  # of them, such as ('trunk',); () is every one that fits

  config.model = ConfigDict()  # read by all tasks, where none is named
  config.model.is_standardised = True  # each image's channels get mean 0 and deviation 1 (instance normalisation)
  config.model.patch = (4, 4)  # pixels (down, across) that are folded into features first (space to depth)
  config.model.widths = (64, 64, 128)  # features of each convolution block
  config.model.pools = ((2, 1), (2, 1), (2, 1))  # after each block, (down, across)
  config.model.groups = 8  # of GroupNorm
  config.model.frame_features = 128  # read_ctc: of a frame, before the recurrence
  config.model.recurrent = 'lstm'  # read_ctc: 'lstm', 'gru' or 'none'
  config.model.recurrent_features = 96  # read_ctc: each direction
  config.model.recurrent_layers = 1  # read_ctc: one above the other
  config.model.is_bidirectional = True  # read_ctc: each layer reads from both ends
  config.model.kernel = 3  # read_multidigit: side of the trunk's convolutions; 3 in other tasks
  config.model.maxout = 1  # read_multidigit: maxout pieces of each feature of the first block; 1 is relu
  config.model.positions = 5  # read_multidigit: symbols that a number may have
  config.model.is_aligned = False  # read_multidigit: each symbol stands in its own strip, and is read there alone
  config.model.dense_features = (256,)  # read_multidigit, classify: of each dense layer behind the trunk
  config.model.dropout = 0.0  # rate of dropout before each dense layer after the trunk
  config.model.label_smoothing = 0.0  # classify, read_multidigit: share of a target spread over all symbols, or lengths
  config.model.dtype = 'float32'  # of the computation, or 'bfloat16'; parameters and softmax stay float32

  config.optim = ConfigDict()
  config.optim.name = 'adamw'  # 'adam', 'adamw' or 'sgd'
  config.optim.learning_rate = 2e-3  # at its highest
  config.optim.schedule = 'cosine'  # 'constant', 'cosine', 'one_cycle', 'triangular' or 'plateau'
  config.optim.warmup_steps = 20  # up to the highest rate, of all but 'one_cycle' and 'triangular'
  config.optim.cycle_steps = 1000  # of 'triangular'
  config.optim.final_frac = 0.01  # of the rate, at the end of 'cosine' and in the valleys of 'triangular'
  config.optim.weight_decay = 1e-4  # of matrices and kernels, not of scales and biases; 0 with 'adam'
  config.optim.momentum = 0.9  # Nesterov momentum of 'sgd'
  config.optim.clip_norm = 1.0  # global norm of the gradient; 0 does not clip
  config.optim.frozen = ()  # subtrees of the parameters that training leaves as they are, such as ('trunk',)
  config.optim.average_decay = 0.99  # of the parameters' exponential moving average (EMA), which is read with; 0: none

  config.selection = ConfigDict()  # what validation decides
  config.selection.metric = 'sequence_accuracy'  # or another of digits_jax.training.stopping.METRICS, such as 'loss'
  config.selection.min_delta = 0.0  # smallest gain of the metric that counts as an improvement
  config.selection.patience = 0  # evaluations without improvement before training stops; 0 never; may change on resume
  config.selection.plateau_patience = 5  # the same before schedule 'plateau' lowers the rate
  config.selection.plateau_factor = 0.5  # what schedule 'plateau' then multiplies the learning rate by
  config.selection.min_rate_scale = 0.01  # of optim.learning_rate, below which 'plateau' does not go

  config.data = ConfigDict()
  config.data.source = 'synthetic'  # what examples are: 'synthetic', 'street', 'svhn' or 'folder'
  config.data.svhn_splits = ('train',)  # of SVHN, that are trained on: 'train', 'extra' or both
  config.data.glyphs = 'fonts'  # or 'mnist', or your own digits at glyph_path: 'folder' or 'csv'
  config.data.glyph_path = ''  # a folder with folders 0 to 9 of images, or a CSV file of labels and 784 pixels
  config.data.split_seed = 0  # of the hash that splits your own images or digits, or SVHN's photos
  config.data.held_out = (0.1, 0.1)  # shares for validation and test of what is your own; of SVHN the first
  config.data.folder = ''  # source 'folder': your own labelled images, a folder or a CSV file
  config.data.skip_unreadable = False  # of these, files that cannot be read are left out; else they stop the run
  config.data.ink_frac = (0.25, 0.9)  # of the canvas's height: ink outside of it is rescaled to the middle
  config.data.data_dir = ''  # what `prepare --data_dir` wrote; '' is TFDS's default folder
  config.data.font_dir = ''  # folder of TTF and OTF files; '' is the faces that matplotlib ships; shipped:DIR is both
  config.data.test_font_dir = ''  # another folder for the test; '' tests on the faces of font_dir
  config.data.font_sizes = (18, 19, 20, 21, 22, 23, 24, 25)  # pixels an em
  config.data.validation_families = ()  # families of fonts for validation alone
  config.data.test_families = ()  # families of fonts for the test alone
  config.data.hold_out_numbers = True  # numbers of 3 and more digits of the test are never trained on

  config.photos = ConfigDict()  # of source 'svhn': what is cut out of photos
  config.photos.crop_px = 64  # both sides of a crop
  config.photos.margin = 0.3  # by which the box of all digits is expanded, about its centre
  config.photos.is_square = False  # expand the longer side, and cut a square of it; else each side by itself
  config.photos.max_digits = 6  # numbers of more are left out of training and validation, and counted
  config.photos.keep = 'device'  # where crops lie in training: 'device', 'host', or 'none': decoded for each step
  config.photos.workers = 0  # processes that make the file of crops, once; threads that decode, where none are kept
  config.augment = augment()  # of source 'svhn' in training ('street': convolution, colours); else the centre is read

  config.synth = synth()  # what training draws
  config.scene = scene()  # what source 'street' draws, with config.synth.number
  config.validation = ConfigDict()  # drawn as the test set `test` is, from validation glyphs and numbers; else read
  config.validation.seed = 1  # of its images
  config.validation.examples = 1000  # images; where there are fewer photos, those
  config.tests = ConfigDict()
  config.tests.test = test_set('plates-v1', synth())  # drawn from test glyphs and numbers; more may be added
  config.evaluation = ConfigDict()
  config.evaluation.batch_size = 250  # images in one dispatch, times 1 + the number of zooms; changes no figure
  config.evaluation.decoder = 'beam'  # or 'greedy': what numbers are read with, in validation and in the test
  config.evaluation.beams = 25  # of 'beam', prefixes kept after each frame
  config.evaluation.n_best = 5  # readings listed for an image; of 'beam' at most `beams`, of 'greedy' one
  config.evaluation.zooms = ()  # test-time augmentation: also zoomed out by these factors, probabilities averaged
  config.evaluation.sheet = 48  # test images on the sheet of readings
  config.lock()  # a config file that sets a field which does not exist fails, with a suggestion
  config.tests.unlock()  # but for further test sets
  config.tests.test.lock()
  return config


def augment() -> ConfigDict:
  """The defaults of what happens to the crop of a photo: a random window, other colours."""
  config = ConfigDict()
  config.size = 54  # pixels, both sides of the image that is read
  config.window = (0.84375, 0.84375)  # side of the window as a share of the crop's; 54 of 64 pixels copies them
  config.aspect = (1.0, 1.0)  # the window's width by its height, drawn by its logarithm
  config.spread = 1.0  # 1 any place that fits, 0 centred
  config.convolution = 0.0  # share of images that a random convolution gives other textures
  config.convolution_px = 3  # the largest kernel; 1, 3, ... are as frequent
  config.brightness = 0.5  # factor 1 +- this
  config.contrast = 0.5  # factor 1 +- this, about the mean grey
  config.saturation = 0.5  # factor 1 +- this, about each pixel's grey
  config.hue = 0.5  # +- this, in turns; 0.5 is any hue
  config.blur_px = (0.0, 0.0)  # standard deviation
  config.noise = (0.0, 0.0)  # standard deviation of each pixel and colour
  return config


def synth() -> ConfigDict:
  """The defaults of one distribution of numbers."""
  config = ConfigDict()
  config.number = ConfigDict()
  config.number.min_length = 1  # symbols
  config.number.max_length = 5  # symbols; all lengths between are as frequent
  config.number.first_digits = ()  # shares of the digits 0, 1, ... as the first symbol, if no '-'; () is even
  config.number.dot_fraction = 0.5  # of numbers of 3 and more symbols, where the alphabet has '.'
  config.number.minus_fraction = 0.25  # of numbers of 2 and more symbols, where it has '-'

  config.layout = ConfigDict()
  config.layout.kind = 'string'  # 'string', 'grid' (cells, random start) or 'stacked' (cells from the left)
  config.layout.height = 64  # of the canvas
  config.layout.width = 128  # of the canvas
  config.layout.spacing = 'gaps'  # string: spacing_px is between inks ('gaps') or anchors ('centres')
  config.layout.spacing_px = (0.0, 8.0)  # one value a number; negative gaps overlap, by half the narrower ink at most
  config.layout.spacing_jitter_px = 0.0  # string: +- this, each digit
  config.layout.wander_px = 0.0  # string: baseline +- this, each digit
  config.layout.tilt_degrees = 0.0  # string: baseline +- this
  config.layout.spread_x = 1.0  # string: 1 any place that fits, 0 the middle, by its digits' centres
  config.layout.spread_y = 1.0  # string: the same, up and down
  config.layout.cell_px = 28  # grid, stacked

  config.warp = ConfigDict()
  config.warp.scale = (1.0, 1.0)  # each digit, canvas pixels a glyph pixel
  config.warp.rotation_degrees = 0.0  # +- this, each digit
  config.warp.slant_degrees = 0.0  # +- this, one value a number
  config.warp.slant_jitter_degrees = 0.0  # +- this, each digit
  config.warp.elastic_px = 0.0  # standard deviation, in glyph pixels
  config.warp.stroke_frac = (0.0, 0.0)  # each digit, -1 a pixel thinner on each side, 1 a pixel thicker
  config.warp.shift_px = 0.0  # +- this, the whole number, as far as the canvas goes
  config.warp.zoom = (1.0, 1.0)  # the whole number, as far as the canvas goes
  config.warp.turn_degrees = 0.0  # +- this, the whole number
  config.warp.shear_degrees = 0.0  # +- this, the whole number

  config.clutter = ConfigDict()
  config.clutter.blobs = 0  # at most, an image
  config.clutter.blob_px = (1.0, 4.0)  # standard deviation along each axis
  config.clutter.blob_ink = (0.3, 0.9)  # at its centre

  config.photo = ConfigDict()
  config.photo.blur_px = (0.0, 0.0)  # standard deviation; below 0.4 it hardly blurs
  config.photo.background = (0.0, 0.0)  # grey of the paper
  config.photo.contrast = (1.0, 1.0)  # ink minus background, as far as white goes
  config.photo.inversion = 0.0  # share of images with dark ink on bright paper
  config.photo.noise = (0.05, 0.05)  # standard deviation of each pixel
  return config.lock()


def scene() -> ConfigDict:
  """The defaults of house numbers that are drawn. Lengths are in heights of a digit, where a name says nothing else."""
  config = ConfigDict()
  config.size = 54  # pixels, both sides of the crop that is read

  config.shape = ConfigDict()  # where the digits stand, and how they are seen
  config.shape.lengths = (0.2, 0.4, 0.26, 0.12, 0.02)  # shares of 1, 2, ... digits, whatever synth.number.min_length
  config.shape.stretch = (0.5, 1.15)  # width of digits, a factor, one value a number
  config.shape.scale = 0.06  # height of each digit, 1 +- this
  config.shape.gap = (-0.06, 0.4)  # between inks, one value a number, small ones more often
  config.shape.wander = 0.04  # baseline +- this, each digit
  config.shape.rotation_degrees = 4.0  # +- this, each digit
  config.shape.slant_degrees = 12.0  # +- this, one value a number
  config.shape.weight = (-0.02, 0.03)  # by which strokes are wider on each side
  config.shape.stairs_degrees = 12.0  # baseline of upright digits +- this
  config.shape.stacked = 0.02  # share of numbers whose digits stand one below the other
  config.shape.turn_degrees = 4.0  # the whole number, standard deviation
  config.shape.steep = 0.25  # share of numbers whose turn is drawn with four times turn_degrees
  config.shape.shear_degrees = 8.0  # the whole number +- this, along both axes
  config.shape.perspective = 0.1  # the middle of one side is larger than the number's middle, by 1 / (1 - this) at most
  config.shape.loose_x = (-0.02, 0.14)  # slack of a box left and right, beyond the upright frame of its digit
  config.shape.loose_y = (-0.03, 0.08)  # the same, above and below
  config.shape.margin = (0.0, 0.35)  # by how much the crop is larger than the box, each axis; SVHN's centre: 0.097
  config.shape.shift = 1.0  # 1 the box stands anywhere within the margin, 0 in its middle
  config.shape.neighbours = 0.1  # share of numbers with a digit of another beside them, many of them out of the crop

  config.paint = ConfigDict()  # colours
  config.paint.contrast = (0.12, 0.85)  # difference of ink and ground in grey, small ones more often
  config.paint.saturation = 0.3  # of either, at most; mostly less
  config.paint.outline = 0.15  # share of numbers with an outline in a third colour
  config.paint.outline_width = (0.03, 0.1)  # of those; 0.1 is the most
  config.paint.shadow = 0.35  # share of numbers that cast a shadow
  config.paint.shadow_reach = 0.15  # how far it is moved along each axis, at most
  config.paint.relief = 0.3  # share of numbers that are raised or cut in: one side bright, one dark
  config.paint.relief_strength = (0.1, 0.5)  # grey levels
  config.paint.bare = 0.15  # share of reliefs without ink, seen by light and shade alone
  config.paint.worn = (0.0, 0.08)  # standard deviation of the ink's texture

  config.ground = ConfigDict()  # what is behind
  config.ground.texture = (0.0, 0.08)  # standard deviation of a surface's random texture, grey levels
  config.ground.stripes = 0.15  # share of surfaces with bricks, boards or bars
  config.ground.stripes_contrast = (0.02, 0.15)  # grey levels
  config.ground.gradient = 0.25  # the light at the number's sides is 1 +- this, along each axis
  config.ground.edges = 2  # at most this many borders of other surfaces near the number
  config.ground.plate = 0.5  # share of numbers on a plate
  config.ground.plate_margin = (0.08, 0.6)  # from the ink to the plate's edge
  config.ground.frame = 0.5  # share of plates with a line along their edge
  config.ground.cast = 0.15  # share of images across which something casts a shadow
  config.ground.strokes = 3  # at most this many lines of ink near the number

  config.camera = ConfigDict()  # how it is photographed
  config.camera.digit_px = (11.0, 70.0)  # height of a digit in the photo, log-uniform; photos have scene.size at most
  config.camera.blur_px = (0.2, 1.4)  # standard deviation, in the photo's pixels
  config.camera.smear = 0.3  # share of images with motion blur along one axis (0.3 of it along the other)
  config.camera.fringe_px = 0.4  # colours are shifted against each other by +- this, in the photo's pixels
  config.camera.sharpening = 0.7  # at most this much of the difference to a blurred image is added, along each axis
  config.camera.noise = (0.0, 0.03)  # standard deviation of each of the photo's pixels
  config.camera.jpeg = 0.7  # share of images that were compressed
  config.camera.jpeg_quality = (30.0, 95.0)  # 1 to 100
  config.camera.gamma = (0.7, 1.4)  # exponent of grey levels, drawn by its logarithm
  config.camera.haze = 0.4  # at most this much of the contrast is lost
  return config


def goodfellow() -> dict:
  """The fields of config.model that make read_multidigit as large as in Goodfellow et al. 2013; pools are to be chosen.

  Eight convolutions of 5x5, the first one maxout, and two dense layers. There every other layer is pooled by 2x2, and
  there is dropout in all hidden layers; here before the dense ones.
  """
  widths = (48, 64, 128, 160, 192, 192, 192, 192)
  return {'patch': (1, 1), 'widths': widths, 'kernel': 5, 'maxout': 3, 'dense_features': (3072, 3072), 'dropout': 0.5}


def shrink(config: ConfigDict) -> None:
  """What `tiny` is of every config: 4 steps of 8 images on a small net, and few images to validate and to test."""
  config.update(steps=4, batch_size=8, steps_per_call=2, log_every=2, eval_every=2, checkpoint_every=2)
  config.model.update(widths=(8, 8), frame_features=16, recurrent_features=8)
  config.validation.update(examples=12)
  config.tests.test.update(examples=20)
  config.evaluation.update(batch_size=8, sheet=12)


def test_set(
  name: str, synth_config: ConfigDict, seed: int = 2, examples: int = 5000, draw: str = 'numbers'
) -> ConfigDict:
  """A fixed set: the generator, the seed and the number of examples define its every pixel.

  draw: 'numbers', as synth_config says; or 'glyphs', each glyph of the bank once and as it is, in the middle of the
  canvas (of synth_config only its height and width count; with fewer examples, evenly spread over the bank).
  """
  fields = {'name': name, 'seed': seed, 'examples': examples, 'draw': draw, 'synth': synth_config}
  return ConfigDict(fields).lock()


def choose(argument: str | None, variants: dict) -> str:
  """The variant that a config's argument (`configs/fonts.py:quick`) names; None is 'default'.

  Raises InputError, with a suggestion, where there is none of that name.
  """
  argument = argument or 'default'
  if argument not in variants:
    raise InputError(f'this config has no argument {argument!r}; {suggest(argument, variants)}')
  return argument


def begin_with(config: ConfigDict, begun: ConfigDict) -> None:
  """Has a run begin with the parameters of the run of config `begun`, whose model it then has."""
  config.model, config.init_from = begun.model, f'runs/{begun.name}'


def run_name(file: str, variant: str) -> str:
  """The name of the run of configs/<file>.py:<variant>."""
  return file if variant == 'default' else f'{file}-{variant}'
