"""What is read back from files is checked entry by entry, in time and memory that the size justifies."""
import json
import math
from dataclasses import dataclass
from typing import Annotated

import pytest
import torch

from compression.checkpoints import run_of
from compression.checkpoints.files import MAX_JSON_BYTES, MAX_STATE_BYTES, read_json
from compression.checkpoints.records import Count, GeneratorState, Length, Size, read_record
from compression.distill.filter import DiscriminatorFilter
from compression.elastic.families import full_arch
from compression.metrics.perceptual_distance import ALEXNET_FILE, PerceptualDistance
from compression.runtime.encoding import ImageEncoding
from malformed.writing import rewritten, saved
from models.distill_checks import check_extra_state
from util.plots import label_text
from util.report_plots import plot_training
from util.search_state import SearchState
from util.validation import MAX_LOG_PARTS, read_jsonl

RNG = {"bit_generator": "PCG64", "state": {"state": 2 ** 127, "inc": 1}, "has_uint32": 0, "uinteger": 5}


@dataclass
class Example:
    pair: tuple[str, float]
    counts: Annotated[dict[str, Count], Length(2)]
    size: Size | None = None


@pytest.mark.parametrize(("changes", "message"), [
    ({"pair": ["a"]}, "'pair' must be a list of 2 entries, got 1"),
    ({"pair": ["a", "b"]}, r"'pair\[1\]' must be a number, got 'b'"),
    ({"counts": {"a": 1, "b": 2, "c": 3}}, "'counts' must have at most 2 entries, got 3"),
    ({"counts": {"a": -1}}, "'counts.a' must be a number from 0 to"),
    ({"counts": {1: 1}}, "'counts' must be an object whose names are text, got 1"),
    ({"size": [2, math.nan]}, r"'size\[1\]' must be an integer, got nan"),
    ({"size": "2x2"}, "'size' must be a list of 2 entries or null, got '2x2'"),
    ({"pair": ["a", 10 ** 100]}, r"'pair\[1\]' must be an integer of at most 256 bits")])
def test_an_entry_of_another_type_or_range_is_named(changes, message):
    content = {"pair": ["a", 1], "counts": {"a": 0}, "size": [2, 3], "other": object()}
    assert read_record(Example, content, "x.json") == Example(("a", 1), {"a": 0}, (2, 3))
    with pytest.raises(ValueError, match=f"x.json: {message}"):
        read_record(Example, {**content, **changes}, "x.json")


def test_an_entry_that_is_missing_is_named_with_the_entries_around_it():
    with pytest.raises(ValueError, match="x.json: 'rng.state.inc' is missing"):
        read_record(GeneratorState, {**RNG, "state": {"state": 1}}, "x.json", "rng")
    with pytest.raises(ValueError, match="x.json: 'rng.bit_generator' must be PCG64, got 'MT19937'"):
        read_record(GeneratorState, {**RNG, "bit_generator": "MT19937"}, "x.json", "rng")


@pytest.mark.parametrize("content", ["[" + "[]," * 2_200_000 + "[]]", '{"a":[' + "{}," * 2_200_000 + "{}]}",
                                     "[" + "[]," * 3_000_000 + "[]]"], ids=["lists", "objects", "bytes"])
def test_json_of_more_parts_than_any_file_has_is_not_parsed(tmp_path, monkeypatch, content):
    (tmp_path / "x.json").write_text(content)
    monkeypatch.setattr(json, "loads", None)
    with pytest.raises(ValueError, match=r"x.json: has (more than 2,097,152 objects|\d+,\d+,\d+ bytes)"):
        read_json(tmp_path / "x.json")


def test_the_state_of_a_search_with_50000_candidates_is_within_the_limits(tmp_path):
    pairs = [[full_arch("resnet_9blocks", 64).to_json(), 0.123456789012345]]
    single = {"generations": 1, "scored": [], "evolution": {"scores": [], "proposed": [], "rng": RNG}}
    content = {"supernet": "x", "searches": {"student": single}, "written": False}
    single["scored"] = single["evolution"]["scores"] = pairs * 500
    text = json.dumps(content, indent=1)
    assert MAX_JSON_BYTES < 100 * len(text) < MAX_STATE_BYTES
    assert 100 * sum(map(text.count, "{[:")) < 2 ** 21
    assert 100 * text.count(",") < 2 ** 22
    read_record(SearchState, json.loads(text), "state.json")
    single["evolution"]["scores"] = [[{}]]
    with pytest.raises(ValueError, match=r"searches.student.evolution.scores\[0\]' must be a list of 2"):
        read_record(SearchState, content, "state.json")


def test_of_a_very_long_log_only_some_lines_are_read(tmp_path):
    rows = [{"epoch": i, "G": 1.0} for i in range(MAX_LOG_PARTS // 3 + 2)]  # 3 parts each
    (tmp_path / "losses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_jsonl(tmp_path / "losses.jsonl")
    assert read == rows[::-2][::-1]
    (tmp_path / "losses.jsonl").write_text('{"epoch": 1, "a": 1}\n[]\n')
    with pytest.raises(ValueError, match=r"losses.jsonl: 'rows\[1\]' must be an object, got list"):
        read_jsonl(tmp_path / "losses.jsonl")


def test_names_in_a_log_are_not_read_as_tex_or_drawn_without_end(tmp_path):
    assert label_text("$a$\x1b") == r"\$a\$\x1b"
    row = {"epoch": 1, "$\\bad$": 1.0, **{f"m{i}": 1.0 for i in range(150)}}
    for name in ("losses.jsonl", "validation.jsonl"):
        (tmp_path / name).write_text(json.dumps(row) + "\n")
    assert len(plot_training(tmp_path)) == 1 + 20


def test_the_run_of_an_archive_with_a_second_meaning_is_unknown(tmp_path):
    content = [("archive/data.pkl", b"\x80\x02}."), ("archive/extra/run", b"0" * 32)]
    (tmp_path / "x.pth").write_bytes(rewritten(saved({}), lambda entries: content))
    assert run_of(tmp_path / "x.pth") == "0" * 32
    (tmp_path / "x.pth").write_bytes(rewritten(saved({}), lambda entries: [*content, content[1]]))
    assert run_of(tmp_path / "x.pth") is None
    (tmp_path / "x.pth").unlink()
    (tmp_path / "x.pth").mkdir()
    assert run_of(tmp_path / "x.pth") is None


class Student:
    """What the check of the inputs reads of a student."""

    config = {"input_nc": 3}

    @staticmethod
    def size_error(height, width):
        return "too small" if height < 4 else None


@pytest.mark.parametrize(("entry", "value", "message"), [
    ("filter", [], "'model.extra.filter' must be an object, got list"),
    ("filter", {"kind": "off"}, "'model.extra.filter.kind|'model.extra.filter.history' is missing"),
    ("kind", "agreement", "'model.extra.filter' is that of --adf agreement with the teachers wide"),
    ("history", {"wide": [0.5], "deep": ["x"]}, r"'model.extra.filter.history.deep\[0\]' must be a number"),
    ("history", {"wide": [], "deep": [math.nan]}, r"history.deep\[0\]' must be a number from"),
    ("history", {"wide": []}, "teachers wide; this run has --adf discriminator with the teachers wide"),
    ("acceptance", {"wide": 0.5}, "filter.acceptance' must have the teachers wide, deep, got wide"),
    ("acceptance", {"wide": 0.5, "deep": 2}, "acceptance.deep' must be a number from 0 to 1.001, got 2"),
    ("recent", [3], r"'model.extra.recent\[0\]' must be a Tensor, got 3"),
    ("recent", [torch.zeros(3, 4, 4), torch.zeros(3, 4)], r"recent\[1\]' must be a finite inp"),
    ("recent", [torch.zeros(4, 4, 4)], "3 channels or a label map"),
    ("recent", [torch.zeros(1, 4, 4, dtype=torch.int64)], "finite input of the student"),
    ("recent", [torch.zeros(3, 2, 2)], "finite input of the student"),
    ("recent", [torch.full((3, 4, 4), math.inf)], "finite input of the student")])
def test_the_state_of_a_distillation_with_another_entry_is_refused(entry, value, message):
    data_filter = DiscriminatorFilter(["wide", "deep"])
    state = {"filter": data_filter.state_dict(), "recent": [torch.zeros(3, 4, 4)]}
    encoding = ImageEncoding(3)
    check_extra_state(state, "latest_state.pth", data_filter, Student, encoding)
    (state if entry in state else state["filter"])[entry] = value
    with pytest.raises(ValueError, match=f"latest_state.pth: .*({message})"):
        check_extra_state(state, "latest_state.pth", data_filter, Student, encoding)


@pytest.mark.parametrize("content", [b"x", saved({"a": print}), saved({"features.0.weight": torch.zeros(2)})],
                         ids=["text", "code", "another network"])
def test_a_damaged_alexnet_is_named(tmp_path, monkeypatch, content):
    path = tmp_path / "checkpoints" / ALEXNET_FILE
    path.parent.mkdir()
    path.write_bytes(content)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ValueError, match=f"{ALEXNET_FILE}: (not a readable checkpoint|holds no torchvision)"):
        PerceptualDistance(torch.device("cpu"))
