"""Command-line options keep upstream's names, defaults, and order; a wrong value ends in one clear line."""
import json

import pytest
import torch

from compression.runtime import distributed
from options.base_options import device_of, write_options
from options.precedence import SOURCES
from options.test_options import TestOptions
from options.train_options import TrainOptions

UPSTREAM_BASE = {
    "name": "experiment_name", "checkpoints_dir": "./checkpoints", "input_nc": 3, "output_nc": 3, "ngf": 64,
    "ndf": 64, "netD": "basic", "n_layers_D": 3, "init_type": "normal", "init_gain": 0.02,
    "no_dropout": False, "direction": "AtoB", "serial_batches": False, "num_threads": 4, "batch_size": 1,
    "load_size": 286, "crop_size": 256, "max_dataset_size": float("inf"), "preprocess": "resize_and_crop",
    "no_flip": False, "display_winsize": 256, "epoch": "latest", "load_iter": 0, "verbose": False,
    "suffix": ""}
UPSTREAM_TRAIN = {
    "display_freq": 400, "update_html_freq": 1000, "print_freq": 100, "no_html": False,
    "save_latest_freq": 5000, "save_epoch_freq": 5, "save_by_iter": False, "continue_train": False,
    "epoch_count": 1, "phase": "train", "n_epochs": 100, "n_epochs_decay": 100, "beta1": 0.5, "lr": 0.0002,
    "lr_policy": "linear", "lr_decay_iters": 50}
UPSTREAM_PIX2PIX = {"norm": "batch", "netG": "unet_256", "dataset_mode": "aligned", "pool_size": 0,
                    "gan_mode": "vanilla", "lambda_L1": 100.0}
UPSTREAM_TEST = {
    "results_dir": "./results/", "aspect_ratio": 1.0, "phase": "test", "eval": False, "num_test": 50,
    "load_size": 256}


def train_options(tmp_path, *arguments):
    opt = TrainOptions().parse(["--model", "pix2pix", "--dataroot", "d", "--checkpoints_dir", str(tmp_path),
                                "--gpu_ids", "-1", *arguments])
    write_options(opt)
    return opt


def values(opt, names):
    return {name: getattr(opt, name) for name in names}


def test_training_defaults_are_those_of_upstream(tmp_path):
    opt = train_options(tmp_path)
    expected = {**UPSTREAM_BASE, **UPSTREAM_TRAIN, **UPSTREAM_PIX2PIX, "checkpoints_dir": str(tmp_path)}
    assert values(opt, expected) == expected
    assert opt.isTrain


def test_visdom_is_off_by_default(tmp_path):
    assert train_options(tmp_path).display_id == 0


def test_parsing_selects_the_device(tmp_path):
    opt = train_options(tmp_path)
    assert opt.device == torch.device("cpu")
    assert opt.gpu_ids == []


def upstream_run(tmp_path):
    """The flags of a run of upstream, which exists."""
    (tmp_path / "experiment_name").mkdir()
    return ["--dataroot", "d", "--checkpoints_dir", str(tmp_path)]


def test_test_defaults_are_those_of_upstream(tmp_path):
    opt = TestOptions().parse(["--model", "pix2pix", *upstream_run(tmp_path)])
    expected = {**UPSTREAM_TEST, "norm": "batch", "netG": "unet_256", "dataset_mode": "aligned"}
    assert values(opt, expected) == expected
    assert not opt.isTrain
    assert not hasattr(opt, "lambda_L1")


def test_the_default_model_of_a_test_is_that_of_upstream(tmp_path):
    assert TestOptions().parse(upstream_run(tmp_path)).model == "test"


def test_the_command_line_has_precedence_over_the_defaults_of_model_and_family(tmp_path):
    opt = train_options(tmp_path, "--norm", "instance", "--netG", "resnet_6blocks", "--lambda_L1", "5")
    expected = {"norm": "instance", "netG": "resnet_6blocks", "lambda_L1": 5.0, "gan_mode": "vanilla"}
    assert values(opt, expected) == expected


def test_options_are_written_in_the_format_of_upstream(tmp_path):
    train_options(tmp_path, "--name", "run", "--ngf", "8")
    lines = (tmp_path / "run" / "train_opt.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "----------------- Options ---------------"
    assert lines[-1] == "----------------- End -------------------"
    assert "                      ngf: 8                             \t[default: 64]" in lines
    assert "                      ndf: 64                            " in lines
    names = [line.split(":")[0].strip() for line in lines[1:-1]]
    assert names == sorted(names)


def test_options_are_also_written_as_json(tmp_path):
    train_options(tmp_path, "--name", "run", "--ngf", "8")
    assert json.loads((tmp_path / "run" / "train_opt.json").read_text(encoding="utf-8"))["ngf"] == 8


def test_the_suffix_is_filled_from_the_options(tmp_path):
    assert train_options(tmp_path, "--name", "run", "--suffix", "{model}_{ngf}").name == "run_pix2pix_64"


def test_without_a_dataroot_the_toy_data_set_is_used(tmp_path):
    opt = TrainOptions().parse(["--model", "pix2pix", "--checkpoints_dir", str(tmp_path)])
    assert opt.dataset_mode == "toy"


@pytest.fixture
def trained_run(tmp_path):
    """The settings of a training run, and the arguments of test.py for it."""
    train_options(tmp_path, "--name", "run", "--netG", "resnet_6blocks", "--ngf", "4", "--direction", "BtoA",
                  "--load_size", "286", "--crop_size", "128", "--batch_size", "7", "--amp", "bf16")
    return ["--model", "pix2pix", "--name", "run", "--checkpoints_dir", str(tmp_path)]


def test_a_test_inherits_data_and_architecture_of_its_run(trained_run):
    expected = {"netG": "resnet_6blocks", "ngf": 4, "direction": "BtoA", "dataroot": "d",
                "dataset_mode": "aligned", "load_size": 128, "crop_size": 128}
    assert values(TestOptions().parse(trained_run), expected) == expected


def test_a_test_does_not_inherit_batch_size_and_precision(trained_run):
    expected = {"batch_size": 1, "amp": "none"}
    assert values(TestOptions().parse(trained_run), expected) == expected


def test_the_command_line_has_precedence_over_the_earlier_run(trained_run):
    assert TestOptions().parse([*trained_run, "--ngf", "6"]).ngf == 6


def test_a_distillation_uses_the_images_of_its_supernet_but_a_test_uses_all(tmp_path):
    supernet = ["--model", "ugc_supernet", "--dataroot", "d", "--max_dataset_size", "40", "--batch_size", "3",
                "--n_epochs", "2"]
    of_run = ["--checkpoints_dir", str(tmp_path), "--name", "net"]
    write_options(TrainOptions().parse([*supernet, *of_run]))
    opt = TrainOptions().parse(["--model", "ugc_distill", "--supernet", "net", *of_run[:2]])
    expected = {"max_dataset_size": 40, "batch_size": 3, "n_epochs": 100}
    assert values(opt, expected) == expected
    assert TestOptions().parse(["--model", "ugc_student", *of_run]).max_dataset_size == float("inf")


def test_the_source_of_inherited_values_is_printed_but_not_written(trained_run, tmp_path, capsys):
    TestOptions().parse(trained_run)
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("from the earlier run: ")]
    assert "ngf=4" in line.split(": ")[1].split(", ")
    assert "input_nc" not in line, "its value is the flag's own default"
    assert "from the" not in (tmp_path / "run" / "test_opt.txt").read_text(encoding="utf-8")


def test_the_source_of_defaults_of_model_and_family_is_printed(tmp_path, capsys):
    train_options(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert "from the model: netG=unet_256" in lines
    assert any(line.startswith("from the family: ") and "norm=batch" in line for line in lines)


def test_a_value_from_the_command_line_has_no_other_source(tmp_path, capsys):
    train_options(tmp_path, "--norm", "none")
    assert "norm=" not in capsys.readouterr().out


def test_the_help_lists_the_sources_of_values_by_precedence(capsys):
    with pytest.raises(SystemExit) as stop:
        TrainOptions().parse(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    positions = [text.index(f"{number}. {source}: ") for number, source in enumerate(SOURCES, 1)]
    assert positions == sorted(positions)


def test_the_help_shows_a_default_once(capsys):
    with pytest.raises(SystemExit):
        TrainOptions().parse(["--model", "ugc_distill", "--supernet", "net", "--dataroot", "d", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "(default: None)" not in text
    assert "images per batch (default: 1)" in text


@pytest.mark.parametrize(("arguments", "message"), [
    (["--model", "nothing"], r"--model nothing is unknown, known: .*pix2pix"),
    (["--dataset_mode", "nothing"], r"--dataset_mode nothing is unknown, known: .*aligned"),
    (["--netG", "resnet_7"], r"--netG resnet_7 is unknown, known: .*resnet_9blocks.*unet_256"),
    (["--netD", "nothing"], r"--netD nothing is unknown, known: .*basic"),
    (["--norm", "nothing"], r"--norm nothing is unknown, known: .*batch"),
    (["--batch_size", "0"], r"--batch_size must be an integer from 1 to 65536, got 0"),
    (["--print_freq", "0"], r"--print_freq must be an integer from 1 to 1000000000, got 0"),
    (["--lr", "nan"], r"--lr must be a number of at least 0, got nan"),
    (["--gpu_ids", "x"], r"--gpu_ids must be auto, -1 \(CPU\), or the number of a GPU, got 'x'"),
    (["--gpu_ids", "99"], r"--gpu_ids 99: this machine has \d+ GPUs"),
])
def test_a_wrong_value_is_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        train_options(tmp_path, *arguments)


def test_gpu_ids_selects_the_device():
    assert device_of("-1") == torch.device("cpu")
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_several_gpus_need_torchrun():
    with pytest.raises(ValueError, match="takes one GPU, got 0,1; .* with torchrun --nproc_per_node 2"):
        device_of("0,1")


@pytest.fixture
def second_of_three_processes(monkeypatch):
    """The second of three processes on a machine with two GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    monkeypatch.setenv("LOCAL_RANK", "1")


@pytest.mark.usefixtures("second_of_three_processes")
def test_every_process_has_its_own_gpu():
    assert device_of("auto") == torch.device("cuda", 1)
    assert device_of("-1") == torch.device("cpu")
    with pytest.raises(ValueError, match="--gpu_ids 0: torchrun assigns a GPU to every process"):
        device_of("0")


@pytest.mark.usefixtures("second_of_three_processes")
def test_more_processes_than_gpus_are_an_error(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="there is no GPU for process 2 of this machine, which has 2"):
        device_of("auto")
