"""The four commands on tiny data: supernet, search, distillation, test; continuation; bad input."""
import json
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from commands import run, run_here, start, train_here
from compression import Arch, load_student

NETS = {"resnet": ["--netG", "resnet_6blocks", "--load_size", "32", "--crop_size", "32"],
        "unet": ["--netG", "unet_128", "--norm", "batch", "--load_size", "128", "--crop_size", "128"],
        "pix2pixhd": ["--netG", "pix2pixhd", "--ngf", "4", "--load_size", "32", "--crop_size", "32"],
        "spade": ["--netG", "spade", "--ngf", "4", "--load_size", "64", "--crop_size", "64"]}
SEMANTIC = ("pix2pixhd", "spade")  # their inputs are label maps
TINY = ["--ngf", "8", "--ndf", "4", "--toy_train_images", "12", "--toy_test_images", "4", "--batch_size", "2",
        "--num_threads", "0", "--n_epochs", "1", "--n_epochs_decay", "1", "--print_freq", "2"]

# for tests that do not depend on the family
one_family = pytest.mark.parametrize("pipeline", ["resnet"], indirect=True)


@pytest.fixture(scope="module", params=list(NETS))
def pipeline(request, tmp_path_factory):
    """A finished pipeline of one family: (folder, family name). That of ResNet runs in separate processes."""
    folder = tmp_path_factory.mktemp(request.param)

    def command(script, *arguments):
        arguments += ("--checkpoints_dir", folder / "ck")
        if request.param == "resnet":
            run(f"{script}.py", *arguments)
        else:
            run_here(script, *arguments)

    command("train", "--model", "ugc_supernet", "--name", "net", *TINY, *NETS[request.param],
            "--label_ratio", "0.5")
    command("search", "--name", "net", "--population", "4", "--generations", "2", "--search_images", "4",
            "--calibration_images", "4")
    command("train", "--model", "ugc_distill", "--name", "student", "--supernet", "net", "--n_epochs", "1",
            "--n_epochs_decay", "1", "--print_freq", "2")
    command("test", "--model", "ugc_student", "--name", "student", "--results_dir", folder / "results")
    return folder, request.param


def test_search_writes_three_architectures_under_budget(pipeline):
    folder, family = pipeline
    search = folder / "ck" / "net" / "search"
    results = {name: json.loads((search / f"{name}.json").read_text())
               for name in ("student", "teacher_wide", "teacher_deep")}
    assert all(r["macs"] <= r["budget_macs"] for r in results.values())
    student, wide, deep = (Arch.load(search / f"{name}.json") for name in results)
    full = Arch.from_json(json.loads((search / "pareto.json").read_text())["front"][0]["arch"])
    assert {a.family for a in (student, wide, deep, full)} == {family}
    assert wide.skeleton == student.skeleton
    assert all(w >= s for w, s in zip(wide.widths, student.widths, strict=True))
    depth = {"resnet": lambda a: len(a.inner), "unet": lambda a: len(a.encoder),
             "pix2pixhd": lambda a: len(a.inner),
             "spade": lambda a: sum(w > 0 for w in a.head_inner)}[family]
    assert depth(deep) == {"resnet": 6, "unet": 7, "pix2pixhd": 9, "spade": 3}[family]
    assert (search / "pareto.png").stat().st_size > 1000


def test_distillation_trains_all_networks_and_saves_a_student(pipeline):
    folder, _ = pipeline
    start = load_student(folder / "ck" / "net" / "latest_student.pth")
    end = load_student(folder / "ck" / "student" / "latest_student.pth")
    assert start.full == end.full
    assert any(not torch.equal(a, b) for a, b in zip(start.parameters(), end.parameters(), strict=True))
    assert end.meta["stage"] == "distillation"
    assert Path(end.meta["original"]).is_file()
    losses = [json.loads(line)
              for line in (folder / "ck" / "student" / "losses.jsonl").read_text().splitlines()]
    assert {"wide_ssim", "deep_ssim", "wide_pixel", "wide_accepted", "D", "tv"} <= set(losses[-1])


def test_results_page_and_metrics_cover_both_networks(pipeline):
    folder, _ = pipeline
    results = folder / "results" / "student" / "test_latest"
    report = json.loads((results / "metrics.json").read_text())
    assert set(report["metrics"]) == {"original", "student"} == set(report["networks"])
    assert report["protocol"]["images"] == 4
    assert report["networks"]["student"]["macs"] < report["networks"]["original"]["macs"]
    student = load_student(folder / "ck" / "student" / "latest_student.pth")
    assert report["networks"]["student"]["params"] == sum(p.numel() for p in student.parameters())
    page = (results / "index.html").read_text()
    for kind in ("real_A", "original", "student", "real_B"):
        assert f"toy_test_00000_{kind}.png" in page
        assert (results / "images" / f"toy_test_00000_{kind}.png").is_file()


def test_one_image_of_any_size_is_translated(pipeline):
    folder, family = pipeline
    command = ["test", "--model", "ugc_student", "--name", "student",
               "--checkpoints_dir", str(folder / "ck"), "--input", str(folder / "photo.png"),
               "--output", str(folder / "out.png")]
    if family in SEMANTIC:
        Image.new("L", (71, 45), 3).save(folder / "photo.png")
        assert "give --input_instance" in run_here(*command, status=2)[1]
        command += ["--input_instance", str(folder / "photo.png")]
    else:
        Image.new("RGB", (71, 45), (200, 30, 60)).save(folder / "photo.png")
    run_here(*command)
    assert Image.open(folder / "out.png").size == (71, 45)


@one_family
@pytest.mark.parametrize("flags", [["--teachers", "largest"], ["--teachers", "wide", "--lambda_cd", "1"],
                                   ["--teachers", "deep", "--adf", "off"], ["--adf", "agreement"],
                                   ["--unlabeled", "none"], ["--perceptual", "none", "--adf", "soft"]],
                         ids=" ".join)
def test_ablations_of_the_paper_run_by_flags(pipeline, flags):
    folder, _ = pipeline
    train_here("--model", "ugc_distill", "--name", "ablation", "--supernet", "net", "--overwrite",
               "--checkpoints_dir", folder / "ck", "--n_epochs", "1", "--n_epochs_decay", "0",
               "--toy_train_images", "4", *flags)


def test_a_resumed_distillation_equals_an_uninterrupted_one(pipeline):
    folder, _ = pipeline
    at = ["--model", "ugc_distill", "--supernet", "net", "--checkpoints_dir", str(folder / "ck"),
          "--n_epochs_decay", "0", "--save_epoch_freq", "1"]
    train_here(*at, "--name", "whole", "--n_epochs", "2", "--lr_policy", "step")
    train_here(*at, "--name", "parts", "--n_epochs", "1", "--lr_policy", "step")
    torch.manual_seed(1)  # only the saved state may continue
    train_here(*at, "--name", "parts", "--n_epochs", "2", "--lr_policy", "step", "--continue_train")
    for name in ("net_S", "net_T", "net_D", "student"):
        whole, parts = (torch.load(folder / "ck" / run_name / f"latest_{name}.pth", weights_only=True)
                        for run_name in ("whole", "parts"))
        whole, parts = (s["state_dict"] if name == "student" else s for s in (whole, parts))
        assert all(torch.equal(whole[key], parts[key]) for key in whole), name
    out, _ = train_here(*at, "--name", "parts", "--n_epochs", "2", "--lr_policy", "step", "--continue_train")
    assert "is finished" in out


def test_resumed_search_equals_an_uninterrupted_one(pipeline):
    folder, _ = pipeline
    search = folder / "ck" / "net" / "search"
    flags = ["search", "--name", "net", "--population", "4", "--generations", "2", "--search_images", "4",
             "--calibration_images", "4", "--checkpoints_dir", str(folder / "ck")]
    before = {path.name: path.read_text() for path in search.glob("*.json")}
    state = json.loads(before["state.json"])
    run_here(*flags)  # deterministic
    assert {path.name: path.read_text() for path in search.glob("*.json")} == before
    # as if killed after the search of the student
    del state["searches"]["teacher_wide"], state["searches"]["teacher_deep"]
    (search / "state.json").write_text(json.dumps(state))
    run_here(*flags, "--continue_train")
    after = {path.name: json.loads(path.read_text()) for path in search.glob("*.json")}
    assert after == {name: json.loads(text) for name, text in before.items()}


@one_family
def test_a_stopped_search_continues_where_it_stopped(pipeline):
    folder, _ = pipeline
    search, at = folder / "ck" / "net" / "search", ["--name", "net", "--checkpoints_dir", str(folder / "ck")]
    before = {path.name: json.loads(path.read_text()) for path in search.glob("*.json")}
    (search / "state.json").unlink()
    process = start("search.py", *at, "--population", "4", "--generations", "2", "--search_images", "4",
                    "--calibration_images", "4")
    while not (search / "state.json").is_file():
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    out = process.communicate(timeout=300)[0]
    assert process.returncode == 143
    assert "stopped by SIGTERM" in out
    command = f"python search.py --name net --checkpoints_dir {folder / 'ck'} --continue_train"
    assert out.strip().endswith(command)
    saved = json.loads((search / "state.json").read_text())["searches"]["student"]
    assert saved["scored"] or saved["generations"]
    _, err = run_here("search", *at, "--continue_train", "--population", "6", status=2)
    assert "--population was 4, now 6" in err
    run("search.py", *at, "--continue_train")
    assert {path.name: json.loads(path.read_text()) for path in search.glob("*.json")} == before
    assert "is finished" in run_here("search", *at, "--continue_train")[0]


@pytest.fixture(scope="module")
def segmenter(pipeline, tmp_path_factory):
    """A segmenter of the toy data set, trained for one epoch."""
    folder = tmp_path_factory.mktemp("segmenter")
    train_here("--model", "segmenter", "--name", "seg", "--checkpoints_dir", folder,
               "--toy_train_images", "8", "--toy_test_images", "4", "--load_size", "32", "--crop_size", "32",
               "--batch_size", "4", "--num_threads", "0", "--n_epochs", "1", "--n_epochs_decay", "0",
               "--eval_phase", "test", "--eval_every", "1", "--eval_images", "4")
    return folder / "seg" / "latest_segmenter.pth"


@one_family
def test_the_report_covers_search_training_and_metrics(pipeline, segmenter, tmp_path):
    folder, _ = pipeline
    for name in ("net", "student"):
        run_here("evaluate", "--name", name, "--phase", "test", "--results_dir", tmp_path,
                 "--checkpoints_dir", folder / "ck", "--segmenter", segmenter, "--metrics", "L1", "SSIM",
                 "FID", *(["--runs", "net"] if name == "student" else []))
    page = (tmp_path / "student" / "report.html").read_text()
    for part in ("original", "after search", "distilled", "Quality against MACs", "Search", "Training",
                 "Side by side", "Protocol", "Share of fake labels that the Adaptive Data Filter accepts",
                 "FD(segmenter-"):
        assert part in page, part
    assert page.count("<svg") >= 6
    assert "MACs (G)" in page
    assert "http://www.w3.org" in page
    assert 'src="http' not in page
    assert "FID" not in page.replace("FD(", "")


BAD = {
    "budget below the smallest": (["search", "--name", "net", "--macs", "1K"],
                                  "below the smallest network, which costs"),
    "budget that is no number": (["search", "--name", "net", "--macs", "much"], "optional suffix"),
    "no supernet": (["train", "--model", "ugc_distill", "--name", "x", "--supernet", "nothing"],
                    "--supernet nothing"),
    "no checkpoint": (["test", "--model", "ugc_student", "--name", "net", "--epoch", "9"],
                      "no such student"),
    "no run": (["test", "--model", "ugc_student", "--name", "nothing"], "no such run"),
    "no checkpoint of an original": (["test", "--model", "pix2pix", "--name", "net", "--epoch", "9"],
                                     "no checkpoint"),
    "label ratio 0": (["train", "--model", "ugc_supernet", "--label_ratio", "0"],
                      "--label_ratio must be a number above 0 and at most 1, got 0"),
    "label ratio 2": (["train", "--model", "ugc_supernet", "--label_ratio", "2"],
                      "--label_ratio must be a number above 0 and at most 1, got 2"),
    "unknown netG": (["train", "--model", "pix2pix", "--netG", "resnet_7"], "known: resnet_9blocks"),
    "unknown model": (["train", "--model", "nothing"], "known: colorization"),
    "missing data root": (["train", "--model", "pix2pix", "--dataroot", "/nonexistent"], "/nonexistent"),
    "vgg16 without weights": (["train", "--model", "ugc_distill", "--name", "x", "--supernet", "net",
                               "--perceptual", "vgg16", "--vgg_weights", "/nonexistent.pth"],
                              "/nonexistent.pth"),
}


@one_family
@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_ends_in_one_error_line(pipeline, case):
    folder, _ = pipeline
    arguments, message = BAD[case]
    _, err = run_here(*arguments, "--checkpoints_dir", folder / "ck", status=2)
    assert message in err.splitlines()[-1]


def test_an_architecture_of_another_family_is_refused(pipeline):
    folder, family = pipeline
    if family == "resnet":
        other = Arch("unet", encoder=(4,) * 5, decoder=(4,) * 4)
    else:
        other = Arch("resnet", stem=(4, 4), trunk=4, inner=(4,), decoder=(4, 4))
    (folder / "other.json").write_text(json.dumps(other.to_json()))
    _, err = train_here("--model", "ugc_distill", "--name", "x", "--supernet", "net", "--student_arch",
                        folder / "other.json", "--checkpoints_dir", folder / "ck", status=2)
    assert f"family '{other.family}'" in err
    assert f"family '{family}'" in err


@one_family
def test_nan_stops_training_and_keeps_the_last_checkpoint(pipeline):
    folder, _ = pipeline
    before = (folder / "ck" / "student" / "latest_student.pth").read_bytes()
    _, err = train_here("--model", "ugc_distill", "--name", "student", "--supernet", "net",
                        "--checkpoints_dir", folder / "ck", "--n_epochs", "3", "--n_epochs_decay", "0",
                        "--lr", "1e30", "--overwrite", status=2)
    assert "is nan" in err or "is inf" in err
    assert (folder / "ck" / "student" / "latest_student.pth").read_bytes() == before


@one_family
@pytest.mark.parametrize("criterion", ["SSIM", "KID"])
def test_the_search_criterion_can_be_any_metric(pipeline, segmenter, tmp_path, criterion):
    folder, _ = pipeline
    (tmp_path / "net").mkdir()
    for file in ("latest_net_G.pth", "train_opt.json"):
        (tmp_path / "net" / file).write_bytes((folder / "ck" / "net" / file).read_bytes())
    run_here("search", "--name", "net", "--checkpoints_dir", tmp_path, "--criterion", criterion,
             "--population", "3", "--generations", "2", "--search_images", "4", "--phase", "test",
             "--segmenter", segmenter)
    student = json.loads((tmp_path / "net" / "search" / "student.json").read_text())
    front = json.loads((tmp_path / "net" / "search" / "pareto.json").read_text())
    assert student["criterion"] == criterion
    assert front["images"] == 4
    point = next(p for p in front["front"] if p["arch"] == student["arch"])
    if criterion == "SSIM":  # higher is better: scores are negated
        assert student["score"] == pytest.approx(-point["metrics"]["SSIM"], abs=1e-5)
    else:
        key = next(k for k in point["metrics"] if k.startswith("KD("))
        assert student["score"] == pytest.approx(point["metrics"][key], abs=1e-5)


@one_family
def test_validation_keeps_the_last_and_the_best(pipeline, tmp_path):
    train_here("--model", "pix2pix", "--name", "net", "--checkpoints_dir", tmp_path, *TINY, *NETS["resnet"],
               "--eval_every", "1", "--eval_images", "4", "--eval_phase", "test",
               "--eval_metrics", "SSIM", "L1")
    rows = [json.loads(line) for line in (tmp_path / "net" / "validation.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert set(rows[0]) == {"epoch", "SSIM", "L1"}

    best = torch.load(tmp_path / "net" / "best_net_G.pth", weights_only=True)["model.1.weight"]
    latest = torch.load(tmp_path / "net" / "latest_net_G.pth", weights_only=True)["model.1.weight"]
    assert best.equal(latest) == (rows[1]["SSIM"] > rows[0]["SSIM"])


@one_family
def test_a_budget_above_the_original_needs_another_limit(pipeline, tmp_path):
    folder, _ = pipeline
    (tmp_path / "net").mkdir()
    for file in ("latest_net_G.pth", "train_opt.json"):
        (tmp_path / "net" / file).write_bytes((folder / "ck" / "net" / file).read_bytes())
    flags = ["search", "--name", "net", "--checkpoints_dir", tmp_path, "--population", "2",
             "--generations", "1", "--search_images", "1", "--calibration_images", "1"]
    _, error = run_here(*flags, "--macs", "1G", status=2)
    assert "--macs: the budget of 1.000 G MACs is above the 0." in error
    assert "so that nothing would be compressed" in error
    out, _ = run_here(*flags, "--macs", "1G", "--params", "1G")
    budgets = next(line for line in out.splitlines() if line.startswith("budgets: "))
    assert budgets.startswith("budgets: student 1.000 G MACs")
    assert budgets.endswith(", which is within the student's budget")
    budgets = next(line for line in run_here(*flags)[0].splitlines() if line.startswith("budgets: "))
    assert "within the student's budget" not in budgets
