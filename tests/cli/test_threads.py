"""Threads are chosen by the cores that are idle at the start; --threads decides."""
import os
import sys

import pytest

import util.before_torch as before_torch
import util.cores as cores
from commands import run, run_here

QUIET = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.fixture
def start(monkeypatch):
    """Let a function choose the threads as at the start of a program, with a number of idle cores of 4."""
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(before_torch, "usable_cores", lambda: 4)

    def choose(idle, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(before_torch, "idle_cores", lambda: idle)
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, "torch")
            return before_torch.chosen_threads()

    yield choose
    os.environ.pop("OMP_WAIT_POLICY", None)
    os.environ.pop("KMP_BLOCKTIME", None)


@pytest.mark.parametrize(("idle", "threads", "policy"), [(4.0, 4, None), (3.8, 4, None), (2.1, 2, "passive"),
                                                         (0.0, 1, "passive")])
def test_threads_and_their_waiting_follow_the_idle_cores(start, idle, threads, policy):
    assert start(idle) == (threads, idle)
    assert os.environ.get("OMP_WAIT_POLICY") == policy


def test_the_environment_decides(start):
    assert start(1.0, GOMP_SPINCOUNT="5") == (1, 1.0)
    assert "OMP_WAIT_POLICY" not in os.environ
    assert start(1.0, OMP_NUM_THREADS="3") == (None, None)
    assert start(None) == (None, None)  # another system than Linux


def test_idle_cores_are_read_from_the_kernel(monkeypatch, tmp_path):
    stat, times = tmp_path / "stat", iter([("cpu0 0 0 0 100 0 0 0 0", "cpu1 50 0 0 50 0 0 0 0"),
                                           ("cpu0 0 30 0 110 10 0 0 0", "cpu1 100 0 0 50 0 0 0 0")])
    monkeypatch.setattr(cores, "_STAT", stat)
    monkeypatch.setattr(cores, "_CGROUP", tmp_path)
    monkeypatch.setattr(cores.time, "sleep", lambda seconds: stat.write_text("\n".join(next(times))))
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: {0, 1})
    cores.time.sleep(0)
    monkeypatch.setattr(cores.os, "nice", lambda increment: 0)
    assert cores.idle_cores() == 2 * 50 / 100  # core 0 is idle or works for processes that yield
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert cores.usable_cores() == 2
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cores.usable_cores() == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores.usable_cores() == 2
    stat.unlink()
    monkeypatch.setattr(cores.time, "sleep", lambda seconds: None)
    assert cores.idle_cores() is None


def test_threads_are_printed_and_a_resumed_run_says_if_they_differ(tmp_path):
    tiny = ["--checkpoints_dir", tmp_path, "--netG", "resnet_6blocks", "--ngf", 4, "--ndf", 4,
            "--load_size", 32, "--crop_size", 32, "--toy_train_images", 4, "--no_html", "--gpu_ids", -1,
            "--n_epochs_decay", 0]
    output, _ = run_here("train", *tiny, "--threads", 1, "--n_epochs", 1)
    assert "CPU threads: 1 (--threads)\n" in output
    output, _ = run_here("train", *tiny, "--threads", 2, "--n_epochs", 2, "--continue_train")
    assert "the run was saved with 1 CPU threads and continues with 2" in output



def test_a_program_uses_the_idle_cores(tmp_path):
    code = ("import util.before_torch, torch; util.before_torch.use_threads(None); "
            "print(torch.get_num_threads())")
    done = run("-c", code, env={**{k: v for k, v in os.environ.items() if k not in QUIET}})
    line, threads = done.stdout.splitlines()
    assert line.startswith(f"CPU threads: {threads}, as ")
