"""Files get the permissions of the umask, and commands that only read need no permission to write."""
import os
import shutil
import subprocess
import sys

import pytest

from commands import train_here
from compression.checkpoints.files import atomic_file
from options import base_options
from options.test_options import TestOptions
from options.train_options import TrainOptions
from paths import ROOT


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_files_get_the_permissions_of_the_umask(umask, mode, tmp_path):
    path = tmp_path / "latest_net_G.pth"
    previous = os.umask(umask)
    try:
        for _ in range(2):  # created and replaced
            with atomic_file(path) as file:
                file.write(b"weights")
                temporary, = set(tmp_path.iterdir()) - {path}
                assert temporary.stat().st_mode & 0o777 == mode  # also while it is written
            assert path.stat().st_mode & 0o777 == mode
    finally:
        os.umask(previous)


def read_only(path, text):
    raise OSError(f"{path}: cannot be written (Read-only file system)")


def test_test_and_evaluate_need_no_permission_to_write_next_to_checkpoints(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(base_options, "write_text", read_only)
    (tmp_path / "experiment_name").mkdir()
    flags = ["--model", "pix2pix", "--dataset_mode", "toy", "--gpu_ids", "-1",
             "--checkpoints_dir", str(tmp_path)]
    TestOptions().parse(flags)
    assert "note: the options are not saved: " in capsys.readouterr().out
    with pytest.raises(OSError, match="Read-only"):
        base_options.write_options(TrainOptions().parse(flags))


MOUNT = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'


def run_read_only(folder, *command):
    """Run a command while `folder` is mounted read-only, also for root; skips where that is not allowed."""
    if not shutil.which("unshare"):
        pytest.skip("needs unshare of util-linux")
    inside = ["unshare", "--mount", "sh", "-c", MOUNT, "sh", str(folder)]
    if subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("needs the permission to mount")
    return subprocess.run([*inside, sys.executable, *map(str, command)], cwd=ROOT, capture_output=True,
                          text=True, timeout=300)


def test_runs_in_a_read_only_folder_are_tested_and_evaluated_but_not_trained(tmp_path):
    runs, results = tmp_path / "runs", tmp_path / "results"
    at = ["--name", "net", "--checkpoints_dir", runs]
    train_here("--model", "pix2pix", "--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4",
               "--load_size", "32", "--crop_size", "32", "--toy_train_images", "4",
               "--toy_test_images", "2", "--n_epochs", "1", "--n_epochs_decay", "0", "--num_threads", "0",
               "--no_html", *at)
    before = sorted(runs.rglob("*"))
    for script in ("test.py", "evaluate.py"):
        done = run_read_only(runs, script, "--model", "pix2pix", "--results_dir", results / script, *at)
        assert done.returncode == 0, done.stderr
        assert (results / script / "net/test_latest/metrics.json").is_file()
        assert len(list((results / script / "net/test_latest/images").glob("*_fake_B.png"))) == 2
    done = run_read_only(runs, "train.py", "--continue_train", "--n_epochs", "2", *at)
    assert done.returncode == 2
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(runs.rglob("*")) == before
