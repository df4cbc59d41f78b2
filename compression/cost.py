"""``python -m compression.cost --arch FILE.json --size 256x256``: print the cost of an architecture as
JSON."""
from __future__ import annotations

import argparse
import json
import re
import sys
from typing import NoReturn

from .elastic.arch import Arch
from .elastic.layers import NORMS
from .elastic.registry import family_by_name
from .generators.spade import UPSAMPLING
from .runtime.numbers import integer
from .search.macs import cost

MAX_SIDE = 2 ** 16  # upper bound on sides (pixels) and on channels


def parse_size(text: str) -> tuple[int, int]:
    """Parse ``"256x512"`` to (height, width).

    Raises:
        ValueError: another format, or a side out of range.
    """
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or not all(1 <= int(side) <= MAX_SIDE for side in match.groups()):
        raise ValueError(f"--size is HEIGHTxWIDTH in pixels, such as 256x512, up to {MAX_SIDE} each, "
                         f"got {text!r:.40}")
    return int(match[1]), int(match[2])


class _Parser(argparse.ArgumentParser):
    """Argument parser that raises ValueError, so that all errors are reported in the same way."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _parser() -> argparse.ArgumentParser:
    default = "(default: that of the published tables)"
    parser = _Parser(prog="python -m compression.cost", description=__doc__)
    parser.add_argument("--arch", required=True, help="JSON file of an architecture")
    parser.add_argument("--size", help=f"HEIGHTxWIDTH of the input in pixels {default}")
    parser.add_argument("--norm", choices=NORMS, help=f"norm of the generator {default}")
    parser.add_argument("--input_nc", type=integer(1, 65536), help=f"number of input channels {default}")
    parser.add_argument("--output_nc", type=integer(1, 65536), default=3,
                        help="number of output channels (default: 3)")
    parser.add_argument("--num_upsampling_layers", choices=tuple(UPSAMPLING),
                        help="upsampling layers of a SPADE generator (default: more, as in the tables)")
    return parser


def main() -> int:
    """Print the cost of the architecture. For invalid input, print one line of error and return 2."""
    try:
        args = _parser().parse_args()
        for flag in ("input_nc", "output_nc"):
            channels = getattr(args, flag)
            if channels is not None and not 1 <= channels <= MAX_SIDE:
                raise ValueError(f"--{flag} must be from 1 to {MAX_SIDE}, got {channels}")
        size = parse_size(args.size) if args.size else None
        arch = Arch.load(args.arch)
        settings = family_by_name(arch.family).generator.settings_from_flags(vars(args))
        print(json.dumps(cost(arch, size, args.input_nc, args.output_nc, args.norm, **settings)))
    except ValueError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
