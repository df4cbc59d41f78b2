"""Print the cost of a network as JSON: MACs, parameters, and with --latency the milliseconds of one image.

``python -m compression.cost FILE``, where FILE is a checkpoint (.pth) of an original or a student, a result
of the search (search/student.json), or the JSON of an architecture.
"""
from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import torch

from .checkpoints.originals import load_original
from .checkpoints.students import is_student, load_student
from .elastic.arch import Arch, load_strict_json
from .elastic.generator import ElasticGenerator
from .elastic.layers import NORMS
from .elastic.registry import family_by_name
from .generators.spade import UPSAMPLING
from .runtime.numbers import ASPECT_RATIO, SIDE, integer
from .runtime.text import printable
from .search.latency import latency_ms
from .search.macs import CostModel, cost

MAX_SIDE = 2 ** 16  # upper bound on sides (pixels) and on channels
_MAX_PARAMS = 2 * 10 ** 9  # of a network that is built to measure its latency
_CHECKPOINTS = (".pth", ".pt", ".ckpt")
_NETWORK_FLAGS = ("norm", "input_nc", "output_nc")


class _CallableModule(ModuleType):
    """This module, which calls :func:`compression.search.macs.cost`.

    An import of this module replaces the function ``compression.cost`` of the public API.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, int]:
        return cost(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule


@dataclass(frozen=True)
class Network:
    """What the cost depends on.

    Attributes:
        arch: the architecture.
        config: the other constructor arguments.
        size: (height, width) of the image in pixels.
        generator: the network, if the file contains its weights.
    """

    arch: Arch
    config: dict[str, Any]
    size: tuple[int, int]
    generator: ElasticGenerator | None = None

    def measure(self, latency: bool = False) -> dict[str, Any]:
        """Compute the costs, and with `latency` measure the time of one image on the device."""
        settings = {name: value for name, value in self.config.items() if name not in ("dropout", "spectral")}
        shared = {name: settings.pop(name) for name in _NETWORK_FLAGS}
        cost_model = CostModel(self.size, **shared, settings=tuple(settings.items()))
        costs: dict[str, Any] = cost_model.cost(self.arch)
        measured = {**costs, "size": list(self.size), **shared, **settings}
        if not latency:
            return measured
        if costs["params"] > _MAX_PARAMS:
            raise ValueError(f"--latency: the network has {costs['params']:,} parameters, at most "
                             f"{_MAX_PARAMS:,} are measured")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        net = self.generator or family_by_name(self.arch.family).generator(self.arch, **self.config)
        milliseconds = latency_ms(net.to(device), self.config["input_nc"], self.size)
        return {**measured, "latency_ms": round(milliseconds, 3), "device": str(device)}


def read_network(path: Path, flags: Mapping[str, Any], size: tuple[int, int] | None) -> Network:
    """Read a file as a network; `flags` and `size` are those of the command line, None where not given.

    Raises:
        ValueError: if the file is unreadable, or contradicts a flag.
    """
    if path.suffix.lower() in _CHECKPOINTS:
        return _read_checkpoint(path, flags, size)
    return _read_json(path, flags, size)


def _read_checkpoint(path: Path, flags: Mapping[str, Any], size: tuple[int, int] | None) -> Network:
    """Read an original or a student. The size of a student is that of its search."""
    recorded: Any = None
    if is_student(path):
        net = load_student(path)
        differing = [f"--{name} is {net.config[name]}, asked: {flags[name]}" for name in _NETWORK_FLAGS
                     if flags[name] not in (None, net.config[name])]
        if differing:
            raise ValueError(f"{path}: {'; '.join(differing)}; drop the flag")
        recorded = net.meta.get("size")
    else:
        net = load_original(path, **flags)
    return Network(net.full, net.config, size or _as_size(path, recorded) or _table_size(net.full), net)


def _read_json(path: Path, flags: Mapping[str, Any], size: tuple[int, int] | None) -> Network:
    """Read an architecture. A result of the search records its network and its size; for any other file,
    the defaults are those of the published tables."""
    arch = Arch.load(path)
    family = family_by_name(arch.family)
    record = load_strict_json(path)
    config = {"norm": family.norm, "input_nc": family.input_nc, "output_nc": 3}
    recorded = record.get("network")
    if recorded is not None:
        config |= _checked_config(path, recorded, family.generator.extra_settings)
    elif "macs" in record and None in (flags["norm"], flags["input_nc"], size):
        raise ValueError(f"{path}: a result of the search of an earlier version, which does not record the "
                         "network; give --norm, --input_nc and --size, or the file of the student (.pth)")
    given = {name: flags[name] for name in _NETWORK_FLAGS if flags[name] is not None}
    settings = family.generator.settings_from_flags(flags)
    return Network(arch, {**config, **given, **settings},
                   size or _as_size(path, record.get("size")) or _table_size(arch))


def _checked_config(path: Path, recorded: Any, extra: tuple[str, ...]) -> dict[str, Any]:
    """Return the constructor arguments that a result of the search records, if they can be ones."""
    fits = isinstance(recorded, dict) and set(recorded) <= {*_NETWORK_FLAGS, *extra}
    if not fits or recorded.get("norm") not in NORMS or not all(
            _is_count(recorded.get(name)) for name in ("input_nc", "output_nc")):
        raise ValueError(f"{path}: its entry 'network' does not describe a network: {recorded!r:.80}")
    return recorded


def _as_size(path: Path, recorded: Any) -> tuple[int, int] | None:
    """Return the recorded (height, width), None if there is none."""
    if recorded is None:
        return None
    if not isinstance(recorded, (list, tuple)) or len(recorded) != 2 or not all(map(_is_count, recorded)):
        raise ValueError(f"{path}: its entry 'size' is not the (height, width) of an image: {recorded!r:.80}")
    return recorded[0], recorded[1]


def _is_count(value: object) -> bool:
    """Return whether a value is a number of pixels or channels."""
    return type(value) is int and 1 <= value <= MAX_SIDE


def _table_size(arch: Arch) -> tuple[int, int]:
    return family_by_name(arch.family).size


def parse_size(text: str, flag: str = "--size") -> tuple[int, int]:
    """Parse ``"256x512"``, the value of a flag, to (height, width).

    Raises:
        ValueError: another format, or a side out of range.
    """
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or not all(1 <= int(side) <= MAX_SIDE for side in match.groups()):
        raise ValueError(f"{flag} is HEIGHTxWIDTH in pixels, such as 256x512, up to {MAX_SIDE} each, "
                         f"got {text!r:.40}")
    return int(match[1]), int(match[2])


class _Parser(argparse.ArgumentParser):
    """Argument parser that raises ValueError, so that all errors are reported in the same way."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _parser() -> argparse.ArgumentParser:
    default = "(default: what the file records, otherwise that of the published tables)"
    parser = _Parser(prog="python -m compression.cost", description=__doc__, allow_abbrev=False)
    parser.add_argument("file", nargs="?", help="a checkpoint (.pth) or a JSON file")
    parser.add_argument("--arch", dest="file_of_flag", metavar="FILE", help="the same as FILE")
    parser.add_argument("--size", help=f"HEIGHTxWIDTH of the input in pixels {default}")
    parser.add_argument("--latency", action="store_true",
                        help="measure the latency, too, on the first GPU, or on the CPU if there is none")
    parser.add_argument("--norm", choices=NORMS, help=f"norm of the generator {default}")
    parser.add_argument("--input_nc", type=integer(1, 65536), help=f"number of input channels {default}")
    parser.add_argument("--output_nc", type=integer(1, 65536), help=f"number of output channels {default}")
    parser.add_argument("--num_upsampling_layers", choices=tuple(UPSAMPLING),
                        help="upsampling layers of a SPADE generator (default: more, as in the tables)")
    parser.add_argument("--crop_size", type=SIDE,
                        help="width of the images of a SPADE generator with a style code")
    parser.add_argument("--aspect_ratio", type=ASPECT_RATIO, help="their ratio of width to height")
    return parser


def main() -> int:
    """Print the cost of the network. For invalid input, print one line of error and return 2."""
    try:
        flags = vars(_parser().parse_args())
        files = [flags.pop(name) for name in ("file", "file_of_flag")]
        if (files[0] is None) == (files[1] is None):
            raise ValueError("expected one file: a checkpoint (.pth), a result of the search, or the JSON of "
                             "an architecture")
        text, latency = flags.pop("size"), flags.pop("latency")
        path = Path(next(file for file in files if file is not None))
        network = read_network(path, flags, parse_size(text) if text else None)
        try:
            print(json.dumps(network.measure(latency)))
        except (TypeError, LookupError) as error:
            raise ValueError(f"{path}: does not describe a network ({error})") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    except ValueError as error:
        print("error:", printable(" ".join(str(error).split())), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
