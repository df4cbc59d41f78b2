"""Training and search are killed at random moments, and while they save; a short version of benchmarks/kill_test.py."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and POSIX locks")
def test_killed_runs_end_as_those_nobody_killed():
    done = subprocess.run([sys.executable, "benchmarks/kill_test.py", "--kills", "4", "--length", "1"], cwd=ROOT,
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert report["identical"], report
    assert report["kills"] >= 3 and report["stages"]["supernet"]["inside_a_save"] >= 1, report
