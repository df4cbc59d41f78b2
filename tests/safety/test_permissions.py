"""Files get the permissions of the umask, and commands that only read need no permission to write."""
import os

import pytest

from compression.checkpoints.files import atomic_file
from options import base_options
from options.test_options import TestOptions
from options.train_options import TrainOptions


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
    flags = ["--model", "pix2pix", "--gpu_ids", "-1", "--checkpoints_dir", str(tmp_path)]
    TestOptions().parse(flags)
    assert "note: the options are not saved: " in capsys.readouterr().out
    with pytest.raises(OSError, match="Read-only"):
        base_options.write_options(TrainOptions().parse(flags))
