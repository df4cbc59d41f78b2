"""README.md, CONTRIBUTING.md, CHANGELOG.md, and the pages of docs/ agree with the code.

The links, files, functions, flags, and messages that they name must exist.
"""
import importlib
import re
from functools import reduce

import pytest

from paths import ROOT

DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*DOCS, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
FOLDERS = ("compression", "data", "datasets", "models", "options", "util", "benchmarks", "scripts",
           "examples")
FILES = [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
CODE = {path: path.read_text(encoding="utf-8") for path in FILES}
PICTURES = sorted((ROOT / "docs" / "images").glob("*"))
# flags of other programs: argparse, torchrun, SPADE's train.py
FOREIGN_FLAGS = {"--help", "--nproc_per_node", "--nnodes", "--node_rank", "--master_addr", "--use_vae"}

def file_name(path):
    return path.name


for_each_page = pytest.mark.parametrize("page", PAGES, ids=file_name)


def normalize_source(source):
    """Join adjacent string literals of a source text; replace every ``{...}`` of an f-string by ``…``."""
    source = re.sub(r"""["'](\s*\+)?\s*\n?\s*(\+\s*)?f?["']""", "", source)
    while source != (source := re.sub(r"\{[^{}]*\}", "…", source)):
        pass
    return source


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@for_each_page
def test_links_point_to_existing_files_and_headings(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to {target}#{anchor}, which is not a heading"


@pytest.mark.parametrize("page", [*DOCS, ROOT / "README.md"], ids=file_name)
def test_no_page_repeats_a_heading(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    repeated = {heading for heading in headings if headings.count(heading) > 1}
    assert not repeated, f"{page.name} repeats {repeated}; a merge may have repeated a section"


@pytest.mark.parametrize("page", [page for page in DOCS if page.name != "index.md"], ids=file_name)
def test_the_index_links_to_every_page(page):
    assert f"]({page.name})" in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")


def test_the_readme_has_at_most_130_lines():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


@pytest.mark.parametrize("picture", PICTURES, ids=file_name)
def test_a_picture_is_a_small_png_that_a_page_shows(picture):
    assert picture.suffix == ".png"
    assert picture.stat().st_size < 150_000
    assert any(f"images/{picture.name})" in page.read_text(encoding="utf-8") for page in PAGES)


@for_each_page
def test_named_functions_exist(page):
    for path, name in re.findall(r"`([\w/]+\.py): ([\w.]+)`", page.read_text(encoding="utf-8")):
        module = importlib.import_module(path[:-3].replace("/", "."))
        reduce(getattr, name.split("."), module)  # raises AttributeError if it does not exist


def flags_of_entry_points():
    from options.evaluate_options import EvaluateOptions
    from options.export_options import ExportOptions
    from options.older_spellings import FLAGS, SWITCHES, WITHOUT_EFFECT
    from options.search_options import SearchOptions
    from options.test_options import TestOptions
    from options.train_options import TrainOptions

    models = {TrainOptions: ("pix2pix", "pix2pixhd", "spade", "segmenter", "ugc_supernet", "ugc_distill"),
              SearchOptions: ("ugc_supernet",),
              TestOptions: ("test", "ugc_student"),
              EvaluateOptions: ("ugc_student",),
              ExportOptions: ("ugc_student",)}
    # with --dataroot, spade reads label maps and has their flags
    required = {"ugc_distill": ["--supernet", "none"], "spade": ["--dataroot", "."]}
    flags = set()
    for options_class, names in models.items():
        for model in names:
            options = options_class()
            options.gather(["--model", model, "--name", "none", *required.get(model, [])])
            flags |= options.parser._option_string_actions.keys()
    return flags | FLAGS.keys() | SWITCHES.keys() | WITHOUT_EFFECT.keys()


def flags_of_scripts():
    folders = ("datasets", "benchmarks", "compression", "scripts")
    return {flag for path, text in CODE.items() if path.parent.name in folders
            for flag in re.findall(r'"(--[\w-]+)"', text)}


@pytest.fixture(scope="module")
def flags():
    """All flags of all entry points and scripts."""
    return flags_of_entry_points() | flags_of_scripts() | FOREIGN_FLAGS


@for_each_page
def test_named_flags_exist(page, flags):
    unknown = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", page.read_text(encoding="utf-8"), re.I)) - flags
    assert not unknown, f"{page.name}: {sorted(unknown)}"


def quoted_messages():
    """The messages in the tables of docs/errors.md."""
    return re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.M)


def test_the_page_of_errors_explains_more_than_30_messages():
    assert len(quoted_messages()) > 30


@pytest.fixture(scope="module")
def messages():
    """The source text that contains all messages, including argparse's."""
    return normalize_source("".join(CODE.values())) + "unrecognized arguments:"


@pytest.mark.parametrize("message", quoted_messages())
def test_a_quoted_message_is_in_the_code(message, messages):
    for part in re.split(r"\.\.\.|; ", message):
        part = part.strip()
        assert len(part) < 7 or part in messages, f"no message of the code contains '{part}'"


def files_in_the_overview():
    return set(re.findall(r"([\w]+\.py)", (ROOT / "docs" / "overview.md").read_text(encoding="utf-8")))


def test_the_overview_names_every_file():
    files = {path.name for path in CODE if path.name != "__init__.py"}
    assert not files - files_in_the_overview()


def test_the_overview_names_only_existing_files():
    existing = {path.name for path in [*CODE, *(ROOT / "tests").rglob("*.py")]}
    placeholders = {"foo_dataset.py", "foo_model.py"}
    assert not files_in_the_overview() - existing - placeholders


def test_the_overview_names_only_existing_scripts():
    text = (ROOT / "docs" / "overview.md").read_text(encoding="utf-8")
    missing = [name for name in re.findall(r"`(\w+\.sh)`", text) if not (ROOT / "scripts" / name).is_file()]
    assert not missing
