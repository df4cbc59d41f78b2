"""Fréchet and kernel distances agree with torchmetrics, SciPy's matrix square root and plain loops."""
import numpy as np
import pytest
import torch
from scipy import linalg

from compression.metrics import frechet_distance, kernel_distance
from compression.runtime.torchvision_compat import import_torchvision

import_torchvision()  # torchmetrics imports it
from torchmetrics.image.fid import FrechetInceptionDistance  # noqa: E402
from torchmetrics.image.kid import poly_mmd  # noqa: E402


class Pass(torch.nn.Module):
    """The identity: its inputs are features."""

    num_features = 12

    def forward(self, x):
        return x


def sets(n=60, m=50, d=12, seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d))
    return rng.normal(size=(n, d)) @ mix, rng.normal(size=(m, d)) @ mix.T + 0.3


def test_frechet_distance_equals_torchmetrics():
    a, b = sets()
    reference = FrechetInceptionDistance(feature=Pass(), input_img_size=(12,))
    reference.update(torch.tensor(a), real=True)
    reference.update(torch.tensor(b), real=False)
    assert frechet_distance(a, b) == pytest.approx(reference.compute().item(), rel=1e-6)


def test_frechet_distance_by_the_formula():
    a, b = sets(seed=1)
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * linalg.sqrtm(ca @ cb).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_of_shifted_features_is_the_shift():
    a, _ = sets()
    shift = np.arange(12.0)
    assert frechet_distance(a, a + shift) == pytest.approx((shift ** 2).sum(), rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)


@pytest.mark.filterwarnings("ignore:5 images")
def test_fewer_images_than_dimensions_give_a_finite_symmetric_distance():
    a, b = sets(5, 7, 64)
    with pytest.warns(UserWarning, match="5 images for 64 features.* biased"):
        distance = frechet_distance(a, b)
    assert np.isfinite(distance)
    assert distance > 0
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6)


def test_kernel_distance_by_loops_and_torchmetrics():
    a, b = sets(9, 7, 4)

    def k(x, y):
        return (x @ y / 4 + 1) ** 3

    expected = (np.mean([k(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j])
                + np.mean([k(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j])
                - 2 * np.mean([k(x, y) for x in a for y in b]))
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-9)
    a, b = sets(40, 40)
    assert kernel_distance(a, b) == pytest.approx(poly_mmd(torch.tensor(a), torch.tensor(b)).item(), rel=1e-6)


def test_kernel_distance_of_many_images_is_a_mean_over_seeded_subsets():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(1300, 3)), rng.normal(size=(1200, 3)) + 0.5
    assert kernel_distance(a, b, seed=1) == kernel_distance(a, b, seed=1) != kernel_distance(a, b, seed=2)
    expected = poly_mmd(torch.tensor(a[:1200]), torch.tensor(b)).item()
    assert kernel_distance(a, b) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_features_that_cannot_be_compared_are_refused(distance):
    a, _ = sets()
    with pytest.raises(ValueError, match="too few images.* 1 and 60"):
        distance(a[:1], a)
    with pytest.raises(ValueError, match=r"equal D, got \(60, 12\) and \(60, 11\)"):
        distance(a, a[:, :11])
    with pytest.raises(ValueError, match="NaN"):
        distance(a, a * np.nan)
