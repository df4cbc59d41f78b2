"""``python -m compression.cost --arch FILE.json --size 256x256``: the cost of an architecture as JSON."""
from __future__ import annotations

import argparse
import json
import re
import sys

from .arch import Arch
from .families import family_named
from .generators.spade import UPSAMPLING
from .layers import NORMS
from .macs import cost


def parse_size(text: str) -> tuple[int, int]:
    """``"256x512"`` -> (height, width); ValueError for anything else."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or "0" in match.groups():
        raise ValueError(f"--size is HEIGHTxWIDTH in pixels, such as 256x512, got {text!r}")
    return int(match[1]), int(match[2])


def main() -> int:
    """Print the cost, or one line of error with exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m compression.cost", description=__doc__)
    parser.add_argument("--arch", required=True, help="JSON file of an architecture")
    parser.add_argument("--size", help="HEIGHTxWIDTH of the input in pixels (default: that of the published tables)")
    parser.add_argument("--norm", choices=NORMS, help="norm of the generator (default: that of the published tables)")
    parser.add_argument("--input_nc", type=int, help="input channels (default: that of the published tables)")
    parser.add_argument("--output_nc", type=int, default=3, help="output channels")
    parser.add_argument("--num_upsampling_layers", choices=tuple(UPSAMPLING), help="of a SPADE generator (default: "
                        "more, as in the published tables)")
    args = parser.parse_args()
    try:
        size = parse_size(args.size) if args.size else None
        arch = Arch.load(args.arch)
        settings = family_named(arch.family).generator.settings(vars(args))
        print(json.dumps(cost(arch, size, args.input_nc, args.output_nc, args.norm, **settings)))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
