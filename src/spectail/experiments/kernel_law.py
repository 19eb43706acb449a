"""The spectrum of the conjugate kernel and of the NTK of an untrained student, as n, d, h → ∞ at fixed ratios.

With Σ = α + ζ XᵀX/d the covariance of a hidden unit over the points, α + ζ = Var σ(z), ζ = (E zσ(z))², the conjugate
kernel is a sample covariance of h draws of it. The NTK adds to it ζ XᵀX/d and E σ'² − ζ on the diagonal. So the
resolvent of either is near that of A + gΣ − z, where A = s XᵀX/d + t, and g solves 1/g = 1 + tr Σ(A + gΣ − z)⁻¹/h: an
equation in one number, as Σ and A are functions of one matrix, whose law is that of Marchenko and Pastur.

Not here: kernels of a run (two_layer/kernels.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectail.errors import SettingError
from spectail.experiments.experiment import Experiment
from spectail.experiments.theory import gaussian_moments

Kernel = Literal["ck", "ntk"]

_POINTS = 3000  # at which the density is known
_SMALLEST = 1e-6  # of them, relative to the scale of the spectrum
_CLOSE = 1e-8  # to the real axis, in the same way
_COARSE = 40  # halvings on the way there


@dataclass(frozen=True)
class KernelLaw:
    """A law of eigenvalues by its distribution function.

    Attributes:
        points: ascending.
        cumulative: the share of eigenvalues up to each, among those that are not 0.
    """

    points: NDArray[np.float64]
    cumulative: NDArray[np.float64]

    def cdf(self, values: ArrayLike) -> NDArray[np.float64]:
        """The share of eigenvalues up to some values."""
        return np.asarray(np.interp(np.asarray(values, dtype=np.float64), self.points, self.cumulative, 0.0, 1.0))

    def density(self, values: ArrayLike) -> NDArray[np.float64]:
        """The density at some values."""
        slopes = np.gradient(self.cumulative, self.points)
        return np.asarray(np.interp(np.asarray(values, dtype=np.float64), self.points, slopes, 0.0, 0.0))

    def distance(self, eigenvalues: ArrayLike) -> float:
        """The Kolmogorov–Smirnov distance of eigenvalues that are not 0."""
        values = np.sort(np.asarray(eigenvalues, dtype=np.float64))
        cdf, count = self.cdf(values), len(values)
        return float(max(np.max(np.arange(1, count + 1) / count - cdf), np.max(cdf - np.arange(count) / count)))


def kernel_law(experiment: Experiment, kernel: Kernel = "ck", readout: float = 1.0) -> KernelLaw:
    """The law of the bulk of a kernel's eigenvalues at step 0, of those that are not 0.

    The mean of the features is one eigenvalue more, far out, where σ is not centred. At n = 960 the conjugate kernel
    lies within 0.005 of its law (KS). The NTK comes near more slowly: what the first layer adds is in proportion to
    |a|²/h, which is 1 ± √(2/h), and with that taken into account (`readout`) the distance falls as n^(−0.8).

    Args:
        experiment: with one hidden layer and isotropic inputs; for "ntk" in NTK parametrisation.
        kernel: "ck", of the features σ(Wx)/√h; or "ntk", of the gradients by both layers.
        readout: |a|²/h, for "ntk"; in the limit 1.

    Raises:
        SettingError: the experiment is another.

    Source: Pennington & Worah (2017); Fan & Wang (2020), 2005.11879, whose equations for one hidden layer these are.

    >>> law = kernel_law(Experiment(n=500, d=500, h=500, activation="identity"))
    >>> round(float(law.points[-1]), 1), round(float(law.cdf(1.0)), 2)  # a product of two Gaussian matrices
    (16.0, 0.69)
    """
    e = experiment
    isotropic = e.covariance_power == 0 and e.input_mean == 0
    if e.layers or e.bias != "none" or not isotropic or (kernel == "ntk" and e.initialization != "ntk"):
        raise SettingError(
            "a law is known of kernels with one hidden layer without biases, isotropic inputs of mean 0, and "
            "of the NTK in its scale"
        )
    moments = gaussian_moments(e.activation)
    zeta = moments.linear**2
    alpha = max(moments.square - moments.mean**2 - zeta, 0.0)
    s, t = (readout * zeta, readout * moments.slope_variance) if kernel == "ntk" else (0.0, 0.0)
    of_inputs, per_unit = e.n / e.d, e.n / e.h
    edge = (1 + of_inputs**0.5) ** 2
    scale = (alpha + zeta * edge) * (1 + per_unit**0.5) ** 2 + s * edge + t  # no eigenvalue of the bulk is larger
    grid = np.geomspace(_SMALLEST, 1, _POINTS) * scale
    m = _stieltjes(grid, scale, (alpha, zeta), (s, t), of_inputs, per_unit)
    rank = min(e.n, e.d) if alpha == 0 else e.n  # of Σ
    zeros = 0.0 if t > 0 else 1 - (rank if kernel == "ntk" else min(rank, e.h)) / e.n
    m += zeros / (grid + 1j * _CLOSE * scale)  # eigenvalues that are 0
    density = np.clip(m.imag / np.pi, 0, None)
    steps = np.diff(grid) * (density[1:] + density[:-1]) / 2
    below = max(1 - zeros - float(steps.sum()), 0.0)  # of a spectrum that reaches down to 0
    cumulative = below + np.concatenate([[0.0], np.cumsum(steps)])
    return KernelLaw(grid, cumulative / cumulative[-1])


def _stieltjes(
    x: NDArray[np.float64], scale: float, of_unit: tuple[float, float], added: tuple[float, float], of_inputs: float,
    per_unit: float,
) -> NDArray[np.complex128]:  # fmt: skip
    """∫ dμ(λ)/(λ − z) just above the real axis: iterated far from it, where that converges, and followed down to it."""
    (alpha, zeta), (s, t) = of_unit, added

    def iterated(g: NDArray[np.complex128], z: NDArray[np.complex128]) -> tuple[NDArray[np.complex128], ...]:
        p, q = s + g * zeta, t + g * alpha - z
        m = _of_inputs(-q / p, of_inputs) / p
        return m, 1 / (1 + per_unit * (zeta / p + (alpha - zeta * q / p) * m))

    g = np.ones(len(x), dtype=np.complex128)
    heights = scale * np.geomspace(3, _CLOSE, _COARSE)
    for height in heights:
        z = x + 1j * height
        for _ in range(60 if height == heights[0] else 8):
            if height == heights[0]:
                g = 0.5 * (g + iterated(g, z)[1])
                continue
            value, small = iterated(g, z)[1] - g, 1e-7 * (1 + np.abs(g))
            slope = (iterated(g + small, z)[1] - (g + small) - value) / small
            step = value / slope
            g = g - step * np.minimum(1, 0.5 * np.abs(g) / np.maximum(np.abs(step), 1e-300))
    return iterated(g, x + 1j * heights[-1])[0]


def _of_inputs(w: NDArray[np.complex128], ratio: float) -> NDArray[np.complex128]:
    """The Stieltjes transform of XᵀX/d (n × n) with n/d = ratio, above the real axis."""
    low, high = (1 - ratio**0.5) ** 2, (1 + ratio**0.5) ** 2
    root = np.sqrt(w - low) * np.sqrt(w - high)
    m: NDArray[np.complex128] = (1 - ratio - w + root) / (2 * ratio * w)
    return m
