"""L1, PSNR and SSIM of images agree with their formulas."""
import json

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from compression.metrics import ImageMetrics


def photos(*shape, seed):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def as_saved(image):
    """The image as an 8-bit file holds it, in [0, 1]."""
    return np.rint((image.numpy() + 1) * 127.5).astype(np.uint8) / 255


def expected_ssim(x, y):
    def blur(a):
        return gaussian_filter(a, (0, 1.5, 1.5), radius=(0, 5, 5))[:, 5:-5, 5:-5]
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx ** 2, blur(y * y) - my ** 2, blur(x * y) - mx * my
    return ((2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx ** 2 + my ** 2 + 1e-4) * (vx + vy + 9e-4))).mean()


def test_metrics_are_means_over_images_of_all_batches_and_sizes():
    metrics, pairs = ImageMetrics(), []
    for seed, shape in enumerate([(2, 3, 16, 20), (1, 3, 24, 16)]):
        target = photos(*shape, seed=seed)
        image = (target + 0.2 * photos(*shape, seed=seed + 10)).clamp(-1, 1)
        metrics.update(image, target)
        pairs += [(as_saved(a), as_saved(b)) for a, b in zip(image, target, strict=True)]
    values = metrics.compute()
    assert values["L1"] == pytest.approx(np.mean([np.abs(a - b).mean() for a, b in pairs]), rel=1e-5)
    psnr = [10 * np.log10(1 / ((a - b) ** 2).mean()) for a, b in pairs]
    assert values["PSNR"] == pytest.approx(np.mean(psnr), rel=1e-5)
    assert values["SSIM"] == pytest.approx(np.mean([expected_ssim(a, b) for a, b in pairs]), abs=2e-5)


def test_metrics_of_black_and_white_images_by_hand():
    metrics = ImageMetrics()
    metrics.update(torch.full((1, 3, 16, 16), -1.0), torch.full((1, 3, 16, 16), 1.0))
    values = metrics.compute()
    assert values["L1"] == 1
    assert values["PSNR"] == pytest.approx(0, abs=1e-9)
    assert values["SSIM"] == pytest.approx(1e-4 / (1 + 1e-4), abs=1e-5)


def test_equal_images_have_a_finite_psnr():
    metrics, image = ImageMetrics(), photos(1, 1, 16, 16, seed=0)
    metrics.update(image, image)
    values = metrics.compute()
    assert values == {"L1": 0.0, "PSNR": pytest.approx(100), "SSIM": pytest.approx(1)}
    json.dumps(values, allow_nan=False)


def test_unfit_images_are_refused():
    with pytest.raises(ValueError, match="no image"):
        ImageMetrics().compute()
    with pytest.raises(ValueError, match=r"differ in shape: \(1, 3, 16, 16\) and \(1, 1, 16, 16\)"):
        ImageMetrics().update(torch.zeros(1, 3, 16, 16), torch.zeros(1, 1, 16, 16))
