"""What the tail of a spectrum is: none, a power law, a truncated one, lognormal, exponential.

Not here: the exponents, which are in `tails`, and how each law is fitted, in `population_fits`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from spectail.errors import SpectailError
from spectail.notebooks import Answered
from spectail.spectra.population_fits import Fit, fits_of_families
from spectail.spectra.precision import ZERO_SHARE, takes_spectrum
from spectail.spectra.tail_laws import NONE
from spectail.spectra.tails import SHORT_TAIL, hill, ks_fit

_Array = NDArray[np.float64]

UNDECIDED = "undecided"
"""The kind of a tail that cannot be told, and then there is a note."""

DRAWS = 40
"""Matrices that are drawn with the fitted law; where none lies as far from it as the spectrum, more, until one does."""

# At most so many times as many are drawn; if none of them lies as far, the law is ruled out. By 40 draws alone one in
# 41 of the laws that hold would be.
_MOST_DRAWS = 3

_SMALL, _LARGE = 256, 1024  # eigenvalues of a drawn matrix: half of the spectrum's, but no fewer or more than these


@dataclass(frozen=True, repr=False)
class TailKind(Answered):
    """What the tail of a spectrum is, and the evidence.

    Attributes:
        kind: "none", "power law", "truncated power law", "lognormal", "exponential"; "undecided" where too few
            eigenvalues tell.
        law: the law of the population that is closest, in words.
        alpha: the exponent of its density, τ^(−α); NaN where the kind is no power law.
        tail_size: eigenvalues of the population that follow it.
        p_value: share of matrices drawn with the law that lie as far from it as the spectrum; NaN where no law is
            tested, which is where the closest ends at an edge.
        draws: how many matrices were drawn.
        log_likelihoods: of the closest law of each kind, with its charges taken off.
        hill_spread: standard deviation of the exponent of `hill` over the drawn matrices.
        ks_spread: that of `ks_fit`.
        note: why there is no kind, or a law was ruled out.

    >>> tail_kind([3.0, 2.0, 1.0], 3, 3).note
    'the kind of a tail needs 50 positive eigenvalues, got 3'
    """

    kind: str
    law: str = ""
    alpha: float = math.nan
    tail_size: int = 0
    p_value: float = math.nan
    draws: int = 0
    log_likelihoods: tuple[tuple[str, float], ...] = ()
    hill_spread: float = math.nan
    ks_spread: float = math.nan
    note: str = ""

    def in_words(self) -> str:
        """The kind, and how far the law can be told from what is there."""
        known = f", {self.law}, p = {self.p_value:.2g}" if self.law and not math.isnan(self.p_value) else ""
        exponent = "" if math.isnan(self.alpha) else f", exponent {self.alpha:.3g}"
        return f"{self.kind}{exponent}{known}{self.note and f' ({self.note})'}"


@takes_spectrum
def tail_kind(
    eigenvalues: Float[Tensor, " k"], rows: int, cols: int, *, slices: int = 1, draws: int = DRAWS, seed: int = 0
) -> TailKind:
    """Which law the population behind a spectrum follows, of those that have a tail and those that have none.

    For each family of laws, of each kind, the spectrum of a matrix with that population is known (`tail_laws`); the
    family, parameters and scale of largest likelihood win, with Schwarz's charge for parameters. Where neighbouring
    eigenvalues do not repel each other, they are independent values of a law themselves, and no matrix stands between.

    A law with a tail must then be a plausible one: matrices are drawn with it, the law is fitted anew to each, and
    their Anderson–Darling distances compared with that of the spectrum. Where none of them is as far, more are drawn,
    until one is. If none of three times as many is as far, the law is ruled out, and the kind is "none".

    Args:
        eigenvalues: of WᵀW, any order; zeros are left out.
        rows: of W.
        cols: of W; the population is taken for that of the columns, W = G·Σ^{1/2}, but that of the rows is tried too.
        slices: how many matrices are pooled.
        draws: how many matrices are drawn, three times as many at most; 0 for no test.
        seed: of the draws; the global random state is neither read nor moved.

    Raises:
        SpectailError: there is no eigenvalue, they are not in one dimension, or rows or cols is below 1.

    Source: Clauset, Shalizi & Newman (2009) ask these questions of independent values; Silverstein (1995) has the
    spectrum of a population.

    >>> stream = np.random.default_rng(0)
    >>> scales = np.exp(stream.standard_normal(150) / 2)  # √τ, so that log τ has a standard deviation of one
    >>> spectrum = np.linalg.svd(stream.standard_normal((300, 150)) * scales, compute_uv=False) ** 2
    >>> tail_kind(spectrum, 300, 150, draws=20).kind
    'lognormal'
    """
    if rows < 1 or cols < 1:
        raise SpectailError(f"a matrix has at least one row and column, got {rows}×{cols}")
    values = np.sort(eigenvalues.detach().to("cpu", torch.float64).numpy())
    if not np.isfinite(values).all():
        return TailKind(UNDECIDED, note="an eigenvalue is NaN or inf")
    values = values[values > values[-1] * ZERO_SHARE]
    if len(values) < SHORT_TAIL:
        why = f"the kind of a tail needs {SHORT_TAIL} positive eigenvalues, got {len(values)}"
        return TailKind(UNDECIDED, note=why)
    if slices == 1 and len(values) < min(rows, cols):  # of a lower rank
        rows, cols = (len(values), cols) if rows < cols else (rows, len(values))
    logs = np.log(values) - math.log(float(np.median(values)))
    if logs[-1] - logs[0] < 1e-6:
        return TailKind(UNDECIDED, note="the eigenvalues are all equal, to rounding")
    fits = fits_of_families(logs, rows, cols, slices)
    best = max(fits, key=lambda fit: fit.score)
    scores: dict[str, float] = {}
    for fit in fits:
        scores[fit.kind] = max(fit.score, scores.get(fit.kind, -math.inf))
    answer = TailKind(best.kind, best.words, log_likelihoods=tuple(scores.items()))
    if best.kind == NONE:
        return answer
    answer = _tested(answer, best, logs, slices, draws, np.random.default_rng(seed))
    others = [fit for fit in fits if fit.likelihood > best.likelihood and fit.score > scores[NONE]]
    if answer.kind == NONE and others:  # what is closer, but was charged for parameters
        closer = max(others, key=lambda fit: fit.score)
        second = _tested(replace(answer, note=""), closer, logs, slices, draws, np.random.default_rng(seed))
        return second if second.kind != NONE else answer
    return answer


def _tested(
    answer: TailKind, best: Fit, logs: _Array, slices: int, draws: int, stream: np.random.Generator
) -> TailKind:
    """The answer, with the p-value from spectra that are drawn with the law."""
    size = min(len(logs), max(_SMALL, min(len(logs) // 2, _LARGE)))
    if draws:
        best.refine(logs, size)
    spectra = [best.draw(size, slices, stream) for _ in range(draws)]
    thinned = np.quantile(logs, (np.arange(size) + 0.5) / size) if size < len(logs) else logs
    limit = best.distance(thinned) * len(logs) / size if draws else math.nan
    as_far, drawn_in_all = sum(best.distance(spectrum) >= limit for spectrum in spectra), draws
    while draws and not as_far and drawn_in_all < _MOST_DRAWS * draws:
        as_far += best.distance(best.draw(size, slices, stream)) >= limit
        drawn_in_all += 1
    drawn = [torch.from_numpy(np.exp(spectrum)) for spectrum in spectra]
    alphas = np.array([(hill(spectrum), ks_fit(spectrum).alpha) for spectrum in drawn]).reshape(-1, 2)
    shrink = math.sqrt(size / len(logs))  # populations are of independent values
    spreads = (alphas.std(0, ddof=1) * shrink).tolist() if draws > 1 else (math.nan, math.nan)
    answer = replace(
        answer,
        kind=best.kind,
        law=best.words,
        p_value=(1 + as_far) / (1 + drawn_in_all) if draws else math.nan,
        draws=drawn_in_all,
        hill_spread=spreads[0],
        ks_spread=spreads[1],
    )
    if draws and not as_far:
        none_is = f"of {drawn_in_all} spectra drawn with the closest, {best.words}, none is as far from it"
        return replace(answer, kind=NONE, note=f"no law of a tail fits: {none_is}")
    return replace(answer, alpha=best.alpha, tail_size=round(best.tail_share * len(logs)))
