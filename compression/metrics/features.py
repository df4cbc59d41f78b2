"""Feature networks of the Fréchet and kernel distances, and a cache of features."""
from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..checkpoints import atomic_file, load_file
from ..distill.hed import HED_KEYWORD, HED_NAME, hed_path, load_hed
from .inception import INCEPTION_FILE, INCEPTION_URL, FIDInception
from .segmenter import SEGMENTER_FORMAT, Segmenter, load_segmenter

_HED_TAPS = ("relu4_3",)


@dataclass(frozen=True)
class FeatureNetwork:
    """A frozen network that maps images to features.

    Only with the Inception network of 2015, the distances are named FID and KID. With other networks they are
    named FD and KD, followed by the name of the network.

    Attributes:
        name: ``inception``, or the kind and checksum, such as ``segmenter-1a2b3c4d``.
        checksum: SHA-256 of its file.
        resize: how the network resizes images, in words.
        network: maps images (N, 3, H, W) in [0, 1] to features (N, D) or (N, D, h, w).
    """

    name: str
    checksum: str
    resize: str
    network: Callable[[Tensor], Tensor]

    @property
    def frechet(self) -> str:
        """Name of the Fréchet distance between these features."""
        return "FID" if self.name == "inception" else f"FD({self.name})"

    @property
    def kernel(self) -> str:
        """Name of the kernel distance between these features."""
        return "KID" if self.name == "inception" else f"KD({self.name})"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> np.ndarray:
        """Compute features (N, D), float32, of images (N, 3, H, W) in [0, 1]; average spatial activations.

        Raises:
            ValueError: if the network does not return one feature vector or activation for each image.
        """
        features = self.network(images)
        if isinstance(features, Tensor) and features.dim() == 4:
            features = features.mean((2, 3))
        if not isinstance(features, Tensor) or features.dim() != 2 or len(features) != len(images):
            shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"feature network {self.name}: expected features (N, D) or (N, D, h, w) of "
                             f"{len(images)} images, got {shape}")
        return features.float().cpu().numpy()


def checksum(path: str | Path) -> str:
    """Compute the SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        if hasattr(hashlib, "file_digest"):  # Python 3.11
            return hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(file.read()).hexdigest()


def inception_features(path: str | Path, device: torch.device) -> FeatureNetwork:
    """Load the Inception network of FID.

    Raises:
        ValueError: if `path` contains another network.
    """
    return FeatureNetwork("inception", checksum(path), FIDInception.resize, FIDInception(path).to(device))


def segmenter_features(net: Segmenter, path: str | Path, device: torch.device) -> FeatureNetwork:
    """Wrap the segmenter of a data set as a feature network; `path` is its file."""
    digest = checksum(path)
    return FeatureNetwork(f"segmenter-{digest[:8]}", digest, "none", net.to(device).features)


def hed_features(device: torch.device, purpose: str) -> FeatureNetwork:
    """Load the VGG-16 of HED as a feature network; `purpose` is the start of messages.

    Raises:
        ValueError: if the weights are missing or those of another network.
    """
    net = load_hed(purpose).to(device)
    return FeatureNetwork(HED_NAME, checksum(hed_path()), "none", lambda x: net(2 * x - 1, _HED_TAPS)[0])


def load_feature_network(path: str | Path, device: torch.device) -> FeatureNetwork:
    """Load the network of ``--feature_network``: a segmenter, Inception's state dict, TorchScript, or HED.

    A TorchScript module maps images (N, 3, H, W) in [0, 1] to features (N, D) or (N, D, h, w).

    Args:
        path: the file, or ``hed`` for the weights in torch hub's folder.
        device: the device of the network.

    Raises:
        ValueError: if the file is missing or none of these.
    """
    if path == HED_KEYWORD:
        return hed_features(device, f"--feature_network {HED_KEYWORD}")
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"--feature_network {path}: no such file ({HED_KEYWORD} selects HED)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript
            script = torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError:  # not TorchScript
        saved = load_file(path)
        if isinstance(saved, dict) and saved.get("format") == SEGMENTER_FORMAT:
            return segmenter_features(load_segmenter(path), path, device)
        return inception_features(path, device)
    digest = checksum(path)
    return FeatureNetwork(f"torchscript-{digest[:8]}", digest, "none", script)


def find_inception(path: str | Path | None) -> Path | None:
    """Find the weights of FID's Inception network.

    Args:
        path: value of ``--inception_weights``; None searches torch's hub folder.

    Returns:
        The path; None if `path` is None and the hub folder does not contain the file.

    Raises:
        ValueError: if `path` does not exist; the message has the URL of the file.
    """
    weights = Path(path) if path else Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    if weights.is_file():
        return weights
    if path:
        raise ValueError(f"--inception_weights {path}: no such file; FID's weights are at {INCEPTION_URL} "
                         f"(SHA-256 starts with {INCEPTION_FILE[-12:-4]})")
    return None


def cached_features(network: FeatureNetwork, files: Sequence[Path], extract: Callable[[], np.ndarray],
                    folder: str | Path, preparation: str = "") -> np.ndarray:
    """Load the features (N, D) of image files from a cache, or compute and store them.

    Args:
        network: the feature network. Its name and checksum are part of the cache key.
        files: the image files. Their paths, sizes, and modification times are part of the cache key.
        extract: computes the features.
        folder: folder of the cache.
        preparation: text that describes the preprocessing of images; part of the cache key.
    """
    key = hashlib.sha256(f"{network.name} {network.checksum} {network.resize} {preparation}".encode())
    for file in files:
        status = file.stat()
        key.update(f"\n{file.resolve()} {status.st_size} {status.st_mtime_ns}".encode())
    path = Path(folder) / f"{network.name}_{key.hexdigest()[:20]}.npy"
    features = _read_features(path, len(files))
    if features is None:
        features = extract()
        with atomic_file(path, durable=False) as stream:
            np.save(stream, features)
    return features


def _read_features(path: Path, count: int) -> np.ndarray | None:
    """Read a file of the cache; None if it is missing or damaged and has to be replaced."""
    try:
        features = np.load(path, mmap_mode="r", allow_pickle=False)  # compares the size of the file
    except Exception:  # NumPy raises many types for other files
        return None
    if not isinstance(features, np.ndarray) or features.dtype.kind != "f" or features.ndim != 2:
        return None
    if len(features) != count or not np.isfinite(features).all():
        return None
    return np.array(features)
