"""The pages of docs/ are true of the code: links, files, functions, flags and messages that they name exist."""
import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
FOLDERS = ("compression", "data", "datasets", "models", "options", "util", "benchmarks", "scripts", "examples")
CODE = {path: path.read_text(encoding="utf-8")
        for path in [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]}


def spoken(source):
    """Source text with adjacent string literals joined and every ``{...}`` of an f-string made one ``…``."""
    source = re.sub(r"""["'](\s*\+)?\s*\n?\s*(\+\s*)?f?["']""", "", source)
    while source != (source := re.sub(r"\{[^{}]*\}", "…", source)):
        pass
    return source


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_pictures_are_small_and_used():
    pictures = sorted((ROOT / "docs" / "images").glob("*"))
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert all(path.suffix == ".png" and path.stat().st_size < 150_000 for path in pictures)
    assert sum(path.stat().st_size for path in pictures) < 600_000
    assert not [path.name for path in pictures if f"images/{path.name}" not in text]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_functions_that_are_named_exist(page):
    for path, name in re.findall(r"`([\w/]+\.py): ([\w.]+)`", page.read_text(encoding="utf-8")):
        module = importlib.import_module(path[:-3].replace("/", "."))
        reduce(getattr, name.split("."), module)  # AttributeError if it is not there


@pytest.fixture(scope="module")
def flags():
    """All flags of all entry points and scripts."""
    from options.evaluate_options import EvaluateOptions
    from options.search_options import SearchOptions
    from options.test_options import TestOptions
    from options.train_options import TrainOptions

    found = {"--help", "--nproc_per_node"}
    for kind, models in ((TrainOptions, ("pix2pix", "pix2pixhd", "spade", "segmenter", "ugc_supernet", "ugc_distill")),
                         (SearchOptions, ("ugc_supernet",)), (TestOptions, ("test", "ugc_student")),
                         (EvaluateOptions, ("ugc_student",))):
        for model in models:
            options = kind()
            more = {"ugc_distill": ["--supernet", "none"], "spade": ["--dataroot", "."]}  # the latter with label maps
            options.gather(["--model", model, "--name", "none", *more.get(model, [])])
            found |= options.parser._option_string_actions.keys()
    return found | {flag for path, text in CODE.items() if path.parent.name in ("datasets", "benchmarks", "compression", "scripts")
                    for flag in re.findall(r'"(--[\w-]+)"', text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_exist(page, flags):
    text = page.read_text(encoding="utf-8").replace("--use_vae", "")  # SPADE's own
    unknown = set(re.findall(r"(?<![\w-])--\w[\w-]*", text)) - flags
    assert not unknown, f"{page.name}: {sorted(unknown)}"


def test_messages_are_those_of_the_code():
    text = spoken("".join(CODE.values())) + "unrecognized arguments:"  # argparse's
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.M)
    assert len(rows) > 30
    for message in rows:
        for part in (p.strip() for p in re.split(r"\.\.\.|; ", message)):
            assert len(part) < 7 or part in text, f"docs/errors.md: '{part}' is in no message"


def test_the_overview_names_every_file_and_no_other():
    text = (ROOT / "docs" / "overview.md").read_text(encoding="utf-8")
    named = set(re.findall(r"([\w]+\.py)", text))
    files = {path.name for path in CODE if path.name != "__init__.py"}
    assert not files - named, f"not in docs/overview.md: {sorted(files - named)}"
    known = {path.name for path in (ROOT / "tests").rglob("*.py")} | {"__init__.py", "foo_dataset.py", "foo_model.py"}
    assert not named - files - known, f"not there: {sorted(named - files - known)}"
    for script in re.findall(r"`(\w+\.sh)`", text):
        assert (ROOT / "scripts" / script).is_file()
