"""Measure the latency of exported files and of networks in PyTorch, all in one process; prints JSON.

    python benchmarks/exported_latency.py exports/mine/*.onnx exports/mine/*.xml student.pth --threads 1

The latency is the median time of one call in milliseconds, over --seconds per file. A .pth, a student or an
original, runs in eager mode at --size.
"""
import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from compression import load_original, load_student  # noqa: E402
from compression.checkpoints import is_student  # noqa: E402
from compression.cost import parse_size  # noqa: E402
from compression.deploy.runtimes import latency_ms, open_network, open_session  # noqa: E402
from compression.runtime.numbers import integer, number  # noqa: E402


def open_file(path, size, threads, settings):
    """Open an exported file or a checkpoint; returns the session and the size in bytes."""
    if path.suffix == ".pth":
        net = load_student(path) if is_student(path) else load_original(path, **settings)
        example = torch.zeros(1, net.config["input_nc"], *size)
        weights = 4 * sum(parameter.numel() for parameter in net.parameters())
        return open_network(net, example, "torch", threads), weights
    session = open_session(path, threads=threads)
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    return session, sum(file.stat().st_size for file in files)


def inputs_of(session, size):
    """Return random inputs for a session: of its own size, or of `size` where it takes any."""
    rng = np.random.default_rng(0)
    arrays = []
    for spec in session.inputs:
        batch, channels, height, width = spec.shape
        shape = (batch or 1, channels, height or size[0], width or size[1])
        high = 2 if spec.dtype.kind == "i" else 256
        values = rng.integers(0, high, shape) if spec.dtype.kind in "iu" else rng.uniform(-1, 1, shape)
        arrays.append(values.astype(spec.dtype))
    return arrays


def main():
    """Measure the files."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="exported files, students, or originals")
    parser.add_argument("--size", default="256x256", help="HEIGHTxWIDTH where a file does not fix it")
    parser.add_argument("--threads", type=integer(1), default=1, help="CPU threads (default: 1)")
    parser.add_argument("--seconds", type=number(above=0), default=1.0, help="for each file (default: 1)")
    parser.add_argument("--num_upsampling_layers", default="more", help="of originals of SPADE")
    args = parser.parse_args()
    size = parse_size(args.size)
    torch.set_num_threads(args.threads)
    settings = {"num_upsampling_layers": args.num_upsampling_layers}
    for path in args.files:
        session, size_in_bytes = open_file(path, size, args.threads, settings)
        milliseconds = latency_ms(session, *inputs_of(session, size), seconds=args.seconds)
        precision = session.metadata.get("precision", "fp32")
        print(json.dumps({"file": str(path), "runtime": session.runtime, "precision": precision,
                          "threads": session.threads, "latency_ms": round(milliseconds, 2),
                          "bytes": size_in_bytes}), flush=True)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
