"""No command replaces, mixes up, or misunderstands a run that exists already."""
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import run_here, train_here
from compression import load_file

SMALL = ["--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4", "--load_size", "32", "--crop_size", "32",
         "--gpu_ids", "-1", "--num_threads", "0", "--no_html", "--n_epochs", "1", "--n_epochs_decay", "0"]
TOY = [*SMALL, "--toy_train_images", "2", "--toy_test_images", "2"]
TOY_LINE = "no --dataroot: the images are those of the built-in toy data set"


def tree(folder):
    """All files below a folder with their contents, without locks."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != ".lock"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder of checkpoints with a finished original, supernet, and upstream run."""
    runs = tmp_path_factory.mktemp("finished")
    for name, model in (("original", "pix2pix"), ("supernet", "ugc_supernet")):
        out, _ = train_here("--checkpoints_dir", runs, "--name", name, "--model", model, *TOY)
        assert out.splitlines()[0] == TOY_LINE
    (runs / "upstream").mkdir()
    shutil.copy(runs / "original" / "latest_net_G.pth", runs / "upstream")
    return runs


@pytest.fixture
def runs(finished, tmp_path):
    """A copy of these runs."""
    return Path(shutil.copytree(finished, tmp_path / "runs"))


@pytest.fixture
def pairs(tmp_path):
    """A data root with two pairs in each phase."""
    for phase in ("train", "val", "test"):
        (tmp_path / "pairs" / phase).mkdir(parents=True)
        for i in range(2):
            noise = np.random.default_rng(i).integers(0, 256, (32, 64, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "pairs" / phase / f"{i}.png")
    return tmp_path / "pairs"


def refused(script, runs, *flags):
    """Run an entry point that must fail with one line and change no file; returns the line."""
    before = tree(runs)
    names = sorted(path.name for path in runs.iterdir())
    _, err = run_here(script, "--checkpoints_dir", runs, *flags, status=2)
    assert err.count("\n") == 1
    assert tree(runs) == before
    assert sorted(path.name for path in runs.iterdir()) == names
    return err


@pytest.mark.parametrize("name", ["original", "supernet", "upstream"])
@pytest.mark.parametrize("flags", [["--model", "pix2pix", *TOY], ["--model", "ugc_supernet", *TOY],
                                   ["--model", "pix2pix", "--dataroot", "elsewhere", *SMALL],
                                   ["--model", "segmenter"]])
def test_a_run_is_only_replaced_with_overwrite(runs, name, flags):
    err = refused("train", runs, "--name", name, *flags)
    assert "latest_net_G.pth" in err
    assert "--continue_train" in err
    assert "--overwrite" in err


def test_a_distillation_does_not_replace_an_original(runs):
    flags = ["--model", "ugc_distill", "--supernet", "supernet"]
    assert "--overwrite" in refused("train", runs, "--name", "original", *flags)


def test_a_folder_with_only_best_networks_is_not_overwritten(tmp_path):
    """A run that was killed after a validation, before its first save."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best_net_G.pth").write_text("best")
    assert "best_net_G.pth" in refused("train", tmp_path, "--name", "run", "--model", "pix2pix", *TOY)


def test_an_interrupted_overwrite_leaves_the_earlier_run_whole(runs, monkeypatch):
    before = tree(runs / "original")

    def interrupt(self, *args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("models.pix2pix_model.Pix2PixModel.optimize_parameters", interrupt)
        train_here("--checkpoints_dir", runs, "--name", "original", "--model", "pix2pix", *TOY, "--seed", "1",
                   "--overwrite", status=130)
    out, _ = train_here("--checkpoints_dir", runs, "--name", "original", "--continue_train")
    assert "original is finished" in out
    after = tree(runs / "original")
    options = ("train_opt.txt", "train_opt.json")  # of the command that continued
    assert {name: content for name, content in after.items() if name not in options} == {
        name: content for name, content in before.items() if name not in options}


def test_overwrite_leaves_nothing_of_the_earlier_run(runs):
    folder = runs / "original"
    old = load_file(folder / "latest_state.pth")["run"]
    (folder / "search").mkdir()
    for name in ("search/student.json", "7_net_G.pth", "latest_student.pth"):
        (folder / name).write_text("earlier")
    train_here("--checkpoints_dir", runs, "--name", "original", "--model", "ugc_supernet", *TOY,
               "--overwrite")
    assert load_file(folder / "latest_state.pth")["run"] != old
    assert not {"search/student.json", "7_net_G.pth", "latest_student.pth"} & set(tree(folder))
    assert json.loads((folder / "train_opt.json").read_text())["model"] == "ugc_supernet"


def test_overwrite_does_not_delete_what_the_run_reads(runs):
    err = refused("train", runs, "--name", "original", "--model", "ugc_supernet", "--overwrite", *TOY,
                  "--restore_G", runs / "original" / "latest_net_G.pth")
    assert "which --restore_G reads" in err
    err = refused("train", runs, "--name", "supernet", "--model", "ugc_distill", "--supernet", "supernet",
                  "--overwrite")
    assert "is the run --supernet" in err
    err = refused("train", runs, "--name", "original", "--continue_train", "--overwrite")
    assert "drop one of them" in err


def test_checking_data_changes_no_run(runs):
    before = tree(runs)
    run_here("train", "--checkpoints_dir", runs, "--name", "original", "--model", "pix2pix", "--check_data")
    assert tree(runs) == before


@pytest.mark.parametrize(("script", "flags"),
                         [("test", ["--model", "pix2pix", "--name", "upstream"]),
                          ("evaluate", ["--model", "pix2pix", "--name", "upstream"]),
                          ("train", ["--name", "upstream", "--continue_train", *SMALL]),
                          ("train", ["--name", "upstream", "--overwrite", *SMALL]),
                          ("test", ["--model", "test", "--name", "upstream"])])
def test_the_toy_data_set_does_not_replace_unknown_data(runs, script, flags):
    assert "the run upstream records no data set; give --dataroot, or --dataset_mode toy" in refused(
        script, runs, *flags)


def test_the_toy_data_set_does_not_replace_the_data_of_an_overwritten_run(runs, pairs):
    train_here("--checkpoints_dir", runs, "--name", "pairs", "--model", "pix2pix", *SMALL,
               "--dataroot", pairs)
    err = refused("train", runs, "--name", "pairs", "--overwrite", "--model", "pix2pix", *SMALL)
    assert f"the run pairs used --dataroot {pairs}; give --dataroot" in err
    out, _ = train_here("--checkpoints_dir", runs, "--name", "pairs", "--overwrite", "--model", "pix2pix",
                        *TOY, "--dataset_mode", "toy")
    assert out.splitlines()[0] == TOY_LINE


def test_the_toy_data_set_of_a_run_is_used_and_announced(runs, tmp_path):
    out, _ = run_here("test", "--checkpoints_dir", runs, "--name", "original", "--model", "pix2pix",
                       "--gpu_ids", "-1", "--results_dir", tmp_path / "results")
    assert out.splitlines()[0] == TOY_LINE


@pytest.mark.parametrize(("name", "reason"), [("original", "is of --model pix2pix"),
                                              ("upstream", "has no train_opt.json"),
                                              ("supernte", "did you mean supernet?")])
@pytest.mark.parametrize("stage", ["search", "train"])
def test_search_and_distillation_need_a_supernet(runs, stage, name, reason):
    flags = ["--name", name]
    if stage == "train":
        flags = ["--model", "ugc_distill", "--name", "student", "--supernet", name]
    assert reason in refused(stage, runs, *flags)


@pytest.mark.parametrize(("script", "flags"),
                         [("test", ["--model", "pix2pix"]), ("test", ["--model", "ugc_student"]),
                          ("test", ["--model", "test", "--dataroot", "."]), ("evaluate", []), ("search", []),
                          ("search", ["--continue_train"]), ("train", ["--continue_train"])])
def test_a_mistyped_name_leaves_no_folder(runs, script, flags):
    refused(script, runs, "--name", "orignal", *flags)
