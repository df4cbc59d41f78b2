"""Discriminators: their scales, the shared trunk of stage 2, and spectral norm."""
import pytest
import torch
from torch.nn import functional as F

from compression import MultiHeadDiscriminator, build_discriminator
from compression.originals.discriminators import DISCRIMINATORS
from compression.originals.spectral_norm import fold_spectral_norm


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def make(netD, **settings):
    return build_discriminator(netD, 5, 4, **{"norm": "instance", **settings}).eval()


@pytest.mark.parametrize("netD", DISCRIMINATORS)
@torch.no_grad()
def test_the_last_output_of_each_scale_is_the_prediction(netD):
    net, x = make(netD), torch.randn(2, 5, 64, 48)
    outputs = net.discriminate(x)
    returned = net(x)
    predictions = [layers[-1] for layers in outputs]
    assert all(p.shape[:2] == (2, 1) for p in predictions)
    if isinstance(returned, torch.Tensor):
        assert len(outputs) == 1
        assert torch.equal(returned, predictions[0])
    else:
        assert len(returned) == 2
        for layers, expected in zip(returned, outputs, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(layers, expected, strict=True))
    for trunk, layers in zip(net.trunk(x), outputs, strict=True):
        assert len(trunk) == len(layers) - 1
        assert all(torch.equal(a, b) for a, b in zip(trunk, layers, strict=False))


@pytest.mark.parametrize("netD", ["pix2pixhd", "spade"])
@torch.no_grad()
def test_smaller_scales_see_smaller_images(netD):
    whole, x = make(netD, num_D=3), torch.randn(1, 5, 64, 64)
    half = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    tower = whole.towers()[1]
    h = tower[0][0](half)
    assert torch.allclose(whole.discriminate(x)[1][0], F.leaky_relu(h, 0.2))


@pytest.mark.parametrize(("netD", "norm"), [("pix2pixhd", "instance"), ("pix2pixhd", "batch"),
                                            ("spade", "instance"), ("spade", "batch"), ("spade", "none"),
                                            ("basic", "none"), ("pixel", "batch")])
@pytest.mark.parametrize("settings", [{"num_D": 1}, {"num_D": 3, "features": False}, {"n_layers_D": 2}],
                         ids=str)
def test_keys_and_shapes_determine_the_discriminator(netD, norm, settings):
    from compression.originals.discriminators import KINDS

    state = make(netD, norm=norm, **settings).state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    matches = [kind.read_architecture(shapes) for kind in KINDS]
    matches = [architecture for architecture in matches if architecture is not None]
    assert len(matches) == 1
    architecture = matches[0]
    assert architecture["netD"] == netD
    assert architecture["norm"] == norm
    assert build_discriminator(**architecture).state_dict().keys() == state.keys()
    if netD == "pix2pixhd":
        assert architecture["features"] is settings.get("features", True)


@pytest.mark.parametrize("netD", DISCRIMINATORS)
def test_heads_start_as_copies_and_share_the_trunk(netD):
    base = make(netD)
    x = torch.randn(2, 5, 64, 64)
    with torch.no_grad():
        expected = [layers[-1].clone() for layers in base.discriminate(x)]
    heads = MultiHeadDiscriminator(base, ("wide", "deep"))
    outputs = heads(x, "wide")
    for layers, prediction in zip(outputs, expected, strict=True):
        assert torch.allclose(layers[-1], prediction, atol=1e-6)
    sum(layers[-1].sum() for layers in outputs).backward()
    assert all(p.grad is None for p in heads.heads["deep"].parameters())
    assert all(p.grad is not None for p in heads.heads["wide"].parameters())
    trained = {id(p) for p in heads.parameters() if p.requires_grad}
    assert not any(id(p) in trained for tower in base.towers() for p in tower[-1][0].parameters())
    assert all(p.grad is not None for tower in base.towers() for conv, _ in tower[:-1]
               for p in conv.parameters())


@torch.no_grad()
def test_folding_spectral_norm_divides_by_the_largest_singular_value():
    layer = torch.nn.utils.spectral_norm(torch.nn.Conv2d(3, 4, 3))
    for _ in range(300):  # power iterations
        layer(torch.zeros(1, 3, 3, 3))
    state = {f"up.{key}": value for key, value in layer.state_dict().items()}
    sigma = torch.linalg.svdvals(layer.weight_orig.flatten(1))[0]
    folded = fold_spectral_norm(state)
    assert set(folded) == {"up.weight", "up.bias"}
    assert torch.allclose(folded["up.weight"], layer.weight_orig / sigma, rtol=1e-4)
    del state["up.weight_v"]  # as in files of old PyTorch versions
    assert torch.allclose(fold_spectral_norm(state)["up.weight"], folded["up.weight"], rtol=1e-4)


@pytest.mark.parametrize(("settings", "message"), [
    ({"netD": "patch"}, "--netD patch is unknown, known: basic, n_layers"),
    ({"norm": "group"}, "--norm group is unknown"),
    ({"netD": "spade", "num_D": 0}, "--num_D must be at least 1, got 0"),
    ({"netD": "n_layers", "n_layers_D": 0}, "--n_layers_D must be at least 1")])
def test_invalid_settings_name_their_flag(settings, message):
    with pytest.raises(ValueError, match=message):
        build_discriminator(**settings)


@pytest.mark.parametrize("netD", ["basic", "pixel", "pix2pixhd", "spade"])
def test_images_of_another_number_of_channels_are_refused(netD):
    net = build_discriminator(netD, 6, 4)
    for channels in (4, 5, 7):
        with pytest.raises(ValueError, match=f"takes 6 channels, got {channels}"):
            net(torch.zeros(1, channels, 64, 64))
