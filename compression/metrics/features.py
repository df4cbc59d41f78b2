"""Feature networks of the Fréchet and kernel distances, and the cache of what they computed."""
from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..checkpoints import load_file
from .inception import INCEPTION_FILE, INCEPTION_URL, FIDInception
from .segmenter import SEGMENTER_FORMAT, Segmenter, load_segmenter


@dataclass(frozen=True)
class FeatureNetwork:
    """Images (N, 3, H, W) in [0, 1] -> features (N, D).

    Only with the Inception network of 2015 are the distances called FID and KID; with others FD and KD, with the
    network in the name.

    Attributes:
        name: ``inception``, or kind and checksum, such as ``segmenter-1a2b3c4d``.
        checksum: SHA-256 of its file.
        resize: what it does to the size of images, in words.
        network: the function.
    """

    name: str
    checksum: str
    resize: str
    network: Callable[[Tensor], Tensor]

    @property
    def frechet(self) -> str:
        """Name of the Fréchet distance on these features."""
        return "FID" if self.name == "inception" else f"FD({self.name})"

    @property
    def kernel(self) -> str:
        """Name of the kernel distance on these features."""
        return "KID" if self.name == "inception" else f"KD({self.name})"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> np.ndarray:
        """Images (N, 3, H, W) in [0, 1] -> (N, D) float32; spatial activations are averaged.

        Raises:
            ValueError: if what the network returns is no feature of each image.
        """
        found = self.network(images)
        if isinstance(found, Tensor) and found.dim() == 4:
            found = found.mean((2, 3))
        if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != len(images):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"feature network {self.name}: wanted features (N, D) or (N, D, h, w) of {len(images)} "
                             f"images, got {shape}")
        return found.float().cpu().numpy()


def checksum(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else \
            hashlib.sha256(file.read()).hexdigest()


def inception_features(path: str | Path, device: torch.device) -> FeatureNetwork:
    """The network of FID; ValueError if `path` holds another."""
    return FeatureNetwork("inception", checksum(path), FIDInception.resize, FIDInception(path).to(device))


def segmenter_features(net: Segmenter, path: str | Path, device: torch.device) -> FeatureNetwork:
    """The activations of a data set's own segmenter."""
    digest = checksum(path)
    return FeatureNetwork(f"segmenter-{digest[:8]}", digest, "none", net.to(device).features)


def load_feature_network(path: str | Path, device: torch.device) -> FeatureNetwork:
    """A user's network: a segmenter of this project, Inception's state dict, or TorchScript.

    TorchScript takes images (N, 3, H, W) in [0, 1] and returns (N, D) or (N, D, h, w).

    Raises:
        ValueError: if the file is missing or none of these.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"--feature_network {path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the format is what users have
            script = torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError:  # no TorchScript
        saved = load_file(path)
        if isinstance(saved, dict) and saved.get("format") == SEGMENTER_FORMAT:
            return segmenter_features(load_segmenter(path), path, device)
        return inception_features(path, device)
    digest = checksum(path)
    return FeatureNetwork(f"torchscript-{digest[:8]}", digest, "none", script)


def find_inception(path: str | Path | None) -> Path | None:
    """The file of ``--inception_weights``, else the one in torch's hub folder, else None.

    Raises:
        ValueError: if a file was named and is not there; says where to get it.
    """
    found = Path(path) if path else Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    if found.is_file():
        return found
    if path:
        raise ValueError(f"--inception_weights {path}: no such file; FID's weights are at {INCEPTION_URL} "
                         f"(SHA-256 starts with {INCEPTION_FILE[-12:-4]})")
    return None


def cached_features(network: FeatureNetwork, files: Sequence[Path], extract: Callable[[], np.ndarray],
                    folder: str | Path, preparation: str = "") -> np.ndarray:
    """Features (N, D) of image files, computed by `extract` unless `folder` has them.

    The key is the network's checksum and what `preparation` says is done to images, with name, size and time of every
    file.
    """
    key = hashlib.sha256(f"{network.name} {network.checksum} {network.resize} {preparation}".encode())
    for file in files:
        status = file.stat()
        key.update(f"\n{file.resolve()} {status.st_size} {status.st_mtime_ns}".encode())
    path = Path(folder) / f"{network.name}_{key.hexdigest()[:20]}.npy"
    if path.is_file():
        try:
            found = np.load(path, allow_pickle=False)
            if len(found) == len(files):
                return found
        except (OSError, ValueError):
            pass  # a damaged file is made anew
    found = extract()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp.npy")
    np.save(temporary, found)
    temporary.replace(path)
    return found
