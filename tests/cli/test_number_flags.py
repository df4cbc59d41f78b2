"""Every number flag of every program declares a range, which also holds for saved settings."""
import argparse
import ast
import importlib
import sys

import pytest

import data
import models
from compression.runtime.numbers import Number, integer, number
from options.evaluate_options import EvaluateOptions
from options.export_options import ExportOptions
from options.search_options import SearchOptions
from options.test_options import TestOptions
from options.train_options import TrainOptions
from paths import ROOT

ENTRY_POINTS = {"train": TrainOptions, "search": SearchOptions, "test": TestOptions,
                "evaluate": EvaluateOptions, "export": ExportOptions}
PROGRAMS = [path for folder in (".", "options", "models", "data", "compression", "datasets", "scripts",
                                "benchmarks", "examples", "util")
            for path in sorted((ROOT / folder).glob("*.py" if folder == "." else "**/*.py"))]
OUTSIDE = ["nan", "-inf", "-1e400", "-2", "x", "", "9" * 400, "0x10", "1\x1b[31m"]  # of the range of any flag


def parsers():
    """Build the parser of every entry point with every model and data set."""
    only_test = {"test", "ugc_student", "exported"}
    for program, options in ENTRY_POINTS.items():
        for model in set(models.names()) - (only_test if program == "train" else set()):
            for mode in data.names():
                chosen = options()
                supernet = ["--supernet", "none"] if (program, model) == ("train", "ugc_distill") else []
                try:
                    chosen.gather(["--model", model, "--dataset_mode", mode, "--gpu_ids", "-1", *supernet])
                except ValueError as error:
                    if "has no pairs" not in str(error):
                        raise
                    continue  # a data set that the models of UGC cannot split
                yield program, chosen.parser


@pytest.fixture(scope="module")
def number_flags():
    """All number flags: (program, flag) -> parser and action."""
    return {(program, action.option_strings[0]): (parser, action) for program, parser in parsers()
            for action in parser._actions if isinstance(action.type, Number)}


def declarations(path):
    """Yield the calls in a file that add a flag."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and any(getattr(argument, "value", None) is not None
                                              and str(getattr(argument, "value", "")).startswith("--")
                                              for argument in node.args):
            yield node


def test_no_flag_is_declared_as_a_number_without_a_range():
    seen, wrong = 0, []
    for path in PROGRAMS:
        for call in declarations(path):
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            kind, default = given.get("type"), given.get("default")
            seen += kind is not None
            plain = isinstance(kind, ast.Name) and kind.id in ("int", "float", "complex")
            untyped = kind is None and isinstance(getattr(default, "value", None), (int, float))
            if plain or untyped:
                wrong.append(f"{path.name}:{call.lineno}")
    assert seen > 100
    assert not wrong


def test_all_flags_of_the_parsers_with_a_number_as_default_have_a_range():
    for program, parser in parsers():
        for action in parser._actions:
            assert action.type not in (int, float), (program, action.option_strings)
            if type(action.default) in (int, float) and action.dest != "save_latest_freq":
                assert isinstance(action.type, Number), (program, action.option_strings)
                assert action.type.accepts(action.default), (program, action.option_strings)


def test_every_number_flag_refuses_what_is_out_of_range(number_flags):
    assert len(number_flags) > 100
    for (program, flag), (parser, action) in number_flags.items():
        for text in OUTSIDE:
            if text == "9" * 400 and action.type.infinite:
                continue
            arguments = [f"{flag}={text}"]
            if action.nargs:  # several values, where a leading dash begins a flag
                if text.startswith("-"):
                    continue
                arguments = [flag, *[text] * action.nargs]
            with pytest.raises(ValueError, match=f"^{flag} must be a") as error:
                parser.parse_args(arguments)
            shown = text.replace("\x1b", "\\x1b")[:40]
            assert f"{action.type}, got {shown}" in str(error.value), (program, flag)


@pytest.mark.parametrize(("program", "flags", "message"), [
    ("test", "--aspect_ratio 0", "--aspect_ratio must be a number of at least 0.01 and at most 100, got 0"),
    ("train", "--init_gain -1", "--init_gain must be a number above 0, got -1"),
    ("search", "--search_images 0", "--search_images must be an integer from 1 to 1000000000, got 0"),
    ("search", "--calibration_images 0", "--calibration_images must be an integer from 1 to"),
    ("search", "--population 1", "--population must be an integer from 2 to 100000, got 1"),
    ("search", "--mutation_rate 1.5", "--mutation_rate must be a number of at least 0 and at most 1, got"),
    ("search", "--least_share 1", "--least_share must be a number of at least 0 and below 1, got 1"),
    ("search", "--macs 0", "--macs must be a budget: .*got '0'"),
    ("search", "--teacher_macs 1e400", "--teacher_macs must be a budget: .* from 1 to 1e18 .*got '1e400'"),
    ("search", "--params nan", "--params must be a budget: .*got 'nan'"),
    ("search", "--macs=-3G", "--macs must be a budget: .*got '-3G'"),
    ("train", "--seed 1234567890123456789", "--seed must be an integer from 0 to 1000000000000, got 1234"),
    ("evaluate", "--seed 1234567890123456789", "--seed must be an integer from 0 to 1000000000000, got 12"),
    ("train", "--beta1 1", "--beta1 must be a number of at least 0 and below 1, got 1"),
    ("train", "--lambda_L1 inf", "--lambda_L1 must be a number of at least 0, got inf"),
    ("train", "--batch_size 1e400", "--batch_size must be an integer from 1 to 65536, got 1e400"),
    ("train", "--save_latest_freq 0", "--save_latest_freq must be a number of images, .*got 0"),
    ("train", "--save_latest_freq 1e400m", "--save_latest_freq must be a number of images"),
])
def test_the_message_names_flag_value_and_range(program, flags, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        ENTRY_POINTS[program]().parse([*flags.split(), "--checkpoints_dir", str(tmp_path), "--gpu_ids", "-1"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("script", "arguments", "message"), [
    ("datasets.make_edges", "--source a --out b --size 0", "argument --size: must be an integer from 16 to"),
    ("datasets.make_edges", "--source a --out b --sigma nan", "argument --sigma: must be a number of at"),
    ("datasets.prepare_camvid", "--source a --out b --size 99999", "argument --size: must be an integer"),
    ("datasets.prepare_cityscapes", "--source a --out b --size -1", "argument --size: must be an integer"),
])
def test_the_scripts_of_data_sets_check_their_numbers(script, arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["script", *arguments.split()])
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(script).main()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "accepted", "refused"), [
    (integer(1, 3), ["1", "3", " 2 "], ["0", "4", "2.0", "-1", "1e0", str(10 ** 400)]),
    (number(0), ["0", "-0.0", "1e300"], ["-1e-9", "inf", "nan", "1e309"]),
    (number(above=0, at_most=1), ["1", "1e-300"], ["0", "1.0000001", "-0.5"]),
    (number(0, below=1), ["0", "0.999999"], ["1", "-1"]),
    (number(1, infinite=True), ["inf", "1e400", "1"], ["-inf", "nan", "0.5"])])
def test_a_type_accepts_exactly_its_range(kind, accepted, refused):
    for text in accepted:
        assert kind(text) == kind.kind(text)
    for text in refused:
        with pytest.raises(argparse.ArgumentTypeError, match=f"must be {kind}, got"):
            kind(text)
