"""The Adaptive Data Filter agrees with its rule written in plain Python."""
import io
import math

import pytest
import torch

from compression.distill.fake_labels import FakeLabels
from compression.distill.filter import FILTERS, AdaptiveDataFilter, agreement, realness
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
    """Fake labels of random images, with one constant map of logits for each."""
    images = torch.rand(len(logits), 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    activations = torch.zeros(len(logits), 4, 5, 5)
    prediction = torch.tensor(logits).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return FakeLabels(images, [[activations, prediction]])


def test_each_filter_scores_by_its_own_criterion():
    labels = {"wide": fake_labels(1.0, 2.0), "deep": fake_labels(3.0, 4.0, seed=1)}
    scores = {kind: FILTERS[kind](("wide", "deep")).scores(labels) for kind in FILTERS}
    assert {name: score.tolist() for name, score in scores["discriminator"].items()} == {
        "wide": [1, 2], "deep": [3, 4]}
    similarity = ssim(labels["wide"].images, labels["deep"].images)
    torch.testing.assert_close(scores["agreement"], {"wide": similarity, "deep": similarity})
    assert {name: tuple(score.shape) for name, score in scores["off"].items()} == {
        "wide": (2,), "deep": (2,)}


def test_masks_accept_labeled_inputs_and_filter_the_others_by_their_scores():
    adf = AdaptiveDataFilter(("wide", "deep"), window=4, warmup=2)
    scores = {"wide": torch.tensor([0.0, 2.0, 0.5, 1.5]), "deep": torch.tensor([4.0, 8.0, 7.0, 5.0])}
    masks = adf.masks(scores, labeled=2)  # the medians of the labeled scores are 1 and 6
    assert masks["wide"].tolist() == [True, True, False, True]
    assert masks["deep"].tolist() == [True, True, True, False]
    first = AdaptiveDataFilter(("wide",)).masks({"wide": torch.tensor([0.0, 9.0])}, labeled=1)
    assert first["wide"].tolist() == [True, False]  # during the warmup


@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, 0.95])
def test_threshold_is_the_running_quantile_of_the_labeled_scores(q):
    adf = AdaptiveDataFilter(("wide",), quantile=q, window=8, warmup=4)
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
    adf = AdaptiveDataFilter(("wide",), window=4, warmup=1)
    adf.observe({"wide": torch.tensor([9.0, 9.0])})
    adf.observe({"wide": torch.arange(10.0)})
    assert adf.threshold("wide") == 7.5  # of 6, 7, 8, 9
    adf.observe({"wide": torch.tensor([100.0])})
    assert adf.threshold("wide") == 8.5  # 6 fell out


def test_each_teacher_has_its_own_threshold_and_equality_accepts():
    adf = AdaptiveDataFilter(("wide", "deep"), window=4, warmup=2)
    adf.observe({"wide": torch.tensor([0.0, 0.0]), "deep": torch.tensor([5.0, 7.0])})
    masks = adf.accept({"wide": torch.tensor([0.0, -1.0, math.nan]), "deep": torch.tensor([0.0, 6.0, 8.0])})
    assert masks["wide"].tolist() == [True, False, False]
    assert masks["deep"].tolist() == [False, True, True]


def test_the_threshold_follows_the_labeled_scores():
    adf = AdaptiveDataFilter(("wide",), window=16, warmup=4)
    adf.observe({"wide": torch.zeros(16)})
    assert adf.accept({"wide": torch.tensor([0.5])})["wide"].item()
    adf.observe({"wide": torch.ones(16)})
    assert not adf.accept({"wide": torch.tensor([0.5])})["wide"].item()


def test_acceptance_is_the_running_share_of_accepted_fake_labels():
    adf = AdaptiveDataFilter(("wide", "deep"), window=4, warmup=1)
    adf.observe({"wide": torch.tensor([0.0]), "deep": torch.tensor([10.0])})
    wide, deep = adf.acceptance["wide"], adf.acceptance["deep"]
    assert wide == deep == 0
    for _ in range(500):
        adf.accept({"wide": torch.tensor([1.0, -1.0, -1.0]), "deep": torch.tensor([1.0, 1.0])})
        assert wide <= adf.acceptance["wide"] <= 1 / 3
        assert adf.acceptance["deep"] == 0
        wide, deep = adf.acceptance["wide"], adf.acceptance["deep"]
    assert adf.acceptance == {"wide": pytest.approx(1 / 3, abs=1e-3), "deep": pytest.approx(0, abs=1e-3)}
    adf.accept({"wide": torch.zeros(0), "deep": torch.zeros(0)})  # a step without unlabeled inputs
    assert adf.acceptance == {"wide": wide, "deep": deep}


def test_acceptance_is_zero_in_the_warmup():
    adf = AdaptiveDataFilter(("wide",))
    adf.accept({"wide": torch.tensor([5.0])})
    assert adf.acceptance == {"wide": 0.0}


def test_off_accepts_everything_from_the_start():
    adf = FILTERS["off"](("wide", "deep"))
    masks = adf.accept({"wide": torch.tensor([-9.0, 9.0]), "deep": torch.zeros(0)})
    assert masks["wide"].tolist() == [True, True]
    assert masks["deep"].shape == (0,)
    assert masks["deep"].dtype == torch.bool
    assert adf.acceptance == {"wide": 1.0, "deep": 1.0}


@pytest.mark.parametrize("kind", list(FILTERS))
def test_a_restored_filter_continues_exactly(kind):
    def make():
        return FILTERS[kind](("wide", "deep"), quantile=0.4, window=8, warmup=4)

    def step(adf, i):
        adf.observe({"wide": stream(12)[i], "deep": stream(12, seed=1)[i]})
        masks = adf.accept({"wide": stream(12, seed=2)[i], "deep": stream(12, seed=3)[i]})
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


@pytest.mark.parametrize("kind", list(FILTERS))
@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan])
def test_a_wrong_quantile_names_its_flag(kind, value):
    with pytest.raises(ValueError, match=f"--adf_quantile must be in .* got {value}"):
        FILTERS[kind](("wide", "deep"), quantile=value)


def test_agreement_with_one_teacher_is_refused():
    with pytest.raises(ValueError, match=r"--adf agreement .* needs 2 \(--teachers multi\), got 1: wide"):
        FILTERS["agreement"](("wide",))


def test_a_state_of_another_filter_is_refused():
    state = FILTERS["agreement"](("wide", "deep")).state_dict()
    with pytest.raises(ValueError, match="--adf agreement with teachers wide, deep; .* --adf discriminator"):
        FILTERS["discriminator"](("wide", "deep")).load_state_dict(state)
    with pytest.raises(ValueError, match="teachers wide, deep; .* largest"):
        FILTERS["off"](("largest",)).load_state_dict(FILTERS["off"](("wide", "deep")).state_dict())
