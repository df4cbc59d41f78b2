"""Flags of training."""

from .base_options import BaseOptions
from .shared_options import TRAIN_FLAGS, add_flags

DISPLAY_FLAGS = (
    ("display_ncols", int, 4),
    ("display_id", int, 1),
    ("display_server", str, "http://localhost"),
    ("display_env", str, "main"),
    ("display_port", int, 8097),
)


class TrainOptions(BaseOptions):
    """Adds the flags of train.py, those of visdom among them."""

    def initialize(self, parser):
        parser = BaseOptions.initialize(self, parser)
        add_flags(parser, (*DISPLAY_FLAGS, *TRAIN_FLAGS))
        self.isTrain = True
        return parser
