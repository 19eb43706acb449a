"""Slow, obvious implementations that the package's own are compared with."""

import numpy as np


def ks_exponent(eigenvalues):
    """Every tail, every point, as the formula stands: (alpha, start, distance)."""
    ordered = np.sort(np.asarray(eigenvalues, dtype=float))
    best = (np.nan, -1, np.inf)
    for i in range(len(ordered) - 1):
        tail = ordered[i:]
        k = len(tail)
        excess = np.sum(np.log(tail / tail[0]))
        if excess <= 0:
            continue
        alpha = 1 + k / excess
        distance = max(abs(1 - (tail[j] / tail[0]) ** (1 - alpha) - j / k) for j in range(k))
        if distance < best[2]:
            best = (alpha, i, distance)
    return best


def kernel_target_alignment(features, y):
    """Through the n × n kernel: <K, y yᵀ> / (‖K‖_F ‖y yᵀ‖_F)."""
    kernel = features.T @ features
    target = np.outer(y, y)
    return np.sum(kernel * target) / (np.linalg.norm(kernel) * np.linalg.norm(target))


def forward(weights, a, x, sigma, initialization):
    scale = 1 / np.sqrt(x.shape[1]) if initialization == "ntk" else 1.0
    return a @ sigma(scale * weights @ x.T) / np.sqrt(len(a))
