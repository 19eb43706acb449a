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


def windowed_eigenvalues(weights, aspect, side):
    """Of windows half as far apart as they are long, at most ten along each side, the last one at the end."""
    tall = weights if weights.shape[0] >= weights.shape[1] else weights.T
    shorter = side or min(tall.shape[1], int(tall.shape[0] / aspect))
    sizes = (round(aspect * shorter), shorter)
    places = []
    for length, size in zip(tall.shape, sizes, strict=True):
        count = 1
        while count < 10 and size + (count - 1) * size / 2 < length:
            count += 1
        count = min(count, length - size + 1)
        places.append([0] if count == 1 else [round(i * (length - size) / (count - 1)) for i in range(count)])
    windows = [tall[i : i + sizes[0], j : j + sizes[1]] for i in places[0] for j in places[1]]
    return np.sort(np.concatenate([np.linalg.svd(one, compute_uv=False) ** 2 for one in windows]))
