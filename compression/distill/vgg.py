"""The convolutions of torchvision's VGG networks, from files on disk; nothing is downloaded."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ..checkpoints import checked_weights, load_file
from ..runtime.torchvision_compat import import_torchvision

VGG16_FILE = "vgg16-397923af.pth"  # torchvision's ImageNet weights
VGG19_FILE = "vgg19-dcbb9e9d.pth"


def weights_path(weights: str | Path | None, name: str) -> Path:
    """Return the path `weights`, or by default that of the file `name` in torch hub's folder."""
    return Path(weights) if weights else Path(torch.hub.get_dir()) / "checkpoints" / name


def load_stages(kind: str, weights: str | Path, ends: tuple[int, ...], flag: str) -> nn.ModuleList:
    """Load the convolutions of a torchvision VGG, frozen and split after the layers `ends`.

    Raises:
        ValueError: the file holds no state dict of this network; the message names `flag`.
    """
    with torch.device("meta"):
        features = getattr(import_torchvision().models, kind)().features  # without the large classifier
    content = load_file(weights)
    state = {}
    if isinstance(content, Mapping):
        state = {key.removeprefix("features."): value for key, value in content.items()
                 if str(key).startswith("features.")}
    if not state:
        raise ValueError(f"{flag} {weights}: holds no torchvision VGG-{kind[3:]} state dict")
    try:
        features.load_state_dict(checked_weights(state, f"{flag} {weights}"), assign=True)
    except RuntimeError:
        raise ValueError(f"{flag} {weights}: holds no torchvision VGG-{kind[3:]} state dict") from None
    starts = (0, *ends[:-1])
    stages = nn.ModuleList(features[start:end] for start, end in zip(starts, ends, strict=True))
    for module in stages.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return stages.eval().requires_grad_(False)
