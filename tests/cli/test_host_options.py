"""Command-line options keep upstream's names, defaults and order; wrong values end in one clear line."""
import json

import pytest
import torch

from compression.runtime import distributed
from options.base_options import device_of, write_options
from options.test_options import TestOptions
from options.train_options import TrainOptions

UPSTREAM_BASE = {"name": "experiment_name", "checkpoints_dir": "./checkpoints", "input_nc": 3, "output_nc": 3,
                 "ngf": 64, "ndf": 64, "netD": "basic", "n_layers_D": 3, "init_type": "normal",
                 "init_gain": 0.02, "no_dropout": False, "direction": "AtoB", "serial_batches": False,
                 "num_threads": 4, "batch_size": 1, "load_size": 286, "crop_size": 256,
                 "max_dataset_size": float("inf"), "preprocess": "resize_and_crop", "no_flip": False,
                 "display_winsize": 256, "epoch": "latest", "load_iter": 0, "verbose": False, "suffix": ""}
UPSTREAM_TRAIN = {"display_freq": 400, "update_html_freq": 1000, "print_freq": 100, "no_html": False,
                  "save_latest_freq": 5000, "save_epoch_freq": 5, "save_by_iter": False,
                  "continue_train": False, "epoch_count": 1, "phase": "train", "n_epochs": 100,
                  "n_epochs_decay": 100, "beta1": 0.5, "lr": 0.0002, "lr_policy": "linear",
                  "lr_decay_iters": 50}
UPSTREAM_PIX2PIX = {"norm": "batch", "netG": "unet_256", "dataset_mode": "aligned", "pool_size": 0,
                    "gan_mode": "vanilla", "lambda_L1": 100.0}
UPSTREAM_TEST = {"results_dir": "./results/", "aspect_ratio": 1.0, "phase": "test", "eval": False,
                 "num_test": 50, "load_size": 256}


def train_options(tmp_path, *arguments):
    opt = TrainOptions().parse(["--model", "pix2pix", "--dataroot", "d", "--checkpoints_dir", str(tmp_path),
                                "--gpu_ids", "-1", *arguments])
    write_options(opt)
    return opt


def has(opt, expected):
    return {key: getattr(opt, key) for key in expected} == expected


def test_training_defaults_equal_upstreams(tmp_path):
    opt = train_options(tmp_path)
    assert has(opt, {**UPSTREAM_BASE, **UPSTREAM_TRAIN, **UPSTREAM_PIX2PIX, "checkpoints_dir": str(tmp_path)})
    assert opt.isTrain
    assert opt.device == torch.device("cpu")
    assert opt.gpu_ids == []
    assert opt.display_id == 0


def test_test_defaults_equal_upstreams(tmp_path):
    opt = TestOptions().parse(["--model", "pix2pix", "--dataroot", "d", "--checkpoints_dir", str(tmp_path)])
    assert has(opt, {**UPSTREAM_TEST, "norm": "batch", "netG": "unet_256", "dataset_mode": "aligned"})
    assert not opt.isTrain
    assert not hasattr(opt, "lambda_L1")
    assert TestOptions().parse(["--dataroot", "d", "--checkpoints_dir", str(tmp_path)]).model == "test"


def test_flags_override_the_models_defaults(tmp_path):
    opt = train_options(tmp_path, "--norm", "instance", "--netG", "resnet_6blocks", "--lambda_L1", "5")
    assert (opt.norm, opt.netG, opt.lambda_L1, opt.gan_mode) == ("instance", "resnet_6blocks", 5.0, "vanilla")


def test_options_are_written_as_upstream_writes_them(tmp_path):
    train_options(tmp_path, "--name", "run", "--ngf", "8")
    lines = (tmp_path / "run" / "train_opt.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "----------------- Options ---------------"
    assert "End" in lines[-1]
    assert "                      ngf: 8                             \t[default: 64]" in lines
    assert "                      ndf: 64                            " in lines
    names = [line.split(":")[0].strip() for line in lines[1:-1]]
    assert names == sorted(names)
    assert json.loads((tmp_path / "run" / "train_opt.json").read_text(encoding="utf-8"))["ngf"] == 8


def test_the_suffix_is_filled_from_the_options(tmp_path):
    assert train_options(tmp_path, "--name", "run", "--suffix", "{model}_{ngf}").name == "run_pix2pix_64"


def test_without_a_dataroot_the_toy_data_set_is_used(tmp_path):
    opt = TrainOptions().parse(["--model", "pix2pix", "--checkpoints_dir", str(tmp_path)])
    assert opt.dataset_mode == "toy"


def test_a_test_restores_data_and_architecture_of_its_run_but_not_machine_settings(tmp_path):
    train_options(tmp_path, "--name", "run", "--netG", "resnet_6blocks", "--ngf", "4", "--direction", "BtoA",
                  "--load_size", "286", "--crop_size", "128", "--batch_size", "7", "--amp", "bf16")
    opt = TestOptions().parse(["--model", "pix2pix", "--name", "run", "--checkpoints_dir", str(tmp_path)])
    assert has(opt, {"netG": "resnet_6blocks", "ngf": 4, "direction": "BtoA", "dataroot": "d",
                     "dataset_mode": "aligned"})
    assert has(opt, {"load_size": 128, "crop_size": 128, "batch_size": 1, "amp": "none"})
    assert TestOptions().parse(["--model", "pix2pix", "--name", "run", "--checkpoints_dir", str(tmp_path),
                                "--ngf", "6"]).ngf == 6


def test_a_distillation_sees_the_images_that_its_supernet_saw_but_a_test_sees_all(tmp_path):
    write_options(TrainOptions().parse(["--model", "ugc_supernet", "--dataroot", "d",
                                        "--checkpoints_dir", str(tmp_path), "--name", "net",
                                        "--max_dataset_size", "40", "--batch_size", "3", "--n_epochs", "2"]))
    of_run = ["--checkpoints_dir", str(tmp_path), "--name", "net"]
    opt = TrainOptions().parse(["--model", "ugc_distill", "--supernet", "net", *of_run])
    assert has(opt, {"max_dataset_size": 40, "batch_size": 3, "n_epochs": 100})
    assert TestOptions().parse(["--model", "ugc_student", *of_run]).max_dataset_size == float("inf")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--model", "nothing"], r"--model nothing is unknown, known: .*pix2pix"),
    (["--dataset_mode", "nothing"], r"--dataset_mode nothing is unknown, known: .*aligned"),
    (["--netG", "resnet_7"], r"--netG resnet_7, known: .*resnet_9blocks.*unet_256"),
    (["--netD", "nothing"], r"--netD nothing, known: .*basic"),
    (["--norm", "nothing"], r"--norm nothing is unknown, known: .*batch"),
    (["--batch_size", "0"], r"--batch_size must be at least 1, got 0"),
    (["--print_freq", "0"], r"--print_freq must be at least 1, got 0"),
    (["--lr", "nan"], r"--lr must be at least 0, got nan"),
    (["--gpu_ids", "x"], r"--gpu_ids is auto, -1 \(CPU\) or the number of a GPU, got 'x'"),
    (["--gpu_ids", "99"], r"--gpu_ids 99: this machine has \d+ GPUs"),
])
def test_invalid_values_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        train_options(tmp_path, *arguments)


def test_gpu_ids_select_one_device():
    assert device_of("-1") == torch.device("cpu")
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="takes one GPU, got 0,1; torchrun --nproc_per_node 2 trains on 2"):
        device_of("0,1")


def test_every_process_uses_the_gpu_of_its_local_rank(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device_of("auto") == torch.device("cuda", 1)
    with pytest.raises(ValueError,
                       match="--gpu_ids 0: with torchrun every process has the GPU of its number"):
        device_of("0")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="process 2 of this machine has no GPU of its own, there are 2"):
        device_of("auto")
    assert device_of("-1") == torch.device("cpu")
