"""Power-law exponents of a spectrum's tail, with what one needs to judge them.

Not here: whether it is a power law at all (`tail_tests`), and what an untrained matrix would have (`nulls`).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.notebooks import Answered
from spectail.spectra.eigen import eigenvalues
from spectail.spectra.precision import ZERO_SHARE, check_spectrum, float64, takes_arrays, takes_spectrum

ROUNDING = 1e-5
"""A mean excess of log λ that rounding makes of equal eigenvalues in float32; no other spectrum has so little."""

SHORT_TAIL = 50
"""A tail of fewer eigenvalues tells no exponent and no kind (Clauset et al. 2009)."""

KS_SPREAD = 0.53
"""Standard deviation of log(α − 1) of `ks_fit` over untrained matrices: 0.48 to 0.61 from 64 × 64 to 512 × 2048."""


@dataclass(frozen=True, repr=False)
class PowerLawFit(Answered):
    """A power law p(λ) ∝ λ^(−α), λ ≥ xmin, fitted to the tail of a spectrum.

    Attributes:
        alpha: the exponent; NaN where no fit can be made, and then `note` says why.
        xmin: where the tail starts, units of the eigenvalues.
        tail_size: how many eigenvalues lie in the tail, the one at xmin included.
        ks_distance: Kolmogorov–Smirnov distance between the tail and the fitted law.
        note: empty for a fit, else the reason why there is none.

    >>> ks_fit([0.0, 0.0, 2.0]).note
    'a fit needs two positive eigenvalues, got 1'
    >>> ks_fit([float(k) for k in range(1, 100)])
    <PowerLawFit: α = 9.08 from λ = 78 on, 22 eigenvalues, KS distance 0.183>
    """

    alpha: float
    xmin: float
    tail_size: int
    ks_distance: float
    note: str = ""

    def in_words(self) -> str:
        """The exponent, and of which part of the spectrum it is."""
        if math.isnan(self.alpha):
            return f"no exponent, {self.note}"
        distance = f", KS distance {self.ks_distance:.3g}" if self.ks_distance == self.ks_distance else ""
        return f"α = {self.alpha:.3g} from λ = {self.xmin:.3g} on, {self.tail_size} eigenvalues{distance}"

    @classmethod
    def impossible(cls, note: str) -> PowerLawFit:
        """The answer where no fit can be made: NaN, and the reason."""
        return cls(math.nan, math.nan, 0, math.nan, note)

    @property
    def stderr(self) -> float:
        """Deprecated: (α − 1)/√tail_size, which holds for independent values, and eigenvalues are none."""
        warnings.warn(
            "PowerLawFit.stderr is of independent values; for eigenvalues of an untrained matrix see "
            "spectra.standard_error, and tail_kind for others",
            DeprecationWarning,
            stacklevel=2,
        )
        return (self.alpha - 1) / math.sqrt(self.tail_size) if self.tail_size else math.nan


@takes_arrays
def hill(spectrum: Float[Tensor, " k"] | Float[Tensor, "h d"]) -> float:
    """Power-law exponent of the upper half of a spectrum (Hill, 1975).

    With λ sorted ascending and i = ⌊k/2⌋, α = 1 + (k − i) / Σ_{j≥i} log(λ_j / λ_i).
    Scale-free: c·λ has the same α.

    Args:
        spectrum: a matrix W; or the eigenvalues of WᵀW, any order.

    Returns:
        α > 1; NaN where the upper half holds a zero, or only values that are equal but for rounding, as those of an
        orthogonal matrix are; or where an eigenvalue is NaN or inf.

    Raises:
        SpectailError: an eigenvalue is negative beyond rounding, there is none, or W has no spectrum
            (see `eigenvalues`).

    Source: Zhou et al. (2023); paper §3.2.

    >>> round(hill([1.0, 2.0, 4.0, 8.0]), 4)
    3.8854
    """
    if spectrum.ndim == 2:
        spectrum = eigenvalues(spectrum)
    check_spectrum(spectrum)
    return float(_hill(_sorted_float64(spectrum)))


@takes_arrays
def pl_alpha_hill(eigenvalues: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Deprecated: `hill` of each of many spectra, which lie along the last dimension."""
    warnings.warn("pl_alpha_hill is now called hill, and gives a float", DeprecationWarning, stacklevel=3)
    return _hill(_sorted_float64(eigenvalues))


def _hill(ordered: Tensor, rounding: float = ROUNDING) -> Tensor:
    """The exponent of `hill`, of spectra that are sorted along the last dimension."""
    upper = ordered[..., ordered.shape[-1] // 2 :]
    excess = (upper.log() - upper[..., :1].log()).sum(-1)
    alpha = 1.0 + upper.shape[-1] / excess
    sound = excess.isfinite() & (excess > rounding * upper.shape[-1])
    return torch.where(sound, alpha, torch.full_like(alpha, math.nan))


@takes_spectrum
def hill_fit(eigenvalues: Float[Tensor, " k"], *, rounding: float = ROUNDING) -> PowerLawFit:
    """The Hill estimate of `hill`, with its threshold, tail size and KS distance.

    Args:
        eigenvalues: of WᵀW, any order.
        rounding: a mean excess of log λ over the tail's start that rounding alone can make, of which there is no
            exponent. By default that of float32; weights stored in 16 bits leave more.

    Returns:
        the fit; with α = NaN and a note where the upper half holds a zero, or only values that are equal but for
        rounding; or where an eigenvalue is NaN or inf.

    Raises:
        SpectailError: an eigenvalue is negative beyond rounding, there is none, or they are not in one dimension.

    >>> fit = hill_fit([1.0, 2.0, 4.0, 8.0])
    >>> fit.xmin, fit.tail_size
    (4.0, 2)
    """
    ordered = _sorted_float64(eigenvalues).cpu()
    if note := _why_no_fit(ordered):
        return PowerLawFit.impossible(note)
    upper = ordered[len(ordered) // 2 :]
    if upper[0] <= 0:
        return PowerLawFit.impossible("at least half of the eigenvalues are zero")
    alpha = float(_hill(ordered, rounding))
    if math.isnan(alpha):
        but = "" if upper[-1] == upper[0] else " but for rounding"
        return PowerLawFit.impossible(f"the upper half of the eigenvalues are all equal{but}")
    distance = float(_ks_distance(upper.log(), torch.tensor([0]), torch.tensor([alpha]))[0])
    return PowerLawFit(alpha, float(upper[0]), len(upper), distance)


@takes_spectrum
def ks_fit(eigenvalues: Float[Tensor, " k"], min_tail: int = 2, *, rounding: float = ROUNDING) -> PowerLawFit:
    """The power law whose tail is closest to the data (Clauset, Shalizi & Newman, 2009).

    Every eigenvalue but the largest is tried as xmin, with the maximum-likelihood exponent of the
    tail that starts there, α_i = 1 + k_i / Σ_{j≥i} log(λ_j/λ_i); the one with the smallest distance
    D_i = max_{0≤j<k_i} |1 − (λ_{i+j}/λ_i)^{1−α_i} − j/k_i| is returned, the first on ties.

    The search is exact, but not exhaustive: D_i on a few points of a tail bounds D_i from below, and
    only tails whose bound does not exceed the best distance found are looked at whole. Memory is a
    few megabytes for any k; no k × k array is formed.

    Args:
        eigenvalues: of WᵀW, any order; zeros are never in a tail.
        min_tail: the fewest eigenvalues that a tail may have. 2 is the paper's estimator; a lone
            spike or a bare Marchenko–Pastur bulk then yields a large α from a handful of points,
            which `tail_size` shows.
        rounding: as for `hill_fit`; no tail has less.

    Returns:
        the fit; with α = NaN and a note where no tail has `min_tail` positive values that are not all equal; or
        where an eigenvalue is NaN or inf.

    Raises:
        SpectailError: an eigenvalue is negative beyond rounding, there is none, or they are not in one dimension.

    Source: Martin et al. (2021); paper §3.2 and App. A (PL_Alpha_KS).

    >>> fit = ks_fit(torch.linspace(0.01, 1.0, 100) ** -0.5)  # the quantiles of α = 3, evenly
    >>> abs(fit.alpha - 3.0) < 0.1
    True
    """
    ordered = _sorted_float64(eigenvalues).cpu()
    if note := _why_no_fit(ordered):
        return PowerLawFit.impossible(note)
    logs = ordered[ordered > ordered[-1] * ZERO_SHARE].log()
    size = len(logs)
    counts = torch.arange(size, 0, -1, dtype=torch.float64)
    centred = logs - logs[-1]  # keeps the running sums small, and so exact to rounding
    excess = centred.flip(0).cumsum(0).flip(0) - counts * centred
    usable = (counts >= max(min_tail, 2)) & (excess > (rounding) * counts)
    starts = torch.nonzero(usable)[:, 0]
    if len(starts) == 0:
        return PowerLawFit.impossible(f"no tail has {max(min_tail, 2)} eigenvalues that are not all equal")
    alphas = 1.0 + counts[starts] / excess[starts]

    bounds = _ks_distance(logs, starts, alphas, points=48)
    order = bounds.argsort(stable=True)
    best, best_at = math.inf, -1
    for block in torch.split(order, 16):
        if bounds[block[0]] > best:
            break
        distances = _ks_distance(logs, starts[block], alphas[block])
        for distance, at in zip(distances.tolist(), block.tolist(), strict=True):
            if distance < best or (distance == best and at < best_at):
                best, best_at = distance, at
    start, alpha = int(starts[best_at]), float(alphas[best_at])
    tail = size - start
    return PowerLawFit(alpha, math.exp(float(logs[start])), tail, best)


def _ks_distance(logs: Tensor, starts: Tensor, alphas: Tensor, points: int | None = None) -> Tensor:
    """D_i of the tails that begin at `starts`; on `points` places of each tail, a lower bound of it."""
    counts = len(logs) - starts
    if points is None:
        steps = torch.arange(int(counts.max()))[None, :].expand(len(starts), -1)
    else:
        shares = torch.linspace(0.0, 1.0, points, dtype=torch.float64)
        steps = ((counts - 1)[:, None] * shares).floor().long()
    inside = torch.minimum(steps, counts[:, None] - 1)
    distance = logs[starts[:, None] + inside]
    distance -= logs[starts][:, None]
    distance *= (1.0 - alphas)[:, None]
    distance.exp_().neg_().add_(1.0)
    distance -= inside / counts[:, None].double()
    return distance.abs_().amax(1)


def _sorted_float64(spectrum: Tensor) -> Tensor:
    values = float64(spectrum)
    ordered = values.sort(-1).values
    lowest, largest = ordered[..., 0], ordered.abs().amax(-1)
    if bool((lowest < -1e-10 * largest).any()):
        raise SpectailError(f"eigenvalues of WᵀW are not negative, got {float(lowest.min()):g}")
    return ordered.clamp_min(0.0)


def _why_no_fit(ordered: Tensor) -> str:
    if not bool(ordered.isfinite().all()):
        return "an eigenvalue is NaN or inf"
    positive = int((ordered > ordered[-1] * ZERO_SHARE).sum())
    if positive < 2:
        return f"a fit needs two positive eigenvalues, got {positive}"
    return ""


def standard_error(alpha: float, spread: float) -> float:
    """The standard error of an exponent: (α − 1)·√(exp(spread²) − 1), as α − 1 is close to lognormal.

    Args:
        alpha: the exponent.
        spread: standard deviation of log(α − 1). Over untrained matrices it is `nulls.ExponentNull.spread` for `hill`
            and `KS_SPREAD` for `ks_fit`; for a spectrum with a tail it is another, see `tail_tests`.

    >>> round(standard_error(3.0, KS_SPREAD), 2)
    1.14
    """
    return (alpha - 1.0) * math.sqrt(math.expm1(spread**2))
