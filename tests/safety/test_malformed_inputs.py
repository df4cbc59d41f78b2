"""Malformed inputs are handled or end in one error line and exit status 2; none runs code."""
from collections import Counter

import pytest

from commands import execute
from malformed import CASES, EITHER, HANDLED, run
from malformed.harness import command

SOME_CASES = [CASES[i] for i in range(0, len(CASES), len(CASES) // 12)]  # for separate processes


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_malformed_input_is_handled_or_ends_in_one_error_line(case, tmp_path):
    outcome = run(case, tmp_path)
    assert not outcome.ran
    if case.expected == HANDLED:
        assert outcome.handled, outcome.errors
    elif case.expected == EITHER:
        assert outcome.handled or outcome.refused, outcome.errors
    else:
        assert outcome.refused, outcome.errors
        assert case.expected in outcome.errors


@pytest.mark.parametrize("case", SOME_CASES, ids=str)
def test_a_malformed_input_ends_the_same_way_in_a_separate_process(case, tmp_path):
    done = execute(*command(case.entry, case.make(tmp_path)))
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ran").exists()
    if case.expected == HANDLED:
        assert done.returncode == 0
        assert "error:" not in done.stderr
    elif case.expected != EITHER:
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert done.returncode == 2
        assert len(lines) == 1
        assert case.expected in lines[0]


def test_there_are_at_least_150_malformed_inputs():
    malformed = Counter(case.kind for case in CASES if case.expected != HANDLED)
    assert sum(malformed.values()) >= 150
    assert len({str(case) for case in CASES}) == len(CASES)
