"""The identifier of the run stands in every file that it writes, and no stage uses files of two runs."""
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from commands import run_here
from compression import load_file, load_student
from compression.checkpoints import check_one_run, run_of, save_atomic

SHORT = ["--gpu_ids", "-1", "--num_threads", "0", "--no_html", "--n_epochs", "1", "--n_epochs_decay", "0"]
TINY = ["--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4", "--load_size", "32", "--crop_size", "32",
        "--toy_train_images", "2", "--toy_test_images", "2", "--search_split", "0", *SHORT]
SEARCH = ["--gpu_ids", "-1", "--population", "2", "--generations", "1", "--search_images", "2",
          "--front_metrics", "L1"]
ONE, TWO = "1" * 32, "2" * 32


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A supernet net1 with its search, a student student1, and copies net2, student2 as of other runs."""
    runs = tmp_path_factory.mktemp("finished")
    at = ["--checkpoints_dir", runs]
    run_here("train", *at, "--name", "net1", "--model", "ugc_supernet", *TINY)
    run_here("search", *at, "--name", "net1", *SEARCH)
    run_here("train", *at, "--name", "student1", "--model", "ugc_distill", "--supernet", "net1", *SHORT)
    for name in ("net", "student"):
        shutil.copytree(runs / f"{name}1", runs / f"{name}2")
        for path in (runs / f"{name}2").rglob("*.*"):
            if path.suffix == ".pth":
                save_atomic(load_file(path), path, TWO)
            elif path.suffix == ".json":
                path.write_text(json.dumps({**json.loads(path.read_text()), "run": TWO}))
    return runs


@pytest.fixture
def runs(finished, tmp_path):
    """A copy of these runs."""
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def test_every_file_that_later_stages_read_has_the_identifier_of_its_run(finished):
    for name in ("net1", "student1"):
        folder = finished / name
        run = load_file(folder / "latest_state.pth")["run"]
        files = [path for path in folder.rglob("*") if path.suffix in (".pth", ".json")]
        assert len(files) >= 6
        assert {run_of(path) for path in files} == {run}
    meta = load_student(finished / "student1" / "latest_student.pth").meta
    assert meta["supernet_run"] == meta["original_run"] == run_of(finished / "net1" / "train_opt.json")


def test_a_network_is_still_a_plain_state_dict(finished):
    """It loads as upstream loads it, and all records but one are those of torch.save."""
    path = finished / "net1" / "latest_net_G.pth"
    state = torch.load(path, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    torch.save(state, path.parent / "plain.pth")
    records = [{name.partition("/")[2] for name in zipfile.ZipFile(file).namelist()}
               for file in (path, path.parent / "plain.pth")]
    assert records[0] - records[1] == {"extra/run"}
    (path.parent / "plain.pth").unlink()


def test_a_continued_run_keeps_its_identifier(runs):
    run = run_of(runs / "net1" / "train_opt.json")
    run_here("train", "--checkpoints_dir", runs, "--name", "net1", "--continue_train", "--n_epochs", "2")
    run_here("train", "--checkpoints_dir", runs, "--name", "net1", "--continue_train", "--epoch", "latest",
             "--epoch_count", "3", "--n_epochs", "3")
    files = [path for path in (runs / "net1").iterdir() if path.suffix in (".pth", ".json")]
    assert {run_of(path) for path in files} == {run}


MIXTURES = [  # the file that is taken from the other pipeline, and the stage that reads it
    ("net/latest_net_G.pth", "search", "net"), ("net/train_opt.json", "search", "net"),
    ("net/latest_net_G.pth", "train", "new"), ("net/latest_net_D.pth", "train", "new"),
    ("net/search/student.json", "train", "new"), ("net/search/teacher_wide.json", "train", "new"),
    ("net/search/teacher_deep.json", "train", "new"), ("net/train_opt.json", "train", "new"),
    ("student/latest_student.pth", "test", "student"), ("student/latest_student.pth", "evaluate", "student"),
    ("student/train_opt.json", "test", "student"), ("net/latest_student.pth", "evaluate", "net"),
    ("net/latest_net_G.pth", "test", "net"), ("net/latest_net_D.pth", "continue", "net")]


@pytest.mark.parametrize(("file", "stage", "name"), MIXTURES)
def test_no_stage_uses_files_of_two_runs(runs, tmp_path, file, stage, name):
    folder, _, rest = file.partition("/")
    shutil.copy(runs / f"{folder}2" / rest, runs / f"{folder}1" / rest)
    flags = {"search": SEARCH, "train": ["--model", "ugc_distill", "--supernet", "net1", *SHORT],
             "continue": ["--continue_train", "--epoch_count", "2", "--n_epochs", "2"]}.get(stage, [])
    if stage in ("test", "evaluate"):
        is_student = "student" in file or name == "student"
        flags = ["--results_dir", tmp_path / "results", "--gpu_ids", "-1",
                 "--model", "ugc_student" if is_student else "ugc_supernet"]
    if stage == "continue":
        (runs / "net1" / "latest_state.pth").unlink()  # of the networks, without a state
        stage = "train"
    _, err = run_here(stage, "--checkpoints_dir", runs, "--name", f"{name}1", *flags, status=2)
    assert "are files of two different runs" in err.splitlines()[-1]
    assert not (runs / "new1" / "latest_state.pth").exists()


def test_results_of_two_searches_are_not_combined(runs):
    """A search writes its results at its end; a kill between two of them leaves a mixture."""
    path = runs / "net1" / "search" / "student.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "search": ONE}))
    _, err = run_here("train", "--checkpoints_dir", runs, "--name", "new", "--model", "ugc_distill",
                      "--supernet", "net1", *SHORT, status=2)
    assert "are results of different searches" in err


def test_an_interrupted_search_leaves_the_earlier_results(runs, monkeypatch):
    folder = runs / "net1" / "search"

    def files():
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def interrupt(*args):
        raise KeyboardInterrupt

    before = files()
    search = ["--checkpoints_dir", runs, "--name", "net1", *SEARCH]
    monkeypatch.setattr("util.search_results.SearchResults.write", interrupt)
    run_here("search", *search, "--seed", "3", status=130)
    interrupted = files()
    assert {name for name, content in interrupted.items() if content != before[name]} == {"state.json"}
    monkeypatch.undo()
    # the new search can still be continued: another one does not replace it unasked
    for flags, message in (([], "unfinished search. Add --continue_train"),
                           (["--continue_train", "--overwrite"], "drop one of them")):
        assert message in run_here("search", *search, *flags, status=2)[1]
    assert files() == interrupted
    run_here("search", *search, "--overwrite")
    assert {name for name, content in files().items() if content != before[name]} <= {"state.json"}
    assert json.loads((folder / "state.json").read_text())["written"]


def test_a_student_is_not_compared_with_an_original_that_another_run_replaced(runs, tmp_path):
    path = Path(load_student(runs / "student1" / "latest_student.pth").meta["original"])
    content = path.read_bytes()
    test = ["--checkpoints_dir", runs, "--name", "student1", "--model", "ugc_student", "--gpu_ids", "-1",
            "--results_dir", tmp_path / "results"]
    try:
        shutil.copy(runs / "net2" / "latest_net_G.pth", path)
        _, err = run_here("test", *test, status=2)
        run_here("test", *test, "--original", "none")
    finally:
        path.write_bytes(content)
    assert "another run has replaced the original" in err


def test_files_without_identifiers_fit_all_runs(tmp_path):
    """Those of upstream and of earlier versions."""
    files = {"one.pth": ONE, "also_one.pth": ONE, "upstream.pth": None}
    for name, run in files.items():
        save_atomic({"weight": torch.zeros(1)}, tmp_path / name, run)
    (tmp_path / "train_opt.json").write_text(json.dumps({"run": ONE}))
    paths = [*(tmp_path / name for name in files), tmp_path / "train_opt.json", tmp_path / "missing.json"]
    assert check_one_run(paths) == ONE
    assert check_one_run([tmp_path / "upstream.pth"]) is None
    (tmp_path / "train_opt.json").write_text(json.dumps({"run": TWO}))
    with pytest.raises(ValueError, match="two different runs"):
        check_one_run(paths)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"run": 5}', b'{"run": "../x"}', b"PK\x03\x04",
                                     b"\xff\xfe"])
@pytest.mark.parametrize("suffix", [".json", ".pth"])
def test_an_unreadable_identifier_is_none(tmp_path, content, suffix):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    assert run_of(path) is None


@pytest.mark.parametrize("run", ["", ONE[1:], f"{ONE}1", "G" * 32, "../" * 10 + "ab", "é" * 16])
def test_a_record_that_is_no_identifier_is_refused(tmp_path, run):
    path = tmp_path / "latest_net_G.pth"
    save_atomic({"weight": torch.ones(1)}, path, ONE)
    assert load_file(path) == {"weight": torch.ones(1)}
    save_atomic({"weight": torch.ones(1)}, path, None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/extra/run", run)
    assert run_of(path) is None
    with pytest.raises(ValueError, match="identifier|extra/run"):
        load_file(path)
