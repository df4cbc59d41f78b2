"""Flags of training."""

from .base_options import BaseOptions
from .shared_options import TRAIN_FLAGS, add_flags


class TrainOptions(BaseOptions):
    """Adds the flags of train.py."""

    def initialize(self, parser):
        parser = BaseOptions.initialize(self, parser)
        add_flags(parser, TRAIN_FLAGS)
        self.isTrain = True
        return parser
