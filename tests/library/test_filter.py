"""The Adaptive Data Filter agrees with its rule written in plain Python."""
import io
import math

import numpy as np
import pytest
import torch
from torch import nn

from compression.distill.fake_labels import FakeLabels, images_of_flipped
from compression.distill.filter import (
    FILTERS,
    ConsistencyFilter,
    DiscriminatorFilter,
    FilterSettings,
    SoftFilter,
)
from compression.distill.scores import agreement, consistency, realness
from compression.distill.ssim import ssim


def quantile(values, q):
    """Linear interpolation between the order statistics."""
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def stream(batches, sizes=(3, 1, 5), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(sizes[i % len(sizes)], generator=generator) + 0.1 * i for i in range(batches)]


def test_realness_by_hand():
    prediction = torch.arange(12.0).view(2, 1, 2, 3).requires_grad_(True)
    one_scale = [[torch.rand(2, 4, 4, 6), prediction]]
    assert realness(one_scale).tolist() == [2.5, 8.5]
    assert not realness(one_scale).requires_grad
    two_scales = [*one_scale, [torch.tensor([[[[1.5]]], [[[0.5]]]])]]
    assert realness(two_scales).tolist() == [2.0, 4.5]


def test_agreement_is_the_mean_ssim_to_the_other_teachers():
    a, b, c = (torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(i)) * 2 - 1 for i in range(3))
    scores = agreement({"wide": a, "deep": b, "third": c})
    torch.testing.assert_close(scores["deep"], (ssim(b, a) + ssim(b, c)) / 2)
    assert agreement({"wide": a, "deep": a})["wide"].tolist() == pytest.approx([1, 1])


def fake_labels(*logits, seed=0):
    """Fake labels of random images and flips, with one constant map of logits for each."""
    generator = torch.Generator().manual_seed(seed)
    images, flipped = (torch.rand(len(logits), 3, 16, 16, generator=generator) * 2 - 1 for _ in range(2))
    activations = torch.zeros(len(logits), 4, 5, 5)
    prediction = torch.tensor(logits).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return FakeLabels(images, [[activations, prediction]], flipped)


def test_each_filter_scores_by_its_own_criterion():
    labels = {"wide": fake_labels(1.0, 2.0), "deep": fake_labels(3.0, 4.0, seed=1)}
    scores = {kind: FILTERS[kind](("wide", "deep")).scores(labels) for kind in FILTERS}
    assert {name: score.tolist() for name, score in scores["discriminator"].items()} == {
        "wide": [1, 2], "deep": [3, 4]}
    wide, deep = labels["wide"].images, labels["deep"].images
    similarity = ssim(wide, deep)
    torch.testing.assert_close(scores["agreement"], {"wide": similarity, "deep": similarity})
    weight = torch.exp(-(wide - deep).abs().mean((1, 2, 3)) / 0.2)  # the image is a single patch
    torch.testing.assert_close(scores["soft"], {"wide": weight, "deep": weight})
    assert {name: tuple(score.shape) for name, score in scores["off"].items()} == {
        "wide": (2,), "deep": (2,)}


def test_consistency_compares_images_and_gradients_with_the_other_teacher_and_with_the_flip():
    def gradients(image):
        """The differences to the pixels below and to the right, of all but the last row and column."""
        return np.diff(image, axis=1)[:, :, :-1], np.diff(image, axis=2)[:, :-1]

    def distance(image, other):
        pairs = zip(gradients(image), gradients(other), strict=True)
        return np.mean([abs(a - b).mean() for a, b in pairs])

    labels = {"wide": fake_labels(1.0, 2.0), "deep": fake_labels(3.0, 4.0, seed=1)}
    scores = consistency(labels)
    only = consistency({"wide": labels["wide"]})["wide"]
    for n in range(2):
        wide, deep = (labels[name].images[n].double().numpy() for name in ("wide", "deep"))
        both = abs(wide - deep).mean() + 2 * distance(wide, deep)
        for name, image in (("wide", wide), ("deep", deep)):
            flip = distance(image, labels[name].flipped[n].double().numpy())
            assert scores[name][n].item() == pytest.approx(-both - flip, rel=1e-4)
        assert only[n].item() == pytest.approx(-distance(wide, labels["wide"].flipped[n].double().numpy()),
                                               rel=1e-4)


@pytest.mark.parametrize("norm", [nn.Identity(), nn.BatchNorm2d(1, affine=False)])
def test_images_of_flipped_inputs_are_flipped_back_and_share_the_statistics_of_the_batch(norm):
    shift = nn.Conv2d(1, 1, (1, 3), padding=(0, 1), bias=False)
    shift.weight.data = torch.tensor([1.0, 0.0, 0.0]).view(1, 1, 1, 3)  # moves an image to the right
    x, u = (torch.rand(2, 1, 3, 5, generator=torch.Generator().manual_seed(i)) for i in range(2))
    left, right = nn.functional.pad(u, (0, 1))[..., 1:], nn.functional.pad(x, (1, 0))[..., :-1]
    expected = left
    if not isinstance(norm, nn.Identity):
        everything = torch.cat((right, left))
        expected = (left - everything.mean()) / (everything.var(correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(images_of_flipped(nn.Sequential(shift, norm), x, u), expected)


def labels_of_scores(labeled, unlabeled):
    """Fake labels of one teacher whose realness is `labeled`, then `unlabeled`; `unlabeled` is also minus
    the consistency of the latter."""
    labels = fake_labels(*labeled, *unlabeled)
    distance = torch.tensor(unlabeled).reshape(len(unlabeled), 1, 1, 1)
    slope = 2 * torch.arange(16.0)  # its differences are 2 in one of two directions
    return FakeLabels(labels.images, labels.prediction, labels.images[len(labeled):] + distance * slope)


def test_masks_accept_labeled_inputs_and_filter_the_others_by_their_scores():
    adf = DiscriminatorFilter(("wide", "deep"), FilterSettings(window=4, warmup=2))
    labels = {"wide": labels_of_scores([0.0, 2.0], [0.5, 1.5]),
              "deep": labels_of_scores([4.0, 8.0], [7.0, 5.0])}
    masks = adf.masks(labels, labeled=2)  # the medians of the labeled scores are 1 and 6
    assert masks["wide"].tolist() == [True, True, False, True]
    assert masks["deep"].tolist() == [True, True, True, False]
    first = DiscriminatorFilter(("wide",)).masks({"wide": labels_of_scores([0.0], [9.0])}, labeled=1)
    assert first["wide"].tolist() == [True, False]  # during the warmup


@pytest.mark.parametrize("keep", [1.0, 0.75, 0.3, 0.01])
def test_consistency_keeps_its_share_of_the_unlabeled_inputs_from_the_first_batch_on(keep):
    adf = ConsistencyFilter(("wide",), FilterSettings(keep=keep, window=64))
    generator = torch.Generator().manual_seed(0)
    seen, accepted = [], []
    for i in range(300):
        distances = (torch.rand(3, generator=generator) + (i > 150) * 5.0).tolist()  # then all are worse
        mask = adf.masks({"wide": labels_of_scores([0.0], distances)}, labeled=1)["wide"]
        seen = (seen + [-d for d in distances])[-64:]
        threshold = quantile(seen, 1 - keep)
        assert adf.threshold("wide") == pytest.approx(threshold, abs=1e-4)
        assert mask.tolist()[0]
        clear = [k for k in range(3) if abs(-distances[k] - threshold) > 1e-3]
        assert [mask.tolist()[1:][k] for k in clear] == [-distances[k] >= threshold for k in clear]
        accepted.append(mask[1:].float().mean().item())
    assert accepted[0] > 0
    for part in (accepted[50:150], accepted[200:]):
        assert sum(part) / len(part) == pytest.approx(keep, abs=0.04)
    assert adf.acceptance["wide"] == pytest.approx(keep, abs=0.15)


def test_a_score_that_is_nan_is_rejected_and_leaves_the_threshold_as_it_was():
    adf = ConsistencyFilter(("wide",), FilterSettings(keep=0.5))
    mask = adf.masks({"wide": labels_of_scores([], [1.0, math.nan, 3.0, math.inf, 2.0])}, labeled=0)["wide"]
    assert mask.tolist() == [True, False, False, False, True]
    assert adf.threshold("wide") == pytest.approx(-2, abs=1e-4)


def test_without_unlabeled_inputs_the_labeled_ones_are_accepted_and_nothing_is_recorded():
    adf = ConsistencyFilter(("wide",), FilterSettings(keep=0.6))
    assert adf.masks({"wide": labels_of_scores([1.0, 2.0], [])}, labeled=2)["wide"].tolist() == [True, True]
    assert (len(adf.history["wide"]), adf.acceptance["wide"]) == (0, 0.6)


def test_soft_weights_fall_with_the_distance_of_the_teachers_in_each_patch():
    wide = torch.zeros(3, 3, 32, 40)  # 2 x 3 patches
    deep = wide.clone()
    deep[2, :, :16, :14] = 0.3
    deep[2, 1, 16:, 26:] = 0.3  # in one of three channels
    deep[1, 0, 0, 0] = math.nan
    masks = SoftFilter(("wide", "deep"), FilterSettings(tau=0.2)).masks(
        {"wide": FakeLabels(wide, []), "deep": FakeLabels(deep, [])}, labeled=1)
    weights = masks["wide"]
    assert weights.shape == (3, 1, 2, 3)
    assert (weights[0] == 1).all()
    assert (weights[1] == 0).all()  # rejected as a whole
    assert weights[2, 0, 0, 0].item() == pytest.approx(math.exp(-0.3 / 0.2), rel=1e-4)
    assert weights[2, 0, 1, 2].item() == pytest.approx(math.exp(-0.1 / 0.2), rel=1e-4)
    assert weights[2, 0, 1, 0].item() == 1
    torch.testing.assert_close(masks["deep"], weights)


@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, 0.95])
def test_threshold_is_the_running_quantile_of_the_labeled_scores(q):
    adf = DiscriminatorFilter(("wide",), FilterSettings(quantile=q, window=8, warmup=4))
    seen = []
    for labeled, unlabeled in zip(stream(20), stream(20, (4, 2), seed=1), strict=True):
        adf.observe({"wide": labeled})
        seen = (seen + labeled.tolist())[-8:]
        mask = adf.accept({"wide": unlabeled})["wide"]
        if len(seen) < 4:
            assert adf.threshold("wide") == math.inf
            assert not mask.any()
        else:
            assert adf.threshold("wide") == pytest.approx(quantile(seen, q), abs=1e-6)
            assert mask.tolist() == [value >= adf.threshold("wide") for value in unlabeled.tolist()]
    assert mask.dtype == torch.bool
    assert mask.shape == unlabeled.shape


def test_a_batch_larger_than_the_window_leaves_its_last_scores():
    adf = DiscriminatorFilter(("wide",), FilterSettings(window=4, warmup=1))
    adf.observe({"wide": torch.tensor([9.0, 9.0])})
    adf.observe({"wide": torch.arange(10.0)})
    assert adf.threshold("wide") == 7.5  # of 6, 7, 8, 9
    adf.observe({"wide": torch.tensor([100.0])})
    assert adf.threshold("wide") == 8.5  # 6 fell out


def test_each_teacher_has_its_own_threshold_and_equality_accepts():
    adf = DiscriminatorFilter(("wide", "deep"), FilterSettings(window=4, warmup=2))
    adf.observe({"wide": torch.tensor([0.0, 0.0]), "deep": torch.tensor([5.0, 7.0])})
    masks = adf.accept({"wide": torch.tensor([0.0, -1.0, math.nan]), "deep": torch.tensor([0.0, 6.0, 8.0])})
    assert masks["wide"].tolist() == [True, False, False]
    assert masks["deep"].tolist() == [False, True, True]


def test_the_threshold_follows_the_labeled_scores():
    adf = DiscriminatorFilter(("wide",), FilterSettings(window=16, warmup=4))
    adf.observe({"wide": torch.zeros(16)})
    assert adf.accept({"wide": torch.tensor([0.5])})["wide"].item()
    adf.observe({"wide": torch.ones(16)})
    assert not adf.accept({"wide": torch.tensor([0.5])})["wide"].item()


def test_acceptance_is_the_running_share_of_accepted_fake_labels():
    adf = DiscriminatorFilter(("wide", "deep"), FilterSettings(window=4, warmup=1))
    labels = {"wide": labels_of_scores([0.0], [1.0, -1.0, -1.0]),
              "deep": labels_of_scores([10.0], [1.0, 1.0, 1.0])}
    wide = adf.acceptance["wide"]
    assert adf.acceptance == {"wide": 0, "deep": 0}
    for _ in range(500):
        adf.masks(labels, labeled=1)
        assert wide <= adf.acceptance["wide"] <= 1 / 3
        assert adf.acceptance["deep"] == 0
        wide = adf.acceptance["wide"]
    assert adf.acceptance == {"wide": pytest.approx(1 / 3, abs=1e-3), "deep": 0}
    adf.masks({name: fake_labels(0.0) for name in labels}, labeled=1)  # a step without unlabeled inputs
    assert adf.acceptance["wide"] == wide


def test_acceptance_is_zero_in_the_warmup():
    adf = DiscriminatorFilter(("wide",))
    adf.masks({"wide": labels_of_scores([0.0], [5.0])}, labeled=1)
    assert adf.acceptance == {"wide": 0.0}


def test_off_accepts_everything_from_the_start():
    adf = FILTERS["off"](("wide", "deep"))
    masks = adf.masks({"wide": fake_labels(-9.0, 9.0), "deep": fake_labels(0.0)}, labeled=1)
    assert masks["wide"].tolist() == [True, True]
    assert masks["deep"].shape == (1,)
    assert masks["deep"].dtype == torch.bool
    assert adf.acceptance == {"wide": 1.0, "deep": 1.0}


@pytest.mark.parametrize("kind", list(FILTERS))
def test_a_restored_filter_continues_exactly(kind):
    def make():
        return FILTERS[kind](("wide", "deep"), FilterSettings(quantile=0.4, window=8, warmup=4))

    def step(adf, i):
        labels = {}
        for k, name in enumerate(("wide", "deep")):
            unlabeled = stream(12, (2,), seed=k + 2)[i]
            labels[name] = labels_of_scores(stream(12, seed=k)[i].tolist(), unlabeled.tolist())
        masks = adf.masks(labels, labeled=len(stream(12)[i]))
        return [m.tolist() for m in masks.values()], dict(adf.acceptance), adf.state_dict()

    uninterrupted, first, second = make(), make(), make()
    for i in range(5):
        step(uninterrupted, i)
        step(first, i)
    file = io.BytesIO()
    saved = first.state_dict()
    step(first, 5)  # the saved state must not change with the filter
    torch.save(saved, file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert [step(second, i) for i in range(5, 12)] == [step(uninterrupted, i) for i in range(5, 12)]


@pytest.mark.parametrize(("name", "value", "message"), [
    ("quantile", -0.1, r"--adf_quantile must be in \[0, 1\), got -0.1"),
    ("quantile", 1.5, "--adf_quantile must be in .* got 1.5"),
    ("quantile", math.nan, "--adf_quantile must be in .* got nan"),
    ("keep", 0.0, "--adf_keep must be above 0 and at most 1, got 0.0"),
    ("keep", 1.01, "--adf_keep must be .* got 1.01"), ("keep", math.nan, "--adf_keep must be .* got nan"),
    ("tau", 0.0, "--adf_tau must be a finite number above 0, got 0.0"),
    ("tau", math.inf, "--adf_tau must be .* got inf")])
def test_a_wrong_setting_names_its_flag(name, value, message):
    with pytest.raises(ValueError, match=message):
        FilterSettings(**{name: value})


@pytest.mark.parametrize("kind", ["agreement", "soft"])
def test_agreement_with_one_teacher_is_refused(kind):
    with pytest.raises(ValueError, match=rf"--adf {kind} .* needs 2 \(--teachers multi\), got 1: wide"):
        FILTERS[kind](("wide",))


def test_a_state_of_another_filter_is_refused():
    state = FILTERS["agreement"](("wide", "deep")).state_dict()
    with pytest.raises(ValueError, match="--adf agreement with teachers wide, deep; .* --adf discriminator"):
        FILTERS["discriminator"](("wide", "deep")).load_state_dict(state)
    with pytest.raises(ValueError, match="teachers wide, deep; .* largest"):
        FILTERS["off"](("largest",)).load_state_dict(FILTERS["off"](("wide", "deep")).state_dict())
