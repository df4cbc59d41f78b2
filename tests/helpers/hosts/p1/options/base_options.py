"""Flags of the first generation: GPUs are chosen by number."""

import torch

from .shared_options import SharedOptions


class BaseOptions(SharedOptions):
    """Adds ``--gpu_ids``, a list of ints once all is printed and stored."""

    def initialize(self, parser):
        parser = SharedOptions.initialize(self, parser)
        parser.add_argument("--gpu_ids", type=str, default="0")
        return parser

    def parse(self):
        opt = SharedOptions.parse(self)
        opt.gpu_ids = [int(number) for number in opt.gpu_ids.split(",") if int(number) >= 0]
        if opt.gpu_ids:
            torch.cuda.set_device(opt.gpu_ids[0])
        return opt
