"""search.py --finalists: short distillations of the best students rank them again."""
import json
import os
import signal

import pytest
import torch

from commands import run_here, train_here
from compression import Arch, extract, load_original, load_student
from models.ugc_distill_model import UGCDistillModel
from options.search_options import SearchOptions

TINY = ["--netG", "resnet_6blocks", "--norm", "instance", "--ngf", "8", "--ndf", "4", "--load_size", "32",
        "--crop_size", "32", "--toy_train_images", "12", "--toy_test_images", "2", "--batch_size",
        "3", "--num_threads", "0"]
SEARCH = ["--name", "net", "--population", "4", "--generations", "1", "--search_images", "4", "--macs", "5M",
          "--least_share", "0.1", "--finalists", "2", "--finalist_epochs", "2"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A supernet and its search with finalists: (folder of the runs, results by name of the file)."""
    folder = tmp_path_factory.mktemp("finalists")
    train_here("--model", "ugc_supernet", "--name", "net", *TINY, "--n_epochs", "1", "--n_epochs_decay", "0",
               "--no_html", "--label_ratio", "0.5", "--search_split", "0.34", "--checkpoints_dir", folder)
    out, _ = run_here("search", *SEARCH, "--checkpoints_dir", folder)
    assert out.count("after a short distillation") == 2
    return folder, results(folder)


def results(folder):
    return {path.name: json.loads(path.read_text()) for path in (folder / "net" / "search").glob("*.json")}


def test_the_student_is_the_best_after_distillation_and_the_ranking_of_the_search_stays(searched):
    folder, files = searched
    student = files["student.json"]
    finalists = student["finalists"]
    evolution = files["state.json"]["searches"]["student"]["evolution"]["scores"]
    ranking = sorted((score, json.dumps(arch)) for arch, score in evolution)
    assert [(f["score"], json.dumps(f["arch"])) for f in finalists] == ranking[:2]
    best = min(finalists, key=lambda f: f["distilled_score"])
    assert (student["arch"], student["score"]) == (best["arch"], best["score"])
    assert load_student(folder / "net" / "latest_student.pth").full == Arch.from_json(best["arch"])
    wide = Arch.from_json(files["teacher_wide.json"]["arch"])
    assert wide.skeleton == Arch.from_json(best["arch"]).skeleton
    assert not (folder / "net" / "search" / "finalist").exists()


def test_the_score_is_that_of_the_student_of_train_py(searched, tmp_path):
    folder, files = searched
    finalist = files["student.json"]["finalists"][1]
    (tmp_path / "arch.json").write_text(json.dumps(finalist["arch"]))
    train_here("--model", "ugc_distill", "--supernet", "net", "--name", "again", "--teachers", "largest",
               "--student_arch", tmp_path / "arch.json", "--n_epochs", "1", "--n_epochs_decay", "1",
               "--no_html", "--num_threads", "0", "--checkpoints_dir", folder)
    student = load_student(folder / "again" / "latest_student.pth")
    supernet = load_original(folder / "net" / "latest_net_G.pth")
    assert finalist["distilled_score"] == pytest.approx(agreement(student, supernet, folder), abs=1e-5)
    before = extract(supernet.eval(), Arch.from_json(finalist["arch"]))
    assert finalist["score"] == pytest.approx(agreement(before, supernet, folder), abs=1e-5)


def agreement(net, supernet, folder):
    """The L1 distance between the images of two networks for what --search_split holds out of training."""
    from data.held_out import held_out

    opt = SearchOptions().parse([*SEARCH, "--checkpoints_dir", str(folder)])
    inputs = torch.cat([batch["A"] for batch in held_out(opt, "search_split", 4, inputs_only=True)])
    assert len(inputs) == 4
    with torch.no_grad():
        return (net.eval()(inputs) - supernet.eval()(inputs)).abs().mean().item()


def test_interrupted_distillations_continue_exactly(searched, monkeypatch):
    folder, files = searched
    train_step, steps = UGCDistillModel.train_step, []

    def interrupted(model, batch):
        steps.append(1)
        if len(steps) == 6:  # the second one of the second distillation
            os.kill(os.getpid(), signal.SIGTERM)
        train_step(model, batch)

    monkeypatch.setattr(UGCDistillModel, "train_step", interrupted)
    out, _ = run_here("search", *SEARCH, "--checkpoints_dir", folder, status=143)
    assert out.strip().endswith(f"python search.py --name net --checkpoints_dir {folder} --continue_train")
    before = results(folder)
    assert before["student.json"] == files["student.json"]  # nothing is written before the end
    assert len(before["state.json"]["finalists"]) == 1
    out, _ = run_here("search", "--name", "net", "--checkpoints_dir", folder, "--continue_train")
    assert results(folder) == files
    assert len(steps) == 8  # two distillations of two epochs of two steps: none was repeated


@pytest.mark.parametrize(("flags", "message"), [
    (["--finalists", "5"], "--finalists must be 0, or from 2 to --population 4, got 5"),
    (["--finalists", "1"], "--finalists must be 0, or from 2 to --population 4, got 1"),
    (["--finalist_epochs", "0"], "--finalist_epochs must be an integer from 1"),
    (["--finalists", "0"], "--finalist_epochs 2 trains no network without --finalists"),
    (["--phase", "test"], "but candidates are scored on --phase test; train the supernet with --search_spl"),
    (["--dataroot", "nowhere"], "nowhere")])
def test_bad_input_is_one_line_and_changes_nothing(searched, flags, message):
    folder, files = searched
    _, err = run_here("search", *SEARCH, *flags, "--checkpoints_dir", folder, status=2)
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert results(folder) == files
