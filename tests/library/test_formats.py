"""Exported files equal PyTorch in every format: sizes, batches, value ranges, label maps, and precisions."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from compression import build_generator, load_original
from compression.deploy.formats import FORMATS, Shapes, describe_inputs
from compression.deploy.graph import DeployedGenerator, pad_dynamic
from compression.deploy.interface import Interface
from compression.deploy.precision import write_in_precision
from compression.deploy.rewrites import GAINS, rewrite
from compression.deploy.runtimes import open_session
from compression.deploy.verification import Comparison, compare, reference
from compression.runtime.images import pad
from paths import FIXTURES

GENERATORS = {"resnet": ("resnet_6blocks", 3, "instance"), "unet": ("unet_128", 3, "batch"),
              "pix2pixhd": ("global", 5, "instance"), "spade": ("spade", 5, "batch")}
LABELS = {"classes": 4, "instance": True}


def tiny(family):
    """Return a tiny generator in eval mode, with statistics of norms that are not the initial ones."""
    netG, input_nc, norm = GENERATORS[family]
    torch.manual_seed(0)
    net = build_generator(netG, input_nc, 3, 4, norm, False).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return net


def interface_of(net, **settings):
    labels = LABELS if net.config["input_nc"] == 5 else {}
    values = {"input_values": "one_hot"} if labels else {}
    return Interface(net.config["input_nc"], 3, **{**labels, **values, **settings})


def item(interface, size, n=1):
    """Return a random item of a data set: images of 8 bits in [-1, 1], or label maps."""
    rng = torch.Generator().manual_seed(1)
    if interface.classes:
        return torch.randint(0, 4, (n, 2, *size), generator=rng)
    return torch.randint(0, 256, (n, interface.input_nc, *size), generator=rng) / 127.5 - 1


def export(net, format_name, folder, interface, shapes, precision="fp32", calibration=()):
    """Export a network and open the file."""
    graph = DeployedGenerator(rewrite(net, GAINS[FORMATS[format_name].runtime]), interface,
                              shapes.dynamic_size)
    metadata = {"precision": precision, "inputs": describe_inputs(graph, shapes),
                "interface": interface.metadata(), "stride": net.stride,
                "min_side": net.stride * net.min_strides}
    path = folder / f"net{FORMATS[format_name].suffix}"
    write_in_precision(format_name, precision, graph, shapes, metadata, path, calibration)
    session = open_session(path, threads=1)
    assert session.metadata == json.loads(json.dumps(metadata))
    return session


def smallest(net):
    return tuple(max(side, 16) for side in net.example_input_size)


@pytest.mark.parametrize("family", GENERATORS)
def test_onnx_of_every_family_takes_any_size_and_batch(family, tmp_path):
    net = tiny(family)
    labels = net.config["input_nc"] == 5
    interface = interface_of(net, pad=True, input_values="ids" if labels else "uint8")
    height, width = smallest(net)
    session = export(net, "onnx", tmp_path, interface, Shapes((height, width), 1, True, True))
    for size, n in {(height, width): 2, (height // 2 + 3, width + net.stride - 1): 1}.items():
        comparison = compare(net, session, [item(interface, size, n)], interface)
        assert comparison.max_error < 1e-4
        assert comparison.images == n


@pytest.mark.parametrize(("family", "format_name"), [
    ("unet", "openvino"), ("unet", "torch_export"), ("resnet", "torchscript"), ("pix2pixhd", "torchscript"),
    ("spade", "torchscript")])
def test_formats_of_a_fixed_size_equal_pytorch(family, format_name, tmp_path):
    net = tiny(family)
    interface = interface_of(net)
    size = smallest(net)
    session = export(net, format_name, tmp_path, interface, Shapes(size))
    assert compare(net, session, [item(interface, size)], interface).max_error < 1e-4
    with pytest.raises(ValueError, match="the size was fixed by the export"):
        session(*interface.arrays(item(interface, (size[0], size[1] + net.stride))))


@pytest.mark.parametrize("size", [(512, 512), (500, 516), (509, 512), (521, 509)])
def test_instance_norms_of_large_images_are_exact_in_openvino(size, tmp_path):
    """Sums of many equal values in float32 are not: images were wrong by 0.03."""
    net = tiny("resnet")
    interface = interface_of(net, pad=True)
    image = torch.full((1, 3, *size), 0.3)
    image[:, :, 20:60, 30:90] = item(interface, (40, 60))
    session = export(net, "openvino", tmp_path, interface, Shapes(size))
    assert compare(net, session, [image], interface).max_error < 1e-3


@pytest.mark.parametrize("format_name", ["openvino", "torch_export", "torchscript"])
def test_other_formats_take_any_size_and_batch(format_name, tmp_path):
    net = tiny("resnet")
    interface = interface_of(net, pad=True)
    session = export(net, format_name, tmp_path, interface, Shapes((16, 16), 1, True, True))
    for size, n in {(16, 24): 3, (19, 21): 1, (6, 5): 1}.items():
        assert compare(net, session, [item(interface, size, n)], interface).max_error < 2e-4


def test_a_file_of_any_size_without_padding_names_the_multiples_that_it_takes(tmp_path):
    net = tiny("resnet")
    interface = interface_of(net)
    session = export(net, "torchscript", tmp_path, interface, Shapes((16, 16), 1, True))
    with pytest.raises(ValueError, match="multiples of 4 and at least 8, got 17x16"):
        session(*interface.arrays(item(interface, (17, 16))))


@pytest.mark.parametrize("values", ["unit", "uint8"])
def test_values_of_images(values, tmp_path):
    net = tiny("resnet")
    interface = interface_of(net, input_values=values, output_values=values)
    x = item(interface, (16, 16))
    output = export(net, "torchscript", tmp_path, interface, Shapes((16, 16)))(*interface.arrays(x))
    with torch.no_grad():
        expected = ((net(x) + 1) / 2).numpy()
    if values == "uint8":
        assert output.dtype == np.uint8
        expected = np.rint(expected * 255)
    assert np.abs(output - expected).max() <= (1 if values == "uint8" else 1e-5)
    np.testing.assert_allclose(interface.image(output), net(x).detach(), atol=5e-3)


@pytest.mark.parametrize(("dontcare", "instance"), [(False, False), (True, True)])
def test_label_maps_are_encoded_in_the_graph(dontcare, instance):
    interface = Interface(4 + instance, 3, "ids", classes=4, dontcare=dontcare, instance=instance)
    maps = torch.randint(0, 4, (2, 1 + instance, 8, 9), generator=torch.Generator().manual_seed(0))
    graph = DeployedGenerator(build_generator("global", 4 + instance, 3, 4), interface)
    inputs = [torch.from_numpy(array) for array in interface.arrays(maps)]
    assert torch.equal(graph.encode_maps(*inputs), interface.encoding(maps))
    inputs[0][0, 0, 0, 0] = 255
    assert graph.encode_maps(*inputs)[0, :, 0, 0][:4].tolist() == [0, 0, 0, float(dontcare)]


@pytest.mark.parametrize("size", [(16, 16), (13, 18), (2, 3), (8, 3), (31, 1)])
def test_padding_by_gathers_equals_the_padding_of_the_library(size):
    net = tiny("resnet")
    x = torch.rand(1, 3, *size)
    assert torch.equal(pad_dynamic(x, net.stride, net.min_strides), pad(net, x))


@pytest.mark.parametrize(("format_name", "precision", "least"), [
    ("onnx", "fp16", 45), ("onnx", "int8", 25), ("openvino", "bf16", 30), ("openvino", "int8", 25),
    ("torchscript", "fp16", 45)])
def test_lower_precisions_stay_close_to_pytorch(format_name, precision, least, tmp_path):
    net = tiny("unet")
    interface = interface_of(net)
    items = [item(interface, (128, 128))]
    session = export(net, format_name, tmp_path, interface, Shapes((128, 128)), precision,
                     map(interface.arrays, items))
    comparison = compare(net, session, items, interface)
    assert least < comparison.psnr < 149


def saturates():
    """Whether the sums of two products of 8 bits saturate in ONNX Runtime, as with AVX2 and without VNNI."""
    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text(encoding="utf-8", errors="replace") if cpu.is_file() else ""
    return "avx2" in flags and "vnni" not in flags


@pytest.mark.parametrize("format_name", ["onnx", "openvino"])
def test_int8_does_not_clip_rare_images(format_name, tmp_path):
    net = tiny("unet")
    interface = interface_of(net)
    rare = item(interface, (128, 128))
    items = [0.1 * rare.roll(shift, -1) for shift in range(7)] + [rare]  # one in eight has a high contrast
    session = export(net, format_name, tmp_path, interface, Shapes((128, 128)), "int8",
                     map(interface.arrays, items))
    least = 40 if format_name == "onnx" and saturates() else 50
    assert compare(net, session, [rare], interface).psnr > least


@pytest.mark.parametrize(("format_name", "precision", "message"), [
    ("onnx", "bf16", "--format onnx has no --precision bf16 .* --format openvino or torch_export"),
    ("torchscript", "int8", "--format torchscript has no --precision int8 .* --format onnx or openvino"),
    ("onnx", "int8", "needs images to calibrate")])
def test_precisions_that_a_format_has_not(format_name, precision, message, tmp_path):
    net = tiny("resnet")
    with pytest.raises(ValueError, match=message):
        export(net, format_name, tmp_path, interface_of(net), Shapes((16, 16)), precision)


def test_an_operator_that_the_format_cannot_hold(tmp_path):
    net = tiny("resnet")
    graph = DeployedGenerator(rewrite(net, ()), interface_of(net))
    graph.encode = lambda y: torch.linalg.eigvals(y).real
    with pytest.raises(ValueError, match="--format onnx cannot hold ResnetGenerator: .*eigvals.*try another"):
        write_in_precision("onnx", "fp32", graph, Shapes((16, 16)), {}, tmp_path / "net.onnx")


@pytest.mark.parametrize(("settings", "message"), [
    ({"input_values": "bytes"}, "this generator takes images; --input_values bytes"),
    ({"classes": 4}, "this generator takes label maps; --input_values signed"),
    ({"output_values": "int8"}, "--output_values int8"),
    ({"input_nc": 1, "output_nc": 2, "output_values": "uint8"}, "colorization .* must be signed")])
def test_values_that_a_generator_cannot_have(settings, message):
    with pytest.raises(ValueError, match=message):
        Interface(**{"input_nc": 3, "output_nc": 3, **settings})


def test_the_comparison_states_by_how_much_a_file_differs():
    comparison = Comparison()
    expected = torch.zeros(2, 3, 4, 4)
    image = expected.clone()
    image[1] += 0.2  # the PSNR of this image is 20 dB
    comparison.update(image, expected)
    assert comparison.measurements() == pytest.approx(
        {"images": 2, "max_error": 0.2, "mean_error": 0.1, "psnr": 20, "mean_psnr": 85})
    assert "20.0 dB on the worst image, 15.0 dB below the 35 dB" in comparison.failure("bf16", "signed")
    assert "by 0.2 (of -1 to 1), 200.0 times" in comparison.failure("fp32", "signed")
    assert comparison.failure("int8", "signed", min_psnr=19) is None
    image[0, 0, 0, 0] = torch.nan
    comparison.update(image, expected)
    assert comparison.measurements()["max_error"] == "inf"
    assert comparison.failure("int8", "signed")


@pytest.mark.parametrize("case", ["resnet9_instance", "unet128_batch_dropout"])
def test_the_onnx_of_an_upstream_checkpoint_gives_the_stored_output(case, tmp_path):
    folder = FIXTURES / "upstream" / case
    arrays = np.load(folder / "io.npz")
    net = load_original(folder / "latest_net_G.pth")
    interface = Interface(3, 3)
    n, _, *size = arrays["input"].shape
    session = export(net, "onnx", tmp_path, interface, Shapes(tuple(size), n))
    output = interface.image(session(arrays["input"]))
    np.testing.assert_allclose(output, arrays["eval_out"], rtol=0, atol=1e-4)
    assert torch.equal(reference(net, torch.from_numpy(arrays["input"]), interface),
                       net(torch.from_numpy(arrays["input"])))
