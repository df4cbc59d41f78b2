"""Run the programs on every malformed input of the tests and count how each kind ended; prints JSON.

    python benchmarks/malformed_inputs.py

`refused`: one line of error, exit status 2, and no image was written. `handled`: the input was used
correctly. `failed`: anything else, or code of the input was executed.
"""
import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

from malformed import CASES, run  # noqa: E402


def ending(case):
    """Run the program on one input in a temporary folder; returns how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(case, Path(folder))
    if outcome.ran:
        return "failed"
    if outcome.handled:
        return "handled"
    return "refused" if outcome.refused else "failed"


def main():
    """Run all cases and print the counts."""
    argparse.ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    counts = {}
    for case in CASES:
        counts.setdefault(case.kind, Counter()).update(["inputs", ending(case)])
    counts["total"] = sum(counts.values(), Counter())
    print(json.dumps({kind: {key: count[key] for key in ("inputs", "handled", "refused", "failed")}
                      for kind, count in counts.items()}, indent=1))


if __name__ == "__main__":
    main()
