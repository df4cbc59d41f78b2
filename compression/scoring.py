"""How good a sub-network is before it is trained further: one number from the supernet's weights, lower is better."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from .arch import Arch
from .extraction import calibrate, extract
from .modes import eval_mode
from .ssim import ssim


def _l1(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean((1, 2, 3))


def _psnr(a: Tensor, b: Tensor) -> Tensor:
    return 10 * torch.log10(((a - b) ** 2).mean((1, 2, 3)).clamp_min(1e-10) / 4)  # range 2, negative for "lower"


# name -> ((image, ground truth, image of the largest network), each (N, C, H, W) in [-1, 1]) -> (N,) scores
CRITERIA: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "agreement": lambda image, target, largest: _l1(image, largest),
    "l1": lambda image, target, largest: _l1(image, target),
    "psnr": lambda image, target, largest: _psnr(image, target),
    "ssim": lambda image, target, largest: 1 - ssim(image, target),
}


class Scorer:
    """Scores architectures on fixed images with supernet weights.

    A candidate is extracted and its batch-norm statistics are re-estimated before it is judged; the largest network's
    images are made once.

    Args:
        supernet: the trained supernet, on its device.
        pairs: batches of (input, ground truth) to score on.
        calibration: batches of inputs for the batch-norm statistics.
        criterion: a name in `CRITERIA`; ``agreement`` is the distance to the largest network's images and looks at no
            ground truth.
        autocast: makes the context manager under which networks run.
    """

    def __init__(self, supernet, pairs: Sequence[tuple[Tensor, Tensor]], calibration: Sequence[Tensor],
                 criterion: str, autocast: Callable):
        if criterion not in CRITERIA:
            raise ValueError(f"--criterion {criterion} is unknown, known: {', '.join(CRITERIA)}")
        if not pairs:
            raise ValueError("there are no images to score on")
        self.supernet, self.pairs, self.calibration = supernet, list(pairs), list(calibration)
        self.criterion, self.autocast = CRITERIA[criterion], autocast
        with eval_mode(supernet), torch.no_grad(), autocast():
            self.largest = [supernet(x).float() for x, _ in self.pairs]

    @torch.no_grad()
    def __call__(self, arch: Arch) -> float:
        """The mean score of `arch`; lower is better."""
        net = self.candidate(arch)
        scores = []
        with eval_mode(net), self.autocast():
            for (x, target), largest in zip(self.pairs, self.largest):
                scores.append(self.criterion(net(x).float(), target, largest))
        return float(torch.cat(scores).mean())

    def candidate(self, arch: Arch):
        """The extracted and calibrated network of `arch`."""
        with self.autocast():
            return calibrate(extract(self.supernet, arch), self.calibration)
