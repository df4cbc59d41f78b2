"""Kill training and search at random moments and while they save: a short run of benchmarks/kill_test.py."""
import json
import sys

import pytest

from commands import run


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and POSIX locks")
def test_killed_runs_end_as_uninterrupted_runs():
    done = run("benchmarks/kill_test.py", "--kills", "4", "--length", "1", timeout=600)
    report = json.loads(done.stdout)
    assert report["identical"], report
    assert report["kills"] >= 3, report
    assert report["stages"]["supernet"]["inside_a_save"] >= 1, report
