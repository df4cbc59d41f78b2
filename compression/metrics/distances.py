"""Distances between two sets of feature vectors: Fréchet distance (FID) and kernel distance (KID)."""
from __future__ import annotations

import warnings

import numpy as np

KID_SUBSET = 1000  # maximum number of images per side in one estimate, as in the paper
KID_SUBSETS = 100


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Compute the squared Fréchet distance between Gaussians fitted to two sets of features.

    With means mu and covariances C (Heusel et al., NeurIPS 2017):

        |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))

    The trace of the root is the sum of the roots of the eigenvalues of the symmetric C_a^(1/2) C_b C_a^(1/2).
    They are real and non-negative, also with fewer vectors than dimensions; the distance is then biased
    upwards.

    Args:
        a, b: features (N, D) with N at least 2.

    Raises:
        ValueError: for fewer vectors, other shapes, or non-finite values.
    """
    from scipy import linalg  # only evaluation needs scipy

    a, b = _validated_features(a, b)
    num_images = min(len(a), len(b))
    if num_images <= a.shape[1]:
        warnings.warn(f"{num_images} images for {a.shape[1]} features: the Fréchet distance is biased "
                      "upwards; compare it only with values on the same number of images", stacklevel=2)
    mean_a, cov_a = _fit_gaussian(a)
    mean_b, cov_b = _fit_gaussian(b)
    values, vectors = linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    distance = np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
    return float(max(0.0, distance))


def kernel_distance(a: np.ndarray, b: np.ndarray, seed: int = 0) -> float:
    """Compute the unbiased squared maximum mean discrepancy (Binkowski et al., ICLR 2018).

    The kernel is k(x, y) = (x.y / D + 1)^3. Up to 1000 vectors per side are one exact estimate, which can be
    slightly negative. With more vectors, the distance is the mean over 100 random subsets of 1000.

    Args:
        a, b: features (N, D) with N at least 2.
        seed: seed of the subsets.

    Raises:
        ValueError: for fewer vectors, other shapes, or non-finite values.
    """
    a, b = _validated_features(a, b)
    if max(len(a), len(b)) <= KID_SUBSET:
        return _squared_mmd(a, b)
    size = min(len(a), len(b), KID_SUBSET)
    rng = np.random.default_rng(seed)
    estimates = []
    for _ in range(KID_SUBSETS):
        subset_a = a[rng.choice(len(a), size, replace=False)]
        subset_b = b[rng.choice(len(b), size, replace=False)]
        estimates.append(_squared_mmd(subset_a, subset_b))
    return float(np.mean(estimates))


def _squared_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """Compute mean_(i != j) k(a_i, a_j) + mean_(i != j) k(b_i, b_j) - 2 mean_(i, j) k(a_i, b_j)."""
    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        k = x @ y.T / x.shape[1] + 1
        return k * k * k  # many times faster than numpy's power

    def off_diagonal_mean(k: np.ndarray) -> float:
        return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    return float(off_diagonal_mean(kernel(a, a)) + off_diagonal_mean(kernel(b, b)) - 2 * kernel(a, b).mean())


def _fit_gaussian(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))


def _validated_features(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert two sets of features to float64 and check them."""
    a = np.asarray(a, dtype=np.float64)
    b = np.asarray(b, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"expected features (N, D) with equal D, got {a.shape} and {b.shape}")
    if min(len(a), len(b)) < 2:
        raise ValueError(f"too few images for a distance between distributions: {len(a)} and {len(b)}, "
                         "expected at least 2 each")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("the features hold NaN or infinite values")
    return a, b
