"""The distillation losses: weights, masks, and gradients."""
import numpy as np
import pytest
import torch

from compression.distill.losses import (
    ChannelAdapters,
    DistillWeights,
    distillation_losses,
    gram,
    masked_mean,
    tv_loss,
)
from compression.distill.ssim import ssim, ssim_map


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def batch(n=3):
    """Images of student and teacher, and the features of both."""
    student, teacher = rand(n, 3, 16, 16), rand(n, 3, 16, 16, seed=1)
    student_features = [rand(n, 4, 8, 8, seed=2), rand(n, 6, 4, 4, seed=3)]
    teacher_features = [rand(n, 4, 8, 8, seed=4), rand(n, 6, 4, 4, seed=5)]
    return student, teacher, student_features, teacher_features


def by_hand(n, student, teacher, student_features, teacher_features):
    """The unweighted terms of image n, computed with NumPy."""
    def gram(f):
        rows = f.reshape(len(f), -1)
        return rows @ rows.T / f.size
    pairs = [(s[n].double().numpy(), t[n].double().numpy())
             for s, t in zip(student_features, teacher_features, strict=True)]
    return {"ssim": 1 - ssim(student[n:n + 1], teacher[n:n + 1]).item(),
            "pixel": np.abs(student[n].double().numpy() - teacher[n].double().numpy()).mean(),
            "feature": sum(np.abs(s - t).mean() for s, t in pairs),
            "style": sum(np.abs(gram(s) - gram(t)).mean() for s, t in pairs)}


def values(losses):
    return {name: loss.item() for name, loss in losses.items()}


@pytest.mark.parametrize("mask", [None, [True, True, True], [True, False, True], [False, True, False]])
def test_each_term_is_the_weighted_mean_over_the_accepted_images(mask):
    data = batch()
    weights = DistillWeights(ssim=2.0, feature=3.0, style=500.0, pixel=7.0)
    chosen = [n for n in range(3) if mask is None or mask[n]]
    expected = {name: weight * np.mean([by_hand(n, *data)[name] for n in chosen])
                for name, weight in (("ssim", 2.0), ("feature", 3.0), ("style", 500.0), ("pixel", 7.0))}
    losses = distillation_losses(*data, weights, None if mask is None else torch.tensor(mask))
    assert values(losses) == pytest.approx(expected, rel=1e-4)


def test_default_weights_equal_omgds():
    weights = DistillWeights()
    assert weights == DistillWeights(ssim=10, feature=10, style=10_000, tv=0.00001, cd=0, pixel=0)


def test_losses_without_accepted_images_are_zero_with_zero_gradients():
    student, teacher, *_ = batch()
    student.requires_grad_(True)
    losses = distillation_losses(student, teacher, [student * 2], [teacher], DistillWeights(),
                                torch.zeros(3, dtype=torch.bool))
    assert values(losses) == {"ssim": 0, "feature": 0, "style": 0}
    sum(losses.values()).backward()
    assert student.grad is not None
    assert not student.grad.any()


def test_a_rejected_image_gets_no_gradient_and_the_teacher_never_does():
    student, teacher, *_ = batch()
    student.requires_grad_(True)
    teacher.requires_grad_(True)
    losses = distillation_losses(student, teacher, [student * 2], [teacher * 2], DistillWeights(),
                                torch.tensor([True, False, True]))
    sum(losses.values()).backward()
    assert student.grad.flatten(1).any(1).tolist() == [True, False, True]
    assert teacher.grad is None


def test_a_rejected_fake_label_that_is_nan_reaches_neither_losses_nor_gradients():
    student, teacher, *_ = batch(2)
    broken = teacher.clone()
    broken[1] = float("nan")
    mask, adapters = torch.tensor([True, False]), ChannelAdapters([3], [3])
    gradients = []
    for target in (teacher, broken):
        student = student.detach().requires_grad_(True)
        adapters.zero_grad()
        losses = distillation_losses(student, target, [student * 2], [target * 3], DistillWeights(), mask)
        (sum(losses.values()) + adapters([student], [target], mask)).backward()
        gradients.append((student.grad, adapters.adapters[0].weight.grad.clone()))
    for clean, with_nan in zip(*gradients, strict=True):
        torch.testing.assert_close(with_nan, clean, rtol=0, atol=0)


def test_weights_of_patches_weigh_positions_and_images():
    data = student, teacher, student_features, teacher_features = batch()
    weights = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(9))
    weights[0] = 1  # a labeled input
    scales = DistillWeights(ssim=2.0, feature=3.0, style=500.0, pixel=7.0)
    losses = values(distillation_losses(*data, scales, weights))

    def weighted(maps):
        """sum_z,p w l / sum_z,p w for maps of 2r x 2r positions: each quarter has one weight."""
        total = 0.0
        for n in range(3):
            quarters = maps[n].reshape(2, maps.shape[1] // 2, 2, -1).mean((1, 3))
            total += float((quarters * weights[n, 0]).sum())
        return total / float(weights.sum())

    def difference(a, b):
        return (a - b).abs().mean(1)

    assert losses["pixel"] == pytest.approx(7 * weighted(difference(student, teacher)), rel=1e-4)
    feature = sum(weighted(difference(s, t)) for s, t in zip(student_features, teacher_features, strict=True))
    assert losses["feature"] == pytest.approx(3 * feature, rel=1e-4)
    similarity = ssim_map(student, teacher)
    assert similarity.shape == (3, 3, 6, 6)
    assert losses["ssim"] == pytest.approx(2 * weighted((1 - similarity).mean(1)), rel=1e-4)
    style = [by_hand(n, *data)["style"] for n in range(3)]
    expected = 500 * np.average(style, weights=weights.mean((1, 2, 3)).numpy())
    assert losses["style"] == pytest.approx(expected, rel=1e-4)
    ones = values(distillation_losses(*data, scales, torch.ones(3, 1, 2, 2)))
    assert ones == pytest.approx(values(distillation_losses(*data, scales)), rel=1e-5)


def test_an_image_of_weight_zero_that_is_nan_reaches_neither_losses_nor_gradients():
    student, teacher, *_ = batch(2)
    teacher[1] = float("nan")
    student.requires_grad_(True)
    weights = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    losses = distillation_losses(student, teacher, [student * 2], [teacher * 3], DistillWeights(pixel=1),
                                 weights)
    sum(losses.values()).backward()
    assert all(np.isfinite(value) for value in values(losses).values())
    assert student.grad.flatten(1).any(1).tolist() == [True, False]


def test_without_features_only_ssim_is_left():
    student, teacher, *_ = batch()
    assert set(distillation_losses(student, teacher, [], [], DistillWeights())) == {"ssim"}


def test_gram_by_hand():
    x = rand(2, 3, 4, 5)
    expected = torch.zeros(2, 3, 3)
    for n in range(2):
        for i in range(3):
            for j in range(3):
                expected[n, i, j] = sum(x[n, i, h, w] * x[n, j, h, w] for h in range(4)
                                        for w in range(5)) / (3 * 4 * 5)
    torch.testing.assert_close(gram(x), expected)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(gram(x), expected)


def test_total_variation_by_hand():
    x = rand(2, 2, 3, 4)
    rows = sum(abs(x[n, c, h, w] - x[n, c, h, w - 1])
               for n in range(2) for c in range(2) for h in range(3) for w in range(1, 4))
    columns = sum(abs(x[n, c, h, w] - x[n, c, h - 1, w])
                  for n in range(2) for c in range(2) for h in range(1, 3) for w in range(4))
    torch.testing.assert_close(tv_loss(x), (rows + columns) / 2)
    torch.testing.assert_close(tv_loss(x.repeat(3, 1, 1, 1)), tv_loss(x))


def test_masked_mean_averages_over_the_accepted_images():
    values = torch.tensor([1.0, 2.0, 6.0], requires_grad=True)
    assert masked_mean(values, None).item() == 3
    assert masked_mean(values, torch.tensor([True, False, True])).item() == 3.5
    assert masked_mean(torch.tensor([4.0, float("nan")]), torch.tensor([True, False])).item() == 4
    none = masked_mean(values, torch.zeros(3, dtype=torch.bool))
    none.backward()
    assert none.item() == 0
    assert values.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["ssim", "feature", "style", "tv", "cd"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_wrong_weights_name_their_flag(name, value):
    with pytest.raises(ValueError, match=f"--lambda_{name} must be .* got {value}"):
        DistillWeights(**{name: value})


@pytest.mark.parametrize("mask", [None, [False, True]])
def test_channel_distillation_maps_widths_averages_taps_and_trains_its_adapters(mask):
    adapters = ChannelAdapters([3, 4], [5, 4])
    student = [rand(2, 3, 4, 4).requires_grad_(True), rand(2, 4, 2, 2, seed=1)]
    teacher = [rand(2, 5, 8, 8, seed=2), rand(2, 4, 2, 2, seed=3)]
    weights = [adapter.weight.detach().double().numpy()[:, :, 0, 0] for adapter in adapters.adapters]
    per_image = []
    for n in range(2):
        errors = []
        for weight, s, t in zip(weights, student, teacher, strict=True):
            student_mean = s[n].detach().double().numpy().mean((1, 2))
            teacher_mean = t[n].double().numpy().mean((1, 2))
            errors.append(np.mean((weight @ student_mean - teacher_mean) ** 2))
        per_image.append(np.mean(errors))
    loss = adapters(student, teacher, None if mask is None else torch.tensor(mask))
    assert loss.item() == pytest.approx(np.mean(per_image) if mask is None else per_image[1], rel=1e-5)
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in adapters.parameters())
    assert student[0].grad.flatten(1).any(1).tolist() == (mask or [True, True])
