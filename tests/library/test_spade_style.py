"""SPADE's optional style code: the encoder, and the generator that takes it as input."""
import numpy as np
import pytest
import torch

from compression import CostModel, SearchSpace, build_generator, extract, load_original
from compression.originals.style_encoder import StyleEncoder, divergence, draw_style


@pytest.fixture
def net():
    torch.manual_seed(0)
    return build_generator("spade", 4, 3, 4, "batch", num_upsampling_layers="normal", z_dim=6, crop_size=128,
                           aspect_ratio=2.0).eval()


@torch.no_grad()
def test_the_latent_is_upstreams_linear_layer(net):
    z = torch.randn(2, 6)
    linear = torch.nn.functional.linear(z, net.fc.weight, net.fc.bias)  # upstream views it as C x H x W
    assert net.fc.size == (2, 4)
    assert net.fc.weight.shape == (64 * 8, 6)
    assert torch.allclose(net.fc(z, 64), linear.view(2, 64, 2, 4), atol=1e-6)
    assert torch.allclose(net.fc(z, 20), linear.view(2, 64, 2, 4)[:, :20], atol=1e-6)


@torch.no_grad()
def test_the_style_changes_the_image_and_the_default_is_the_mean_style(net):
    x = torch.randn(1, 4, 64, 128)
    assert torch.equal(net(x), net(x, z=torch.zeros(1, 6)))
    assert not torch.allclose(net(x), net(x, z=torch.ones(1, 6)))


@torch.no_grad()
def test_slices_are_extracted_with_their_style(net):
    space, cost_model = SearchSpace.of(net.full, 4), CostModel.of(net, (64, 128))
    x, z = torch.randn(1, 4, 64, 128), torch.randn(1, 6)
    for arch in space.sample(np.random.default_rng(0), 10):
        student = extract(net, arch)
        assert (student(x, z=z) - net(x, arch, z=z)).abs().max() <= 1e-6
        assert cost_model.cost(arch)["params"] == sum(p.numel() for p in student.parameters())


def test_loading_needs_the_image_size(net, tmp_path):
    torch.save(net.state_dict(), tmp_path / "net.pth")
    flags = {"num_upsampling_layers": "normal", "crop_size": 128, "aspect_ratio": 2.0}
    loaded = load_original(tmp_path / "net.pth", **flags)
    assert loaded.full == net.full
    assert loaded.config == net.config
    with pytest.raises(ValueError, match="do not determine --crop_size; set it to the value of its training"):
        load_original(tmp_path / "net.pth", num_upsampling_layers="normal")
    with pytest.raises(ValueError, match="takes only images of 64x128 .HxW."):
        loaded(torch.zeros(1, 4, 128, 128))


def test_the_encoder_has_upstreams_keys():
    encoder = StyleEncoder(ngf=2, z_dim=6)
    keys = set(encoder.state_dict())
    assert {f"layer{i}.0.weight_{s}" for i in range(1, 7) for s in ("orig", "u", "v")} | {
        f"fc_{name}.{kind}" for name in ("mu", "var") for kind in ("weight", "bias")} == keys
    assert encoder.fc_mu.weight.shape == (6, 16 * 4 * 4)
    mu, logvar = encoder(torch.rand(2, 3, 100, 300))  # any size
    assert mu.shape == logvar.shape == (2, 6)


def test_divergence_by_hand():
    mu, logvar = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    assert divergence(mu, logvar).item() == pytest.approx(0.5 * (1 + np.exp(2) - 1 - 2))
    assert divergence(torch.zeros(3, 2), torch.zeros(3, 2)).item() == 0
    torch.manual_seed(0)
    drawn = draw_style(torch.full((20_000, 1), 3.0), torch.full((20_000, 1), 2 * np.log(0.5)))
    assert drawn.mean().item() == pytest.approx(3, abs=0.02)
    assert drawn.std().item() == pytest.approx(0.5, abs=0.02)
