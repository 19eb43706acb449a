"""Eigenvalues that left the bulk: how they are set aside and counted, and where theory puts a spike.

Not here: the law of the bulk, and its scales (`bulk`); the edge of an untrained matrix of the shape, which a phase is
judged by (`nulls`, `phases`).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from scipy.special import chdtri
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.bulk import MarchenkoPastur, fit_marchenko_pastur
from spectail.spectra.precision import takes_spectrum

# The largest eigenvalue of an untrained matrix passes this in about 2 of 1,000 draws (P(TW₁ > 3)).
VISIBLE_TRACY_WIDOM_SCALES = 3.0

FALSE_SPIKES = 0.002
"""Share of untrained matrices of the shape whose largest eigenvalue passes the edge that phases are judged by."""

_ROUNDS = 100  # of fitting the bulk; five are enough where there are spikes at all


def visible_edge(law: MarchenkoPastur) -> float:
    """The value that an eigenvalue has to pass to count as outside the bulk.

    The edge λ₊ plus three Tracy–Widom scales, since the largest eigenvalue of an untrained matrix fluctuates about λ₊
    by one. This edge needs no more than a law: it serves two-layer runs, rows without nulls, a bulk that is fitted
    (`fit_bulk`), and what is set aside before norms are judged (`inhomogeneity`). With nulls of the shape the edge is
    `PhaseEvidence.visible_edge`.

    Args:
        law: the bulk, as `fit_marchenko_pastur` finds it.

    >>> law = MarchenkoPastur(1500, 1000)
    >>> round(law.edges[1]), round(visible_edge(law))
    (4949, 5031)
    """
    return law.edges[1] + VISIBLE_TRACY_WIDOM_SCALES * law.edge_fluctuation


@takes_spectrum
def fit_bulk(
    spectrum: Float[Tensor, " b"],
    rows: int,
    cols: int,
    *,
    slices: int = 1,
    edge: float = VISIBLE_TRACY_WIDOM_SCALES,
) -> tuple[MarchenkoPastur, int]:
    """The law of the eigenvalues below the spikes, and how many spikes there are.

    Eigenvalues past the edge are set aside and the law is fitted to the rest, as that of a matrix with as many rows
    and columns less, until their number stays. Fitted to the whole, its variance would come out too large, by a third
    of the share of the spikes and more.

    Args:
        spectrum: eigenvalues, any order.
        rows: of the matrix.
        cols: of the matrix.
        slices: how many matrices of one scale are pooled.
        edge: Tracy–Widom scales past λ₊ from which an eigenvalue is a spike.

    Returns:
        the law, whose rows and cols are those left, and the number of spikes, at most half of the eigenvalues.

    Raises:
        SpectailError: there is no eigenvalue, or they are not in one dimension.

    >>> spectrum = MarchenkoPastur(290, 190).quantile(torch.linspace(0.001, 0.999, 190)).tolist()
    >>> law, n_spikes = fit_bulk([*spectrum, *[5000.0] * 10], 300, 200)
    >>> n_spikes, law.rows, round(law.variance, 2)
    (10, 290.0, 1.0)
    """
    ordered = spectrum.detach().to("cpu", torch.float64).sort().values
    n_spikes = 0
    for _ in range(_ROUNDS):
        fewer = n_spikes / slices
        law = fit_marchenko_pastur(ordered[: len(ordered) - n_spikes], max(rows - fewer, 1), max(cols - fewer, 1))
        past = int((ordered > law.edges[1] + edge * law.edge_fluctuation).sum())
        if past <= n_spikes:  # what was set aside once is not taken back, so that this ends
            break
        n_spikes = min(past, len(ordered) // 2)
    return law, n_spikes


@takes_spectrum
def sphericity(
    spectrum: Float[Tensor, " b"], rows: float, cols: float, *, slices: int = 1, balanced: bool = False
) -> float:
    """John's statistic: how much broader a spectrum is than that of independent entries of one variance.

    b·p·(mean λ²/(mean λ)² − 1)/2 with b the shorter and p the longer side follows χ² with b(b + 1)/2 − 1 degrees of
    freedom; several slices add up. Where norms of rows and columns were made equal, there are 2b − 1 degrees fewer.

    Args:
        spectrum: eigenvalues, any order; of slices each scaled to one mean.
        rows: of the matrix.
        cols: of the matrix.
        slices: how many are pooled.
        balanced: whether rows and columns were scaled to one norm.

    Returns:
        in standard deviations of that law, from its mean; positive where the spectrum is broader.

    Raises:
        SpectailError: there is no eigenvalue, or they are not in one dimension.

    Source: John (1971), the most powerful invariant test against entries that are nearly independent; Ledoit & Wolf
    (2002), where both sides are long.

    >>> spectrum = MarchenkoPastur(300, 200).quantile(torch.linspace(0.0005, 0.9995, 1000))
    >>> abs(sphericity(spectrum, 300, 200)) < 1
    True
    """
    b, p = min(rows, cols), max(rows, cols)
    values = spectrum.detach() / spectrum.detach().mean()
    degrees = _degrees_of_freedom(b, slices, balanced)
    statistic = 0.5 * slices * b * p * (float(values.square().mean()) - 1.0)
    return (statistic - degrees) / math.sqrt(2.0 * degrees)


def broader_than(share: float, rows: float, cols: float, *, slices: int = 1, balanced: bool = False) -> float:
    """The `sphericity` that a share of untrained matrices passes.

    Args:
        share: between 0 and 1.
        rows: of the matrix.
        cols: of the matrix.
        slices: how many are pooled.
        balanced: whether rows and columns were scaled to one norm.

    >>> round(broader_than(0.001, 300, 200), 2)
    3.12
    """
    degrees = _degrees_of_freedom(min(rows, cols), slices, balanced)
    return (float(chdtri(degrees, share)) - degrees) / math.sqrt(2.0 * degrees)


def _degrees_of_freedom(b: float, slices: int, balanced: bool) -> float:
    return max(slices * max(b * (b + 1.0) / 2.0 - 1.0, 1.0) - balanced * (2.0 * b - 1.0), 1.0)


@takes_spectrum
def count_spikes(spectrum: Float[Tensor, " b"], law: MarchenkoPastur) -> int:
    """How many eigenvalues lie past the `visible_edge` of the bulk.

    Args:
        spectrum: eigenvalues, any order.
        law: the bulk, as `fit_marchenko_pastur` finds it.

    Raises:
        SpectailError: there is no eigenvalue, or they are not in one dimension.

    >>> count_spikes([900.0, 6000.0, 5000.0], MarchenkoPastur(1500, 1000))
    1
    """
    return int((spectrum > visible_edge(law)).sum())


@takes_spectrum
def spike_values(spectrum: Float[Tensor, " b"], law: MarchenkoPastur) -> Float[Tensor, " s"]:
    """The eigenvalues past the `visible_edge` of the bulk: the `count_spikes` largest, ascending.

    Args:
        spectrum: eigenvalues, any order.
        law: the bulk, as `fit_marchenko_pastur` finds it.

    Raises:
        SpectailError: there is no eigenvalue, or they are not in one dimension.

    >>> spike_values([900.0, 6000.0, 5000.0, 5500.0], MarchenkoPastur(1500, 1000)).tolist()
    [5500.0, 6000.0]
    """
    return spectrum[spectrum > visible_edge(law)].sort().values


@takes_spectrum
def spectral_gap(spectrum: Float[Tensor, " b"], law: MarchenkoPastur) -> float:
    """λ₁ / λ₊, the largest eigenvalue in units of the bulk's edge: about 1 without a spike.

    Args:
        spectrum: eigenvalues, any order.
        law: the bulk, as `fit_marchenko_pastur` finds it.

    Returns:
        NaN where the bulk has no width (more than half of the eigenvalues are zero).

    Raises:
        SpectailError: there is no eigenvalue, or they are not in one dimension.

    Source: the spectral gap of paper §5.1.

    >>> spectral_gap([1.0, 8.0], MarchenkoPastur(1, 1))
    2.0
    """
    edge = law.edges[1]
    return float(spectrum.detach().max()) / edge if edge > 0 else math.nan


def critical_strength(h: float, d: float) -> float:
    """θ_c = (hd)^{1/4}: the rank-one perturbation that just makes a spike.

    Of a matrix h × d with independent entries of variance one.

    Args:
        h: rows.
        d: columns.

    Raises:
        SpectailError: one is negative.

    Source: Benaych-Georges & Nadakuditi (2012).

    >>> critical_strength(100, 100)
    10.0
    """
    _check_sizes(h, d)
    return math.sqrt(math.sqrt(h * d))


def spike_eigenvalue(theta: float, h: float, d: float) -> float:
    """λ₁ = (θ² + h)(θ² + d)/θ² of W + θ p vᵀ, or the bulk's edge where θ is below critical.

    Args:
        theta: singular value of the perturbation, units of the entries of W.
        h: rows of W, whose entries have variance one.
        d: its columns.

    Returns:
        NaN for a NaN.

    Raises:
        SpectailError: one is negative.

    Source: Benaych-Georges & Nadakuditi (2012).

    >>> spike_eigenvalue(20.0, 100, 100), spike_eigenvalue(0.0, 100, 100)
    (625.0, 400.0)
    """
    _check_sizes(h, d, theta)
    if theta <= critical_strength(h, d):
        return (math.sqrt(h) + math.sqrt(d)) ** 2
    return (theta + h / theta) * (theta + d / theta)


def spike_overlap_left(theta: float, h: float, d: float) -> float:
    """|û₁·p|² = (θ⁴ − hd)/(θ²(θ² + h)) of the spike that W + θ p vᵀ has; 0 where θ is not above critical.

    Args:
        theta: singular value of the perturbation, units of the entries of W.
        h: rows of W, whose entries have variance one.
        d: its columns.

    Returns:
        between 0 and 1, its limit for an infinite θ; NaN for a NaN.

    Raises:
        SpectailError: one is negative.

    Source: as `spike_eigenvalue`.

    >>> round(spike_overlap_left(20.0, 100, 100), 9), spike_overlap_left(0.0, 100, 100)
    (0.75, 0.0)
    """
    _check_sizes(h, d, theta)
    critical = critical_strength(h, d)
    if theta <= critical:
        return 0.0
    return (1 - (critical / theta) ** 4) / (1 + h / theta / theta)  # nothing in it overflows


def spike_overlap_right(theta: float, h: float, d: float) -> float:
    """|v̂₁·v|² = (θ⁴ − hd)/(θ²(θ² + d)), as `spike_overlap_left` has it for the other side.

    Args:
        theta: singular value of the perturbation, units of the entries of W.
        h: rows of W, whose entries have variance one.
        d: its columns.

    Returns:
        as `spike_overlap_left`.

    Raises:
        SpectailError: one is negative.

    Source: as `spike_eigenvalue`.

    >>> round(spike_overlap_right(20.0, 100, 100), 9), spike_overlap_right(0.0, 100, 100)
    (0.75, 0.0)
    """
    return spike_overlap_left(theta, d, h)


def _check_sizes(*sizes: float) -> None:
    """Of a matrix and of what is added to it."""
    if any(size < 0 for size in sizes):
        raise SpectailError(f"a strength and the sides of a matrix are not negative, got {', '.join(map(str, sizes))}")
