"""Run an entry point in double precision: python tests/helpers/in_double.py train.py ...

Two ways to compute the same result differ by rounding errors, and training amplifies them: Adam turns the
noise of zero gradients (biases before an instance norm) into full steps, and the gradient of an L1 loss is a
sign. In double precision, rounding errors stay invisible after 20 steps, while a real difference shows.
"""
import runpy
import sys
from contextlib import contextmanager
from unittest import mock

import torch

from paths import ROOT


@contextmanager
def double_precision():
    """Let the models of a block compute in double precision."""
    from models.base_model import BaseModel

    to_device = BaseModel.to_device

    def in_double(self, item):
        floating = isinstance(item, torch.nn.Module) or item.is_floating_point()
        return to_device(self, item.double() if floating else item)

    with (mock.patch.object(BaseModel, "to_device", in_double),
          mock.patch.object(torch.Tensor, "float", torch.Tensor.double)):
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    sys.path.insert(0, str(ROOT))
    with double_precision():
        runpy.run_path(sys.argv[0], run_name="__main__")
