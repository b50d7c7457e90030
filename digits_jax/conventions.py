"""What several layers agree on; nothing heavy is imported with it."""

SPLITS = ('train', 'validation', 'test')
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, of red, green, blue: what grey is made of
