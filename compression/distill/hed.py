"""HED (Xie and Tu, ICCV 2015): a VGG-16 for edges. Its layers are features, its output is edges."""
from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints import build_and_load, load_file

HED_NAME = "hed-vgg16"
HED_KEYWORD = "hed"  # value of flags that take the file of a network, and selects this one
HED_FILE = f"{HED_NAME}-2.0.0.pth"  # written by scripts/fetch_hed.py; the version is that of the package
HED_FORMAT = "ugc-hed-vgg16-1"
FETCH_HED = "run python scripts/fetch_hed.py"
# layers of the five blocks -> output channels; a 2x2 max pooling precedes every block but the first
HED_LAYERS = {f"relu{block}_{i}": min(512, 32 * 2 ** block)
              for block, count in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, count + 1)}
_SIDES = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")  # ends of the blocks


class HED(nn.Module):
    """The VGG-16 of HED, with all its layers at unit scale, and its side outputs.

    The weights of :func:`load_hed` are scaled so that the activations of each layer have a root mean square
    of 1 on photos. In a network of convolutions and ReLUs, this changes nothing but the scale of the layers:
    scaling the weights and the bias of a convolution by c > 0 scales its output by c, and the next
    convolution divides by c. The mean color is subtracted before the first convolution rather than folded
    into its bias, because the zeros of its padding stand for this color.

    Attributes:
        layers: ``relu<block>_<i>`` -> convolution.
        sides: 1x1 convolutions at the ends of the five blocks.
        fuse: 1x1 convolution of the five side outputs.
        mean: mean color, (1, 3, 1, 1) in [-1, 1].
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        channels = 3
        for name, width in HED_LAYERS.items():
            self.layers[name] = nn.Conv2d(channels, width, 3, padding=1)
            channels = width
        self.sides = nn.ModuleList(nn.Conv2d(HED_LAYERS[name], 1, 1) for name in _SIDES)
        self.fuse = nn.Conv2d(len(_SIDES), 1, 1)
        self.register_buffer("mean", torch.zeros(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor, layers: Collection[str]) -> list[Tensor]:
        """Compute activations after the ReLU; layers behind the last requested one are not computed.

        Args:
            image: (N, 1 or 3, H, W) in [-1, 1], of any size.
            layers: names from ``HED_LAYERS``, in their order.

        Returns:
            For each of `layers`, (N, C, ceil(H / 2^(block - 1)), ceil(W / 2^(block - 1))).
        """
        x = image.expand(-1, 3, -1, -1) - self.mean
        activations: list[Tensor] = []
        for name, convolution in self.layers.items():
            if name.endswith("_1") and name != "relu1_1":
                x = F.max_pool2d(x, 2, ceil_mode=True)
            x = F.relu(convolution(x))
            if name in layers:
                activations.append(x)
            if len(activations) == len(layers):
                break
        return activations

    @torch.no_grad()
    def edges(self, image: Tensor) -> Tensor:
        """Compute the probability of an edge at every pixel: the fused output.

        Args:
            image: (N, 1 or 3, H, W) in [-1, 1].

        Returns:
            (N, 1, H, W) in [0, 1].
        """
        size = image.shape[-2:]
        outputs = []
        for activation, side in zip(self(image, _SIDES), self.sides, strict=True):
            outputs.append(F.interpolate(side(activation), size, mode="bilinear", align_corners=False))
        return torch.sigmoid(self.fuse(torch.cat(outputs, 1)))


def hed_path() -> Path:
    """Return the path of the weights in torch hub's folder, whether the file exists or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / HED_FILE


def load_hed(purpose: str) -> HED:
    """Load the weights that scripts/fetch_hed.py has put into torch hub's folder.

    Args:
        purpose: what needs them, such as a flag; the start of messages.

    Raises:
        ValueError: if the file is missing or holds other weights.
    """
    path = hed_path()
    if not path.is_file():
        raise ValueError(f"{purpose} needs the weights of HED, not found: {path}; {FETCH_HED}")
    content = load_file(path)
    if not isinstance(content, Mapping) or content.get("format") != HED_FORMAT:
        raise ValueError(f"{path}: holds no weights of HED in the format {HED_FORMAT}; delete it and "
                         f"{FETCH_HED}")
    return build_and_load(HED, content.get("state_dict"), path).eval().requires_grad_(False)
