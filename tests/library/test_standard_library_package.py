"""The library works next to the package `compression` that the standard library has from Python 3.14 on.

On earlier versions of Python, an imitation of that package is put on the path: gzip, bz2 and lzma import from
``compression._common``, as they do in Python 3.14.
"""
import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

from commands import environment, run
from paths import ROOT

USE_BOTH = """
import bz2, gzip, lzma, sys, zipfile
import torch
from compression import Arch, cost
from compression._common import _streams
assert issubclass(gzip._GzipReader, _streams.DecompressReader)
assert gzip.decompress(gzip.compress(b"text")) == b"text"
arch = Arch("unet", encoder=(8,) * 5, decoder=(8,) * 4)
print(json.dumps({"macs": cost(arch, (64, 64))["macs"], "library": sys.modules["compression"].__file__,
                  "gzip": gzip.__file__, "loss": float(torch.ones(2).sum())}))
"""


@pytest.fixture(scope="module")
def standard_library(tmp_path_factory):
    """A folder for the path with a package `compression` and the modules that import from it.

    From Python 3.14 on it is empty, because the standard library itself has them.
    """
    folder = tmp_path_factory.mktemp("standard_library")
    if sys.version_info >= (3, 14):
        return folder
    common = folder / "compression" / "_common"
    common.mkdir(parents=True)
    (folder / "compression" / "__init__.py").write_text("")
    (common / "__init__.py").write_text("")
    (common / "_streams.py").write_text(source_of("_compression"))
    for name in ("gzip", "bz2", "lzma"):
        text = source_of(name)
        assert "import _compression" in text
        text = text.replace("import _compression", "from compression._common import _streams as _compression")
        (folder / f"{name}.py").write_text(text)
    return folder


def source_of(module):
    return Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")


def run_code(code, *path, cwd):
    """Run Python code with the folders `path` before the standard library; returns its standard output."""
    return run("-c", code, cwd=cwd, env=environment(PYTHONPATH=os.pathsep.join(map(str, path)))).stdout


def assert_both_work(printed, standard_library):
    values = json.loads(printed.splitlines()[-1])
    assert Path(values["library"]) == ROOT / "compression" / "__init__.py"
    assert values["macs"] > 0
    assert values["loss"] == 2
    if sys.version_info < (3, 14):
        assert Path(values["gzip"]) == standard_library / "gzip.py"


def test_the_library_is_first_on_the_path(standard_library, tmp_path):
    printed = run_code(f"import json, compression\n{USE_BOTH}", ROOT, standard_library, cwd=tmp_path)
    assert_both_work(printed, standard_library)


@pytest.mark.parametrize("first", ["gzip", "torch"])
def test_the_library_is_in_the_working_directory(first, standard_library):
    printed = run_code(f"import json, {first}\n{USE_BOTH}", standard_library, cwd=ROOT)
    assert_both_work(printed, standard_library)


def test_the_library_replaces_the_standard_package(standard_library, tmp_path):
    """As in tests/conftest.py: the standard package was imported first."""
    replace = f"""
import gzip, json, sys
assert not hasattr(sys.modules["compression"], "GENERATORS")
sys.path.insert(0, {str(ROOT)!r})
sys.modules.pop("compression")
"""
    assert_both_work(run_code(replace + USE_BOTH, standard_library, cwd=tmp_path), standard_library)


def test_pytest_runs_where_the_standard_package_was_imported_first(standard_library, tmp_path):
    code = f"""
import gzip, shutil, sys
import pytest
assert not hasattr(sys.modules["compression"], "GENERATORS")
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-c", {str(ROOT / "pyproject.toml")!r},
                      {str(ROOT / "tests" / "library" / "test_arch.py")!r}]))
"""
    printed = run_code(code, standard_library, cwd=tmp_path)
    assert " passed" in printed
    assert "failed" not in printed


def test_an_entry_point_runs(standard_library, tmp_path):
    arch = tmp_path / "arch.json"
    arch.write_text(json.dumps({"family": "unet", "encoder": [8] * 5, "decoder": [8] * 4}))
    done = run("-m", "compression.cost", "--arch", arch, "--size", "64x64",
               env=environment(PYTHONPATH=str(standard_library)))
    assert json.loads(done.stdout)["macs"] > 0
