"""One step of each stage: student and teachers are compared under equal conditions."""
import json
import sys

import pytest
import torch
from torch import nn

from commands import run_here, train_here
from compression import calibrate, extract, load_student
from data import create_dataset
from hed_weights import write_hed
from models import create_model
from options.earlier_runs import with_unrecorded
from options.train_options import TrainOptions

NETS = {"resnet": ["--netG", "resnet_6blocks", "--norm", "batch", "--load_size", "32", "--crop_size", "32"],
        "unet": ["--netG", "unet_128", "--norm", "batch", "--load_size", "128", "--crop_size", "128"],
        "resnet_instance": ["--netG", "resnet_6blocks", "--norm", "instance", "--load_size", "32",
                            "--crop_size", "32"],
        "pix2pixhd": ["--netG", "pix2pixhd", "--load_size", "32", "--crop_size", "32"],
        "spade": ["--netG", "spade", "--load_size", "64", "--crop_size", "64"]}
TINY = ["--ngf", "4", "--ndf", "4", "--toy_train_images", "16", "--toy_test_images", "4", "--batch_size", "4",
        "--num_threads", "0", "--n_epochs", "1", "--n_epochs_decay", "0", "--no_html", "--label_ratio", "0.5"]


@pytest.fixture(scope="module", params=list(NETS))
def supernet(request, tmp_path_factory):
    """A supernet trained for one epoch, with dropout: (folder of checkpoints, its flags)."""
    folder = tmp_path_factory.mktemp(request.param)
    flags = ["--name", "net", "--checkpoints_dir", str(folder), *TINY, *NETS[request.param]]
    train_here("--model", "ugc_supernet", *flags)
    return folder, flags


def build(monkeypatch, *flags):
    """Build a model for training as train.py does; returns it and its first batch."""
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, flags)])
    opt = TrainOptions().parse()
    dataset = create_dataset(opt)
    model = create_model(opt)
    model.setup(opt)
    dataset.set_epoch(1)
    return model, next(iter(dataset))


def build_distillation(folder, supernet_flags, monkeypatch, *flags):
    """Build a distillation whose student and teachers are the same network, and do not change."""
    stage_1, _ = build(monkeypatch, "--model", "ugc_supernet", *supernet_flags, "--name", "other")
    arch = folder / "arch.json"
    arch.write_text(json.dumps(stage_1.space.smallest.to_json()))
    model, batch = build(monkeypatch, "--model", "ugc_distill", "--name", "student", "--supernet", "net",
                         "--checkpoints_dir", folder, "--student_arch", arch, "--wide_arch", arch,
                         "--deep_arch", arch, "--batch_size", "4", "--num_threads", "0", "--no_html", *flags)
    for optimizer in model.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = 0.0
    return model, batch


@pytest.mark.parametrize("flags", [
    ["--unlabeled", "split"], ["--unlabeled", "none"], ["--diffaugment", "cutout", "translation"],
    ["--lambda_gan_unlabeled", "1", "--ema_teachers", "0.9", "--teacher_every", "2", "--lambda_student_gan",
     "1", "--lambda_r1", "1", "--lambda_lecam", "1"]], ids=lambda flags: flags[0] + flags[1])
def test_a_student_that_equals_its_teachers_has_no_distillation_loss(supernet, monkeypatch, flags):
    model, batch = build_distillation(*supernet, monkeypatch, *flags,
                                      "--perceptual", "discriminator", "--adf", "off")
    for _ in range(2):
        model.train_step(batch)
        losses = model.get_current_losses()
        terms = {f"{teacher}_{term}" for teacher in ("wide", "deep")
                 for term in ("ssim", "pixel", "feature", "style")}
        assert {name: losses[name] for name in terms} == pytest.approx(dict.fromkeys(terms, 0), abs=1e-5)
        assert losses["tv"] > 0


@pytest.mark.parametrize("supernet", ["resnet_instance"], indirect=True)
def test_features_of_hed_are_zero_for_equal_networks_in_bf16(supernet, monkeypatch, tmp_path, capsys):
    write_hed(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model, batch = build_distillation(*supernet, monkeypatch, "--perceptual", "hed", "--amp", "bf16",
                                      "--adf", "off")
    assert "distillation features: hed-vgg16\n" in capsys.readouterr().out
    assert model.weights.pixel == 0
    model.train_step(batch)
    losses = model.get_current_losses()
    terms = {f"{teacher}_{term}" for teacher in ("wide", "deep") for term in ("ssim", "feature", "style")}
    assert {name: losses[name] for name in terms} == pytest.approx(dict.fromkeys(terms, 0), abs=1e-5)
    model.save_dir = tmp_path
    model.save_networks("latest")
    assert load_student(tmp_path / "latest_student.pth").meta["features"] == "hed-vgg16"


@pytest.mark.parametrize("supernet", ["pix2pixhd"], indirect=True)
def test_a_continued_run_has_the_perceptual_loss_that_it_was_started_with(supernet, monkeypatch, tmp_path):
    flags = ["--model", "ugc_supernet", *supernet[1]]
    write_hed(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    continued, _ = build(monkeypatch, *flags, "--continue_train")
    assert continued.objective.terms == ("GAN", "GAN_Feat")
    new, _ = build(monkeypatch, *flags, "--name", "other")
    assert new.objective.terms == ("GAN", "GAN_Feat", "VGG")
    assert (new.objective.vgg.name, new.opt.settings["vgg19_weights"]) == ("hed-vgg16", "hed")
    run_here("test", "--model", "pix2pixhd", "--name", "net", "--checkpoints_dir", supernet[0],
             "--num_test", "2", "--results_dir", tmp_path)
    metrics = json.loads((tmp_path / "net" / "test_latest" / "metrics.json").read_text())["metrics"]
    assert 0 < metrics["fake_B"]["hed-vgg16 distance"] < 2


@pytest.mark.parametrize("supernet", ["resnet_instance"], indirect=True)
def test_a_continued_distillation_keeps_its_features(supernet, monkeypatch, tmp_path):
    """--perceptual auto is decided once, although the weights of VGG-16 appear later."""
    folder = supernet[0]
    build_distillation(*supernet, monkeypatch)  # writes the architecture
    flags = ["--model", "ugc_distill", "--name", "kept", "--supernet", "net", "--checkpoints_dir", folder,
             *(f"--{name}_arch={folder / 'arch.json'}" for name in ("student", "wide", "deep")), "--no_html",
             "--batch_size", "4", "--num_threads", "0", "--n_epochs", "1", "--n_epochs_decay", "0"]
    train_here(*flags)
    weights = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"no weights")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    _, err = train_here(*flags, "--perceptual", "auto", "--continue_train", "--n_epochs", "2", status=2)
    assert "--perceptual was discriminator, now vgg16" in err
    out, _ = train_here(*flags, "--continue_train", "--n_epochs", "2")
    assert "distillation features: discriminator\n" in out
    recorded = json.loads((folder / "kept" / "train_opt.json").read_text())
    assert (recorded["perceptual"], recorded["lambda_pixel"]) == ("discriminator", 10)


@pytest.mark.parametrize(("recorded", "features", "pixel"), [
    ({}, "discriminator", 10), ({"perceptual": "none"}, "none", 10), ({"perceptual": "hed"}, "hed", 0),
    ({"vgg_weights": "vgg.pth"}, "vgg16", 0), ({"lambda_pixel": 3}, "discriminator", 3),
    ({"output_nc": 2}, "discriminator", 10)])
def test_a_distillation_of_an_earlier_version_has_recorded_no_choice(recorded, features, pixel, monkeypatch,
                                                                     tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    old = {"lambda_feature": 10.0, "lambda_pixel": None, "perceptual": "auto", **recorded}
    settings = with_unrecorded(old)
    assert (settings["perceptual"], settings["lambda_pixel"]) == (features, pixel)
    assert not {"perceptual", "lambda_pixel"} & set(with_unrecorded({"model": "pix2pix"}))


def test_pseudo_labels_have_no_dropout_and_the_statistics_of_the_whole_batch(supernet, monkeypatch):
    flags = supernet[1]
    model, batch = build(monkeypatch, "--model", "ugc_supernet", *flags, "--name", "other")
    dropouts = [m for m in model.netG.modules() if isinstance(m, nn.Dropout)]
    assert bool(dropouts) == (model.opt.netG in ("resnet_6blocks", "unet_128"))
    model.set_input(batch)
    model.forward()
    labels = model.pseudo_labels()
    for dropout in dropouts:
        dropout.p = 0.0
    assert all(dropout.training for dropout in dropouts)
    with torch.no_grad():
        torch.testing.assert_close(labels, model.netG(model.inputs))
    assert len(labels) == 8


@pytest.mark.parametrize("ratio", ["0.5", "1"])
def test_targets_of_a_slice_do_not_cancel(supernet, monkeypatch, ratio):
    model, batch = build(monkeypatch, "--model", "ugc_supernet", *supernet[1], "--name", "other",
                         "--label_ratio", ratio)
    model.set_input(batch)
    uses_labels = ratio == "0.5" and model.opt.netG in ("resnet_6blocks", "unet_128")  # those of Pix2Pix
    fake = torch.zeros(len(model.inputs), *model.real_B.shape[1:], requires_grad=True)
    model.real_B = torch.full_like(model.real_B, 0.5)  # y is above every pixel, G_l below
    sum(model.slice_losses(fake, torch.full_like(fake, -0.5))).backward()
    labeled, unlabeled = fake.grad[:4], fake.grad[4:]
    assert len(unlabeled) == (4 if ratio == "0.5" else 0)
    count = labeled.numel() if uses_labels else fake.numel()
    assert torch.equal(labeled, torch.full_like(labeled, (-100 if uses_labels else 100) / count))
    assert torch.equal(unlabeled, torch.full_like(unlabeled, 100 / count))


def test_validation_scores_the_student_as_it_is_saved(supernet, monkeypatch, tmp_path):
    model, batch = build_distillation(*supernet, monkeypatch, "--perceptual", "none")
    model.train_step(batch)
    validated = model.network_to_validate()
    model.save_dir = tmp_path
    model.save_networks("latest")
    saved = load_student(tmp_path / "latest_student.pth").state_dict()
    assert saved.keys() == validated.state_dict().keys()
    for name, value in validated.state_dict().items():
        assert torch.equal(saved[name], value), name
    statistics = [name for name in saved if name.endswith("running_mean")]
    before = extract(model.netS, model.netS.full).state_dict()
    calibrated = calibrate(extract(model.netS, model.netS.full), [model.inputs]).state_dict()
    assert all(torch.equal(saved[name], calibrated[name]) for name in statistics)
    if statistics:  # label maps are kept as ids
        assert {item.is_floating_point() for item in model.recent_inputs.items} == {not model.opt.label_nc}
    assert all(not torch.equal(saved[name], before[name]) for name in statistics)
