"""Every generator family can be trained, searched, distilled, saved and loaded.

All registered families are tested, so a file added to compression/generators/ needs no further tests of these
properties. `pytest tests -k NAME` runs all tests of the family NAME.
"""
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from compression import (
    CostModel,
    SearchSpace,
    build_generator,
    extract,
    load_original,
    load_student,
    save_student,
)
from compression.checkpoints import read_architecture
from compression.distill.losses import ChannelAdapters, DistillWeights, distillation_losses
from compression.elastic.registry import FAMILIES

NGF = 4
families = pytest.mark.parametrize("family", list(FAMILIES))


def supernet(family, norm=None):
    """The last generator of a family, small, with norm statistics that are not the initial ones."""
    torch.manual_seed(0)
    net = build_generator(list(FAMILIES[family].full)[-1], 3, 3, NGF, norm or FAMILIES[family].norm)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return net.eval()


def images(net, n=2):
    """Inputs that are not square, about the smallest that the network and SSIM accept."""
    side = max(net.min_strides, -(-16 // net.stride)) * net.stride
    return torch.rand(n, 3, side, side + net.stride, generator=torch.Generator().manual_seed(1)) * 2 - 1


def random_archs(net, count):
    return SearchSpace.of(net.full, NGF).sample(np.random.default_rng(0), count)


def shapes_of(net):
    return {key: tuple(value.shape) for key, value in net.state_dict().items()}


@families
@torch.no_grad()
def test_full_and_smallest_give_images_of_the_inputs_size(family):
    net = supernet(family)
    x = images(net)
    for arch in (None, net.full, SearchSpace.of(net.full, NGF).smallest):
        y = net(x, arch)
        assert y.shape == x.shape
        assert y.isfinite().all()
        assert y.abs().max() <= 1
        assert y.std() > 0
    assert net(torch.zeros(1, 3, *net.example_input_size)).shape == (1, 3, *net.example_input_size)


@families
def test_unfit_inputs_architectures_and_taps_are_refused(family):
    net = supernet(family)
    if net.stride > 1:
        with pytest.raises(ValueError, match=f"multiples of {net.stride}"):
            net(torch.zeros(1, 3, *net.example_input_size)[..., :-1])
    with pytest.raises(ValueError, match="not a sub-network of the network"):
        net(images(net), net.full.with_widths(tuple(w + 1 for w in net.full.widths)))
    with pytest.raises(ValueError, match="no tap named nowhere"):
        net(images(net), taps=("nowhere",))
    with pytest.raises(ValueError, match="positive"):  # the check of architectures read from files
        net.full.with_widths((0,) * len(net.full.widths))


@families
@torch.no_grad()
def test_taps_exist_in_every_architecture_and_have_one_size(family):
    """Channel distillation compares the taps of the student with those of the wide teacher."""
    net = supernet(family)
    x, space = images(net), SearchSpace.of(net.full, NGF)
    sizes = {}
    for arch in (net.full, space.smallest, *random_archs(net, 3)):
        names = net.tap_names(arch)
        image, activations = net(x, arch, taps=names)
        assert names
        assert len(activations) == len(names)
        assert torch.equal(image, net(x, arch))
        assert {activation.shape[0] for activation in activations} == {len(x)}
        assert all(activation.dim() == 4 for activation in activations)
        sizes[arch] = [tuple(activation.shape[2:]) for activation in activations]
    assert net.tap_names() == net.tap_names(net.full)
    assert len({str(size) for size in sizes.values()}) == 1, sizes


@families
def test_keys_and_shapes_describe_the_full_network_and_every_student(family):
    net = supernet(family)
    for arch in (net.full, *random_archs(net, 4)):
        student = extract(net, arch)
        described, config = read_architecture(student.state_dict(), list(FAMILIES[family].full)[-1])
        ambiguous = {name: student.config[name] for name in net.ambiguous_settings(config)
                  if name in student.config}
        with torch.device("meta"):
            again = type(net)(described, **{**ambiguous, **config})
        assert again.config == student.config
        assert shapes_of(again) == shapes_of(student)
        assert described == arch or 0 in arch.widths  # no key shows the widths of a missing block


@families
@torch.no_grad()
def test_a_checkpoint_of_the_original_loads_strictly(family, tmp_path):
    net, path = supernet(family), tmp_path / "latest_net_G.pth"
    torch.save(net.state_dict(), path)
    ambiguous = {name: net.config[name] for name in net.ambiguous_settings(net.config) if name != "dropout"}
    loaded = load_original(path, list(FAMILIES[family].full)[-1], ngf=NGF, norm=FAMILIES[family].norm,
                          no_dropout=True, **ambiguous)
    assert loaded.full == net.full
    assert loaded.config == net.config
    assert not loaded.training
    assert torch.equal(loaded(images(net)), net(images(net)))
    state = net.state_dict()
    state.pop(next(key for key in reversed(state) if key.endswith("weight")))
    torch.save(state, path)
    with pytest.raises(ValueError, match=str(path)):
        load_original(path, no_dropout=True, **ambiguous)


@families
@torch.no_grad()
def test_a_student_file_carries_its_architecture(family, tmp_path):
    net = supernet(family)
    for arch in random_archs(net, 2):
        student = extract(net, arch)
        save_student(tmp_path / "student.pth", student, note="kept")
        loaded = load_student(tmp_path / "student.pth")
        assert loaded.full == arch
        assert loaded.config == student.config
        assert loaded.meta == {"note": "kept"}
        assert torch.equal(loaded(images(net)), student(images(net)))


@families
def test_a_step_of_the_supernet_reaches_the_smallest_slice(family):
    net = supernet(family).train()
    space = SearchSpace.of(net.full, NGF)
    x, before = images(net), extract(net, space.smallest)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for arch in (None, *space.sandwich(np.random.default_rng(0), 1)):
        loss = F.l1_loss(net(x, arch), -x)
        assert loss.isfinite()
        loss.backward()
    assert all(p.grad is not None for p in net.parameters())
    assert all(p.grad.isfinite().all() for p in net.parameters())
    optimizer.step()
    after = extract(net, space.smallest)
    for (name, new), old in zip(after.named_parameters(), before.parameters(), strict=True):
        # biases before a norm have no gradient
        assert not torch.equal(new, old) or new.dim() == 1, f"{name} has not changed"


@families
def test_a_step_of_distillation_changes_the_student(family):
    net, rng = supernet(family), np.random.default_rng(0)
    space, x = SearchSpace.of(net.full, NGF), images(net)
    student = extract(net, space.smallest).train()
    teachers = {"wide": extract(net, space.wider_than(student.full).sample(rng, 1)[0]),
                "deep": extract(net, space.deeper_than(student.full).sample(rng, 1)[0])}
    taps = student.tap_names()
    image, activations = student(x, taps=taps)
    losses = {}
    for name, teacher in teachers.items():
        with torch.no_grad():
            target, wide = teacher(x, taps=taps) if name == "wide" else (teacher(x), None)
        features = [[F.avg_pool2d(y, 2)] for y in (image, target)]  # instead of a discriminator's features
        terms = distillation_losses(image, target, *features, DistillWeights(pixel=10))
        losses |= {f"{name}_{term}": loss for term, loss in terms.items()}
        if wide:
            adapters = ChannelAdapters([a.shape[1] for a in activations], [a.shape[1] for a in wide])
            losses["wide_cd"] = adapters(activations, wide)
    before = {key: value.clone() for key, value in student.named_parameters()}
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
    sum(losses.values()).backward()
    optimizer.step()
    assert {"wide_ssim", "wide_style", "wide_cd", "deep_pixel", "deep_feature"} <= set(losses)
    assert all(loss.isfinite() for loss in losses.values())
    for name, parameter in student.named_parameters():
        assert parameter.isfinite().all()
        assert parameter.dim() == 1 or not torch.equal(parameter, before[name]), f"{name} has not changed"
    assert all(parameter.grad is None for teacher in teachers.values() for parameter in teacher.parameters())


@families
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_random_architectures_cost_what_pytorch_counts(family, norm):
    with torch.device("meta"):
        net = build_generator(list(FAMILIES[family].full)[-1], 3, 2, 16, norm)
    space = SearchSpace.of(net.full, 16)
    size = net.min_strides * net.stride * 4, net.min_strides * net.stride * 2
    costs = CostModel.of(net, size)
    archs = [space.smallest, *space.sample(np.random.default_rng(3), 3)]
    for arch, (macs, macs_exact, params) in zip(archs, costs(archs).tolist(), strict=True):
        with torch.device("meta"):
            student = type(net)(arch, **net.config)
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                student.eval()(torch.empty(1, 3, *size))
        assert 2 * macs_exact == counter.get_total_flops()
        assert macs >= macs_exact
        assert params == sum(p.numel() for p in student.parameters())
