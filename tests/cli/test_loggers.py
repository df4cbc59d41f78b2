"""--use_wandb and --use_tensorboard: what is logged, and that a logger never stops or changes a run."""
import sys
import types

import pytest
import torch

from commands import train_here
from tiny_runs import NETS, TINY, assert_same_weights, losses
from util.loggers import Loggers, log_results

RUN = ["--model", "pix2pix", *NETS["resnet"], *TINY, "--n_epochs", "1", "--toy_train_images", "8",
       "--gpu_ids", "-1", "--eval_every", "1", "--display_freq", "8"]
FLAGS = ("--use_wandb", "--use_tensorboard")


class Recorder:
    """Records what is logged; `fail` is the name of the call that raises."""

    def __init__(self, fail=None):
        self.fail = fail
        self.calls = []
        self.values = {}

    def __call__(self, name, *arguments):
        torch.rand(1)  # a package may draw from the global random generator
        self.calls.append(name)
        if name == self.fail:
            raise RuntimeError("connection lost\nsecond line")
        return arguments


@pytest.fixture
def packages(monkeypatch):
    """Replace wandb and torch.utils.tensorboard by recorders; returns a function that sets what fails."""

    def install(fail=None):
        wandb, tensorboard = Recorder(fail), Recorder(fail)

        class Run:
            def log(self, values, step):
                wandb("log")
                wandb.values.update(values)

            def finish(self):
                wandb("finish")

        def init(**settings):
            wandb("init")
            wandb.settings = settings
            return Run()

        class SummaryWriter:
            def __init__(self, folder, purge_step):
                tensorboard("init")
                tensorboard.settings = folder, purge_step

            def add_scalar(self, name, value, step):
                tensorboard("log")
                tensorboard.values[name] = value, step

            def add_image(self, name, image, step, dataformats):
                tensorboard("log")
                tensorboard.values[name] = image.shape, step

            def close(self):
                tensorboard("finish")

        monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init, Image=lambda image: image))
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard",
                            types.SimpleNamespace(SummaryWriter=SummaryWriter))
        return wandb, tensorboard

    return install


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The checkpoints folder of a run without loggers."""
    folder = tmp_path_factory.mktemp("plain")
    train_here(*RUN, "--checkpoints_dir", folder, "--name", "run")
    return folder


def test_losses_images_and_metrics_are_logged(tmp_path, packages, plain):
    wandb, tensorboard = packages()
    _, err = train_here(*RUN, "--checkpoints_dir", tmp_path, "--name", "run", *FLAGS,
                        "--wandb_project_name", "mine")
    assert err == ""
    assert (wandb.settings["project"], wandb.settings["name"]) == ("mine", "run")
    assert wandb.settings["config"]["ngf"] == 8
    assert tensorboard.settings == (str(tmp_path / "run/tensorboard"), 0)
    last = losses(tmp_path / "run")[-1]
    for values in (wandb.values, {name: value for name, (value, _) in tensorboard.values.items()}):
        assert values["loss/G_L1"] == last["G_L1"]
        assert {"validation/L1", "validation/SSIM", "learning_rate", "fake_B", "real_A"} <= values.keys()
    assert tensorboard.values["fake_B"] == ((32, 32, 3), 8)
    assert (wandb.calls[-1], tensorboard.calls[-1]) == ("finish", "finish")
    assert_same_weights(tmp_path / "run", plain / "run")


@pytest.mark.parametrize("fail", ["init", "log", "finish"])
def test_a_failing_logger_warns_once_and_the_run_goes_on(tmp_path, packages, plain, fail):
    wandb, tensorboard = packages(fail)
    out, err = train_here(*RUN, "--checkpoints_dir", tmp_path, "--name", "run", *FLAGS)
    reason = "RuntimeError: connection lost second line; continuing without it"
    expected = {f"warning: --use_{package}: {reason}" for package in ("wandb", "tensorboard")}
    assert sorted(err.splitlines()) == sorted(expected)
    assert "done: 8 images" in out
    assert wandb.calls.count(fail) == tensorboard.calls.count(fail) == 1
    assert_same_weights(tmp_path / "run", plain / "run")


@pytest.mark.parametrize("package", ["wandb", "tensorboard"])
def test_a_missing_package_is_named_before_training(tmp_path, monkeypatch, capsys, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    opt = types.SimpleNamespace(use_wandb=package == "wandb", use_tensorboard=package == "tensorboard",
                                phase="test", name="run", wandb_project_name="mine", settings={})
    assert not Loggers(opt, tmp_path).loggers
    assert capsys.readouterr().err == (f"warning: --use_{package}: the package {package} is not installed "
                                       f"(pip install {package}); continuing without it\n")
    log_results(opt, tmp_path, {"student": {"L1": 0.5}})


def test_a_resumed_run_may_add_a_logger(tmp_path, packages):
    _, tensorboard = packages()
    at = [*RUN, "--checkpoints_dir", tmp_path, "--name", "run"]
    train_here(*at)
    train_here(*at, "--continue_train", "--n_epochs", "2", "--use_tensorboard")
    assert tensorboard.settings[1] == 8
    assert tensorboard.values["learning_rate"][1] == 16


def test_the_metrics_of_test_are_logged(tmp_path, packages):
    wandb, _ = packages()
    opt = types.SimpleNamespace(use_wandb=True, use_tensorboard=False, phase="val", name="run",
                                wandb_project_name="mine", settings={})
    log_results(opt, tmp_path, {"student": {"L1": 0.5, "SSIM": None}, "original": {"L1": 0.25}})
    assert wandb.values == {"val/student/L1": 0.5, "val/original/L1": 0.25}


def test_names_are_logged_without_control_characters(tmp_path, packages):
    wandb, tensorboard = packages()
    hostile, shown = "a\x1b[31m\nb\u202e", r"a\x1b[31m\nb\u202e"
    opt = types.SimpleNamespace(use_wandb=True, use_tensorboard=True, phase=hostile, name=hostile,
                                wandb_project_name=hostile, settings={"dataroot": hostile, "ngf": 8})
    log_results(opt, tmp_path, {hostile: {"L1": 0.5}})
    assert (wandb.settings["project"], wandb.settings["name"]) == (shown, shown)
    assert wandb.settings["config"] == {"dataroot": shown, "ngf": 8}
    assert list(wandb.values) == list(tensorboard.values) == [f"{shown}/{shown}/L1"]
