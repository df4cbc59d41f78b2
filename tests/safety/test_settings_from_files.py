"""What is read back from the files of a run never runs code and never names a path outside its folder."""
import io
import json

import pytest
from PIL import Image

from compression import save_atomic
from options.earlier_runs import PER_COMMAND
from options.search_options import SearchOptions
from options.train_options import TrainOptions
from util.report import embed
from util.run_folder import STATE_FORMAT, load_state

STATE = {"format": STATE_FORMAT, "run": "0" * 32, "tags": ["latest", 5, "iter_40", "best"], "settings": {}}


def write_state(tmp_path, **changes):
    folder = tmp_path / "run"
    folder.mkdir(exist_ok=True)
    save_atomic({**STATE, **changes}, folder / "latest_state.pth")
    return folder


def continue_options(tmp_path, *arguments):
    return TrainOptions().parse(["--model", "pix2pix", "--name", "run", "--checkpoints_dir", str(tmp_path),
                                 "--gpu_ids", "-1", "--continue_train", *arguments])


def test_tags_and_identifiers_of_our_own_states_are_accepted(tmp_path):
    assert load_state(write_state(tmp_path))["tags"] == STATE["tags"]


@pytest.mark.parametrize("tag", ["../victim/latest", "latest/../../x", "/tmp/x", "", ".", True, None, -1,
                                 1.5])
def test_a_tag_that_we_never_write_is_refused(tmp_path, tag):
    folder = write_state(tmp_path, tags=["latest", tag])
    own = "a checkpoint tag is latest, best, an epoch or iter_N"
    kind = r"'tags\[1\]' must be text or an integer"
    with pytest.raises(ValueError, match=f"latest_state.pth: ({own}|{kind})"):
        load_state(folder)


@pytest.mark.parametrize("run", ["../victim", "0" * 31 + "/", "", None, 7, "0" * 33])
def test_an_identifier_that_we_never_write_is_refused(tmp_path, run):
    folder = write_state(tmp_path, run=run)
    message = "identifier of the run must be 32 hexadecimal digits|'run' must be text"
    with pytest.raises(ValueError, match=message):
        load_state(folder)


def test_tags_must_be_a_list(tmp_path):
    with pytest.raises(ValueError, match="latest_state.pth: 'tags' must be a list, got 'latest'"):
        load_state(write_state(tmp_path, tags="latest"))


def test_a_resume_does_not_take_a_torchscript_file_from_the_state(tmp_path):
    write_state(tmp_path, settings={"feature_network": str(tmp_path / "evil.pt")})
    message = "latest_state.pth: the run was started with --feature_network.*can run code"
    with pytest.raises(ValueError, match=message):
        continue_options(tmp_path)


def test_a_resume_takes_a_torchscript_file_from_the_command_line(tmp_path):
    path = str(tmp_path / "mine.pt")
    write_state(tmp_path, settings={"feature_network": path, "base_dataset_mode": "toy"})
    assert continue_options(tmp_path, "--feature_network", path).feature_network == path


def test_a_resumed_search_does_not_take_a_torchscript_file_from_its_state(tmp_path):
    folder = tmp_path / "run" / "search"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text(json.dumps({"settings": {"feature_network": "evil.pt"}}))
    with pytest.raises(ValueError, match=r"state.json: the run was started with --feature_network"):
        SearchOptions().parse(["--name", "run", "--checkpoints_dir", str(tmp_path), "--gpu_ids", "-1",
                               "--continue_train"])


@pytest.mark.parametrize(("name", "value", "message"), [
    ("lr", "fast", "--lr must be a number of at least 0, got 'fast'"),
    ("batch_size", 1.5, "--batch_size must be an integer from 1 to 65536, got 1.5"),
    ("batch_size", True, "--batch_size must be an integer from 1 to 65536, got True"),
    ("init_gain", -1, "--init_gain must be a number above 0, got -1"),
    ("seed", 10 ** 18, "--seed must be an integer from 0 to 1000000000000, got 1000000000000000000"),
    ("lr", float("nan"), "--lr must be a number of at least 0, got nan"),
    ("beta1", float("inf"), "--beta1 must be a number of at least 0 and below 1, got inf"),
    ("save_latest_freq", "0m", "--save_latest_freq must be valid, got '0m'"),
    ("no_flip", 1, "--no_flip must be true or false, got 1"),
    ("dataroot", ["x"], r"--dataroot must be text, got \['x'\]"),
    ("direction", "CtoA", "--direction must be one of AtoB, BtoA, got 'CtoA'"),
    ("eval_metrics", ["L1", 3], "--eval_metrics must be text, got 3"),
    ("lr", None, "--lr must be a number of at least 0, got None"),
    ("batch_size", None, "--batch_size must be an integer from 1 to 65536, got None"),
    ("no_flip", None, "--no_flip must be true or false, got None"),
])
def test_a_saved_setting_is_checked_like_a_flag(tmp_path, name, value, message):
    assert name not in PER_COMMAND
    write_state(tmp_path, settings={name: value})
    with pytest.raises(ValueError, match=f"latest_state.pth: the saved setting {message}"):
        continue_options(tmp_path)


def test_images_are_sent_to_no_server_that_only_a_file_names(tmp_path):
    write_state(tmp_path, settings={"display_server": "http://other", "display_id": 1,
                                    "base_dataset_mode": "toy"})
    opt = continue_options(tmp_path)
    assert (opt.display_server, opt.display_id) == ("http://localhost", 1)
    assert continue_options(tmp_path, "--display_server", "http://mine").display_server == "http://mine"


def test_an_unlimited_size_of_the_data_set_is_accepted(tmp_path):
    write_state(tmp_path, settings={"max_dataset_size": float("inf"), "base_dataset_mode": "toy"})
    assert continue_options(tmp_path).max_dataset_size == float("inf")


@pytest.mark.parametrize(("flag", "value"), [("--phase", "../pairs/val"), ("--phase", ".."),
                                             ("--epoch", "../../x/1"), ("--eval_phase", "/etc"),
                                             ("--epoch", "a\\b")])
def test_names_of_folders_and_files_stay_in_their_parent(tmp_path, flag, value):
    with pytest.raises(ValueError, match=f"{flag} must be a name without path separators"):
        TrainOptions().parse(["--model", "pix2pix", "--checkpoints_dir", str(tmp_path), "--gpu_ids", "-1",
                              flag, value])


@pytest.mark.parametrize("name", [".", "..", "../x", "a/../../x", "/tmp/x", "a//b", "a/."])
def test_the_name_of_a_run_is_a_folder_below_the_checkpoints(tmp_path, name):
    with pytest.raises(ValueError, match="--name must be the name of a folder"):
        TrainOptions().parse(["--model", "pix2pix", "--checkpoints_dir", str(tmp_path), "--gpu_ids", "-1",
                              "--name", name])


def test_a_group_of_runs_may_share_a_folder(tmp_path):
    opt = TrainOptions().parse(["--model", "pix2pix", "--checkpoints_dir", str(tmp_path), "--gpu_ids", "-1",
                                "--name", "group/run"])
    assert opt.name == "group/run"


def test_the_report_decodes_no_format_that_images_of_results_never_have(tmp_path):
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "EPS")
    path = tmp_path / "fake.png"
    path.write_bytes(content.getvalue())
    with pytest.raises(Exception, match="cannot be read as an image"):
        embed(path)
