"""Flags of testing."""

from .base_options import BaseOptions
from .shared_options import TEST_FLAGS, add_flags


class TestOptions(BaseOptions):
    """Adds the flags of test.py."""

    def initialize(self, parser):
        parser = BaseOptions.initialize(self, parser)
        add_flags(parser, TEST_FLAGS)
        parser.set_defaults(model="test", load_size=parser.get_default("crop_size"))
        self.isTrain = False
        return parser
