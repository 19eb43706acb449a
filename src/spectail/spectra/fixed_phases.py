"""The phase of a two-layer student, by thresholds that do not depend on its shape, as files of its runs hold it.

Not here: what any other matrix is judged by, thresholds from draws of its own shape (`phases`).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from spectail.spectra.bulk import MarchenkoPastur, fit_marchenko_pastur
from spectail.spectra.density import count_modes
from spectail.spectra.phases import COLLAPSED_SHARE, DETACHED_RATIO, Phase, PhaseEvidence, undecided
from spectail.spectra.precision import ZERO_SHARE, float64, takes_spectrum
from spectail.spectra.spikes import count_spikes, spectral_gap, visible_edge
from spectail.spectra.tails import hill

# Heavy-tailed: log λ above the median spreads so many times as far as in the Marchenko–Pastur law.
# For 1500 × 1000 that is Hill α ≤ 2.25, where the law has 2.449; stated for every shape alike.
HEAVY_TAIL_SPREAD = 1.16

# The bulk no longer follows the law of its own median: the Kolmogorov–Smirnov distance exceeds this, or
# the count below over b where b is small. Eigenvalues of a Gaussian matrix are rigid: in 150 draws of
# five shapes, 100 to 1000 eigenvalues, their distance stayed below 5/b.
DECAYED_BULK_DISTANCE = 0.0075

DECAYED_BULK_COUNT = 7.5


@takes_spectrum
def classify_by_fixed_thresholds(spectrum: Float[Tensor, " b"], rows: int, cols: int) -> PhaseEvidence:
    """The phase of a student's spectrum by the thresholds above, the same for every shape.

    They are stated for 1500 × 1000, the paper's. What a network of any other shape is judged by is `classify`.

    Args:
        spectrum: the min(rows, cols) eigenvalues of WᵀW, any order.
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
        SpectailError: there is no eigenvalue, or they are not in one dimension.

    Source: Martin & Mahoney (2021); paper §2 and §5.1.

    >>> quantiles = [(i + 0.5) / 20 for i in range(20)]
    >>> str(classify_by_fixed_thresholds(MarchenkoPastur(30, 20).quantile(quantiles), 30, 20).phase)
    'random-like'
    """
    law = fit_marchenko_pastur(spectrum, rows, cols)
    if not bool(spectrum.isfinite().all()):
        return undecided(law, "an eigenvalue is NaN or inf")
    largest = float(spectrum.max())
    zeros = float(float64(spectrum <= ZERO_SHARE * largest).mean())
    if zeros >= COLLAPSED_SHARE:
        return undecided(law, f"{zeros:.0%} of the eigenvalues are zero", Phase.RANK_COLLAPSE)
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
    return PhaseEvidence(phase, law, n_spikes, gap, distance, spread, visible_edge=visible_edge(law))


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
