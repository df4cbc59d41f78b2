"""Distances between two sets of feature vectors: Fréchet (FID's) and kernel (KID's)."""
from __future__ import annotations

import warnings

import numpy as np

KID_SUBSET = 1000  # most images of a side in one estimate, as in the paper
KID_SUBSETS = 100


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two sets of features (Heusel et al., NeurIPS 2017).

    ``|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))``. The root's trace is taken from the eigenvalues of the
    symmetric ``C_a^(1/2) C_b C_a^(1/2)``, which are real and not negative also where there are fewer vectors than
    dimensions; the estimate is then biased upwards.

    Args:
        a, b: (N, D) features, N at least 2 on each side.

    Raises:
        ValueError: for fewer vectors, other shapes, or values that are not finite.
    """
    from scipy import linalg  # for evaluation alone

    a, b = _features(a, b)
    if min(len(a), len(b)) <= a.shape[1]:
        warnings.warn(f"{min(len(a), len(b))} images for {a.shape[1]} features: the Fréchet distance is biased upwards; compare "
                      "it only with figures on as many images", stacklevel=2)
    (mean_a, cov_a), (mean_b, cov_b) = _gaussian(a), _gaussian(b)
    values, vectors = linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    return float(max(0.0, np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross))


def kernel_distance(a: np.ndarray, b: np.ndarray, seed: int = 0) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel ``(x.y / D + 1)^3`` (Binkowski et al., ICLR 2018).

    Up to 1000 vectors on each side are one exact estimate, which may be slightly negative; of more it is the mean over
    100 random subsets of 1000.

    Args:
        a, b: (N, D) features, N at least 2 on each side.
        seed: of the subsets.

    Raises:
        ValueError: as :func:`frechet_distance`.
    """
    a, b = _features(a, b)
    size = min(len(a), len(b), KID_SUBSET)
    if max(len(a), len(b)) <= KID_SUBSET:
        return _mmd(a, b)
    rng = np.random.default_rng(seed)
    return float(np.mean([_mmd(a[rng.choice(len(a), size, replace=False)], b[rng.choice(len(b), size, replace=False)])
                          for _ in range(KID_SUBSETS)]))


def _mmd(a, b):
    def kernel(x, y):
        k = x @ y.T / x.shape[1] + 1
        return k * k * k  # many times faster than numpy's power

    def off_diagonal_mean(k):
        return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    return float(off_diagonal_mean(kernel(a, a)) + off_diagonal_mean(kernel(b, b)) - 2 * kernel(a, b).mean())


def _gaussian(x):
    return x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))


def _features(a, b):
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"wanted features (N, D) of one D, got {a.shape} and {b.shape}")
    if min(len(a), len(b)) < 2:
        raise ValueError(f"too few images for a distance of distributions: {len(a)} and {len(b)}, wanted at least 2 each")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("the features hold NaN or infinite values")
    return a, b
