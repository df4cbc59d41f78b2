"""mIoU against a confusion matrix by hand, Cityscapes' ids, DRN's keys, and the segmenter's file."""
import numpy as np
import pytest
import torch

from compression.metrics import SegmentationNetwork, SegmentationScores
from compression.metrics.drn import DRN, MEAN, STD
from compression.metrics.segmentation import train_ids
from compression.metrics.segmenter import Segmenter, load_segmenter, save_segmenter


def one_hot(ids, classes):
    return torch.nn.functional.one_hot(torch.as_tensor(ids), classes).permute(0, 3, 1, 2).float()


def test_miou_by_hand():
    predicted = [[[0, 0, 1], [1, 2, 2]], [[0, 1, 1], [2, 2, 0]]]
    target = [[[0, 1, 1], [1, 2, 255]], [[0, 0, 1], [255, 2, 2]]]
    scores = SegmentationScores(4)
    for p, t in zip(predicted, target):  # counts run over all images
        scores.update(one_hot([p], 4), torch.tensor([t]))
    pairs = [(t, p) for pi, ti in zip(predicted, target) for pr, tr in zip(pi, ti) for p, t in zip(pr, tr)
             if t != 255]
    iou = [sum(t == p == c for t, p in pairs) / sum(c in (t, p) for t, p in pairs) for c in range(3)]
    found = scores.compute()
    assert found["mIoU"] == pytest.approx(100 * np.mean(iou))  # class 3 occurs nowhere and does not count
    assert found["pixel_accuracy"] == pytest.approx(100 * np.mean([t == p for t, p in pairs]))
    assert np.isnan(scores.per_class()[3])
    assert scores.per_class()[:3] == pytest.approx(iou)


def test_scores_are_resized_to_the_labels():
    scores = SegmentationScores(2)
    scores.update(one_hot([[[0, 1]]], 2), torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1]]]))
    assert scores.compute() == {"mIoU": 100, "pixel_accuracy": 100}


def test_targets_outside_the_classes_are_refused():
    scores = SegmentationScores(3)
    with pytest.raises(ValueError, match="class id 7 .* wanted 0 to 2, or 255"):
        scores.update(torch.zeros(1, 3, 1, 2), torch.tensor([[[0, 7]]]))
    with pytest.raises(ValueError, match="every target is void"):
        scores.compute()
    net = SegmentationNetwork("seg", "", lambda x: x, 3, void=11)
    assert net.targets(np.array([[0, 2, 11, 255]])).tolist() == [[0, 2, 255, 255]]
    with pytest.raises(ValueError, match="class ids 0 to 5, seg knows 0 to 2 and 11 for void"):
        net.targets(np.array([[0, 5]]))


def test_cityscapes_ids_map_to_train_ids():
    wanted = {0: 255, 6: 255, 7: 0, 8: 1, 9: 255, 11: 2, 21: 8, 24: 11, 26: 13, 29: 255, 31: 16, 33: 18,
              -1: 255, 255: 255}
    assert {k: int(train_ids(np.array([k]))[0]) for k in wanted} == wanted


def drn_state():
    """Keys and shapes as the authors' DRN-D-105 has them, written out from the layer table of the paper."""
    state = {}

    def conv(name, out, into, k):
        state[f"{name}.weight"] = torch.randn(out, into, k, k) * (into * k * k) ** -0.5

    def norm(name, n):
        state.update({f"{name}.weight": torch.ones(n), f"{name}.bias": torch.zeros(n),
                      f"{name}.running_mean": torch.zeros(n),
                      f"{name}.running_var": torch.ones(n), f"{name}.num_batches_tracked": torch.tensor(0)})

    for stage, out, into, k in ((0, 16, 3, 7), (1, 16, 16, 3), (2, 32, 16, 3), (7, 512, 2048, 3),
                                (8, 512, 512, 3)):
        conv(f"base.{stage}.0", out, into, k), norm(f"base.{stage}.1", out)
    into = 32
    for stage, width, blocks in ((3, 64, 3), (4, 128, 4), (5, 256, 23), (6, 512, 3)):
        for i in range(blocks):
            at = f"base.{stage}.{i}"
            conv(f"{at}.conv1", width, into, 1), norm(f"{at}.bn1", width)
            conv(f"{at}.conv2", width, width, 3), norm(f"{at}.bn2", width)
            conv(f"{at}.conv3", 4 * width, width, 1), norm(f"{at}.bn3", 4 * width)
            if i == 0:
                conv(f"{at}.downsample.0", 4 * width, into, 1), norm(f"{at}.downsample.1", 4 * width)
            into = 4 * width
    conv("seg", 19, 512, 1)
    state["seg.bias"], state["up.weight"] = torch.zeros(19), torch.full((19, 1, 16, 16), 1 / 64)
    return state


def test_drn_loads_the_authors_keys_and_sees_normalized_photos(tmp_path):
    torch.manual_seed(0)
    state = drn_state()
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "drn.pth")
    net = DRN(tmp_path / "drn.pth")
    assert set(net.state_dict()) == set(state)
    photo = torch.rand(1, 3, 32, 48)
    found = net(photo)
    assert found.shape == (1, 19, 32, 48)
    assert found.exp().sum(1).allclose(torch.ones(1, 32, 48), atol=1e-4)
    normal = (photo - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    first = torch.nn.functional.conv2d(normal, state["base.0.0.weight"], padding=3).relu() / (1 + 1e-5) ** 0.5
    seen = []
    net.base[0].register_forward_hook(lambda module, inputs, output: seen.append(output))
    net(photo)
    torch.testing.assert_close(seen[0], first, rtol=1e-4, atol=1e-5)
    strides = {}
    for i, stage in enumerate(net.base):
        stage.register_forward_hook(lambda module, inputs, output,
                                    i=i: strides.update({i: 32 // output.shape[2]}))
    net(photo)
    assert strides == {0: 1, 1: 1, 2: 2, 3: 4, 4: 8, 5: 8, 6: 8, 7: 8, 8: 8}
    with pytest.raises(ValueError, match="does not fit DRN: 1 entries missing"):
        torch.save({k: v for k, v in state.items() if k != "up.weight"}, tmp_path / "part.pth")
        DRN(tmp_path / "part.pth")


def test_a_segmenter_file_describes_itself(tmp_path):
    torch.manual_seed(0)
    net = Segmenter(5).eval()
    net.meta = {"void": 4, "mIoU": 50.0}
    save_segmenter(tmp_path / "s.pth", net)
    again = load_segmenter(tmp_path / "s.pth")
    photo = torch.rand(2, 3, 48, 64)
    torch.testing.assert_close(again(photo), net(photo), rtol=0, atol=1e-5)  # in another memory layout
    assert again(photo).shape == (2, 5, 48, 64)
    assert again.features(photo).shape == (2, 256)
    assert again.meta == net.meta
    torch.save({"a": torch.zeros(1)}, tmp_path / "no.pth")
    with pytest.raises(ValueError, match="no.pth: is no segmenter"):
        load_segmenter(tmp_path / "no.pth")
