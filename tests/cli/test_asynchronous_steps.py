"""A training step does not read values from the device, so that the CPU does not wait for a GPU.

The steps run on PyTorch's device `meta`, whose tensors have no values: reading one is an error.
"""
from argparse import Namespace
from types import SimpleNamespace

import pytest
import torch

from benchmarks import train_step
from models import create_model
from util.progress import Progress

FAMILIES = {"resnet": ("pix2pix", "resnet_6blocks", "64x64", "instance"),
            "unet": ("pix2pix", "unet_128", "128x128", "batch"),
            "pix2pixhd": ("pix2pixhd", "pix2pixhd", "64x128", None),
            "spade": ("spade", "spade", "64x128", None)}


@pytest.fixture(autouse=True)
def autocast_of_the_cpu(monkeypatch):
    """Let the device without values use the autocast of the CPU; it has none."""
    autocast = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda device, *args, **kwargs: autocast("cpu", *args, **kwargs))


def train(folder, family, stage, flags=""):
    """Take three steps without values."""
    original, netG, size, norm = FAMILIES[family]
    settings = Namespace(netG=netG, ngf=8, ndf=8, size=size, norm=norm, batch_size=2, channels_last=False)
    (folder / "net" / "search").mkdir(parents=True)
    train_step.make_supernet(folder, settings)
    opt = train_step.options(original if stage == "original" else stage, "none", settings, folder, flags)
    opt.device = torch.device("meta")
    model = create_model(opt)
    model.setup(opt)
    batch = train_step.random_batch(opt, settings)
    for _ in range(3):
        model.train_step(batch)
    return model


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("stage", ["original", "ugc_supernet", "ugc_distill"])
def test_a_step_reads_no_value(tmp_path, family, stage):
    model = train(tmp_path, family, stage)
    losses = [getattr(model, f"loss_{name}") for name in model.loss_names]
    assert any(torch.is_tensor(loss) and loss.is_meta for loss in losses)  # the step was without values
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        model.get_current_losses()


@pytest.mark.parametrize(("stage", "flags"), [
    ("original", "--gan_mode wgangp --ema 0.9 --accumulate 2"),
    ("original", "--lambda_r1 1 --lambda_lecam 0.1 --diffaugment color translation cutout"),
    ("ugc_supernet", "--lambda_r1 1 --lambda_sub_gan 1 --lambda_gan_unlabeled 1"),
    *(("ugc_distill", f"--adf {rule}") for rule in ("soft", "agreement", "discriminator", "off")),
    ("ugc_distill", "--ema 0.9 --ema_teachers 0.9 --teacher_every 2 --lambda_cd 1"),
    ("ugc_distill", "--lambda_student_gan 1 --lambda_r1 1 --lambda_lecam 0.1")])
def test_options_read_no_value(tmp_path, stage, flags):
    train(tmp_path, "resnet", stage, flags)


@pytest.mark.parametrize(("device", "read"), [("cpu", [1, 2, 3, 4, 5, 6]), ("cuda", [3, 6])])
def test_losses_are_read_from_a_gpu_only_to_be_printed(device, read):
    values = []
    model = SimpleNamespace(device=torch.device(device),
                            get_current_losses=lambda: values.append(progress.total_iters) or {"G": 1.0})
    progress = object.__new__(Progress)
    progress.model, progress.opt, progress.step = model, Namespace(print_freq=3), 1
    losses = []
    for progress.total_iters in range(1, 7):
        losses.append(progress.read_losses())
    assert values == read
    assert [bool(loss) for loss in losses] == [i in read for i in range(1, 7)]
