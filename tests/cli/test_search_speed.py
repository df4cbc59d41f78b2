"""search.py in several processes and with successive halving: the same results, also when it is resumed."""
import json
import time

import pytest

import util.evolution_run as evolution_run
import util.scoring_processes as scoring_processes
import util.search_plan as search_plan
import util.supernet_search as supernet_search
from commands import run_here
from compression.elastic.arch import Arch
from util.candidate_scores import CandidateScores
from util.scoring_processes import ScoringProcesses, choose_processes
from util.search_plan import SearchPlan, make_plan

FAMILIES = {"resnet": ["--netG", "resnet_6blocks", "--norm", "batch", "--load_size", 32, "--crop_size", 32,
                       "--ngf", 8],
            "unet": ["--netG", "unet_128", "--norm", "batch", "--load_size", 128, "--crop_size", 128,
                     "--ngf", 4]}
BUDGETS = {"resnet": ["--macs", "5M", "--teacher_macs", "10M"],
           "unet": ["--macs", "13M", "--teacher_macs", "17M"]}


@pytest.fixture(scope="module")
def supernets(tmp_path_factory):
    """The folder of the runs, with a supernet of each family that was trained for a step."""
    folder = tmp_path_factory.mktemp("runs")
    for family, flags in FAMILIES.items():
        run_here("train", "--model", "ugc_supernet", "--name", family, "--checkpoints_dir", folder, *flags,
                 "--ndf", 4, "--batch_size", 8, "--toy_train_images", 8, "--n_epochs", 1,
                 "--n_epochs_decay", 0, "--no_html", "--gpu_ids", -1)
    return folder


@pytest.fixture(autouse=True)
def without_plots(monkeypatch):
    monkeypatch.setattr(supernet_search, "can_plot", lambda: False)


def search(folder, family, *arguments, status=0):
    flags = ["--population", 5, "--generations", 2, "--search_images", 9, "--calibration_images", 4,
             "--phase", "val", "--front_metrics", "L1", "--least_share", 0, *BUDGETS[family]]
    run_here("search", "--name", family, "--checkpoints_dir", folder, *flags, *arguments, status=status)
    return {path.name: json.loads(path.read_text(encoding="utf-8"))
            for path in (folder / family / "search").glob("*.json")}


def without_ids(results):
    """Drop what names the search, whose settings may differ."""
    plain = json.loads(json.dumps(results))
    for content in plain.values():
        for name in ("search", "settings"):
            content.pop(name, None)
    return plain


@pytest.mark.parametrize(("family", "halving"), [("resnet", 4), ("unet", 0)])
def test_processes_and_interruptions_do_not_change_a_search(supernets, family, halving, monkeypatch):
    alone = search(supernets, family, "--processes", 1, "--halving_images", halving)
    searches = alone["state.json"]["searches"]
    assert len(searches["student"]["evolution"]["scores"]) == 10
    if halving:  # the networks that are chosen, and those on the front, are scored on all images
        full = {Arch.from_json(arch) for single in searches.values() for arch, _ in single["halving"]["full"]}
        chosen = [alone[f"{name}.json"]["arch"] for name in ("student", "teacher_wide", "teacher_deep")]
        front = [point["arch"] for point in alone["pareto.json"]["front"]]
        assert {Arch.from_json(arch) for arch in [*chosen, *front]} <= full
    interrupt(monkeypatch, 7)
    search(supernets, family, "--processes", 1, "--halving_images", halving, status=130)
    monkeypatch.undo()
    resumed = search(supernets, family, "--continue_train", "--processes", 2)
    assert without_ids(resumed) == without_ids(alone)


def interrupt(monkeypatch, count):
    """Interrupt the search after a number of scores."""
    remaining = iter(range(count))

    def score(self, arch, subset=None):
        if next(remaining, None) is None:
            raise KeyboardInterrupt
        return plain(self, arch, subset)

    monkeypatch.setattr(evolution_run, "_SAVE_SECONDS", 0)
    plain = CandidateScores.score
    monkeypatch.setattr(CandidateScores, "score", score)


def test_flags_that_contradict_each_other(supernets):
    base = ["--name", "unet", "--checkpoints_dir", supernets, "--search_images", 9]
    for flags, message in ((["--halving_images", 9], "--halving_images 9 must be below --search_images 9"),
                           (["--halving_images", 4, "--criterion", "FID"], "compares sets of images")):
        _, error = run_here("search", *base, *flags, status=2)
        assert message in error
        assert error.count("\n") == 1


def test_an_error_of_a_process_is_raised():
    def score(arch, subset):
        raise ValueError(f"no score of {arch} on {subset}")

    pool = ScoringProcesses(score, 2)
    try:
        with pytest.raises(ValueError, match="no score of a on 3"):
            list(pool.scores(["a"], 3))
    finally:
        pool.close()


def test_a_process_that_dies_is_reported():
    def score(arch, subset):
        import os
        os._exit(9)

    pool = ScoringProcesses(score, 1)
    try:
        with pytest.raises(ValueError, match="fewer --processes"):
            list(pool.scores(["a"], None))
    finally:
        pool.close()


def test_processes_are_the_default_for_small_images(monkeypatch):
    import torch
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    monkeypatch.setattr(scoring_processes, "usable_cores", lambda: 4)
    monkeypatch.setattr(scoring_processes, "free_memory", lambda device: 2 ** 40)
    assert choose_processes(None, cpu, (128, 128)) == 4
    assert choose_processes(None, cpu, (512, 1024)) == 1
    assert choose_processes(3, cpu, (512, 1024)) == 3
    assert choose_processes(None, gpu, (64, 64)) == 1
    with pytest.raises(ValueError, match="--processes 2: the search runs on cuda:0"):
        choose_processes(2, gpu, (64, 64))
    monkeypatch.setattr(scoring_processes, "free_memory", lambda device: 2 ** 31)
    assert choose_processes(None, cpu, (128, 128)) == 1


def test_a_search_in_minutes_keeps_its_plan(supernets, monkeypatch):
    at = ["--name", "resnet", "--checkpoints_dir", supernets]
    monkeypatch.setattr(search_plan, "IMAGES", (9, 4))
    monkeypatch.setattr(supernet_search, "seconds_of", lambda scores, archs: 0.5)
    _, error = run_here("search", *at, "--minutes", 1, "--population", 4, status=2)
    assert error == "error: --minutes 1 chooses --population; drop --minutes or drop --population\n"
    _, error = run_here("search", *at, "--minutes", 0.1, "--phase", "val", status=2)
    assert "--minutes 0.1 is too short: the smallest search takes about" in error
    interrupt(monkeypatch, 3)
    flags = ["--phase", "val", "--front_metrics", "L1", "--least_share", 0, *BUDGETS["resnet"]]
    output, _ = run_here("search", *at, "--minutes", 0.5, *flags, "--processes", 1, status=130)
    plan = json.loads((supernets / "resnet/search/state.json").read_text(encoding="utf-8"))["plan"]
    assert plan["search_images"] == 4
    line = (f"plan for 0.5 minutes: --population {plan['population']} --generations {plan['generations']} "
            "--search_images 4")
    assert line in output
    interrupt(monkeypatch, 0)
    output, _ = run_here("search", *at, "--continue_train", "--processes", 1, status=130)
    assert line in output
    _, error = run_here("search", *at, "--continue_train", "--minutes", 2, status=2)
    assert "minutes" in error
    assert error.count("\n") == 1


def test_a_plan_uses_the_time():
    plan = make_plan(10, time.monotonic(), {100: 1.0, 32: 0.5}.__getitem__)
    assert plan == SearchPlan(population=46, generations=11, search_images=100)  # 539 candidates
    assert make_plan(3, time.monotonic(), {100: 1.0, 32: 0.5}.__getitem__).search_images == 32
    assert make_plan(10, time.monotonic(), {100: 1.0}.__getitem__, 60).population == 60
    slow = {100: 9.0, 32: 9.0}.__getitem__
    assert make_plan(10, time.monotonic(), slow, few=20).search_images == 32  # more than --halving_images
    with pytest.raises(ValueError, match="--halving_images 100: --minutes scores candidates on at most 100"):
        make_plan(10, time.monotonic(), slow, few=100)
