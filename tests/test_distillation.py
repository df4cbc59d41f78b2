"""The student's losses: weights, masks, and who receives gradients."""
import numpy as np
import pytest
import torch

from compression.distillation import (ChannelAdapter, ChannelDistillation, DistillWeights, channel_distillation,
                                      distillation_losses, tv_loss)
from compression.ssim import ssim


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def batch(n=3):
    student, teacher = rand(n, 3, 16, 16), rand(n, 3, 16, 16, seed=1)
    mine = [rand(n, 4, 8, 8, seed=2), rand(n, 6, 4, 4, seed=3)]
    theirs = [rand(n, 4, 8, 8, seed=4), rand(n, 6, 4, 4, seed=5)]
    return student, teacher, mine, theirs


def by_hand(n, student, teacher, mine, theirs, content=(0, 1)):
    """The unweighted terms of image n, in numpy."""
    def gram(f):
        rows = f.reshape(len(f), -1)
        return rows @ rows.T / f.size
    a, b = [f[n].double().numpy() for f in mine], [f[n].double().numpy() for f in theirs]
    return {"ssim": 1 - ssim(student[n:n + 1], teacher[n:n + 1]).item(),
            "feature": np.mean([np.abs(a[i] - b[i]).mean() for i in content]),
            "style": sum(np.abs(gram(x) - gram(y)).mean() for x, y in zip(a, b))}


def values(losses):
    return {name: loss.item() for name, loss in losses.items()}


@pytest.mark.parametrize("mask", [None, [True, True, True], [True, False, True], [False, True, False]])
def test_each_term_is_the_weighted_mean_over_the_accepted_images(mask):
    data = batch()
    weights = DistillWeights(ssim=2.0, feature=3.0, style=500.0)
    chosen = [n for n in range(3) if mask is None or mask[n]]
    expected = {name: weight * np.mean([by_hand(n, *data)[name] for n in chosen])
                for name, weight in (("ssim", 2.0), ("feature", 3.0), ("style", 500.0))}
    found = distillation_losses(*data, weights, None if mask is None else torch.tensor(mask))
    assert values(found) == pytest.approx(expected, rel=1e-4)


def test_defaults_are_those_of_omgd():
    weights = DistillWeights()
    assert (weights.ssim, weights.feature, weights.style, weights.tv, weights.cd) == (10, 10, 10_000, 0.00001, 0)


def test_content_names_the_features_of_the_feature_term():
    data, weights = batch(), DistillWeights()
    found = values(distillation_losses(*data, weights, content=(1,)))
    expected = [by_hand(n, *data, content=(1,)) for n in range(3)]
    assert found["feature"] == pytest.approx(10 * np.mean([e["feature"] for e in expected]), rel=1e-4)
    assert found["style"] == pytest.approx(1e4 * np.mean([e["style"] for e in expected]), rel=1e-4)


def test_none_accepted_is_a_zero_with_zero_gradients():
    student, teacher, mine, theirs = batch()
    student.requires_grad_(True)
    found = distillation_losses(student, teacher, [student * 2], [teacher], DistillWeights(),
                                torch.zeros(3, dtype=torch.bool))
    assert values(found) == {"ssim": 0, "feature": 0, "style": 0}
    sum(found.values()).backward()
    assert student.grad is not None and not student.grad.any()


def test_a_rejected_image_gets_no_gradient_and_the_teacher_never_does():
    student, teacher, *_ = batch()
    student.requires_grad_(True), teacher.requires_grad_(True)
    found = distillation_losses(student, teacher, [student * 2], [teacher * 2], DistillWeights(),
                                torch.tensor([True, False, True]))
    sum(found.values()).backward()
    assert student.grad.flatten(1).any(1).tolist() == [True, False, True]
    assert teacher.grad is None


def test_terms_switched_off_are_zero_and_can_still_go_backward():
    student, teacher, mine, theirs = batch()
    student.requires_grad_(True)
    found = distillation_losses(student, teacher, mine, theirs, DistillWeights(ssim=0, feature=0, style=0))
    assert values(found) == {"ssim": 0, "feature": 0, "style": 0}
    sum(found.values()).backward()
    without = distillation_losses(student, teacher, [], [], DistillWeights(), content=(1,))
    assert without["feature"].item() == without["style"].item() == 0 < without["ssim"].item()


def test_tv_loss_does_not_depend_on_the_batch_size():
    weights = DistillWeights(tv=0.5)
    step = torch.zeros(1, 1, 4, 6)
    step[..., 3:] = 2.0  # one edge of height 2 along 4 rows
    assert tv_loss(step, weights).item() == tv_loss(step.repeat(5, 1, 1, 1), weights).item() == 0.5 * 4 * 2.0
    assert tv_loss(torch.cat([step, 0 * step]), weights, torch.tensor([True, False])).item() == 4.0


@pytest.mark.parametrize("name", ["ssim", "feature", "style", "tv", "cd"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_wrong_weights_name_their_flag(name, value):
    with pytest.raises(ValueError, match=f"--lambda_{name} must be .* got {value}"):
        DistillWeights(**{name: value})


def test_channel_distillation_by_hand():
    student, teacher = rand(2, 3, 4, 4), rand(2, 3, 8, 8, seed=1)
    expected = ((student.mean((2, 3)) - teacher.mean((2, 3))) ** 2).mean(1)
    torch.testing.assert_close(channel_distillation(student, teacher), expected)
    torch.testing.assert_close(channel_distillation(student, teacher, ChannelAdapter(3, 3)), expected)


def test_channel_adapter_runs_as_a_convolution_before_the_mean():
    student, teacher = rand(2, 3, 4, 4), rand(2, 5, 4, 4, seed=1)
    adapter = ChannelAdapter(3, 5)
    mapped = torch.einsum("oi,nihw->nohw", adapter.weight[:, :, 0, 0], student)
    torch.testing.assert_close(channel_distillation(student, teacher, adapter), channel_distillation(mapped, teacher))
    with pytest.raises(ValueError, match="3 channels of the student and 5 of the teacher"):
        channel_distillation(student, teacher)


def test_channel_distillation_sums_taps_and_trains_adapters():
    distil = ChannelDistillation([3, 4], [5, 4])
    mine = [rand(2, 3, 4, 4).requires_grad_(True), rand(2, 4, 2, 2, seed=1)]
    theirs = [rand(2, 5, 4, 4, seed=2).requires_grad_(True), rand(2, 4, 2, 2, seed=3)]
    per_image = sum(channel_distillation(*acts) for acts in zip(mine, theirs, distil.adapters))
    loss = distil(mine, theirs, torch.tensor([False, True]))
    torch.testing.assert_close(loss, per_image[1])
    loss.backward()
    assert all(p.grad is not None for p in distil.parameters())
    assert mine[0].grad.flatten(1).any(1).tolist() == [False, True] and theirs[0].grad is None
    with pytest.raises(ValueError, match="1 tap points of the student and 2"):
        ChannelDistillation([3], [5, 4])
