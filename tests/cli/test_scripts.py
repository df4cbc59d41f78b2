"""The shell scripts: variables are values, never code, and budgets mean what they say."""
import os
import subprocess

import pytest

from commands import environment, train_here
from paths import ROOT

RECORDER = """#!/usr/bin/env bash
printf '%s\\t' "$@" >> "$RECORD"
echo >> "$RECORD"
"""
CITYSCAPES = "scripts/cityscapes/pix2pix_resnet.sh"
CAMVID = "scripts/camvid/pix2pix_resnet.sh"


@pytest.fixture
def run_script(tmp_path):
    """Run stages of a script with a Python that only records its arguments."""
    recorder = tmp_path / "python"
    recorder.write_text(RECORDER)
    recorder.chmod(0o755)
    (tmp_path / "data").mkdir()

    def run(script, *stages, cwd=ROOT, **variables):
        record = tmp_path / "record"
        record.write_text("")
        done = subprocess.run(["bash", script, *stages], cwd=cwd, capture_output=True, text=True, timeout=60,
                              env=environment(**{"PYTHON": str(recorder), "RECORD": str(record),
                                                 "DATAROOT": str(tmp_path / "data"), **variables}))
        return done, [line.split("\t")[:-1] for line in record.read_text().splitlines()]
    return run


def value_of(flag, arguments):
    return arguments[arguments.index(flag) + 1]


@pytest.mark.parametrize("macs", ["300M", "1.3G", "900000000"])
def test_a_budget_reaches_the_search_as_it_is(run_script, macs):
    done, ((script, *arguments),) = run_script(CITYSCAPES, "search", MACS=macs)
    assert done.returncode == 0
    assert script == "search.py"
    assert value_of("--macs", arguments) == macs
    assert "--teacher_macs" not in arguments  # search.py takes four times --macs


def test_a_budget_of_the_teachers_is_passed_on(run_script):
    _, ((_, *arguments),) = run_script(CITYSCAPES, "search", MACS="300M", TEACHER_MACS="2G")
    assert value_of("--teacher_macs", arguments) == "2G"


@pytest.mark.parametrize("variable", ["MACS", "TEACHER_MACS"])
@pytest.mark.parametrize("value", ["300Q", "much", "-1G", "1G 2G", "1,3G", "nan",
                                   '1; system("touch stolen")', "$(touch stolen)"])
def test_a_variable_that_is_no_budget_is_refused_before_the_training(run_script, tmp_path, variable, value):
    done, calls = run_script(ROOT / CITYSCAPES, cwd=tmp_path, **{variable: value})
    assert done.returncode == 2
    assert done.stderr == f"error: {variable} must be a number such as 1.3G or 300M, got '{value}'\n"
    assert not calls
    assert not (ROOT / "stolen").exists()
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize("variable", ["NAME", "LABEL_RATIO", "TEST_PHASE", "ORIGINAL", "SPLIT_BY",
                                      "EXTRA", "N_EPOCHS", "EXTRA_SUPERNET", "NGF"])
def test_no_variable_is_run_as_code(run_script, tmp_path, variable):
    value = "x$(touch stolen);`touch stolen`"
    run_script(ROOT / CAMVID, cwd=tmp_path, **{variable: value})
    run_script(ROOT / "scripts/camvid/gaugan.sh", cwd=tmp_path, **{variable: value})
    assert not (ROOT / "stolen").exists()
    assert not (tmp_path / "stolen").exists()


HOSTILE = ["-x", "--overwrite", "x --overwrite", "1 --overwrite", "a\n--overwrite", "1\n", "\x1b[31m", "'",
           '"', "$(touch stolen)", "../x", "nan", "1e400", " ", "*"]
NAMES = {"x --overwrite", "1 --overwrite", "'", '"', "$(touch stolen)", "../x", "nan", "1e400", " ", "*"}
ACCEPTED = {  # names of one run or folder, which train.py checks; of the others only what is listed
    "NAME": NAMES, "DATAROOT": set(), "ORIGINAL": NAMES | {"a\n--overwrite", "1\n", "\x1b[31m"},
    "TEST_PHASE": NAMES - {"../x"}, "SPLIT_BY": {"nan"},
    **dict.fromkeys(["LABEL_RATIO", "ORIGINAL_LABEL_RATIO", "N_EPOCHS", "N_EPOCHS_DECAY", "NGF", "MACS",
                     "TEACHER_MACS", "BUDGET"], set())}


@pytest.mark.parametrize("variable", ACCEPTED)
def test_a_hostile_variable_is_one_argument_or_refused_before_the_training(run_script, variable):
    """A refusal is one line that names the variable and shows no control character."""
    script = CITYSCAPES if variable == "BUDGET" else "scripts/camvid/gaugan.sh"
    for value in HOSTILE:
        done, calls = run_script(script, **{variable: value})
        assert done.stderr.count("\n") == bool(done.stderr), value
        assert "\x1b" not in done.stdout + done.stderr
        if value in ACCEPTED[variable]:
            assert done.returncode == 0, value
            assert all("--overwrite" not in call for call in calls)
        else:
            assert done.returncode == 2, value
            assert done.stderr.startswith("error: ")
            assert (variable in done.stderr) or variable == "DATAROOT"
            assert not calls


@pytest.mark.parametrize("variable", ["MACS", "TEACHER_MACS"])
@pytest.mark.parametrize("value", ["0", "0.0G", "0e9", "999999999T", "1e16", "1e018"])
def test_a_budget_that_search_would_refuse_is_refused_before_the_training(run_script, variable, value):
    done, calls = run_script(CITYSCAPES, **{variable: value})
    assert (done.returncode, calls) == (2, [])
    assert done.stderr.startswith(f"error: {variable} must be ")


@pytest.mark.parametrize("variables", [{"flags_original": "--overwrite"}, {"flags_supernet": "--overwrite"},
                                       {"dataset_mode": "toy"}, {"data": "--overwrite"},
                                       {"epochs": "--overwrite"}, {"stages": "reference"}, {"IFS": "a"}])
@pytest.mark.parametrize("script", [CITYSCAPES, "scripts/camvid/gaugan.sh"])
def test_no_other_variable_changes_a_command(run_script, script, variables):
    assert run_script(script, **variables)[1] == run_script(script)[1] != []


@pytest.mark.parametrize(("variable", "value"), [("NAME", "--overwrite"), ("NAME", "a\nb"),
                                                 ("TORCH_VERSION", "2; x"), ("TORCH_VERSION", "--pre")])
def test_the_quickstart_checks_its_variables_first(run_script, variable, value):
    done, calls = run_script("scripts/quickstart.sh", **{variable: value})
    assert (done.returncode, calls) == (2, [])
    assert done.stderr.startswith(f"error: {variable} must be ")
    assert done.stderr.count("\n") == 1


def test_wildcards_in_variables_are_not_expanded(run_script):
    _, ((_, *arguments),) = run_script(CAMVID, "supernet", EXTRA="--eval_metrics *")
    assert value_of("--eval_metrics", arguments) == "*"


def test_a_variable_named_data_does_not_become_a_flag(run_script):
    _, ((_, *arguments),) = run_script(CAMVID, "supernet", data="/mnt/data")
    assert "/mnt/data" not in arguments


@pytest.mark.skipif(os.name == "nt", reason="needs bash")
def test_the_scripts_find_the_repository_in_spite_of_cdpath(run_script, tmp_path):
    (tmp_path / "elsewhere" / "scripts" / "cityscapes").mkdir(parents=True)
    done, calls = run_script(CITYSCAPES, "search", CDPATH=str(tmp_path / "elsewhere"))
    assert done.returncode == 0, done.stderr
    assert calls[0][0] == "search.py"
    assert done.stdout.startswith("+ ")  # cd prints where CDPATH leads


@pytest.mark.parametrize("script", ["scripts/camvid/pix2pix_unet.sh", "scripts/camvid/gaugan.sh",
                                    "scripts/cityscapes/pix2pix_resnet.sh"])
@pytest.mark.parametrize("ratio", ["0.1", "0.25"])
def test_no_stage_of_the_pipeline_uses_labels_outside_the_split(run_script, script, ratio):
    done, calls = run_script(script, LABEL_RATIO=ratio, NAME="run")
    assert done.returncode == 0
    stages = [(call[0], value_of("--name", call)) for call in calls]
    assert stages == [("train.py", "run_original"), ("train.py", "run_supernet"),
                      ("search.py", "run_supernet"), ("train.py", "run"),
                      ("test.py", "run_supernet"), ("test.py", "run")]
    original, supernet, _, distillation = calls[:4]
    flags = ("--label_ratio", "--split_by")
    splits = [[value_of(flag, call) for flag in flags] for call in (original, supernet)]
    assert splits[0] == splits[1]
    assert splits[0][0] == ratio
    assert value_of("--dataset_mode", original) == "adf"
    assert value_of("--unlabeled", original) == "none"
    assert "--seed" not in [*original, *supernet]
    assert value_of("--restore_G", supernet) == "checkpoints/run_original/latest_net_G.pth"
    assert value_of("--restore_D", supernet) == "checkpoints/run_original/latest_net_D.pth"
    assert value_of("--supernet", distillation) == "run_supernet"
    assert not any("restore" in word for word in distillation)


def test_the_reference_with_all_labels_is_trained_only_on_request_and_never_read(run_script):
    done, calls = run_script(CAMVID, "reference", LABEL_RATIO="0.25", NAME="run")
    assert done.returncode == 0
    assert [(call[0], value_of("--name", call)) for call in calls] == [
        ("train.py", "run_reference"), ("test.py", "run_reference")]
    assert "--label_ratio" not in calls[0]
    assert value_of("--dataset_mode", calls[0]) == "aligned"


@pytest.mark.parametrize(("original", "supernet", "percent"), [
    ([], ["--label_ratio", "0.5"], 100),
    (["--dataset_mode", "adf", "--label_ratio", "0.75"], ["--label_ratio", "0.5"], 75),
    (["--dataset_mode", "adf", "--label_ratio", "0.5", "--seed", "1"], ["--label_ratio", "0.5"], 50),
    (["--dataset_mode", "adf", "--label_ratio", "0.5"], ["--label_ratio", "0.5"], None),
    (["--dataset_mode", "adf", "--label_ratio", "0.25"], ["--label_ratio", "0.5"], None),
    ([], ["--label_ratio", "1"], None)])
def test_a_supernet_whose_original_has_seen_other_labels_is_announced(tmp_path, original, supernet, percent):
    tiny = ["--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4", "--toy_train_images", "4",
            "--load_size", "32", "--crop_size", "32", "--n_epochs", "1", "--n_epochs_decay", "0",
            "--num_threads", "0", "--no_html", "--checkpoints_dir", tmp_path]
    train_here("--model", "pix2pix", "--name", "original", *tiny, *original)
    out, _ = train_here("--model", "ugc_supernet", "--name", "net", *tiny, *supernet,
                        "--restore_G", tmp_path / "original" / "latest_net_G.pth")
    warning = f"its run used {percent} % of the labels, and not only those of --label_ratio 0.5"
    assert ("the results are not few-label results" in out) == (percent is not None)
    assert percent is None or warning in out


@pytest.mark.parametrize("script", ["scripts/camvid/gaugan.sh", CAMVID, "scripts/clothes/pix2pix_unet.sh"])
def test_a_row_of_tables_that_have_none_is_refused(run_script, script):
    done, calls = run_script(script, BUDGET="small")
    assert (done.returncode, calls) == (2, [])
    assert done.stderr.startswith("error: BUDGET selects a row of the paper's tables")
    assert "set MACS" in done.stderr
