"""Which of the 5+1 phases of training a matrix is in, with the evidence; thresholds come from draws of its shape.

Not here: what the evidence is made of; one file each has the bulk, spikes, tails, modes, norms and nulls.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache

from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.notebooks import Answered
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.density import MODE_PROMINENCE, count_modes
from spectail.spectra.eigen import eigenvalues
from spectail.spectra.inhomogeneity import GAUSSIAN_KURTOSIS, SMALL_SLICES, Inhomogeneity, homogeneous
from spectail.spectra.norms import effective_rank
from spectail.spectra.nulls import Z_UNLIKELY, ExponentNull, Nulls, StatisticNull, simulate_nulls
from spectail.spectra.precision import ZERO_SHARE, check_spectrum, float64, takes_arrays
from spectail.spectra.spikes import FALSE_SPIKES, broader_than, fit_bulk, spectral_gap, sphericity
from spectail.spectra.tails import hill

FEWEST_EIGENVALUES = 10
"""Below this many eigenvalues a spectrum has no phase, and no null is worth its name."""

# Shares of untrained matrices of the shape that pass a threshold: for a bulk that departs; and for one that is broader
# while eigenvalues lie past its edge, which is how a broadened bulk ends.
FALSE_DEPARTURES = 0.001

FALSE_BROADER = 0.01

# And for a bulk that is narrower than theirs: a smaller share, as entries of bounded size make any bulk a little
# narrower. Over pooled slices that adds up, so this is not asked of them.
FALSE_NARROWER = 1e-5

# Heavy-tailed: log λ above the median spreads as if the variances of the columns spread by this (a standard deviation
# of their logarithm adds in squares). In the law of 1500 × 1000 that is 1.16 times its own spread, Hill α ≤ 2.25.
HEAVY_SPREAD = 0.406

# A largest eigenvalue past the edge by more than this is detached. Those between it and the edge may fill the gap.
DETACHED_RATIO = 1.1

# At most this share of the eigenvalues of each slice, but one a slice always, can be spikes beside a bulk.
LARGEST_SPIKED_SHARE = 1 / 6

# Rank collapse: half of the spectrum zero to rounding, or half of the effective rank of an untrained matrix.
COLLAPSED_SHARE = 0.5

# All eigenvalues alike: log λ above the median spreads by less than this share of an untrained matrix's. An orthogonal
# matrix that is stored in eight bits has 0.04 to 0.08, one beside noise of a twentieth of its norm 0.07, at any shape.
EQUAL_SHARE = 0.1

# Null standard deviations by which evidence has to fall below its threshold before a phase that it made is left.
LEAVES_BELOW = 2.0

# The density of a few hundred values is itself uncertain by about the prominence that a mode has to have. So two modes
# become one where next to nothing is left of the valley between them, and a heavy tail is split by a valley twice as
# deep.
_VALLEY_LEFT, _VALLEY_IN_TAIL = 0.1 * MODE_PROMINENCE, 2.0 * MODE_PROMINENCE


_ORTHOGONAL, _HALF_ALIKE = "the matrix is orthogonal", "the upper half of the eigenvalues are alike"

_ALIKE = 5e-4  # a spread of log λ below this is not told: rounding to 16 bits leaves as much


class Phase(StrEnum):
    """The 5+1 phases of Martin & Mahoney (2021), in the order that training passes them.

    And two answers that are none of them: `BIMODAL`, a bulk of two modes as one large step of Adam
    makes it (paper §4.1, Fig. 2d), whose low Hill exponent is no heavy tail; and `UNKNOWN`, where nothing
    can be said, or a bulk that is narrower than any untrained one; the note says which.

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


_DEPARTED = (Phase.BULK_DECAY, Phase.HEAVY_TAILED, Phase.BIMODAL, Phase.UNKNOWN)


@dataclass(frozen=True, repr=False)
class PhaseEvidence(Answered):
    """A phase, and the measurements that decided it.

    Attributes:
        phase: the verdict.
        law: the bulk fitted to the eigenvalues below the spikes.
        n_spikes: eigenvalues past `visible_edge`.
        spectral_gap: λ₁/λ₊.
        bulk_distance: Kolmogorov–Smirnov distance between the eigenvalues below the spikes and the law.
        effect: the spread of log λ above the median, 1/(α − 1), over that of untrained matrices of the shape: 1 as
            untrained, larger for heavier tails. By fixed thresholds it is the spread over that of the fitted law.
        note: why the phase is unknown or bimodal, or the rank low; empty otherwise.
        z_hill: how far log(α − 1) of the spectrum that was judged lies from that of untrained matrices, in their
            standard deviations; negative: heavier.
        z_bulk: the `sphericity` of the bulk below the spikes, in standard deviations; positive: broader.
        cause: what the departure from an untrained matrix comes from, the largest part of it: "entries", "norms",
            "spikes" or "correlation"; "" where there is none.
        parts: what each cause adds to the logarithm of the spread of log λ over that of untrained matrices.
        inhomogeneity: what was taken out before; None where only a spectrum was given.
        visible_edge: the value past which eigenvalues of the spectrum that was judged count as spikes.

    >>> classify([[1.0] * 20] * 30).note
    '95% of the eigenvalues are zero'
    """

    phase: Phase
    law: MarchenkoPastur
    n_spikes: int
    spectral_gap: float
    bulk_distance: float
    effect: float
    note: str = ""
    z_hill: float = math.nan
    z_bulk: float = math.nan
    cause: str = ""
    parts: dict[str, float] = field(default_factory=dict)
    inhomogeneity: Inhomogeneity | None = None
    visible_edge: float = math.nan

    def in_words(self) -> str:
        """The phase, and the numbers behind it."""
        answer = f"{self.phase}, {self.note}" if self.note else str(self.phase)
        if math.isnan(self.effect) or self.equal:
            return answer
        spikes = f"{self.n_spikes} spike{'' if self.n_spikes == 1 else 's'}"
        cause = f", because of {self.cause}" if self.cause else ""
        return f"{answer}, effect {self.effect:.3g} of 1 untrained, {spikes}, λ₁/λ₊ = {self.spectral_gap:.3g}{cause}"

    @property
    def equal(self) -> bool:
        """Whether all eigenvalues are alike, of which there is neither a bulk nor an exponent."""
        return self.effect < EQUAL_SHARE

    @property
    def tail_spread(self) -> float:
        """Deprecated: `effect`."""
        warnings.warn("PhaseEvidence.tail_spread is called effect", DeprecationWarning, stacklevel=2)
        return self.effect


@takes_arrays
def classify(
    spectrum: Float[Tensor, " b"] | Float[Tensor, "h d"],
    rows: int | None = None,
    cols: int | None = None,
    *,
    nulls: Nulls | None = None,
    before: str = "",
) -> PhaseEvidence:
    """The phase of a matrix W or of its spectrum, beside what untrained matrices of the shape would be.

    Args:
        spectrum: W; or the min(rows, cols) eigenvalues of WᵀW, any order, and then with `rows` and `cols`.
        rows: of W.
        cols: of W.
        nulls: of the shape; they are simulated where they are not given.
        before: the phase that the matrix was in when it was last looked at. It is left where the evidence for it has
            fallen two null standard deviations below what it takes to enter it.

    Returns:
        the phase and its evidence. Of a matrix, unequal norms and heavy entries are taken out first (`homogeneous`).
        Then, in order:

        - rank-collapse: half of the eigenvalues are zero to rounding; or the effective rank is less than half of that
          of an untrained matrix, and either it is so too once norms and entries are taken out, or half of the rows or
          columns have next to no norm;
        - the eigenvalues past the edge are set aside as spikes, the law is fitted anew to the rest, until their
          number stays;
        - where more than a sixth is past the edge, or the rest departs from its law: bimodal, if the density of log λ
          has two modes; heavy-tailed, if log λ above the median spreads beyond `HEAVY_SPREAD`; bulk-decay, if it
          spreads more than that of untrained matrices or an eigenvalue is past the edge; else, and where the bulk is
          narrower, unknown. The rest departs where its distance or its sphericity exceeds that of all but 1 in 1,000
          untrained matrices, or, beside spikes, its sphericity that of all but 1 in 100; the bulk of one matrix without
          spikes also where it is narrower: its sphericity is below that of all but 1 in 100,000;
        - where it does not: bulk+spike, if the largest is a tenth past the edge; bleeding-out, if it is past it by
          less; random-like, if none is.

    Raises:
        SpectailError: W has no spectrum (see `eigenvalues`), there is no eigenvalue, or a spectrum comes
            without its rows and cols.

    Source: Martin & Mahoney (2021); paper §2 and §5.1; sphericity: John (1971), Ledoit & Wolf (2002).

    >>> str(classify([[1.0] * 20] * 30).phase)
    'rank-collapse'
    >>> str(classify(MarchenkoPastur(30, 20).quantile([(i + 0.5) / 20 for i in range(20)]), 30, 20).phase)
    'random-like'
    """
    inhomogeneity, judged = None, spectrum
    if spectrum.ndim == 2 and rows is None and cols is None:
        (rows, cols), weights = spectrum.shape, spectrum
        spectrum = judged = eigenvalues(weights)
        scaled, inhomogeneity = homogeneous(weights[None])
        if scaled is not None:
            judged = eigenvalues(scaled[0])
            if scaled.shape[1:] != (rows, cols):
                (rows, cols), nulls = scaled.shape[1:], None
    check_spectrum(spectrum)
    if rows is None or cols is None:
        raise SpectailError("a spectrum has a phase beside its matrix's shape: classify(spectrum, rows, cols)")
    spectrum, judged = float64(spectrum).cpu(), float64(judged).cpu()
    return judge(spectrum, judged, rows, cols, nulls=nulls, inhomogeneity=inhomogeneity, before=before)


def judge(
    spectrum: Float[Tensor, " k"],
    homogeneous_spectrum: Float[Tensor, " k2"],
    rows: int,
    cols: int,
    *,
    slices: int = 1,
    nulls: Nulls | None = None,
    inhomogeneity: Inhomogeneity | None = None,
    before: str = "",
) -> PhaseEvidence:
    """`classify`, where both spectra are known already.

    Args:
        spectrum: eigenvalues of the matrix as it is, of slices pooled, any order.
        homogeneous_spectrum: of what `homogeneous` makes of it; slices each scaled to one mean.
        rows: of one slice.
        cols: of one slice.
        slices: how many are pooled.
        nulls: of the shape, slices scaled.
        inhomogeneity: what was taken out.
        before: the phase before.

    Raises:
        SpectailError: there is no eigenvalue.
    """
    unknown = MarchenkoPastur(rows, cols, math.nan)
    raw = spectrum.sort().values
    ordered = raw if homogeneous_spectrum is spectrum else homogeneous_spectrum.sort().values
    if not bool(raw.isfinite().all() and ordered.isfinite().all()):
        return undecided(unknown, "an eigenvalue is NaN or inf")
    if len(raw) < FEWEST_EIGENVALUES:
        return undecided(unknown, too_few(len(raw)))
    nulls = nulls or _nulls(rows, cols, slices)
    if _hides(raw, rows, cols, slices, nulls, inhomogeneity):
        assert inhomogeneity is not None
        ordered, inhomogeneity = raw, replace(inhomogeneity, norms=False, entries=False)
    collapsed, low_rank = _collapse(raw, ordered, slices, nulls, inhomogeneity, before)
    if collapsed:
        return replace(undecided(unknown, low_rank, Phase.RANK_COLLAPSE), inhomogeneity=inhomogeneity)
    spread, least = _log_spread(ordered), EQUAL_SHARE * nulls.hill.log_spread
    raw_spread = spread if ordered is raw else _log_spread(raw)
    if not (spread >= least and raw_spread >= least):  # NaN where they are equal but for rounding
        alike = undecided(unknown, _how_alike(ordered if spread < least else raw, least))
        return replace(alike, effect=0.0, inhomogeneity=inhomogeneity)

    strict = nulls.edge.upper(FALSE_SPIKES)
    edge = strict - _stays(before, nulls.edge, Phase.BULK_SPIKE, Phase.BLEEDING_OUT)
    law, n_spikes = fit_bulk(ordered, rows, cols, slices=slices, edge=edge)
    bulk = ordered[: len(ordered) - n_spikes]
    gap = spectral_gap(ordered, law)
    closer = _stays(before, nulls.edge, Phase.BULK_SPIKE) * law.edge_fluctuation
    detached = gap > max(DETACHED_RATIO - closer / law.edges[1], 1.0) if law.variance else False
    few = n_spikes <= slices * LARGEST_SPIKED_SHARE / 2 * min(rows, cols) * (min(rows, cols) >= SMALL_SLICES)
    balanced = inhomogeneity is not None and inhomogeneity.norms and few  # many spikes leave norms not quite equal
    z_hill = nulls.hill.z(1.0 + 1.0 / spread)
    z_bulk = sphericity(bulk, law.rows, law.cols, slices=slices, balanced=balanced)
    broader = broader_than(_false_broader(n_spikes, before), law.rows, law.cols, slices=slices, balanced=balanced)
    distance = law.distance(bulk)
    past = int((ordered > law.edges[1] + strict * law.edge_fluctuation).sum())  # those that only stay do not count
    too_many = past > _most_spikes(rows, cols, slices, before)
    narrower = slices == 1 and not too_many and z_bulk < _narrower_than(law, balanced, before)
    narrower = narrower and not (n_spikes and _has_a_tail(ordered, rows, cols))
    departs = too_many or (narrower and not n_spikes) or _departs(distance, z_bulk - broader, nulls, before)
    note = low_rank
    if not departs:
        phase = Phase.RANDOM if not n_spikes else Phase.BULK_SPIKE if detached else Phase.BLEEDING_OUT
    elif count_modes(ordered, prominence=_deep_enough(before)) > 1:
        phase = Phase.BIMODAL
        note = "the density of log λ has two modes" + f"; {low_rank}" * bool(low_rank)
    elif spread >= _heavy_from(nulls, before):
        phase = Phase.HEAVY_TAILED
    elif not narrower and (n_spikes or z_hill < _decays_below(before)):
        phase = Phase.BULK_DECAY
    else:
        phase, note = Phase.UNKNOWN, "the bulk is narrower than that of untrained matrices"
    below = spread if departs or not n_spikes else _log_spread(bulk)
    parts = _parts(raw_spread, spread, None if departs else below, law, MarchenkoPastur(rows, cols), nulls)
    spiked = n_spikes > 0 and not departs
    felt = abs(parts["norms_and_entries"]) > LEAVES_BELOW * nulls.hill.spread or not (spiked or departs)
    cause = _cause(parts, _taken_out(inhomogeneity) if felt else "", spiked=spiked, departs=departs)
    return PhaseEvidence(
        phase, law, n_spikes, gap, distance, spread / nulls.hill.log_spread, note,
        z_hill, z_bulk, cause, parts, inhomogeneity, law.edges[1] + edge * law.edge_fluctuation,
    )  # fmt: skip


def too_few(count: int) -> str:
    """What is said of so few eigenvalues that there is no phase.

    Args:
        count: how many.
    """
    return f"only {count} eigenvalue{'s' * (count > 1)}: no phase and no null"


@lru_cache(maxsize=256)
def _nulls(rows: int, cols: int, slices: int) -> Nulls:
    return simulate_nulls(rows, cols, slices, normalised=slices > 1)


def undecided(law: MarchenkoPastur, note: str, phase: Phase = Phase.UNKNOWN) -> PhaseEvidence:
    """The evidence where there is neither a bulk nor an exponent.

    Args:
        law: of the shape.
        note: why.
        phase: the phase that this reason makes, such as rank collapse.
    """
    return PhaseEvidence(phase, law, 0, math.nan, math.nan, math.nan, note)


def _hides(raw: Tensor, rows: int, cols: int, slices: int, nulls: Nulls, inhomogeneity: Inhomogeneity | None) -> bool:
    """Whether a spectrum is lighter or narrower than heavy entries can make one, as that of an identity in noise is."""
    if inhomogeneity is None or not inhomogeneity.entries or inhomogeneity.kurtosis < GAUSSIAN_KURTOSIS:
        return False
    narrower = sphericity(raw, rows, cols, slices=slices) < broader_than(
        1.0 - FALSE_NARROWER, rows, cols, slices=slices
    )
    return narrower or nulls.hill.z(hill(raw)) > Z_UNLIKELY


def _collapse(
    raw: Tensor, ordered: Tensor, slices: int, nulls: Nulls, inhomogeneity: Inhomogeneity | None, before: str
) -> tuple[bool, str]:
    """Whether a spectrum is one of rank collapse; and of a low rank, in words, why."""
    zeros = float((raw <= ZERO_SHARE * raw[-1]).double().mean())
    if zeros >= COLLAPSED_SHARE:
        return True, f"{zeros:.0%} of the eigenvalues are zero"
    untrained, leaves = math.exp(nulls.effective_rank.mean), _stays(before, nulls.effective_rank, Phase.RANK_COLLAPSE)
    least = COLLAPSED_SHARE * untrained * math.exp(leaves)
    rank = effective_rank(raw)
    if rank >= least * len(raw):
        return False, ""
    words = f"the effective rank is {rank:.3g}, that of untrained matrices {untrained * len(raw):.3g}"
    if inhomogeneity is None or not inhomogeneity.taken_out or effective_rank(ordered) < least * len(ordered):
        return True, words
    few = inhomogeneity.alive < COLLAPSED_SHARE * len(raw) / slices
    because = inhomogeneity.taken_out.replace("norms", "unequal norms").replace("entries", "heavy entries")
    return few, f"{words}, because of {because}"


def _stays(before: str, null: StatisticNull | ExponentNull, *phases: Phase) -> float:
    """By how much a threshold gives way for a matrix that is in one of these phases already."""
    return LEAVES_BELOW * null.spread if before in phases else 0.0


def _log_spread(ordered: Tensor) -> float:
    """The mean of log λ/median above the median, 1/(α − 1) of the Hill exponent; NaN where half is zero."""
    return 1.0 / (hill(ordered) - 1.0)


def _how_alike(ordered: Tensor, least: float) -> str:
    """Which eigenvalues are alike, in words, where those above the median are: all of them, or only these."""
    if not float((ordered[-1] / ordered).log().mean()) < 4.0 * least:  # infinite where an eigenvalue is zero
        return _HALF_ALIKE
    differ = float(ordered.log().std())
    return f"all eigenvalues are alike{f', to {differ:.1%}' * (differ >= _ALIKE)}: {_ORTHOGONAL}" + (
        ", but for noise or rounding" * (differ >= _ALIKE)
    )


def _false_broader(n_spikes: int, before: str) -> float:
    """The share of untrained matrices that may be called broader.

    Less where nothing is past the edge, and where the bulk did not depart in the phase before.
    """
    return FALSE_BROADER if n_spikes and (before in _DEPARTED or not before) else FALSE_DEPARTURES


def _departs(distance: float, broader_by: float, nulls: Nulls, before: str) -> bool:
    """Whether a bulk is broader than its law, or otherwise further from it, than untrained ones are."""
    leaves = LEAVES_BELOW if before in _DEPARTED else 0.0
    further = math.log(nulls.distance.upper(FALSE_DEPARTURES)) - leaves * nulls.distance.spread
    return broader_by > -leaves or math.log(distance) > further  # a few per cent fewer eigenvalues change it no more


def _narrower_than(law: MarchenkoPastur, balanced: bool, before: str) -> float:
    """The sphericity below which a bulk is narrower than those of untrained matrices."""
    least = broader_than(1.0 - FALSE_NARROWER, law.rows, law.cols, balanced=balanced)
    return least + LEAVES_BELOW * (before == Phase.UNKNOWN)


def _has_a_tail(ordered: Tensor, rows: int, cols: int) -> bool:
    """Whether the upper sixth reaches further than the law's, as that of like values and a few spikes does not.

    Eigenvalues that follow a power law have a lower end, and below the largest of them less width than noise.
    """
    law, ends = MarchenkoPastur(rows, cols), (1.0 - LARGEST_SPIKED_SHARE, 1.0 - LARGEST_SPIKED_SHARE / 2)
    low, high = (float(ordered[int(end * len(ordered))]) for end in ends)
    lowest, highest = (float(law.quantile(end)) for end in ends)
    return high * lowest > low * highest


def _most_spikes(rows: int, cols: int, slices: int, before: str) -> float:
    """How many eigenvalues of all slices may be spikes beside a bulk.

    How many lie past a point varies by about one from matrix to matrix, as they repel each other (Dyson & Mehta 1963).
    """
    most = slices * max(LARGEST_SPIKED_SHARE * min(rows, cols), 1.0)
    return max(most - LEAVES_BELOW * math.sqrt(slices), most / 2.0) if before in _DEPARTED else most


def _decays_below(before: str) -> float:
    """The `z_hill` below which a bulk that departs from its law is one that decays, not one that is narrower."""
    return LEAVES_BELOW * ((before == Phase.BULK_DECAY) - (before == Phase.UNKNOWN))


def _deep_enough(before: str) -> float:
    """How deep the valley between two modes has to be, as a share of the peak."""
    if before == Phase.BIMODAL:
        return _VALLEY_LEFT
    return _VALLEY_IN_TAIL if before == Phase.HEAVY_TAILED else MODE_PROMINENCE


def _heavy_from(nulls: Nulls, before: str) -> float:
    """From which spread of log λ a bulk is called heavy-tailed."""
    spread = math.hypot(nulls.hill.log_spread, HEAVY_SPREAD)
    return spread * math.exp(-_stays(before, nulls.hill, Phase.HEAVY_TAILED))


def _taken_out(inhomogeneity: Inhomogeneity | None) -> str:
    """The cause that `homogeneous` took out; where it took out both, norms: they make entries heavy."""
    if inhomogeneity is None:
        return ""
    return "norms" if inhomogeneity.norms or inhomogeneity.slices else "entries" if inhomogeneity.entries else ""


def _cause(parts: dict[str, float], taken_out: str, *, spiked: bool, departs: bool) -> str:
    """Of the causes that there are, the one that adds most."""
    words = {
        "norms_and_entries": taken_out,
        "spikes": "spikes" if spiked else "",
        "correlation": "correlation" if departs else "",
    }
    largest = max((name for name in words if words[name]), key=lambda name: abs(parts[name]), default="")
    return words[largest] if largest else ""


def _parts(
    raw: float, spread: float, below: float | None, law: MarchenkoPastur, whole: MarchenkoPastur, nulls: Nulls
) -> dict[str, float]:
    """What each cause adds to the log of the spread of log λ; `below` is None where spikes explain nothing."""
    outside, rest = math.log(raw / spread), math.log(spread / nulls.hill.log_spread)
    left = rest
    if below is not None:  # the spikes, where the law is that of a smaller matrix
        smaller = (whole.hill() - 1.0) / (law.hill() - 1.0)
        left = math.log(below / nulls.hill.log_spread / smaller)
    return {"norms_and_entries": outside, "spikes": rest - left, "correlation": left}
