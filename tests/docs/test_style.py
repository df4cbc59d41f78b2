"""The source files keep the limits of the house style and use the terms of the field."""
import ast
import io
import tokenize

from paths import ROOT

FOLDERS = ("benchmarks", "compression", "data", "datasets", "examples", "models", "options", "scripts",
           "tests", "util")
HOSTS = ROOT / "tests" / "helpers" / "hosts"  # imitations of the host's own files
MAX_COLUMNS, MAX_FUNCTION, MAX_FILE = 110, 60, 350
# identifiers of earlier versions, which the terms of the field replaced
FORMER_NAMES = {"told_flags", "untold", "know_restored", "peek", "one_size", "judged", "Judgement", "fitted",
                "settle", "set_aside", "misfit", "Sight", "OF_ONE_COMMAND", "TRAINING_ALONE"}


def read_sources():
    """Return the text of every Python file by its path relative to the repository."""
    paths = [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(paths) if HOSTS not in path.parents}


SOURCES = read_sources()


def test_no_line_is_longer_than_110_columns():
    long_lines = [f"{path}:{number}" for path, text in SOURCES.items()
                  for number, line in enumerate(text.splitlines(), 1) if len(line) > MAX_COLUMNS]
    assert not long_lines


def test_no_function_is_longer_than_60_lines():
    long_functions = []
    for path, text in SOURCES.items():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION:
                long_functions.append(f"{path}: {node.name} has {length} lines")
    assert not long_functions


def test_no_file_outside_the_tests_and_benchmarks_is_longer_than_350_lines():
    lengths = {path: len(text.splitlines()) for path, text in SOURCES.items()
               if not path.startswith(("tests/", "benchmarks/"))}
    too_long = {path: length for path, length in lengths.items() if length > MAX_FILE}
    assert not too_long


def test_identifiers_are_the_terms_of_the_field():
    uses = []
    for path, text in SOURCES.items():
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        names = {token.string for token in tokens if token.type == tokenize.NAME}
        uses += [f"{path}: {name}" for name in sorted(names & FORMER_NAMES)]
    assert not uses
