"""`pip install .` installs the library under the import name `ugc`."""
import json
import subprocess
import sys

import pytest

from commands import environment
from commands import run as run_command
from compression import build_generator, save_student
from paths import ROOT

TRANSLATE = """
import sys, torch
from ugc import Arch, GENERATORS, cost, load_student, translate
assert "compression" not in sys.modules or not hasattr(sys.modules["compression"], "Arch")
net = load_student(sys.argv[1])
image = translate(net, torch.zeros(1, 3, 37, 41))
print(tuple(image.shape), "resnet_9blocks" in GENERATORS, cost(net.full, (64, 64))["params"])
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the installed package, built from a copy to keep build files out of the repository."""
    pytest.importorskip("setuptools")
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    listing = ["git", "ls-files", "-co", "--exclude-standard", "compression", "pyproject.toml", "README.md"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not names:
        pytest.skip("not a git checkout: its files cannot be listed")
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
                    "--disable-pip-version-check", "--target", site, source], check=True, timeout=120)
    return site


def run(site, folder, *arguments):
    """Run ``python ARGUMENTS`` in a folder outside the repository; returns the standard output."""
    return run_command(*arguments, cwd=folder, env=environment(PYTHONPATH=str(site))).stdout


def test_every_module_and_the_type_marker_are_installed(site):
    installed = {str(path.relative_to(site / "ugc")) for path in (site / "ugc").rglob("*.py")}
    listed = {str(path.relative_to(ROOT / "compression")) for path in (ROOT / "compression").rglob("*.py")}
    assert installed == listed
    assert (site / "ugc" / "py.typed").is_file()


def test_an_installed_library_runs_a_student_outside_the_repository(site, tmp_path):
    student = tmp_path / "student.pth"
    net = build_generator("resnet_6blocks", ngf=4, norm="batch")
    save_student(student, net)
    printed = run(site, tmp_path, "-c", TRANSLATE, student)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    assert printed.split("\n")[0] == f"(1, 3, 37, 41) True {parameters}"


def test_the_console_command_prints_costs(site, tmp_path):
    arch = {"family": "unet", "encoder": [8, 8, 8, 8, 8], "decoder": [8, 8, 8, 8]}
    (tmp_path / "arch.json").write_text(json.dumps(arch))
    printed = run(site, tmp_path, site / "bin" / "ugc-cost", "--arch", "arch.json", "--size", "64x64")
    assert printed.startswith('{"macs": ')
