"""Checkpoints of the original code load strictly and give its outputs; other files are refused."""
import json

import numpy as np
import pytest
import torch
from torch import nn

from compression import (
    GENERATORS,
    build_discriminator,
    build_generator,
    load_original,
    load_original_discriminator,
    load_student,
    save_student,
)
from compression.checkpoints import load_state_dict_file, load_strictly
from compression.elastic.families import family_of
from paths import FIXTURES, SHARED

OWN_CASES = FIXTURES / "upstream"
ALL_CASES = SHARED / "fixtures" / "upstream"
CASES = sorted(path.parent for path in (ALL_CASES if ALL_CASES.is_dir() else OWN_CASES).rglob("args.json"))


def load(case, flags):
    """Load the network of a case, with its flags or from its keys and shapes only."""
    document = json.loads((case / "args.json").read_text())
    args = dict(document["factory"]["args"])
    args = dict(args.get("opt", args))
    if "use_dropout" in args:
        args["no_dropout"] = not args.pop("use_dropout")
    if (case / "latest_net_G.pth").is_file():
        ambiguous = {k: args[k] for k in ("num_upsampling_layers",) if k in args}  # same keys: normal, more
        return load_original(case / "latest_net_G.pth", **(args if flags else ambiguous))
    args["netD"] = {"pix2pixHD": "pix2pixhd", "SPADE": "spade"}.get(document["family"], args.get("netD"))
    return load_original_discriminator(case / "latest_net_D.pth", **(args if flags else {}))


def close(tensor, expected):
    return np.abs(tensor.numpy() - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def outputs(returned, name):
    """The outputs of a network, under the names of the stored arrays."""
    if isinstance(returned, torch.Tensor):
        return {name: returned}
    return {f"{name}_{i}_{j}": layer for i, layers in enumerate(returned) for j, layer in enumerate(layers)}


def assert_trains_as_upstream(net, arrays):
    """Check that a forward pass in training mode has upstream's outputs and state afterwards."""
    net.train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    train_out = outputs(net(torch.from_numpy(arrays["input"])), "train_out")
    assert train_out.keys() == {key for key in arrays if key.startswith("train_out")}
    for key, value in train_out.items():
        assert close(value, arrays[key]), key
    state = net.state_dict()
    for key in arrays:
        # some of upstream's norms do not count batches
        if key.startswith("train_after/") and not key.endswith("num_batches_tracked"):
            assert close(state[key.removeprefix("train_after/")].float(), arrays[key].astype(np.float32)), key


def is_generator_with_spectral_norm(case):
    spectral = "spectral" in (case / "args.json").read_text()
    return spectral and (case / "latest_net_G.pth").is_file() and "inference" not in case.name


@pytest.mark.parametrize("case", list(filter(is_generator_with_spectral_norm, CASES)), ids=lambda c: c.name)
@torch.no_grad()
def test_a_spade_generator_trains_with_spectral_norm(case):
    args = json.loads((case / "args.json").read_text())["factory"]["args"]["opt"]
    net = build_generator("spade", args["semantic_nc"], 3, args["ngf"], "batch", spectral=True,
                          num_upsampling_layers=args["num_upsampling_layers"])
    load_strictly(net, load_state_dict_file(case / "latest_net_G.pth"), case)
    arrays = np.load(case / "io.npz")
    assert close(net.eval()(torch.from_numpy(arrays["input"])), arrays["eval_out"])
    assert_trains_as_upstream(net, arrays)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.parent.name}-{c.name}")
@pytest.mark.parametrize("flags", [True, False], ids=["flags", "inferred"])
@torch.no_grad()
def test_outputs_equal_upstreams(case, flags):
    net, arrays = load(case, flags), np.load(case / "io.npz")
    assert not net.training
    eval_out = outputs(net(torch.from_numpy(arrays["input"])), "eval_out")
    assert eval_out.keys() == {key for key in arrays if key.startswith("eval_out")}
    for key, value in eval_out.items():
        assert close(value, arrays[key]), key
    keys = torch.load(next(case.glob("*.pth")), weights_only=True).keys()
    spectral = any(key.endswith("weight_orig") for key in keys)
    folded = spectral and (case / "latest_net_G.pth").is_file()  # loading a generator folds spectral norms
    if "train_out" in arrays and not folded:
        assert_trains_as_upstream(net, arrays)


@pytest.mark.parametrize("case", sorted(OWN_CASES.iterdir()), ids=lambda c: c.name)
@torch.no_grad()
def test_prefixes_of_wrappers_and_old_instance_norm_statistics_are_removed(case, tmp_path):
    net = load(case, True)
    generator = (case / "latest_net_G.pth").is_file()
    state = dict(net.state_dict())
    for name, module in net.named_modules():
        if isinstance(module, nn.InstanceNorm2d):
            state |= {f"{name}.running_mean": torch.zeros(3), f"{name}.running_var": torch.ones(3),
                      f"{name}.num_batches_tracked": torch.tensor(7)}
    torch.save({f"module._orig_mod.{k}": v for k, v in state.items()}, tmp_path / "net.pth")
    if generator:
        layers = net.config.get("num_upsampling_layers")
        loaded = load_original(tmp_path / "net.pth", num_upsampling_layers=layers)
    else:
        loaded = load_original_discriminator(tmp_path / "net.pth")
    x = torch.from_numpy(np.load(case / "io.npz")["input"])
    for ours, theirs in zip(outputs(loaded(x), "").values(), outputs(net(x), "").values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("netG", GENERATORS)
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_keys_and_shapes_determine_the_architecture(netG, norm, tmp_path):
    if norm == "none" and family_of(netG).semantic:
        pytest.skip("upstream has no such generator without norms")
    net = build_generator(netG, 2, 1, 4, norm, dropout=False)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    loaded = load_original(tmp_path / "net.pth", no_dropout=True,
                          num_upsampling_layers=net.config.get("num_upsampling_layers"))
    assert loaded.full == net.full
    assert loaded.config == net.config


@pytest.mark.parametrize(("given", "message"), [
    ({"netG": "unet_256"}, "holds --netG resnet_6blocks.*asked: --netG unet_256"),
    ({"ngf": 64}, "--ngf 4.*asked: --ngf 64"), ({"norm": "batch"}, "--norm instance.*asked: --norm batch"),
    ({"no_dropout": False}, "asked: --no_dropout False"),
    ({"input_nc": 1}, "--input_nc 3.*asked: --input_nc 1")])
def test_flags_that_disagree_are_named(given, message, tmp_path):
    torch.save(build_generator("resnet_6blocks", ngf=4).state_dict(), tmp_path / "net.pth")
    with pytest.raises(ValueError, match=message):
        load_original(tmp_path / "net.pth", **given)


@pytest.mark.parametrize(("given", "message"), [
    ({}, r"its entries do not determine --num_upsampling_layers \(normal or more\); set it to the value of"),
    ({"num_upsampling_layers": "most"},
     r"--num_upsampling_layers \(normal or more\); asked: --num_upsampling_layers most"),
    ({"num_upsampling_layers": "more", "label_nc": 13},
     "holds .*--input_nc 5.*asked: --input_nc 14; --input_nc is --label_nc, plus 1"),
    ({"num_upsampling_layers": "more", "netG": "pix2pixhd"}, "holds --netG spade.*asked: --netG pix2pixhd")])
def test_flags_that_disagree_with_a_spade_checkpoint_are_named(given, message, tmp_path):
    torch.save(build_generator("spade", 5, ngf=4, norm="batch").state_dict(), tmp_path / "net.pth")
    with pytest.raises(ValueError, match=message):
        load_original(tmp_path / "net.pth", **given)


def test_upstreams_generator_names_select_the_family(tmp_path):
    net = build_generator("global", 5, ngf=4, norm="instance", n_downsample_global=2, n_blocks_global=6)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    assert load_original(tmp_path / "net.pth", netG="global", n_downsample_global=2).family == "pix2pixhd"
    assert load_original(tmp_path / "net.pth").family == "resnet"  # the same network
    with pytest.raises(ValueError, match="holds .*--n_downsample_global 2.*asked: --n_downsample_global 4"):
        load_original(tmp_path / "net.pth", netG="pix2pixhd", n_downsample_global=4)


def test_unfit_files_are_named_with_the_reason(tmp_path):
    net = build_generator("resnet_6blocks", ngf=4)
    state = net.state_dict()
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save(state, tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-3000])
    torch.save({k: v for k, v in state.items() if k != "model.23.bias"}, tmp_path / "missing.pth")
    torch.save(build_discriminator(ndf=4).state_dict(), tmp_path / "D.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, message in (("none.pth", "no such"), ("empty.pth", "0 bytes"), ("cut.pth", "truncated"),
                          ("missing.pth", "1 entries missing .model.23.bias"), ("D.pth", "no generator"),
                          ("list.pth", "no state dict")):
        with pytest.raises(ValueError, match=message) as error:
            load_original(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
    with pytest.raises(ValueError, match="no known discriminator"):
        load_original_discriminator(tmp_path / "whole.pth")
    with pytest.raises(ValueError, match="load_original"):
        load_student(tmp_path / "whole.pth")


class Payload:
    """Would create a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    torch.save({"model.1.weight": Payload(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="never run"):
        load_original(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@torch.no_grad()
def test_a_student_carries_its_architecture(tmp_path):
    net = build_generator("resnet_6blocks", ngf=4).eval()
    save_student(tmp_path / "student.pth", net, original="x.pth")
    again = load_student(tmp_path / "student.pth")
    x = torch.randn(1, 3, 16, 16)
    assert again.full == net.full
    assert torch.equal(again(x), net(x))
    assert again.meta == {"original": "x.pth"}
