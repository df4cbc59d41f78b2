"""Feature networks (FID's Inception, TorchScript, segmenters): their names, and the cache of features."""
import hashlib

import numpy as np
import pytest
import torch

from compression.metrics import MetricNetworks, SetMetrics
from compression.metrics.features import (
    FeatureNetwork,
    cached_features,
    find_inception,
    inception_features,
    load_feature_network,
)
from compression.metrics.inception import FIDInception
from compression.metrics.segmenter import Segmenter, save_segmenter

CPU = torch.device("cpu")


def mean_and_maximum(x):
    return torch.stack((x.mean((1, 2, 3)), x.amax((1, 2, 3))), 1)


def small_network(name="tiny-1"):
    """A network of two features, the mean and the maximum of an image."""
    return FeatureNetwork(name, "00", "none", mean_and_maximum)


def test_inception_pools_as_the_network_of_2015():
    torch.manual_seed(0)
    net = FIDInception().net
    x = torch.rand(1, 192, 7, 9)
    block = net.Mixed_5b
    counts = torch.nn.functional.avg_pool2d(torch.ones(1, 1, 7, 9), 3, 1, 1) * 9
    mean = torch.nn.functional.avg_pool2d(x, 3, 1, 1) * 9 / counts  # without the padding
    parts = block(x)
    torch.testing.assert_close(parts[:, -32:], block.branch_pool.bn(block.branch_pool.conv(mean)).relu())
    x = torch.rand(1, 2048, 5, 5)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), value=-1e9)
    largest = padded.unfold(2, 3, 1).unfold(3, 3, 1).amax((-1, -2))
    last = net.Mixed_7c
    torch.testing.assert_close(last(x)[:, -192:], last.branch_pool.bn(last.branch_pool.conv(largest)).relu())


def test_inception_loads_its_file_and_is_called_fid(tmp_path):
    net = FIDInception().net
    net.fc = torch.nn.Linear(2048, 1008)
    state = net.state_dict()
    assert len(state) == 566
    assert state["Conv2d_1a_3x3.conv.weight"].shape == (32, 3, 3, 3)
    torch.save(state, tmp_path / "inception.pth")
    network = inception_features(tmp_path / "inception.pth", CPU)
    assert (network.frechet, network.kernel) == ("FID", "KID")
    assert network.checksum == hashlib.sha256((tmp_path / "inception.pth").read_bytes()).hexdigest()
    assert network(torch.rand(2, 3, 40, 40)).shape == (2, 2048)
    assert load_feature_network(tmp_path / "inception.pth", CPU).name == "inception"
    torch.save({"a": torch.zeros(1)}, tmp_path / "no.pth")
    with pytest.raises(ValueError, match="does not fit Inception3"):
        inception_features(tmp_path / "no.pth", CPU)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_distances_on_other_networks_are_named_after_them(tmp_path):
    torch.jit.script(torch.nn.Conv2d(3, 6, 3)).save(str(tmp_path / "net.pt"))
    script = load_feature_network(tmp_path / "net.pt", CPU)
    digest = hashlib.sha256((tmp_path / "net.pt").read_bytes()).hexdigest()[:8]
    assert (script.frechet, script.kernel) == (f"FD(torchscript-{digest})", f"KD(torchscript-{digest})")
    assert script(torch.rand(2, 3, 16, 16)).shape == (2, 6)
    save_segmenter(tmp_path / "seg.pth", Segmenter(3))
    assert load_feature_network(tmp_path / "seg.pth", CPU).frechet.startswith("FD(segmenter-")
    torch.jit.script(torch.nn.Flatten(0)).save(str(tmp_path / "flat.pt"))
    with pytest.raises(ValueError, match="expected features"):
        load_feature_network(tmp_path / "flat.pt", CPU)(torch.rand(2, 3, 8, 8))
    with pytest.raises(ValueError, match="--feature_network .*none.pt: no such file"):
        load_feature_network(tmp_path / "none.pt", CPU)


def test_a_missing_inception_file_names_its_source(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert find_inception(None) is None
    with pytest.raises(ValueError, match="pytorch-fid/releases.*6726825d"):
        find_inception(tmp_path / "gone.pth")


def test_features_are_cached_until_a_file_changes(tmp_path):
    file, calls = tmp_path / "a.png", []
    file.write_bytes(b"1")

    def extract():
        calls.append(1)
        return np.ones((1, 2), dtype=np.float32) * len(calls)

    network = small_network()
    for expected in (1, 1):
        assert cached_features(network, [file], extract, tmp_path / "cache")[0, 0] == expected
    file.write_bytes(b"22")
    assert cached_features(network, [file], extract, tmp_path / "cache")[0, 0] == 2
    assert cached_features(network, [file], extract, tmp_path / "cache", "half")[0, 0] == 3
    assert cached_features(small_network("tiny-2"), [file], extract, tmp_path / "cache")[0, 0] == 4
    next((tmp_path / "cache").glob("tiny-2*")).write_bytes(b"damaged")
    assert cached_features(small_network("tiny-2"), [file], extract, tmp_path / "cache")[0, 0] == 5


def test_set_metrics_compute_named_values_over_batches():
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    targets = images.flip(0)
    metrics = SetMetrics(["PSNR", "FID", "KID"], MetricNetworks(features=small_network()))
    metrics.update(images[:4], targets[:4])
    metrics.update(images[4:], targets[4:])
    values = metrics.compute()
    assert list(values) == ["PSNR", "FD(tiny-1)", "KD(tiny-1)"]
    assert values["FD(tiny-1)"] == pytest.approx(0, abs=1e-6)  # the same images in another order
    shifted = SetMetrics(["FID"], MetricNetworks(features=small_network()), reference=np.ones((3, 2)))
    shifted.update(images, targets)
    x = ((images * 127.5 + 127.5).round() / 255).flatten(1)
    f = torch.stack((x.mean(1), x.amax(1)), 1).double().numpy()
    expected = ((f.mean(0) - 1) ** 2).sum() + np.cov(f.T).trace()
    assert shifted.compute()["FD(tiny-1)"] == pytest.approx(expected, rel=1e-3)
    with pytest.raises(ValueError, match="metric IS is unknown"):
        SetMetrics(["IS"], MetricNetworks())
    with pytest.raises(ValueError, match="mIoU: because"):
        SetMetrics(["mIoU"], MetricNetworks(missing={"mIoU": "because"}))
