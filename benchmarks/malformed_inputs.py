"""Run the programs on every malformed input of the tests and count, as JSON, how each kind ended.

    python benchmarks/malformed_inputs.py

`refused`: one line of error, exit status 2, no image written. `failed`: anything else, or foreign code that ran.
"""
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

from malformed import CASES, run  # noqa: E402


def ending(case):
    """How the program ended on one input, made in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        found = run(case, Path(folder))
    return "failed" if found.ran else "handled" if found.handled else "refused" if found.refused else "failed"


def main():
    """Print the table."""
    counts = {}
    for case in CASES:
        counts.setdefault(case.kind, Counter(inputs=0, handled=0, refused=0, failed=0)).update(["inputs", ending(case)])
    counts["total"] = sum(counts.values(), Counter())
    print(json.dumps({kind: {key: count[key] for key in ("inputs", "handled", "refused", "failed")}
                      for kind, count in counts.items()}, indent=1))


if __name__ == "__main__":
    main()
