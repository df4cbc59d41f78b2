"""Rewrites change how a generator is computed, not what it computes."""
import pytest
import torch
from torch import nn

from compression import Arch
from compression.deploy.block_convolutions import BlockConv2d, BlockConvTranspose2d
from compression.deploy.rewrites import GAINS, PASSES, rewrite
from compression.elastic.registry import FAMILIES

SMALL = {  # family -> a small architecture
    "resnet": Arch("resnet", stem=(5, 6), trunk=7, inner=(4, 6, 3), decoder=(6, 5)),
    "unet": Arch("unet", encoder=(4, 6, 5, 7, 6), decoder=(4, 6, 5, 7)),
    "pix2pixhd": Arch("pix2pixhd", encoder=(4, 5, 6), inner=(7, 5, 6), decoder=(5, 4)),
    "pix2pixhd_local": Arch("pix2pixhd_local", encoder=(4, 5), inner=(7, 5, 6), decoder=(6,), local_stem=(3,),
                            local_inner=(6, 5), local_up=(4,)),
    "spade": Arch("spade", trunk=4, head_inner=(3, 0, 4), up=(4, 3, 4, 3), hidden=(4, 3, 3, 4, 3, 4, 3))}


def random_network(family, norm, **settings):
    """Build a network with random weights, running statistics and biases, in double precision."""
    torch.manual_seed(0)
    arch = SMALL.get(family) or next(iter(FAMILIES[family].full.values()))(4)
    net = FAMILIES[family].generator(arch, norm=norm, **settings).double().eval()
    for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        if name.endswith("running_var"):
            tensor.data.uniform_(0.5, 2)
        elif name.endswith("running_mean") or (tensor.dim() == 1 and name.endswith("bias")):
            tensor.data.normal_(0, 0.3)
        elif tensor.dim() == 1 and name.endswith("weight"):
            tensor.data.normal_(1, 0.3)
    return net


def images(net):
    side = net.min_strides * net.stride
    return torch.randn(2, net.config["input_nc"], side + net.stride, side, dtype=torch.float64)


def is_changed(copy, net):
    types = [{name: type(module) for name, module in each.named_modules()} for each in (copy, net)]
    return types[0] != types[1]


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_every_pass_keeps_the_images_of_every_family(family, norm):
    net = random_network(family, norm)
    x = images(net)
    expected = net(x)
    for passes in [*([name] for name in PASSES), [*PASSES]]:
        copy = rewrite(net, passes)
        if is_changed(copy, net):
            torch.testing.assert_close(copy(x), expected, rtol=0, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_rewrites_agree_in_single_precision(family):
    net = random_network(family, "batch").float()
    x = images(net).float()
    torch.testing.assert_close(rewrite(net, [*PASSES])(x), net(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_batch_norm_is_left(family):
    folded = rewrite(random_network(family, "batch"), ["fold_norms"])
    assert not [name for name, module in folded.named_modules() if isinstance(module, nn.BatchNorm2d)]


def test_the_copy_leaves_the_network_alone():
    net = random_network("resnet", "batch")
    state = {key: value.clone() for key, value in net.state_dict().items()}
    copy = rewrite(net, [*PASSES])
    assert {key for key, value in net.state_dict().items() if not torch.equal(value, state[key])} == set()
    assert copy.full == net.full
    assert copy.stride == net.stride
    assert copy.size_error(30, 30) == net.size_error(30, 30)


@torch.no_grad()
def test_norms_that_use_batch_statistics_are_not_folded():
    net = random_network("unet", "batch")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    x = images(net)
    copy = rewrite(net, [*PASSES])
    torch.testing.assert_close(copy(x), net(x), rtol=0, atol=1e-10)
    assert copy.model.model["1"].model["2"].training


@torch.no_grad()
def test_spectral_norm_becomes_part_of_the_weights():
    net = random_network("spade", "batch", spectral=True)
    x = images(net)
    copy = rewrite(net, ["fold_norms"])
    assert not copy.config["spectral"]
    torch.testing.assert_close(copy(x), net(x), rtol=0, atol=1e-10)


@torch.no_grad()
def test_a_style_code_is_passed_on():
    net = random_network("spade", "instance", z_dim=3, crop_size=128)
    x = torch.randn(2, 36, *net.example_input_size, dtype=torch.float64)
    z = torch.randn(2, 3, dtype=torch.float64)
    torch.testing.assert_close(rewrite(net, [*PASSES])(x, z=z), net(x, z=z), rtol=0, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize(("kernel", "stride", "padding", "output_padding"),
                         [(3, 2, 1, 1), (4, 2, 1, 0), (2, 2, 0, 0), (3, 2, 1, 0), (5, 2, 2, 1), (7, 3, 2, 1),
                          (6, 4, 1, 2), (3, 1, 1, 0), (2, 3, 0, 0)])
def test_transposed_convolutions_of_any_shape(kernel, stride, padding, output_padding):
    torch.manual_seed(0)
    conv = nn.ConvTranspose2d(3, 2, kernel, stride, padding, output_padding).double()
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(BlockConvTranspose2d(conv)(x), conv(x), rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize(
    ("kernel", "padding", "block", "bias"), [(7, 0, 2, True), (7, 3, 2, False), (3, 1, 4, True)])
def test_convolutions_in_blocks(kernel, padding, block, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 2, kernel, padding=padding, bias=bias).double()
    x = torch.randn(2, 3, 12 + kernel - 1 - 2 * padding, 8 + kernel - 1 - 2 * padding, dtype=torch.float64)
    torch.testing.assert_close(BlockConv2d(conv, block)(x), conv(x), rtol=0, atol=1e-12)


def test_every_pass_changes_some_network():
    nets = [random_network(family, "batch") for family in FAMILIES]
    assert all(any(is_changed(rewrite(net, [name]), net) for net in nets) for name in PASSES)


def test_gains_and_unknown_passes():
    assert all(set(passes) <= set(PASSES) for passes in GAINS.values())
    with pytest.raises(ValueError, match="rewrite 'fold'"):
        rewrite(random_network("resnet", "batch"), ["fold"])
