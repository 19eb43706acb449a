"""WeightWatcher's columns as their formulas stand, in loops, from the weights."""

import math
from fractions import Fraction

import numpy as np

from references.naive import ks_exponent


def columns(slices):
    """Of slices × rows × cols, scaled as they are to be; α only for 20 eigenvalues and more."""
    values = sorted(float(s) ** 2 for w in slices for s in np.linalg.svd(w, compute_uv=False))
    longer, shorter = max(slices[0].shape), min(slices[0].shape)
    alpha, start, distance = ks_exponent(values)
    total, largest = math.fsum(values), values[-1]
    rank = sum(math.sqrt(v) > math.sqrt(largest) * longer * 2.0**-52 for v in values)
    shares = [v / total for v in values if v > 0]
    tail = len(values) - start
    return {
        "N": longer,
        "M": shorter,
        "Q": longer / shorter,
        "rf": len(slices),
        "num_evals": len(values),
        "sv_max": math.sqrt(largest),
        "sv_min": math.sqrt(values[0]),
        "rank_loss": len(values) - rank,
        "weak_rank_loss": sum(v < 1e-6 for v in values),
        "lambda_max": largest,
        "alpha": alpha,
        "xmin": values[start],
        "xmax": largest,
        "D": distance,
        "sigma": (alpha - 1) / math.sqrt(tail),
        "num_pl_spikes": tail,
        "norm": total,
        "log_norm": math.log10(total),
        "spectral_norm": largest,
        "log_spectral_norm": math.log10(largest),
        "alpha_weighted": alpha * math.log10(largest),
        "log_alpha_norm": math.log10(math.fsum(v**alpha for v in values)),
        "stable_rank": total / largest,
        "matrix_rank": rank,
        "entropy": -math.fsum(p * math.log(p) for p in shares) / math.log(rank),
        "detX_num": unit_product_tail(values),
    }


def unit_product_tail(values):
    """By exact products, which neither vanish nor overflow."""
    mean = sum(map(Fraction, values)) / len(values)
    product = Fraction(1)
    for count, value in enumerate(reversed(values), 1):
        product *= Fraction(value) / mean
        if product < 1:
            return count
    return len(values)
