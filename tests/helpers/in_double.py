"""Run an entry point in double precision: python tests/helpers/in_double.py train.py ...

Two ways of computing the same differ by rounding, and training makes more of it: Adam turns the noise of gradients that are
zero (the biases before an instance norm) into whole steps, and an L1 loss has only signs. In double precision 20 steps do
not bring it to light; a real difference they do.
"""
import runpy
import sys

import torch

from paths import ROOT


def to_double(place):
    """BaseModel.to_device, of doubles."""
    def placed(self, item):
        floating = isinstance(item, torch.nn.Module) or item.is_floating_point()
        return place(self, item.double() if floating else item)
    return placed


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    sys.path.insert(0, str(ROOT))
    from models.base_model import BaseModel

    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    BaseModel.to_device = to_double(BaseModel.to_device)
    runpy.run_path(sys.argv[0], run_name="__main__")
