"""--gan_mode wgangp: the gradient penalty, by hand and in the training of every stage."""
import copy

import pytest
import torch
from torch import nn

from compression.checkpoints.files import write_json
from compression.originals import objectives
from compression.originals.objectives import Pix2PixHDObjective, Pix2PixObjective, gradient_penalty
from data import create_dataset
from models import create_model
from options.base_options import write_options
from options.train_options import TrainOptions

TINY = ["--netG", "resnet_6blocks", "--ngf", "8", "--ndf", "4", "--load_size", "32", "--crop_size", "32",
        "--toy_train_images", "4", "--toy_test_images", "2", "--num_threads", "0", "--no_dropout",
        "--batch_size", "4", "--norm", "instance", "--gan_mode", "wgangp", "--gpu_ids", "-1"]


def images(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_penalty_of_a_linear_discriminator():
    conv = nn.Conv2d(2, 1, 1)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([0.3, -0.4]).view(1, 2, 1, 1))
    # the gradient of the sum of 4 x 5 patches is (0.3, -0.4) at each of 20 pixels
    expected = 10 * ((20 * (0.3 ** 2 + 0.4 ** 2)) ** 0.5 - 1) ** 2
    penalty, = gradient_penalty(lambda z: [[conv(z)]], images(3, 2, 4, 5), images(3, 2, 4, 5, seed=1))
    assert penalty.item() == pytest.approx(expected, rel=1e-5)
    penalty.backward()
    # d/dw 10 (c |w| - 1)^2 = 20 (c |w| - 1) c w / |w| with c = sqrt(20)
    factor = 20 * (20 ** 0.5 * 0.5 - 1) * 20 ** 0.5 / 0.5
    assert conv.weight.grad.flatten().tolist() == pytest.approx([factor * 0.3, factor * -0.4], rel=1e-5)


def test_the_penalty_is_at_a_random_point_between_real_and_fake_of_each_sample():
    real, fake = images(3, 2, 4, 4), images(3, 2, 4, 4, seed=1)
    torch.manual_seed(5)
    penalty, = gradient_penalty(lambda z: [[z ** 2 / 2]], real, fake)  # the gradient is the point itself
    torch.manual_seed(5)
    share = torch.rand(3, 1, 1, 1)
    lengths = [(a * r + (1 - a) * f).norm().item() for a, r, f in zip(share, real, fake, strict=True)]
    assert penalty.item() == pytest.approx(sum(10 * (length - 1) ** 2 for length in lengths) / 3, rel=1e-5)
    assert len(set(share.flatten().tolist())) == 3


def test_the_penalty_of_a_constant_discriminator_has_finite_gradients():
    conv = nn.Conv2d(2, 1, 1)
    nn.init.zeros_(conv.weight)
    penalty, = gradient_penalty(lambda z: [[conv(z)]], images(1, 2, 4, 4), images(1, 2, 4, 4))
    penalty.backward()
    assert penalty.item() == pytest.approx(10)
    assert conv.weight.grad.isfinite().all()


@pytest.mark.parametrize(("objective", "scales"), [(Pix2PixObjective("wgangp"), 1 / 2),
                                                   (Pix2PixHDObjective("wgangp"), 1)])
def test_the_penalties_of_scales_are_combined_as_the_losses(objective, scales):
    def discriminate(z):  # gradients of length 1 and 3 times 4
        return [[z.flatten(1) / 4], [3 * z.flatten(1) / 4]]

    terms = objective.penalty(discriminate, images(2, 1, 4, 4), images(2, 1, 4, 4, seed=1))
    assert terms["D_gp"].item() == pytest.approx(scales * (10 * 0 ** 2 + 10 * 2 ** 2), abs=1e-4)
    assert objective.discriminator_terms == ("D_real", "D_fake", "D_gp")
    assert Pix2PixObjective("lsgan").penalty(discriminate, images(1, 1, 4, 4), images(1, 1, 4, 4)) == {}


def build(tmp_path, *flags):
    """Build a tiny model and a batch of its data set."""
    opt = TrainOptions().parse([*TINY, "--checkpoints_dir", str(tmp_path), *flags])
    torch.manual_seed(0)
    dataset = create_dataset(opt)
    model = create_model(opt)
    model.setup(opt)
    return model, next(iter(dataset))


def test_the_discriminator_takes_a_step_by_its_losses_and_the_penalty(tmp_path, monkeypatch):
    monkeypatch.setattr(objectives.torch, "rand", lambda *shape, device: torch.full(shape, 0.25))
    model, batch = build(tmp_path, "--model", "pix2pix", "--dataset_mode", "adf", "--label_ratio", "1")
    net = copy.deepcopy(model.netD)
    gradients = {}
    monkeypatch.setattr(model.optimizer_D, "step", lambda *arguments: gradients.update(
        {name: parameter.grad.clone() for name, parameter in model.netD.named_parameters()}))
    model.train_step(batch)
    x, y, fake = batch["A"], batch["B"], model.fake_B.detach()
    mixed = torch.cat((x, 0.25 * y + 0.75 * fake), 1).requires_grad_()  # x is the same on both sides
    gradient, = torch.autograd.grad(net(mixed).sum(), mixed, create_graph=True)
    penalty = 10 * ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
    loss = (net(torch.cat((x, fake), 1)).mean() - net(torch.cat((x, y), 1)).mean()) / 2 + penalty
    loss.backward()
    assert model.get_current_losses()["D_gp"] == pytest.approx(penalty.item(), rel=1e-4)
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("flags", "tolerance"), [(["--accumulate", "2"], 1e-3), (["--amp", "bf16"], 0.05),
                                                  (["--amp", "fp16"], 0.05)])
def test_accumulation_and_reduced_precision_have_the_same_penalty(tmp_path, monkeypatch, flags, tolerance):
    monkeypatch.setattr(objectives.torch, "rand", lambda *shape, device: torch.full(shape, 0.5))
    values = []
    for arguments in ([], flags):
        model, batch = build(tmp_path, "--model", "ugc_supernet", "--label_ratio", "1", "--search_split",
                             "0", *arguments)
        penalties = []
        penalty = model.objective.penalty
        monkeypatch.setattr(model.objective, "penalty", lambda *pairs, of=penalty, store=penalties: (
            store.append(of(*pairs)) or store[-1]))
        model.train_step(batch)
        assert all(terms["D_gp"].dtype == torch.float32 for terms in penalties)
        values.append(sum(terms["D_gp"].item() for terms in penalties) / len(penalties))
        assert not model.networks_not_finite()
    assert values[0] == pytest.approx(values[1], rel=tolerance)


def test_the_penalty_holds_the_slope_of_the_discriminator_near_1(tmp_path):
    model, batch = build(tmp_path, "--model", "pix2pix", "--dataset_mode", "adf", "--label_ratio", "1",
                         "--lr", "0.002")
    for _ in range(30):
        model.train_step(batch)
    lengths = []
    for image in (model.real_B, model.fake_B.detach()):
        z = model.pairs(image).requires_grad_()
        gradient, = torch.autograd.grad(model.netD(z).sum(), z)
        lengths += gradient.flatten(1).norm(dim=1).tolist()
    assert 0.5 < sum(lengths) / len(lengths) < 2


def test_batch_norm_in_the_discriminator_is_noted(tmp_path, capsys):
    build(tmp_path, "--model", "pix2pix", "--norm", "batch")
    assert "note: the gradient penalty of --gan_mode wgangp is one of single" in capsys.readouterr().out


def test_the_distillation_adds_the_mean_penalty_of_the_heads(tmp_path, monkeypatch):
    supernet, _ = build(tmp_path, "--model", "ugc_supernet", "--name", "net")
    write_options(supernet.opt)
    supernet.save_networks("latest")
    (tmp_path / "net/search").mkdir()
    for name in ("student", "teacher_wide", "teacher_deep"):
        write_json(tmp_path / f"net/search/{name}.json", supernet.space.smallest.to_json())
    monkeypatch.setattr(objectives.torch, "rand", lambda *shape, device: torch.full(shape, 0.5))
    model, batch = build(tmp_path, "--model", "ugc_distill", "--supernet", "net", "--name", "distill",
                         "--perceptual", "discriminator")
    assert model.opt.gan_mode == "wgangp"
    heads = []
    monkeypatch.setattr(model.objective, "discriminator",
                        lambda *predictions: {"D_real": torch.tensor(0.0), "D_fake": torch.tensor(0.0)})
    monkeypatch.setattr(model, "backward", lambda *arguments: None)
    model.train_step(batch)
    for name in model.teachers:
        z = 0.5 * torch.cat((model.condition, model.real_B), 1)
        z = z + 0.5 * torch.cat((model.condition, model.teacher_images[name].detach()), 1)
        z.requires_grad_()
        gradient, = torch.autograd.grad(model.netD.forward(z, name)[0][-1].sum(), z)
        heads.append(10 * ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean().item())
    assert model.get_current_losses()["D"] == pytest.approx(sum(heads) / 2, rel=1e-4)
