"""``python -m compression.cost --arch FILE.json --size 256x256``: the cost of an architecture as JSON."""
from __future__ import annotations

import argparse
import json
import re
import sys

from .elastic.arch import Arch
from .elastic.registry import family_by_name
from .generators.spade import UPSAMPLING
from .elastic.layers import NORMS
from .search.macs import cost

LARGEST_SIDE = 2 ** 16


def parse_size(text: str) -> tuple[int, int]:
    """``"256x512"`` -> (height, width); ValueError for anything else."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or not all(1 <= int(side) <= LARGEST_SIDE for side in match.groups()):
        raise ValueError(f"--size is HEIGHTxWIDTH in pixels, such as 256x512, up to {LARGEST_SIDE} each, got {text!r:.40}")
    return int(match[1]), int(match[2])


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line as every other error is said."""

    def error(self, message: str) -> None:
        raise ValueError(message)


def main() -> int:
    """Print the cost, or one line of error with exit status 2."""
    parser = _Parser(prog="python -m compression.cost", description=__doc__)
    parser.add_argument("--arch", required=True, help="JSON file of an architecture")
    parser.add_argument("--size", help="HEIGHTxWIDTH of the input in pixels (default: that of the published tables)")
    parser.add_argument("--norm", choices=NORMS, help="norm of the generator (default: that of the published tables)")
    parser.add_argument("--input_nc", type=int, help="input channels (default: that of the published tables)")
    parser.add_argument("--output_nc", type=int, default=3, help="output channels")
    parser.add_argument("--num_upsampling_layers", choices=tuple(UPSAMPLING), help="of a SPADE generator (default: "
                        "more, as in the published tables)")
    try:
        args = parser.parse_args()
        for flag in ("input_nc", "output_nc"):
            if getattr(args, flag) is not None and not 1 <= getattr(args, flag) <= LARGEST_SIDE:
                raise ValueError(f"--{flag} must be from 1 to {LARGEST_SIDE}, got {getattr(args, flag)}")
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
