"""DiffAugment, R1, LeCam, and the loss of DCD against their formulas."""
import numpy as np
import pytest
import torch

from compression.distill.adapters import DiscriminatorAdapters
from compression.originals.diffaugment import DiffAugment, change_color, crop_by_index, cut_out, translate
from compression.originals.regularization import Regularization, r1_penalty


def pairs(samples=2, channels=5, height=16, width=24):
    return torch.rand(samples, channels, height, width, generator=torch.Generator().manual_seed(0)) + 0.5


def test_color_changes_brightness_saturation_and_contrast():
    image = pairs(channels=3).double()
    numbers = torch.tensor([[0.9, 0.25, 0.1], [0.5, 0.5, 0.5]], dtype=torch.float64)
    expected = image[0].numpy() + 0.4
    gray = expected.mean(0)
    expected = np.stack([gray + 0.5 * (channel - gray) for channel in expected])
    expected = expected.mean() + 0.6 * (expected - expected.mean())
    changed = change_color(image, numbers)
    assert changed[0].numpy() == pytest.approx(expected)
    torch.testing.assert_close(changed[1], image[1])  # the middle of each range changes nothing


@pytest.mark.parametrize(("numbers", "down", "right"),
                         [((0.0, 0.99), 2, -3), ((0.5, 0.5), 0, 0), ((0.99, 0.0), -2, 3)])
def test_translation_moves_whole_pixels_by_up_to_an_eighth(numbers, down, right):
    before = pairs(samples=1)
    after = translate(before, torch.tensor([numbers]))[0]
    for row in range(16):
        for column in range(24):
            inside = 0 <= row - down < 16 and 0 <= column - right < 24
            expected = before[0, :, row - down, column - right] if inside else torch.zeros(5)
            assert torch.equal(after[:, row, column], expected)


def test_windows_cut_by_index_are_those_of_slices():
    padded, starts = pairs(3, 5, 20, 30).requires_grad_(), torch.tensor([[0, 6], [4, 0], [2, 3]])
    windows = crop_by_index(padded, starts, (16, 24))
    expected = torch.stack([image[:, top:top + 16, left:left + 24]
                            for image, (top, left) in zip(padded, starts, strict=True)])
    assert torch.equal(windows, expected)
    gradients = [torch.autograd.grad(value.square().sum(), padded)[0] for value in (windows, expected)]
    assert torch.equal(*gradients)


@pytest.mark.parametrize(("numbers", "rows", "columns"),
                         [((0.5, 0.5), (4, 12), (6, 18)), ((0.0, 0.999), (0, 4), (18, 24))])
def test_cutout_hides_half_of_each_side_around_its_center(numbers, rows, columns):
    before = pairs(samples=1)
    expected = before.clone()
    expected[:, :, rows[0]:rows[1], columns[0]:columns[1]] = 0
    assert torch.equal(cut_out(before, torch.tensor([numbers])), expected)


def test_one_draw_changes_real_and_generated_pairs_alike_and_color_only_the_image():
    augment = DiffAugment(["cutout", "color", "translation"], 3).draw(4)
    real, fake = pairs(4), 1 + pairs(4)
    hidden = [(augment(batch) == 0).all(1) for batch in (real, fake)]
    assert torch.equal(*hidden)
    assert hidden[0].any()
    assert torch.equal(augment(real)[:2], augment(real[:2]))  # the inputs x are the first of all inputs z
    color = DiffAugment(["color"], 3).draw(4)(real)
    assert torch.equal(color[:, :2], real[:, :2])
    assert not torch.equal(color[:, 2:], real[:, 2:])


def test_draws_depend_on_the_seed_and_none_draws_nothing():
    torch.manual_seed(5)
    first = DiffAugment(["color"], 3).draw(2).numbers
    torch.manual_seed(5)
    assert torch.equal(DiffAugment(["color"], 3).draw(2).numbers, first)
    state = torch.get_rng_state()
    batch = pairs()
    assert DiffAugment(["none"], 3).draw(2)(batch) is batch
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("kinds", "channels", "message"), [
    (["none", "color"], 3, "--diffaugment none color: give either none or transformations"),
    (["color"], 2, "use --diffaugment translation cutout"),
    (["colour"], 3, "--diffaugment colour")])
def test_augmentations_that_do_not_fit_are_refused(kinds, channels, message):
    with pytest.raises(ValueError, match=message):
        DiffAugment(kinds, channels)


def linear_discriminator(*weights):
    """D of one scale whose logits are a weighted sum of the channels of a pixel."""
    weight = torch.tensor(weights).view(1, -1, 1, 1).requires_grad_()
    return lambda batch: [[(weight * batch).sum(1, keepdim=True)]], weight


def test_r1_is_the_squared_gradient_with_respect_to_the_image_for_one_patch():
    discriminate, weight = linear_discriminator(9.0, 9.0, 1.0, 2.0, 2.0)
    penalty = r1_penalty(discriminate, pairs(), 3)
    assert penalty.item() == pytest.approx(1 + 4 + 4)  # of the three channels of the image
    penalty.backward()
    assert weight.grad.flatten().tolist() == pytest.approx([0, 0, 2, 4, 4])


def test_r1_is_computed_every_few_steps_with_a_higher_weight_and_resumes():
    discriminate, _ = linear_discriminator(9.0, 9.0, 1.0, 2.0, 2.0)
    prediction = discriminate(pairs())
    regularization = Regularization(r1=2.0, r1_every=3)
    has_gradient = []
    for step in range(7):
        if step == 2:
            state = regularization.state_dict()
            regularization = Regularization(r1=2.0, r1_every=3)
            regularization.load_state_dict(state)
        loss = regularization(discriminate, pairs(), prediction, prediction)["D_r1"]
        assert float(loss) == pytest.approx(2 / 2 * 3 * 9)
        has_gradient.append(loss.requires_grad)
    assert has_gradient == [True, False, False, True, False, False, True]


def test_lecam_compares_logits_with_averages_of_the_other_kind_and_resumes():
    def prediction(*logits):
        return [[torch.tensor(logits).view(-1, 1, 1, 1)]]

    regularization = Regularization(lecam=0.5)
    first = regularization(None, pairs(), prediction(1.0, 3.0), prediction(0.0, -2.0))
    assert float(first["D_lecam"]) == pytest.approx(0.5 * ((4 + 16) / 2 + (4 + 16) / 2))  # averages 2 and -1
    resumed = Regularization(lecam=0.5)
    resumed.load_state_dict(regularization.state_dict())
    second = float(resumed(None, pairs(), prediction(1.0, 1.0), prediction(1.0, 1.0))["D_lecam"])
    real, fake = 0.99 * 2 + 0.01, 0.99 * -1 + 0.01
    assert second == pytest.approx(0.5 * ((1 - fake) ** 2 + (1 - real) ** 2))
    assert Regularization().state_dict() == {}


def test_regularization_counts_steps_and_not_their_micro_batches():
    discriminate, _ = linear_discriminator(9.0, 9.0, 1.0, 2.0, 2.0)
    regularization = Regularization(r1=2.0, r1_every=2)
    prediction = discriminate(pairs())

    def loss(share):
        return regularization(discriminate, pairs(), prediction, prediction, share, share == 0.25)["D_r1"]

    has_gradient = [[loss(share).requires_grad for share in (0.75, 0.25)] for _ in range(3)]
    assert has_gradient == [[True, True], [False, False], [True, True]]
    assert regularization.steps == 3

    def logits(*values):
        return [[torch.tensor(values).view(-1, 1, 1, 1)]]

    whole, parts = Regularization(lecam=1.0), Regularization(lecam=1.0)
    for real, fake in (((1.0, 2.0, 6.0, 3.0), (0.0, -2.0, -4.0, 1.0)), ((5.0, 1.0, 2.0, 4.0), (3.0,) * 4)):
        whole(None, pairs(), logits(*real), logits(*fake))
        parts(None, pairs(), logits(*real[:3]), logits(*fake[:3]), 0.75, is_last=False)
        last = parts(None, pairs(), logits(real[3]), logits(fake[3]), 0.25)["D_lecam"]
        torch.testing.assert_close(parts.averages, whole.averages)
        fake_mean, real_mean = (float(whole.averages[name]) for name in ("fake", "real"))
        assert float(last) == pytest.approx((real[3] - fake_mean) ** 2 + (fake[3] - real_mean) ** 2)


def test_dcd_is_the_distance_of_the_features_of_converted_activations():
    adapters = DiscriminatorAdapters([2, 3], [4, 3], channels=5)
    student, teacher = [pairs(3, 2), pairs(3, 3, 8, 8)], [pairs(3, 4), pairs(3, 3, 8, 8)]
    mask = torch.tensor([True, False, True])
    loss = adapters(student, teacher, lambda maps: [maps, 2 * maps], mask)

    def convert(conv, activations):
        maps = torch.einsum("oi,nihw->nohw", conv.weight[:, :, 0, 0], activations)
        variance = maps.var((0, 2, 3), False, keepdim=True)
        return ((maps - maps.mean((0, 2, 3), keepdim=True)) / (variance + 1e-5).sqrt()).clamp_min(0)

    first = convert(adapters.student[0][0], student[0]) - convert(adapters.teacher[0][0], teacher[0])
    expected = 3 * first[mask].abs().mean() / 2  # features of weight 1 and 2; the second distance is 0
    torch.testing.assert_close(loss, expected)
    assert torch.equal(adapters.student[0][0].weight, adapters.teacher[0][0].weight[:, :2])
