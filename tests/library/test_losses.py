"""Losses agree with closed formulas, plain loops, NumPy and SciPy."""
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from compression.distill.fake_labels import FakeLabels
from compression.distill.features import build_feature_extractor
from compression.distill.perceptual_loss import build_perceptual_loss
from compression.distill.ssim import ssim
from compression.distill.vgg import VGG16_FILE
from compression.originals import objectives as losses


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def scipy_ssim(x, y, data_range):
    """SSIM of one channel in [0, data_range] with SciPy's Gaussian of 11 taps, without the border."""
    def blur(a):
        return gaussian_filter(a, 1.5, radius=5)[5:-5, 5:-5]
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx ** 2, blur(y * y) - my ** 2, blur(x * y) - mx * my
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    return ((2 * mx * my + c1) * (2 * cov + c2) / ((mx ** 2 + my ** 2 + c1) * (vx + vy + c2))).mean()


@pytest.mark.parametrize(("low", "data_range"), [(-1, 2), (0, 1), (0, 255)])
def test_ssim_agrees_with_scipy_for_each_image(low, data_range):
    x, y = images(3, 2, 24, 31), images(3, 2, 24, 31, seed=1)
    x, y = ((t + 1) / 2 * data_range + low for t in (x, 0.7 * x + 0.3 * y))
    u, v = x.double().numpy() - low, y.double().numpy() - low
    expected = [np.mean([scipy_ssim(u[n, c], v[n, c], data_range) for c in range(2)]) for n in range(3)]
    np.testing.assert_allclose(ssim(x, y, data_range=data_range, low=low).numpy(), expected, atol=2e-5)


def test_ssim_leaves_cudnn_as_it_was():
    before = (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark)
    ssim(images(1, 3, 16, 16), images(1, 3, 16, 16))
    assert (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark) == before


@pytest.mark.parametrize(("a", "b"), [(-0.01, 0.01), (-1.0, 1.0), (-0.5, 0.6)])
def test_ssim_of_constant_images_is_the_luminance_term_measured_from_black(a, b):
    u, v, c1 = a + 1, b + 1, 0.02 ** 2
    computed = ssim(torch.full((1, 1, 16, 16), a), torch.full((1, 1, 16, 16), b))
    assert computed.item() == pytest.approx((2 * u * v + c1) / (u * u + v * v + c1), abs=1e-4)


def test_ssim_is_computed_in_full_precision_under_autocast():
    x, y = images(2, 3, 16, 16), images(2, 3, 16, 16, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = ssim(x, y)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, ssim(x, y), rtol=0, atol=0)


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


def test_ssim_refuses_small_images_and_different_shapes():
    with pytest.raises(ValueError, match="at least 11 pixels, got 8x16"):
        ssim(images(1, 3, 8, 16), images(1, 3, 8, 16))
    with pytest.raises(ValueError, match=r"one shape.*\(1, 3, 16, 16\) and \(1, 3, 16, 20\)"):
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
def test_gan_loss_equals_its_formula(mode, real, for_discriminator):
    if mode == "hinge" and not (real or for_discriminator):
        pytest.skip("the target of a generator is never fake")
    values = [-2.5, -0.3, 0.0, 0.4, 1.0, 3.0]
    expected = sum(expected_gan(p, real, mode, for_discriminator) for p in values) / len(values)
    prediction = torch.tensor(values).view(2, 1, 1, 3)
    loss = losses.gan_loss(prediction, real, mode, for_discriminator)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_vanilla_gan_loss_is_finite_for_extreme_logits():
    assert losses.gan_loss(torch.tensor([-1e4]), True, "vanilla").item() == pytest.approx(1e4)


@pytest.mark.parametrize("make",
                         [losses.Pix2PixObjective, lambda mode: losses.gan_loss(torch.zeros(1), True, mode)])
def test_unknown_gan_mode_lists_the_known(make):
    with pytest.raises(ValueError, match="--gan_mode wgan is unknown, known: vanilla, lsgan, wgangp, hinge"):
        make("wgan")


@pytest.mark.parametrize("mode", losses.GAN_MODES)
def test_gan_loss_of_half_precision_logits_is_full_precision(mode):
    logits = images(64).bfloat16()
    torch.testing.assert_close(losses.gan_loss(logits, True, mode),
                               losses.gan_loss(logits.float(), True, mode))


def test_pix2pix_objective_equals_its_formula():
    objective = losses.Pix2PixObjective("lsgan", lambda_L1=50.0)
    real_prediction, fake_prediction = [[torch.tensor([0.8, 0.5])]], [[torch.tensor([0.1, 0.4])]]
    terms = objective.discriminator(real_prediction, fake_prediction)
    assert terms.keys() == {"D_real", "D_fake"}
    assert terms["D_real"].item() == pytest.approx((0.2 ** 2 + 0.5 ** 2) / 2)
    assert terms["D_fake"].item() == pytest.approx((0.1 ** 2 + 0.4 ** 2) / 2)
    fake, real = torch.full((2, 3, 4, 4), 0.25), torch.full((2, 3, 4, 4), -0.5)
    terms = objective.generator(fake_prediction, fake, real)
    assert {name: term.item() for name, term in terms.items()} == {
        "GAN": pytest.approx((0.9 ** 2 + 0.6 ** 2) / 2), "L1": pytest.approx(50 * 0.75)}
    with pytest.raises(ValueError, match="--lambda_L1 .* got -1"):
        losses.Pix2PixObjective(lambda_L1=-1)


def mean_passing_vgg(widths):
    """A state dict of torchvision's VGG in which every layer outputs the mean of its input channels."""
    state, index, before = {}, 0, widths[0]
    for width in widths[1:]:
        if width != "M":
            kernel = torch.zeros(width, before, 3, 3)
            kernel[:, :, 1, 1] = 1 / before
            state |= {f"features.{index}.weight": kernel, f"features.{index}.bias": torch.zeros(width)}
            before = width
        index += 1 if width == "M" else 2
    return state | {"classifier.0.weight": torch.zeros(1, 1)}  # is never read


def judgment(*values):
    """Scales of layers that are constant: each scale a list of values, the prediction last."""
    return [[torch.full((2, 1, 2, 3), float(value)) for value in scale] for scale in values]


@pytest.mark.parametrize(("kind", "gan_mode", "gan", "weight"), [
    # SPADE: the mean over scales; every layer has weight 1
    (losses.FeatureMatchingObjective, "hinge", -(0.5 + 2) / 2, 1.0),
    # Pix2PixHD: the sum over scales; every layer has weight 4 / number of layers
    (losses.Pix2PixHDObjective, "lsgan", 0.25 + 1, 4 / 2)])
def test_feature_matching_objectives_by_hand(kind, gan_mode, gan, weight):
    objective = kind(gan_mode, lambda_feat=3.0)
    fake, real = judgment((1, 2, 0.5), (0, 1, 2)), judgment((1.5, 4, 9), (1, 1, 9))
    terms = objective.generator(fake, torch.zeros(1), torch.zeros(1), real)
    assert {name: loss.item() for name, loss in terms.items()} == {
        "GAN": pytest.approx(gan), "GAN_Feat": pytest.approx(3 * weight * ((0.5 + 2) + (1 + 0)) / 2)}
    assert objective.terms == tuple(terms)
    d = objective.discriminator(judgment((0, 0.5), (0, 2)), judgment((0, -0.5), (0, -3)))
    per_scale = {"hinge": ((0.5, 0), (0.5, 0)), "lsgan": ((0.25, 1), (0.25, 9))}[gan_mode]
    scale = 2 if gan_mode == "hinge" else 1
    assert (d["D_real"].item(), d["D_fake"].item()) == tuple(pytest.approx(sum(v) / scale) for v in per_scale)


def test_real_images_receive_no_gradients_of_the_generator():
    objective = losses.FeatureMatchingObjective()
    real = [[torch.ones(1, 1, 1, 1, requires_grad=True), torch.ones(1, 1, 1, 1, requires_grad=True)]]
    fake = [[torch.zeros(1, 1, 1, 1, requires_grad=True), torch.zeros(1, 1, 1, 1, requires_grad=True)]]
    sum(objective.generator(fake, torch.zeros(1), torch.zeros(1), real).values()).backward()
    assert real[0][0].grad is None
    assert fake[0][0].grad.item() == -10
    assert fake[0][1].grad.item() == -1


def test_weights_below_zero_name_their_flag():
    with pytest.raises(ValueError, match="--lambda_feat must be at least 0, got -1"):
        losses.FeatureMatchingObjective(lambda_feat=-1)


def test_vgg19_loss_weighs_five_layers(tmp_path):
    widths = [3, 64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M"]
    path = tmp_path / "vgg19.pth"
    torch.save(mean_passing_vgg(widths), path)
    loss = build_perceptual_loss(path)
    fake = torch.full((1, 3, 32, 32), 0.75, requires_grad=True)
    perceptual = loss(fake, torch.full((1, 3, 32, 32), 0.25))  # every layer outputs the mean of its channels
    assert perceptual.item() == pytest.approx(0.5 * (1 / 32 + 1 / 16 + 1 / 8 + 1 / 4 + 1), rel=1e-4)
    perceptual.backward()
    assert fake.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in loss.parameters())
    objective = losses.FeatureMatchingObjective(vgg=loss)
    terms = objective.generator(judgment((1, 1)), fake, torch.full((1, 3, 32, 32), 0.25), judgment((1, 1)))
    assert terms["VGG"].item() == pytest.approx(10 * perceptual.item())
    assert objective.terms == ("GAN", "GAN_Feat", "VGG")


# Features -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    """A file of weights with which every VGG-16 layer outputs the mean of its input channels."""
    widths = [3, 64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]
    state = mean_passing_vgg(widths)
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(state, path)
    return path


def test_vgg_features_are_the_four_relus_of_the_normalized_image(vgg_file):
    extractor = build_feature_extractor("vgg16", vgg_file, None).double()  # sums in float32 depend on the CPU
    assert extractor.name == "vgg16"
    assert not any(p.requires_grad for p in extractor.parameters())
    image = torch.full((2, 3, 32, 32), 0.6, dtype=torch.double, requires_grad=True)
    features = extractor(image)
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    value = np.mean([(0.8 - mean) / deviation for mean, deviation in zip(means, deviations, strict=True)])
    shapes = [(2, 64, 32, 32), (2, 128, 16, 16), (2, 256, 8, 8), (2, 512, 4, 4)]
    assert [tuple(layer.shape) for layer in features] == shapes
    for layer in features:
        torch.testing.assert_close(layer, torch.full_like(layer, value), rtol=1.3e-6, atol=1e-5)
    features[-1].sum().backward()
    assert image.grad.abs().sum() > 0
    gray = torch.full((1, 1, 32, 32), 0.6, dtype=torch.double)
    torch.testing.assert_close(extractor(gray)[0], features[0][:1])


def test_auto_selects_vgg_if_its_weights_exist_and_else_the_discriminator(vgg_file, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    extractor = build_feature_extractor("auto", None, lambda image, condition: [image * 2, condition * 3])
    image, condition = images(1, 3, 4, 4), images(1, 2, 4, 4, seed=1)
    assert extractor.name == "discriminator"
    for feature, layer in zip(extractor(image, condition), (image, condition), strict=True):
        length = sum(layer[:, c] ** 2 for c in range(layer.shape[1])) ** 0.5
        expected = 0.5 * layer.shape[1] ** 0.5 * layer / length.unsqueeze(1)  # normalized, whatever the scale
        torch.testing.assert_close(feature, expected, rtol=1e-3, atol=1e-3)
    cache = tmp_path / "checkpoints" / VGG16_FILE
    cache.parent.mkdir()
    cache.write_bytes(vgg_file.read_bytes())
    for kind, name in (("auto", "vgg16"), ("vgg16", "vgg16"), ("discriminator", "discriminator")):
        assert build_feature_extractor(kind, None, max).name == name


def test_teacher_features_are_the_features_of_the_teachers_images(vgg_file):
    extractor = build_feature_extractor("vgg16", vgg_file, None)
    labels = FakeLabels(images(2, 3, 32, 32), [])
    torch.testing.assert_close(extractor.teacher_features(labels, None), extractor(labels.images, None))


def test_teacher_features_of_the_discriminator_are_not_computed_again():
    def fail(image, condition):
        raise AssertionError("the discriminator has run")

    activations = [images(2, 4, 5, 5), images(2, 6, 3, 3, seed=1), images(2, 4, 2, 2, seed=2)]
    prediction = [[activations[0], activations[1], torch.zeros(2, 1, 2, 2)],
                  [activations[2], torch.zeros(2, 1, 1, 1)]]
    extractor = build_feature_extractor("discriminator", None, fail)
    features = extractor.teacher_features(FakeLabels(images(2, 3, 8, 8), prediction), images(2, 3, 8, 8))
    assert [tuple(f.shape) for f in features] == [tuple(a.shape) for a in activations]
    for feature, activation in zip(features, activations, strict=True):
        rms = (activation ** 2).mean(1, keepdim=True) ** 0.5
        torch.testing.assert_close(feature, 0.5 * activation / rms, rtol=1e-3, atol=1e-3)


def test_perceptual_none_extracts_no_features():
    extractor = build_feature_extractor("none", None, max)
    assert extractor.name == "none"
    assert extractor(images(1, 3, 4, 4), None) == []


def test_missing_features_are_explained(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    place = tmp_path / "checkpoints" / VGG16_FILE
    with pytest.raises(ValueError, match=f"not found: {place}.*--vgg_weights.*--perceptual discriminator"):
        build_feature_extractor("vgg16", None, max)
    with pytest.raises(ValueError, match="gone.pth"):
        build_feature_extractor("auto", tmp_path / "gone.pth", max)
    with pytest.raises(ValueError,
                       match="--perceptual lpips is unknown, known: auto, vgg16, hed, discriminator, none"):
        build_feature_extractor("lpips", None, max)
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="other.pth: holds no torchvision VGG-16 state dict"):
        build_feature_extractor("vgg16", tmp_path / "other.pth", max)


def test_vgg_weights_of_other_precision_are_converted_and_nan_is_refused(vgg_file, tmp_path):
    state = torch.load(vgg_file, weights_only=True)
    path = tmp_path / "vgg.pth"
    image = images(1, 3, 32, 32)
    expected = build_feature_extractor("vgg16", vgg_file, None)(image)[0]
    for dtype in (torch.float16, torch.float64):
        torch.save({key: value.to(dtype) for key, value in state.items()}, path)
        features = build_feature_extractor("vgg16", path, None)(image)[0]
        torch.testing.assert_close(features, expected, rtol=1e-2, atol=1e-2)
    key = next(iter(state))
    torch.save({**state, key: torch.full_like(state[key], float("nan"))}, path)
    with pytest.raises(ValueError, match=f"vgg.pth: 1 entries are NaN or infinite: {key[9:]}"):
        build_feature_extractor("vgg16", path, None)


def test_torchvision_imports_with_this_torch():
    code = ("from compression.runtime.torchvision_compat import import_torchvision as get; "
            "assert get().models.vgg16 and get().utils")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
