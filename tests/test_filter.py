"""The Adaptive Data Filter against a plain-Python reading of its rule."""
import io
import math

import pytest
import torch

from compression.filter import FILTERS, AdaptiveDataFilter, agreement, realness


def quantile(values, q):
    """Linear interpolation between the order statistics."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def stream(batches, sizes=(3, 1, 5), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(sizes[i % len(sizes)], generator=generator) + 0.1 * i for i in range(batches)]


def test_realness_and_agreement_by_hand():
    prediction = torch.arange(12.0).view(2, 1, 2, 3)
    assert realness(prediction).tolist() == [2.5, 8.5]
    images = {"wide": torch.zeros(2, 1, 2, 2), "deep": torch.tensor([0.5, -1.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)}
    assert {k: v.tolist() for k, v in agreement(images).items()} == {"wide": [-0.5, -1.0], "deep": [-0.5, -1.0]}
    images["third"] = torch.ones(2, 1, 2, 2)
    assert agreement(images)["wide"].tolist() == [-0.75, -1.0]


@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, 1.0])
def test_threshold_is_the_running_quantile_of_the_labelled_scores(q):
    adf = AdaptiveDataFilter("discriminator", ("wide",), quantile=q, window=8, min_samples=4)
    seen = []
    for labelled, unlabelled in zip(stream(20), stream(20, (4, 2), seed=1)):
        adf.observe({"wide": labelled})
        seen = (seen + labelled.tolist())[-8:]
        mask = adf.accept({"wide": unlabelled})["wide"]
        if len(seen) < 4:
            assert adf.threshold("wide") == math.inf and not mask.any()
        else:
            bar = quantile(seen, q)
            assert adf.threshold("wide") == pytest.approx(bar, abs=1e-6)
            assert mask.tolist() == [value >= adf.threshold("wide") for value in unlabelled.tolist()]
    assert mask.dtype == torch.bool and mask.shape == unlabelled.shape


def test_a_batch_larger_than_the_window_leaves_its_last_scores():
    adf = AdaptiveDataFilter(teachers=("wide",), window=4, min_samples=1)
    adf.observe({"wide": torch.tensor([9.0, 9.0])})
    adf.observe({"wide": torch.arange(10.0)})
    assert adf.threshold("wide") == 7.5  # of 6, 7, 8, 9
    adf.observe({"wide": torch.tensor([100.0])})
    assert adf.threshold("wide") == 8.5  # 6 fell out


def test_teachers_have_bars_of_their_own_and_equality_accepts():
    adf = AdaptiveDataFilter(window=4, min_samples=2)
    adf.observe({"wide": torch.tensor([0.0, 0.0]), "deep": torch.tensor([5.0, 7.0])})
    masks = adf.accept({"wide": torch.tensor([0.0, -1.0, math.nan]), "deep": torch.tensor([0.0, 6.0, 8.0])})
    assert masks["wide"].tolist() == [True, False, False] and masks["deep"].tolist() == [False, True, True]


def test_the_bar_follows_the_labelled_scores():
    adf = AdaptiveDataFilter(teachers=("wide",), window=16, min_samples=4)
    adf.observe({"wide": torch.zeros(16)})
    assert adf.accept({"wide": torch.tensor([0.5])})["wide"].item()
    adf.observe({"wide": torch.ones(16)})
    assert not adf.accept({"wide": torch.tensor([0.5])})["wide"].item()


def test_acceptance_rates():
    adf = AdaptiveDataFilter(window=4, min_samples=1)
    assert adf.acceptance == {"wide": 0.0, "deep": 0.0}
    adf.observe({"wide": torch.tensor([0.0]), "deep": torch.tensor([10.0])})
    adf.accept({"wide": torch.tensor([1.0, -1.0, -1.0]), "deep": torch.tensor([1.0, 1.0, 1.0])})
    assert adf.acceptance == {"wide": pytest.approx(1 / 3), "deep": 0.0}
    adf.accept({"wide": torch.tensor([1.0, 1.0])})
    assert adf.acceptance["wide"] == 0.5  # of the last four: rejected twice, accepted twice


def test_off_accepts_everything_from_the_start():
    adf = AdaptiveDataFilter("off")
    images = {"wide": torch.zeros(3, 1, 2, 2), "deep": torch.ones(3, 1, 2, 2)}
    assert not adf.needs_predictions and adf.threshold("wide") == -math.inf
    assert all(mask.tolist() == [True] * 3 for mask in adf.accept(adf.score(images)).values())
    assert adf.acceptance == {"wide": 1.0, "deep": 1.0}


def test_rules_score_what_they_say():
    images = {"wide": torch.zeros(2, 3, 4, 4), "deep": torch.ones(2, 3, 4, 4)}
    predictions = {"wide": torch.full((2, 1, 3, 3), 0.5, requires_grad=True), "deep": torch.full((2, 1, 3, 3), -2.0)}
    discriminator = AdaptiveDataFilter("discriminator")
    assert discriminator.needs_predictions
    scores = discriminator.score(images, predictions)
    assert {k: v.tolist() for k, v in scores.items()} == {"wide": [0.5, 0.5], "deep": [-2.0, -2.0]}
    assert not scores["wide"].requires_grad
    with pytest.raises(ValueError, match="--adf discriminator .*predictions"):
        discriminator.score(images)
    rule = AdaptiveDataFilter("agreement")
    assert not rule.needs_predictions and rule.score(images)["deep"].tolist() == [-1.0, -1.0]


@pytest.mark.parametrize("kind", list(FILTERS))
def test_resume_is_exact(kind):
    def make():
        return AdaptiveDataFilter(kind, ("wide", "deep"), quantile=0.4, window=8, min_samples=4)

    def step(adf, i):
        adf.observe({"wide": stream(12)[i], "deep": stream(12, seed=1)[i]})
        masks = adf.accept({"wide": stream(12, seed=2)[i], "deep": stream(12, seed=3)[i]})
        return [m.tolist() for m in masks.values()], adf.threshold("wide"), adf.threshold("deep"), adf.acceptance

    straight, first, second = make(), make(), make()
    for i in range(5):
        step(straight, i), step(first, i)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    step(first, 5)  # what was saved does not move with the filter
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert [step(second, i) for i in range(5, 12)] == [step(straight, i) for i in range(5, 12)]


def test_a_state_of_another_filter_is_refused():
    state = AdaptiveDataFilter("agreement").state_dict()
    with pytest.raises(ValueError, match="trained with --adf agreement, this run asks for --adf discriminator"):
        AdaptiveDataFilter("discriminator").load_state_dict(state)
    with pytest.raises(ValueError, match="teachers wide, deep; .*largest"):
        AdaptiveDataFilter("off", ("largest",)).load_state_dict(AdaptiveDataFilter("off").state_dict())
    with pytest.raises(ValueError, match="window of 256"):
        AdaptiveDataFilter("agreement", window=64).load_state_dict(state)


@pytest.mark.parametrize("settings, message", [
    (dict(kind="vote"), "--adf vote is unknown, known: discriminator, agreement, off"),
    (dict(quantile=1.5), r"--adf_quantile must lie in \[0, 1\], got 1.5"),
    (dict(quantile=math.nan), "--adf_quantile .* got nan"),
    (dict(kind="agreement", teachers=("wide",)), r"needs 2 \(--teachers multi\), got 1: wide"),
    (dict(window=4, min_samples=5), "min_samples <= window, got 5 and 4"),
])
def test_wrong_settings_name_their_flag(settings, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveDataFilter(**settings)


def test_an_unknown_teacher_is_named():
    with pytest.raises(ValueError, match="no teacher 'largest', known: wide, deep"):
        AdaptiveDataFilter().observe({"largest": torch.zeros(1)})
