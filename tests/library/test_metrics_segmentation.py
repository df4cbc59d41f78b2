"""mIoU equals that of a confusion matrix; ids of Cityscapes, keys of DRN, and the file of a segmenter."""
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
    for image, labels in zip(predicted, target, strict=True):  # counts accumulate over all images
        scores.update(one_hot([image], 4), torch.tensor([labels]))
    pairs = [(t, p) for p, t in zip(np.ravel(predicted), np.ravel(target), strict=True) if t != 255]
    iou = [sum(t == p == c for t, p in pairs) / sum(c in (t, p) for t, p in pairs) for c in range(3)]
    values = scores.compute()
    assert values["mIoU"] == pytest.approx(100 * np.mean(iou))  # without class 3, which does not occur
    assert values["pixel_accuracy"] == pytest.approx(100 * np.mean([t == p for t, p in pairs]))
    assert np.isnan(scores.per_class()[3])
    assert scores.per_class()[:3] == pytest.approx(iou)


def test_scores_are_resized_to_the_labels():
    scores = SegmentationScores(2)
    scores.update(one_hot([[[0, 1]]], 2), torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1]]]))
    assert scores.compute() == {"mIoU": 100, "pixel_accuracy": 100}


def test_targets_outside_the_classes_are_refused():
    scores = SegmentationScores(3)
    with pytest.raises(ValueError, match="class id 7 .* expected 0 to 2, or 255"):
        scores.update(torch.zeros(1, 3, 1, 2), torch.tensor([[[0, 7]]]))
    with pytest.raises(ValueError, match="every target is void"):
        scores.compute()
    net = SegmentationNetwork("seg", "", lambda x: x, 3, void=11)
    assert net.targets(np.array([[0, 2, 11, 255]])).tolist() == [[0, 2, 255, 255]]
    with pytest.raises(ValueError, match="class ids 0 to 5, seg knows 0 to 2 and 11 for void"):
        net.targets(np.array([[0, 5]]))


def test_cityscapes_ids_map_to_train_ids():
    expected = {0: 255, 6: 255, 7: 0, 8: 1, 9: 255, 11: 2, 21: 8, 24: 11, 26: 13, 29: 255, 31: 16, 33: 18,
              -1: 255, 255: 255}
    assert {k: int(train_ids(np.array([k]))[0]) for k in expected} == expected


def drn_state():
    """A state dict with the keys and shapes of the authors' DRN-D-105, after the layer table of the paper."""
    state = {}

    def conv(name, out, into, k):
        state[f"{name}.weight"] = torch.randn(out, into, k, k) * (into * k * k) ** -0.5

    def norm(name, n):
        for key, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            state[f"{name}.{key}"] = torch.full((n,), value)
        state[f"{name}.num_batches_tracked"] = torch.tensor(0)

    for stage, out, into, k in ((0, 16, 3, 7), (1, 16, 16, 3), (2, 32, 16, 3), (7, 512, 2048, 3),
                                (8, 512, 512, 3)):
        conv(f"base.{stage}.0", out, into, k)
        norm(f"base.{stage}.1", out)
    into = 32
    for stage, width, blocks in ((3, 64, 3), (4, 128, 4), (5, 256, 23), (6, 512, 3)):
        for i in range(blocks):
            at = f"base.{stage}.{i}"
            conv(f"{at}.conv1", width, into, 1)
            norm(f"{at}.bn1", width)
            conv(f"{at}.conv2", width, width, 3)
            norm(f"{at}.bn2", width)
            conv(f"{at}.conv3", 4 * width, width, 1)
            norm(f"{at}.bn3", 4 * width)
            if i == 0:
                conv(f"{at}.downsample.0", 4 * width, into, 1)
                norm(f"{at}.downsample.1", 4 * width)
            into = 4 * width
    conv("seg", 19, 512, 1)
    state["seg.bias"] = torch.zeros(19)
    state["up.weight"] = torch.full((19, 1, 16, 16), 1 / 64)
    return state


def test_drn_loads_the_authors_keys_and_sees_normalized_photos(tmp_path):
    torch.manual_seed(0)
    state = drn_state()
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "drn.pth")
    net = DRN(tmp_path / "drn.pth")
    assert set(net.state_dict()) == set(state)
    photo = torch.rand(1, 3, 32, 48)
    log_probabilities = net(photo)
    assert log_probabilities.shape == (1, 19, 32, 48)
    assert log_probabilities.exp().sum(1).allclose(torch.ones(1, 32, 48), atol=1e-4)
    normal = (photo - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    first = torch.nn.functional.conv2d(normal, state["base.0.0.weight"], padding=3).relu() / (1 + 1e-5) ** 0.5
    outputs = []
    for stage in net.base:
        stage.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    net(photo)
    torch.testing.assert_close(outputs[0], first, rtol=1e-4, atol=1e-5)
    assert [32 // output.shape[2] for output in outputs] == [1, 1, 2, 4, 8, 8, 8, 8, 8]  # strides
    torch.save({k: v for k, v in state.items() if k != "up.weight"}, tmp_path / "part.pth")
    with pytest.raises(ValueError, match="does not fit DRN: 1 entries missing"):
        DRN(tmp_path / "part.pth")


def test_a_segmenter_file_describes_itself(tmp_path):
    torch.manual_seed(0)
    net = Segmenter(5).eval()
    net.meta = {"void": 4, "mIoU": 50.0}
    save_segmenter(tmp_path / "s.pth", net)
    loaded = load_segmenter(tmp_path / "s.pth")
    photo = torch.rand(2, 3, 48, 64)
    torch.testing.assert_close(loaded(photo), net(photo), rtol=0, atol=1e-5)  # in another memory layout
    assert loaded(photo).shape == (2, 5, 48, 64)
    assert loaded.features(photo).shape == (2, 256)
    assert loaded.meta == net.meta
    torch.save({"a": torch.zeros(1)}, tmp_path / "no.pth")
    with pytest.raises(ValueError, match="no.pth: is not a segmenter"):
        load_segmenter(tmp_path / "no.pth")


@pytest.mark.parametrize(("changes", "message"), [
    ({"classes": "5"}, "'classes' must be an integer, got '5'"),
    ({"classes": 0}, "'classes' must be a number from 1 to 65536, got 0"),
    ({"meta": {"void": [4]}}, "'meta.void' must be an integer or null, got list"),
    ({"meta": {"void": -1}}, "'meta.void' must be a number from 0 to 65535"),
    ({"meta": {"cityscapes": "no"}}, "'meta.cityscapes' must be true or false, got 'no'"),
    ({"meta": {"size": [48]}}, "'meta.size' must be a list of 2 entries, got 1"),
    ({"meta": 3}, "'meta' must be an object, got 3"),
    ({"state_dict": {"a": 1}}, "'state_dict.a' must be a Tensor, got 1")])
def test_a_segmenter_file_with_other_entries_is_refused(tmp_path, changes, message):
    content = {"format": "ugc-segmenter-1", "classes": 5, "meta": {}, "state_dict": {}}
    torch.save({**content, **changes}, tmp_path / "s.pth")
    with pytest.raises(ValueError, match=f"s.pth: {message}"):
        load_segmenter(tmp_path / "s.pth")
