"""Random weights in the layout of HED's, as Keras stores them and as scripts/fetch_hed.py converts them."""
import numpy as np
import torch

from modules import load_module
from paths import ROOT

WIDTHS = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)


def keras_weights(seed=0):
    """Name -> array of all weights; the activations neither vanish nor explode."""
    rng = np.random.default_rng(seed)
    weights, before = {}, 3

    def add(name, size, inputs, outputs):
        kernel = rng.standard_normal((size, size, inputs, outputs), dtype=np.float32)
        weights[f"{name}/vars/0"] = kernel * (2 / (inputs * size * size)) ** 0.5
        weights[f"{name}/vars/1"] = rng.standard_normal(outputs, dtype=np.float32)

    for block, widths in enumerate(WIDTHS, 1):
        for i, width in enumerate(widths):
            add(f"block{block}/layers/conv2d" + (f"_{i}" if i else ""), 3, before, width)
            before = width
        add(f"dsn{block}", 1, before, 1)
    add("fuse", 1, 5, 1)
    return weights


def write_hed(torch_home, **changes):
    """Write the weights into the hub folder of the directory `torch_home`; returns the path of the file.

    Args:
        torch_home: value of TORCH_HOME.
        changes: entries of the file that differ; those of ``state_dict`` are merged.
    """
    fetch_hed = load_module(ROOT / "scripts" / "fetch_hed.py")
    state = {name: value.half() for name, value in fetch_hed.convert(keras_weights()).items()}
    content = {"format": fetch_hed.HED_FORMAT, "state_dict": state | changes.pop("state_dict", {}), **changes}
    path = torch_home / "hub" / "checkpoints" / "hed-vgg16-2.0.0.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path
