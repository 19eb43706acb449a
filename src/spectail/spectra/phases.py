"""Which of the 5+1 phases of training a spectrum is in, with the evidence, and the thresholds that decide.

Not here: what the evidence is made of; one file each has the bulk, spikes, tails and modes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.bulk import MarchenkoPastur, fit_marchenko_pastur
from spectail.spectra.density import count_modes
from spectail.spectra.eigen import eigenvalues
from spectail.spectra.precision import ZERO_SHARE, check_spectrum, float64, takes_arrays
from spectail.spectra.spikes import count_spikes, spectral_gap, visible_edge
from spectail.spectra.tails import hill

# Heavy-tailed: log λ above the median spreads by this factor more than in the Marchenko–Pastur law.
# For 1500 × 1000 that is Hill α ≤ 2.25, where the law has 2.449; stated for every shape alike.
HEAVY_TAIL_SPREAD = 1.16

# The bulk no longer follows the law of its own median: the Kolmogorov–Smirnov distance is this, or
# this many eigenvalues where b is small. Eigenvalues of a Gaussian matrix are rigid: in 150 draws of
# five shapes, 100 to 1000 eigenvalues, their distance stayed below 5/b.
DECAYED_BULK_DISTANCE = 0.0075

DECAYED_BULK_COUNT = 7.5

# Neighbours further apart than this ratio, past the edge, are a gap: what lies above is detached.
DETACHED_RATIO = 1.1

# Half of the spectrum zero to rounding.
COLLAPSED_SHARE = 0.5


class Phase(StrEnum):
    """The 5+1 phases of Martin & Mahoney (2021), in the order that training passes them.

    And two answers that are none of them: `BIMODAL`, a bulk of two modes as one large step of Adam
    makes it (paper §4.1, Fig. 2d), whose low Hill exponent is no heavy tail; and `UNKNOWN`.

    >>> Phase.BULK_SPIKE == "bulk+spike"
    True
    """

    RANDOM = "random-like"
    BLEEDING_OUT = "bleeding-out"
    BULK_SPIKE = "bulk+spike"
    BULK_DECAY = "bulk-decay"
    HEAVY_TAILED = "heavy-tailed"
    RANK_COLLAPSE = "rank-collapse"
    BIMODAL = "bimodal"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class PhaseEvidence:
    """A phase, and the measurements that decided it.

    Attributes:
        phase: the verdict.
        law: the bulk fitted to the spectrum's median.
        n_spikes: eigenvalues visibly past its edge.
        spectral_gap: λ₁/λ₊.
        bulk_distance: Kolmogorov–Smirnov distance between the spectrum and the law.
        tail_spread: (α_MP − 1)/(α − 1) with Hill exponents: 1 for the law, larger for heavier tails.
        note: why the phase is unknown; empty otherwise.

    >>> classify([[1.0] * 20] * 30).note
    '95% of the eigenvalues are zero'
    """

    phase: Phase
    law: MarchenkoPastur
    n_spikes: int
    spectral_gap: float
    bulk_distance: float
    tail_spread: float
    note: str = ""


@takes_arrays
def classify(
    spectrum: Float[Tensor, " b"] | Float[Tensor, "h d"], rows: int | None = None, cols: int | None = None
) -> PhaseEvidence:
    """The phase of a matrix W or of its spectrum, beside what an untrained matrix of the shape would be.

    Args:
        spectrum: W; or the min(rows, cols) eigenvalues of WᵀW, any order, and then its shape:
        rows: of W.
        cols: of W.

    Returns:
        the phase and its evidence. The rules, in order, each relative to the spectrum itself:

        - rank-collapse: half of the eigenvalues are zero to rounding;
        - bimodal: the density of log λ has two modes;
        - heavy-tailed: log λ above the median spreads `HEAVY_TAIL_SPREAD` times as far as in the
          Marchenko–Pastur law of the shape;
        - bulk-decay: the bulk departs from that law (`DECAYED_BULK_DISTANCE`), and two or more
          eigenvalues have seeped past its edge without a gap;
        - bulk+spike: an eigenvalue past the edge is detached; bleeding-out: none is;
        - random-like: no eigenvalue is past the edge.

    Raises:
        SpectailError: W has no spectrum (see `eigenvalues`), there is no eigenvalue, or a spectrum comes
            without its rows and cols.

    Source: Martin & Mahoney (2021); paper §2 and §5.1.

    >>> str(classify([[1.0] * 20] * 30).phase)
    'rank-collapse'
    >>> str(classify(MarchenkoPastur(30, 20).quantile([(i + 0.5) / 20 for i in range(20)]), 30, 20).phase)
    'random-like'
    """
    if spectrum.ndim == 2 and rows is None and cols is None:
        (rows, cols), spectrum = spectrum.shape, eigenvalues(spectrum)
    check_spectrum(spectrum)
    if rows is None or cols is None:
        raise SpectailError("a spectrum has a phase beside its matrix's shape: classify(spectrum, rows, cols)")
    law = fit_marchenko_pastur(spectrum, rows, cols)
    if not bool(spectrum.isfinite().all()):
        return PhaseEvidence(Phase.UNKNOWN, law, 0, math.nan, math.nan, math.nan, "an eigenvalue is NaN or inf")
    largest = float(spectrum.max())
    zeros = float(float64(spectrum <= ZERO_SHARE * largest).mean())
    if zeros >= COLLAPSED_SHARE:
        return PhaseEvidence(
            Phase.RANK_COLLAPSE, law, 0, math.nan, math.nan, math.nan, f"{zeros:.0%} of the eigenvalues are zero"
        )
    n_spikes, gap, distance = count_spikes(spectrum, law), spectral_gap(spectrum, law), law.distance(spectrum)
    spread = (law.hill() - 1) / (hill(spectrum) - 1)
    seeped, detached = _past_the_edge(spectrum, law)
    decayed = distance > max(DECAYED_BULK_DISTANCE, DECAYED_BULK_COUNT / len(spectrum))
    if count_modes(spectrum) > 1:
        phase = Phase.BIMODAL
    elif spread >= HEAVY_TAIL_SPREAD:
        phase = Phase.HEAVY_TAILED
    elif decayed and seeped >= 2:
        phase = Phase.BULK_DECAY
    elif detached:
        phase = Phase.BULK_SPIKE
    else:
        phase = Phase.BLEEDING_OUT if seeped else Phase.RANDOM
    return PhaseEvidence(phase, law, n_spikes, gap, distance, spread)


def _past_the_edge(spectrum: Tensor, law: MarchenkoPastur) -> tuple[int, int]:
    """How many eigenvalues past the edge still touch the bulk, and how many lie above a gap."""
    edge = visible_edge(law)
    past = [value for value in spectrum.sort().values.tolist() if value > edge]
    if not past:
        return 0, 0
    reach = [law.edges[1], *past]
    seeped = 0
    while seeped < len(past) and reach[seeped + 1] <= DETACHED_RATIO * reach[seeped]:
        seeped += 1
    return seeped, len(past) - seeped
