"""A run writes and removes only its own files, inside its own folder."""
import os
from pathlib import Path

import pytest

from commands import train_here
from compression import load_file, save_atomic
from compression.metrics.segmenter import load_segmenter
from util.lock import FolderLock
from util.progress import Progress
from util.run_folder import LOGS, drop_previous_run, recover, stash_previous_run

TOY = ["--model", "pix2pix", "--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4",
       "--toy_train_images", "2", "--toy_test_images", "2", "--load_size", "32", "--crop_size", "32",
       "--gpu_ids", "-1", "--num_threads", "0", "--batch_size", "1", "--no_html", "--n_epochs", "1",
       "--n_epochs_decay", "0"]
RUN = "0123456789abcdef" * 2


def train(runs, name, *flags, status=0):
    """Run train.py in this process; returns (standard output, standard error)."""
    return train_here("--checkpoints_dir", runs, "--name", name, *flags, status=status)


def tree(folder):
    """All files below a folder with their contents, without locks."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize("entry", [".lock", *LOGS, "search", "web"])
def test_a_link_in_the_folder_of_a_run_is_refused_and_its_target_is_kept(tmp_path, entry):
    victim = tmp_path / "victim"
    if entry in ("search", "web"):
        victim.mkdir()
        (victim / "index.html").write_text("mine")
    else:
        victim.write_text("mine")
    run = tmp_path / "runs" / "run"
    run.mkdir(parents=True)
    (run / entry).symlink_to(victim)
    _, err = train(tmp_path / "runs", "run", *TOY, status=2)
    assert f"{run / entry} is a symbolic link" in err
    assert err.count("\n") == 1
    assert set(tree(tmp_path).values()) == {b"mine"}


def test_a_lock_never_follows_a_link(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"), FolderLock(tmp_path):
        pass
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_linked_folder_of_a_run_is_used(tmp_path):
    """Runs may be kept on another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run").symlink_to(tmp_path / "disk")
    train(tmp_path / "runs", "run", *TOY)
    assert (tmp_path / "disk" / "latest_net_G.pth").is_file()


@pytest.mark.parametrize("name", ["previous", f"previous_{RUN}", f"previous_{RUN}.partial"])
def test_recovery_does_not_follow_links(tmp_path, name):
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "photo.png").write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / name).symlink_to(tmp_path / "victim")
    recover(run)
    drop_previous_run(run, RUN)
    assert tree(tmp_path)["victim/photo.png"] == b"mine"
    assert (run / name).is_symlink()


def test_files_of_the_user_in_the_folder_of_a_run_are_kept(tmp_path):
    """Also with names like those of the files that a new run replaces."""
    run = tmp_path / "run"
    mine = ["best_images/a.png", "best_of.txt", "previous/losses.jsonl", "previous_results/a.png",
            "best_net_G.pth.bak", "my_net_G.pth", "search/notes.txt", "latest_notes.pth"]
    for name in mine:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("mine")
    train(tmp_path, "run", *TOY)
    recover(run)
    stash_previous_run(run, RUN)
    drop_previous_run(run, RUN)
    kept = tree(run)
    assert all(kept[name] == b"mine" for name in mine)


def test_an_overwritten_run_loses_all_its_networks_and_its_search_but_no_link_target(tmp_path):
    run = tmp_path / "run"
    (run / "search").mkdir(parents=True)
    old = ["5_net_G.pth", "iter_30_net_D.pth", "latest_net_G.pth", "latest_student.pth", "best_net_G.pth",
           "5_segmenter.pth", "losses.jsonl", "search/student.json", "search/state.json"]
    for name in old:
        (run / name).write_text("old")
    (tmp_path / "victim").write_text("mine")
    (run / "7_net_G.pth").symlink_to(tmp_path / "victim")
    stash_previous_run(run, RUN)
    assert (run / "5_net_G.pth").is_file()  # until the first save
    save_atomic({}, run / "best_net_G.pth")  # of the new run
    drop_previous_run(run, RUN)
    assert set(tree(run)) == {"best_net_G.pth", "7_net_G.pth"}
    assert (tmp_path / "victim").read_text() == "mine"
    assert load_file(run / "best_net_G.pth") == {}


def test_a_stash_is_moved_back_wherever_a_kill_interrupted_it(tmp_path, monkeypatch):
    """A kill after any number of moves, there and back, keeps the logs of the earlier run."""
    files = {"latest_net_G.pth": b"net", "losses.jsonl": b"1", "loss_log.txt": b"2", "validation.jsonl": b"3",
             "best_net_G.pth": b"4"}
    replace = os.replace
    for kill in range(9):
        run = tmp_path / str(kill)
        run.mkdir()
        for name, content in files.items():
            (run / name).write_bytes(content)
        moves = iter(range(kill))

        def killed(source, target, moves=moves):
            if next(moves, None) is None:
                raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(os, "replace", killed)
        try:
            stash_previous_run(run, RUN)
            recover(run)
        except KeyboardInterrupt:
            monkeypatch.setattr(os, "replace", replace)
            recover(run)
        monkeypatch.setattr(os, "replace", replace)
        assert tree(run) == files, kill


@pytest.mark.parametrize("flags", [["--restore_G", "missing.pth"], ["--dataroot", "missing"]])
def test_a_run_that_fails_before_it_writes_leaves_no_folder(tmp_path, flags):
    train(tmp_path / "new", "group/run", *TOY, "--model", "ugc_supernet", *flags, status=2)
    assert not (tmp_path / "new").exists()


SEGMENTER = ["--model", "segmenter", "--toy_train_images", "4", "--toy_test_images", "2", "--load_size", "32",
             "--crop_size", "32", "--gpu_ids", "-1", "--num_threads", "0", "--batch_size", "2", "--no_html",
             "--n_epochs", "1", "--n_epochs_decay", "0", "--eval_every", "1", "--eval_images", "2"]


def test_a_continued_segmenter_keeps_its_miou_and_phase(tmp_path, monkeypatch):
    """After a kill in the last save, before the networks were written, and after the end of the run."""
    train(tmp_path, "run", *SEGMENTER)
    path = tmp_path / "run" / "latest_segmenter.pth"
    meta = load_segmenter(path).meta
    assert meta["phase"] == "val"
    assert 0 <= meta["mIoU"] <= 100
    assert meta["size"] == [32, 32]
    train(tmp_path, "run", "--continue_train")
    assert load_segmenter(path).meta == meta

    def killed(self, tags):
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "_write_networks", killed)
    train(tmp_path, "killed", *SEGMENTER, status=130)
    monkeypatch.undo()
    train(tmp_path, "killed", "--continue_train")
    assert load_segmenter(tmp_path / "killed" / "latest_segmenter.pth").meta == meta


def test_a_finished_segmenter_of_an_earlier_version_keeps_its_miou(tmp_path):
    """Earlier versions saved the mIoU with the network, but not in the state."""
    train(tmp_path, "run", *SEGMENTER)
    state_path = Path(tmp_path) / "run" / "latest_state.pth"
    state = load_file(state_path)
    del state["model"]["extra"]["meta"]
    save_atomic(state, state_path)
    path = tmp_path / "run" / "latest_segmenter.pth"
    meta = load_segmenter(path).meta
    train(tmp_path, "run", "--continue_train")
    assert load_segmenter(path).meta == meta
