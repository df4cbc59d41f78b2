"""Imports point one way: entry points -> models, data, options, util -> layers of compression -> torch."""
import ast

import pytest

from paths import ROOT

LIBRARY = ROOT / "compression"
HOST = {"models", "data", "options", "util"}
ENTRY = {path.stem for path in ROOT.glob("*.py")}
# a sub-package imports from those before it
LAYERS = ("runtime", "elastic", "originals", "generators", "checkpoints", "deploy", "distill", "metrics",
          "search")


def imported_modules(path):
    """Absolute names of the modules that a file imports when it runs; relative ones are resolved."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {child for node in ast.walk(tree)
                   if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
                   for child in ast.walk(node)}
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def layer_of(module):
    """The sub-package of compression that a module belongs to, or None."""
    parts = module.split(".")
    return parts[1] if parts[0] == "compression" and len(parts) > 1 and parts[1] in LAYERS else None


def top_level(path):
    return {module.partition(".")[0] for module in imported_modules(path)}


def test_every_sub_package_has_a_layer():
    assert {path.parent.name for path in LIBRARY.glob("*/__init__.py")} == set(LAYERS)


@pytest.mark.parametrize("path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_does_not_import_the_host(path):
    assert not top_level(path) & (HOST | ENTRY)


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*/*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_sub_package_imports_only_lower_layers(path):
    own = path.parent.name
    allowed = set(LAYERS[:LAYERS.index(own) + 1])
    used = {layer for module in imported_modules(path) if (layer := layer_of(module))}
    assert used <= allowed, f"{own} must not import {sorted(used - allowed)}"


def test_modules_of_the_library_import_each_other_without_cycles():
    graph = {}
    for path in LIBRARY.rglob("*.py"):
        if path.name == "__init__.py":
            continue
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        graph[name] = set(imported_modules(path))
    graph = {name: {module for module in modules if module in graph and module != name}
             for name, modules in graph.items()}
    while leaves := [name for name, modules in graph.items() if not modules & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not graph, f"import cycle among {sorted(graph)}"


@pytest.mark.parametrize("path", sorted(p for name in HOST for p in (ROOT / name).rglob("*.py")),
                         ids=lambda path: str(path.relative_to(ROOT)))
def test_the_host_does_not_import_the_entry_points(path):
    assert not top_level(path) & ENTRY
