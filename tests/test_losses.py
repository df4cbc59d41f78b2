"""Losses against closed formulas, hand loops, numpy and scipy."""
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from compression import losses
from compression.perceptual import VGG16_URL, build_feature_extractor
from compression.ssim import ssim


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def scipy_ssim(x, y):
    """SSIM of one channel in [0, 1], from scipy's Gaussian of 11 taps, without the border."""
    def blur(a):
        return gaussian_filter(a, 1.5, radius=5)[5:-5, 5:-5]
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx ** 2, blur(y * y) - my ** 2, blur(x * y) - mx * my
    c1, c2 = 0.01 ** 2, 0.03 ** 2
    return ((2 * mx * my + c1) * (2 * cov + c2) / ((mx ** 2 + my ** 2 + c1) * (vx + vy + c2))).mean()


def test_ssim_agrees_with_scipy_for_each_image():
    x, y = images(3, 2, 24, 31), images(3, 2, 24, 31, seed=1)
    y = 0.7 * x + 0.3 * y
    u, v = ((t.double().numpy() + 1) / 2 for t in (x, y))
    expected = [np.mean([scipy_ssim(u[n, c], v[n, c]) for c in range(2)]) for n in range(3)]
    np.testing.assert_allclose(ssim(x, y).numpy(), expected, atol=2e-5)
    np.testing.assert_allclose(ssim((x + 1) * 127.5, (y + 1) * 127.5, data_range=255, low=0).numpy(), expected, atol=2e-5)


def test_ssim_of_constant_images_is_the_luminance_term():
    a, b, c1 = 0.5, 1.6, 0.02 ** 2  # measured from black
    x, y = torch.full((1, 1, 16, 16), a - 1), torch.full((1, 1, 16, 16), b - 1)
    assert ssim(x, y).item() == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=1e-5)


def test_ssim_is_one_for_equal_images_and_its_gradient_is_right():
    x, y = images(2, 3, 16, 16), images(2, 3, 16, 16, seed=1)
    torch.testing.assert_close(ssim(x, x), torch.ones(2))
    x.requires_grad_(True)
    gradient, = torch.autograd.grad(ssim(x, y).sum(), x)
    direction = images(2, 3, 16, 16, seed=2)
    step = 1e-2
    with torch.no_grad():
        slope = (ssim(x + step * direction, y) - ssim(x - step * direction, y)).sum() / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=1e-2, abs=1e-4)


def test_full_precision_under_autocast():
    x, y = images(2, 3, 16, 16), images(2, 3, 16, 16, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = [ssim(x, y), losses.gram(x), losses.total_variation(x), losses.gan_loss(x, True)]
    assert all(m.dtype == torch.float32 for m in mixed)
    for m, plain in zip(mixed, [ssim(x, y), losses.gram(x), losses.total_variation(x), losses.gan_loss(x, True)]):
        torch.testing.assert_close(m, plain, rtol=0, atol=0)


def test_ssim_explains_what_it_cannot_compare():
    with pytest.raises(ValueError, match="at least 11x11 pixels, got 8x16"):
        ssim(images(1, 3, 8, 16), images(1, 3, 8, 16))
    with pytest.raises(ValueError, match="one shape.*1x3x16x16 and 1x3x16x20"):
        ssim(images(1, 3, 16, 16), images(1, 3, 16, 20))


def expected_gan(p, real, mode, for_discriminator):
    if mode == "lsgan":
        return (p - (1 if real else 0)) ** 2
    if mode == "vanilla":
        probability = 1 / (1 + math.exp(-p))
        return -math.log(probability if real else 1 - probability)
    if mode == "hinge" and for_discriminator:
        return max(0, 1 - p if real else 1 + p)
    return -p if real else p


@pytest.mark.parametrize("mode", losses.GAN_MODES)
@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("for_discriminator", [True, False])
def test_gan_loss(mode, real, for_discriminator):
    if mode == "hinge" and not (real or for_discriminator):
        pytest.skip("a generator never aims for fake")
    values = [-2.5, -0.3, 0.0, 0.4, 1.0, 3.0]
    expected = sum(expected_gan(p, real, mode, for_discriminator) for p in values) / len(values)
    prediction = torch.tensor(values).view(2, 1, 1, 3)
    assert losses.GANLoss(mode)(prediction, real, for_discriminator).item() == pytest.approx(expected, rel=1e-5)


def test_vanilla_is_finite_for_extreme_logits():
    assert losses.gan_loss(torch.tensor([-1e4]), True, "vanilla").item() == pytest.approx(1e4)


@pytest.mark.parametrize("make", [losses.GANLoss, losses.Pix2PixObjective,
                                  lambda mode: losses.gan_loss(torch.zeros(1), True, mode)])
def test_unknown_gan_mode_lists_the_known(make):
    with pytest.raises(ValueError, match="--gan_mode wgan is unknown, known: lsgan, vanilla, hinge, wgangp"):
        make("wgan")


def test_gradient_penalty_of_a_linear_discriminator():
    weight = torch.tensor([0.3, -1.2, 2.0], requires_grad=True)
    real, fake = images(4, 3, 2, 2), images(4, 3, 2, 2, seed=1)
    penalty = losses.gradient_penalty(lambda x: torch.einsum("nchw,c->nhw", x, weight), real, fake, weight=7.0)
    slope = math.sqrt(4 * (0.3 ** 2 + 1.2 ** 2 + 2.0 ** 2))  # each of 2x2 pixels has the slope `weight`
    assert penalty.item() == pytest.approx(7 * (slope - 1) ** 2, rel=1e-5)
    penalty.backward()
    assert weight.grad.abs().sum() > 0 and real.grad is None


def test_gradient_penalty_draws_from_its_generator():
    def penalty(seed):
        generator = torch.Generator().manual_seed(seed)
        return losses.gradient_penalty(lambda x: x ** 3, images(2, 1, 4, 4), images(2, 1, 4, 4, seed=1),
                                       generator=generator).item()
    assert penalty(0) == penalty(0) != penalty(1)


def test_pix2pix_objective():
    objective = losses.Pix2PixObjective("lsgan", lambda_L1=50.0)
    real_prediction, fake_prediction = torch.tensor([0.8, 0.5]), torch.tensor([0.1, 0.4])
    assert objective.discriminator(real_prediction, fake_prediction).item() == pytest.approx(
        0.5 * ((0.2 ** 2 + 0.5 ** 2) / 2 + (0.1 ** 2 + 0.4 ** 2) / 2))
    fake, real = torch.full((2, 3, 4, 4), 0.25), torch.full((2, 3, 4, 4), -0.5)
    terms = objective.generator(fake_prediction, fake, real)
    assert {name: term.item() for name, term in terms.items()} == {
        "GAN": pytest.approx((0.9 ** 2 + 0.6 ** 2) / 2), "L1": pytest.approx(50 * 0.75)}
    with pytest.raises(ValueError, match="--lambda_L1 .* got -1"):
        losses.Pix2PixObjective(lambda_L1=-1)


def test_gram_by_hand():
    x = images(2, 3, 4, 5)
    expected = torch.zeros(2, 3, 3)
    for n in range(2):
        for i in range(3):
            for j in range(3):
                expected[n, i, j] = sum(x[n, i, h, w] * x[n, j, h, w] for h in range(4) for w in range(5)) / (3 * 4 * 5)
    torch.testing.assert_close(losses.gram(x), expected)


def test_total_variation_by_hand():
    x = images(2, 2, 3, 4)
    expected = [sum(abs(x[n, c, h, w] - x[n, c, h, w - 1]) for c in range(2) for h in range(3) for w in range(1, 4))
                + sum(abs(x[n, c, h, w] - x[n, c, h - 1, w]) for c in range(2) for h in range(1, 3) for w in range(4))
                for n in range(2)]
    torch.testing.assert_close(losses.total_variation(x), torch.stack(expected))


def test_masked_mean():
    values = torch.tensor([1.0, 2.0, 6.0], requires_grad=True)
    assert losses.masked_mean(values).item() == 3
    assert losses.masked_mean(values, torch.tensor([True, False, True])).item() == 3.5
    none = losses.masked_mean(values, torch.zeros(3, dtype=torch.bool))
    none.backward()
    assert none.item() == 0 and values.grad.tolist() == [0, 0, 0]


# Features ------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    """Weights under which every VGG layer passes on the mean of its input channels; without the classifier."""
    widths = [3, 64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]
    state, index, before = {}, 0, widths[0]
    for width in widths[1:]:
        if width != "M":
            kernel = torch.zeros(width, before, 3, 3)
            kernel[:, :, 1, 1] = 1 / before
            state |= {f"features.{index}.weight": kernel, f"features.{index}.bias": torch.zeros(width)}
            before = width
        index += 1 if width == "M" else 2
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(state, path)
    return path


def test_vgg_features_are_the_four_relus_of_the_normalised_image(vgg_file):
    extractor = build_feature_extractor("vgg16", vgg_file)
    assert extractor.name == "vgg16" and extractor.content == (1,)
    assert not any(p.requires_grad for p in extractor.parameters())
    image = torch.full((2, 3, 32, 32), 0.6, requires_grad=True)
    found = extractor(image)
    value = np.mean([(0.8 - m) / s for m, s in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    assert [tuple(f.shape) for f in found] == [(2, 64, 32, 32), (2, 128, 16, 16), (2, 256, 8, 8), (2, 512, 4, 4)]
    for features in found:
        torch.testing.assert_close(features, torch.full_like(features, value))
    found[-1].sum().backward()
    assert image.grad.abs().sum() > 0
    torch.testing.assert_close(extractor(torch.full((1, 1, 32, 32), 0.6))[0], found[0][:1])
    with pytest.raises(ValueError, match="got 4"):
        extractor(torch.zeros(1, 4, 32, 32))


def test_auto_takes_vgg_where_its_weights_are_and_else_the_discriminator(vgg_file, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    seen = []
    extractor = build_feature_extractor("auto", discriminator_features=lambda x: (seen.append(x), [x * 2])[1])
    image, condition = images(1, 3, 4, 4), images(1, 2, 4, 4, seed=1)
    assert extractor.name == "discriminator"
    torch.testing.assert_close(extractor(image, condition)[0], 2 * torch.cat([condition, image], 1))
    cache = tmp_path / "checkpoints" / VGG16_URL.rsplit("/", 1)[1]
    cache.parent.mkdir()
    cache.write_bytes(vgg_file.read_bytes())
    assert build_feature_extractor("auto").name == build_feature_extractor("vgg16").name == "vgg16"
    assert build_feature_extractor("discriminator", discriminator_features=list).name == "discriminator"


def test_the_discriminator_is_not_owned_by_its_features():
    assert not list(build_feature_extractor("discriminator", discriminator_features=nn.Conv2d(1, 1, 1)).parameters())


def test_no_features():
    extractor = build_feature_extractor("none")
    assert extractor.name == "none" and extractor(images(1, 3, 4, 4), None) == []


def test_missing_features_are_explained(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    place = tmp_path / "checkpoints" / "vgg16-397923af.pth"
    with pytest.raises(ValueError, match=f"{place}.*{VGG16_URL}.*--vgg_weights.*--perceptual discriminator"):
        build_feature_extractor("vgg16")
    with pytest.raises(ValueError, match="gone.pth: no VGG-16 weights"):
        build_feature_extractor("auto", tmp_path / "gone.pth", list)
    with pytest.raises(ValueError, match="--perceptual auto needs a discriminator"):
        build_feature_extractor("auto")
    with pytest.raises(ValueError, match="--perceptual lpips is unknown, known: auto, vgg16, discriminator, none"):
        build_feature_extractor("lpips")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="other.pth: holds no weights of torchvision's vgg16"):
        build_feature_extractor("vgg16", tmp_path / "other.pth")


@pytest.mark.parametrize("code", [
    "from compression.torchvision_compat import torchvision; torchvision.models.vgg16",
    "import compression.torchvision_compat; import torchvision.transforms, torchvision.utils",
])
def test_torchvision_imports_beside_this_torch(code):
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
