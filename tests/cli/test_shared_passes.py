"""One pass of the discriminator for two losses: the same training as with a pass for each of them.

All computations are in double precision, where a difference that is not one of rounding shows.
"""
import copy
import json
import sys
from types import MethodType

import pytest
import torch

from commands import train_here
from compression.originals.discriminators import build_discriminator
from compression.originals.shared_pass import can_share
from compression.runtime.modes import deterministic, frozen
from data import create_dataset
from in_double import double_precision
from models import create_model
from options.train_options import TrainOptions

SMALL = ["--load_size", "32", "--crop_size", "32"]
FAMILIES = {"resnet": ["--netG", "resnet_6blocks", "--norm", "instance", *SMALL],
            "batch": ["--netG", "resnet_6blocks", "--norm", "batch", *SMALL],
            "pix2pixhd": ["--netG", "pix2pixhd", *SMALL]}
TINY = ["--ngf", "4", "--ndf", "4", "--toy_train_images", "8", "--toy_test_images", "2", "--batch_size", "2",
        "--num_threads", "0", "--n_epochs", "1", "--n_epochs_decay", "0", "--no_html", "--label_ratio", "0.5"]
STEPS = 3
STAGE_2 = {
    "student": ["--lambda_student_gan", "1"],
    "accumulate": ["--lambda_student_gan", "1", "--accumulate", "2", "--teacher_every", "2", "--perceptual",
                   "none", "--diffaugment", "color", "translation", "cutout"],
    "penalties": ["--lambda_student_gan", "1", "--lambda_gan_unlabeled", "1", "--gan_mode", "wgangp",
                  "--lambda_r1", "1", "--r1_every", "2", "--lambda_lecam", "1"]}
STAGE_1 = {
    "slices": ["--lambda_sub_gan", "1", "--lambda_gan_unlabeled", "1"],
    "penalties": ["--lambda_sub_gan", "1", "--gan_mode", "wgangp", "--lambda_r1", "1", "--lambda_lecam", "1",
                  "--accumulate", "2", "--diffaugment", "color", "translation", "cutout"]}


@pytest.fixture(scope="module", params=FAMILIES)
def supernet(request, tmp_path_factory):
    """A supernet trained for one epoch: (folder of checkpoints, its flags)."""
    folder = tmp_path_factory.mktemp(request.param)
    flags = ["--name", "net", "--checkpoints_dir", str(folder), *TINY, *FAMILIES[request.param]]
    train_here("--model", "ugc_supernet", *flags)
    return folder, flags


@pytest.fixture
def double():
    """Compute in double precision."""
    with double_precision():
        yield


def build(monkeypatch, flags):
    """Build a model for training and its first batch."""
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, flags)])
    opt = TrainOptions().parse()
    model = create_model(opt)
    model.setup(opt)
    return model, next(iter(create_dataset(opt)))


def train(model, batch):
    """Take a few steps; returns the losses of every step, and all weights and statistics at the end."""
    torch.manual_seed(0)
    losses = []
    for _ in range(STEPS):
        model.train_step(batch)
        losses.append(model.get_current_losses())
    values = {f"{name}.{key}": value for name, net in model.named_networks()
              for key, value in net.state_dict().items()}
    return losses, values


def assert_same(monkeypatch, flags, separate):
    """Check that separate passes give the same losses, weights, and running statistics."""
    model, batch = build(monkeypatch, flags)
    other = copy.deepcopy(model)
    separate(other)
    assert model.shares_passes
    losses, values = train(model, batch)
    expected_losses, expected = train(other, batch)
    for step, expected_step in zip(losses, expected_losses, strict=True):
        assert step == pytest.approx(expected_step, rel=1e-6, abs=1e-8)
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(values[name], value, rtol=1e-6, atol=1e-6), name


def separate_heads(model):
    """Let a distillation run the discriminator once for the generators' losses and once for its own."""
    def discriminate_fake(self, name, fake):
        with frozen(self.netD), deterministic(self.netD), self.autocast():
            return self.netD(self.pairs(fake), name)

    def discriminate_detached(self, name, fake):
        with self.autocast():
            return self.netD(self.pairs(fake.detach()), name)

    model.discriminate_fake = MethodType(discriminate_fake, model)
    model.discriminate_detached = MethodType(discriminate_detached, model)
    model.discriminate_student = lambda: None
    model.filter.uses_prediction = True  # also where nothing uses the output for fake labels


def separate_passes(model):
    """Let an original or a supernet run the discriminator once for each loss."""
    def discriminate_fake(self, fake):
        with frozen(self.netD):
            return self.discriminate(fake)

    model.discriminate_fake = MethodType(discriminate_fake, model)
    model.discriminate_detached = MethodType(lambda self, fake: self.discriminate(fake.detach()), model)


def distillation(folder, *flags):
    """Return the flags of a distillation of a supernet whose smallest sub-network is student and teacher."""
    archs = [f"--{role}_arch={folder / 'arch.json'}" for role in ("student", "wide", "deep")]
    return ["--model", "ugc_distill", "--name", "student", "--supernet", "net", "--checkpoints_dir", folder,
            *archs, "--batch_size", "2", "--num_threads", "0", "--no_html", *flags]


@pytest.mark.parametrize("options", STAGE_2)
def test_stage_2_shares_passes(supernet, double, monkeypatch, options):
    folder, flags = supernet
    if options != next(iter(STAGE_2)) and folder.name[:-1] == "pix2pixhd":
        pytest.skip("these options are tested with the other networks")
    write_arch(monkeypatch, folder, flags)
    assert_same(monkeypatch, distillation(folder, *STAGE_2[options]), separate_heads)


def write_arch(monkeypatch, folder, flags):
    """Write the architecture of the smallest sub-network."""
    if not (folder / "arch.json").exists():
        monkeypatch.setattr(sys, "argv", ["train.py"])
        opt = TrainOptions().parse(["--model", "ugc_supernet", *flags, "--name", "other"])
        (folder / "arch.json").write_text(json.dumps(create_model(opt).space.smallest.to_json()))


@pytest.mark.parametrize("options", STAGE_1)
def test_stage_1_shares_passes(supernet, double, monkeypatch, options):
    folder, flags = supernet
    if options != next(iter(STAGE_1)) and folder.name[:-1] == "pix2pixhd":
        pytest.skip("these options are tested with the other networks")
    assert_same(monkeypatch, ["--model", "ugc_supernet", *flags, "--name", "other", *STAGE_1[options]],
                separate_passes)


@pytest.mark.parametrize("flags", [
    ["--model", "pix2pixhd"],
    ["--model", "spade", "--norm_D", "batch", "--num_upsampling_layers", "normal"]],
    ids=lambda flags: flags[1])
def test_originals_share_passes(double, monkeypatch, tmp_path, flags):
    tiny = TINY[:TINY.index("--label_ratio")]
    assert_same(monkeypatch, [*flags, *tiny, *SMALL, "--checkpoints_dir", tmp_path], separate_passes)


@pytest.mark.parametrize("supernet", ["resnet"], indirect=True)
@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_low_precision_and_its_gradient_scaler(supernet, monkeypatch, amp):
    folder, flags = supernet
    write_arch(monkeypatch, folder, flags)
    assert_same(monkeypatch, distillation(folder, *STAGE_2["student"], "--amp", amp), separate_heads)


def test_passes_with_a_power_iteration_are_not_shared():
    assert not can_share(build_discriminator("spade", 6, 4, 3))
    assert can_share(build_discriminator("spade", 6, 4, 3, spectral=False))
    assert can_share(build_discriminator("basic", 6, 4, norm="batch"))


@pytest.mark.parametrize("supernet", ["batch"], indirect=True)
def test_a_compiled_distillation_with_batch_norms_has_the_same_losses(supernet, monkeypatch):
    compile = torch.nn.Module.compile  # everything but the building of kernels, which takes half a minute
    monkeypatch.setattr(torch.nn.Module, "compile", lambda net: compile(net, backend="aot_eager"))
    folder, flags = supernet
    write_arch(monkeypatch, folder, flags)
    model, batch = build(monkeypatch, distillation(folder))
    compiled, _ = build(monkeypatch, distillation(folder, "--compile"))
    assert compiled.netS._compiled_call_impl
    for step, expected in zip(train(compiled, batch)[0], train(model, batch)[0], strict=True):
        assert step == pytest.approx(expected, rel=1e-3, abs=1e-3)
