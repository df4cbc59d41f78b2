"""Imports run one way: entry points -> models, data, options, util -> compression -> torch."""
import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOST = {"models", "data", "options", "util"}
ENTRY = {path.stem for path in ROOT.glob("*.py")}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("path", sorted((ROOT / "compression").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_library_knows_nothing_of_the_host(path):
    assert not set(imported(path)) & (HOST | ENTRY)


@pytest.mark.parametrize("path", sorted(p for name in HOST for p in (ROOT / name).rglob("*.py")),
                         ids=lambda p: str(p.relative_to(ROOT)))
def test_the_host_knows_nothing_of_the_entry_points(path):
    assert not set(imported(path)) & ENTRY
