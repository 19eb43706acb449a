"""One row of the table: what the spectrum of one matrix says.

Here: a matrix becomes a row of quantities and a spectrum. Not here: how a quantity is computed (spectra/), and what it
is called (recording/quantities).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spectail.analysis.failures import why_not
from spectail.analysis.null_cache import nulls_of_shape
from spectail.analysis.pooling import SLICE_FACTOR, pooled, slice_spectra
from spectail.analysis.repetition import repetition
from spectail.analysis.shuffled import against_shuffles
from spectail.analysis.spacing import EPS, lost_in_rounding, rounding_level_of, stored_spacing
from spectail.errors import SourceError, SpectailError
from spectail.recording.events import NOT_MEASURED
from spectail.recording.layout import MATRIX_LABELS
from spectail.recording.quantities import of_row, select
from spectail.recording.tensors import tensor_of
from spectail.spectra.eigen import eigenvalues_of_slices
from spectail.spectra.fixed_phases import classify_by_fixed_thresholds
from spectail.spectra.inhomogeneity import Inhomogeneity, homogeneous
from spectail.spectra.norms import effective_rank, stable_rank
from spectail.spectra.nulls import Z_UNLIKELY
from spectail.spectra.phases import FEWEST_EIGENVALUES, Phase, PhaseEvidence, judge, too_few
from spectail.spectra.precision import ZERO_SHARE
from spectail.spectra.single_precision import float32_eigenvalues
from spectail.spectra.spikes import fit_bulk, spectral_gap
from spectail.spectra.tail_laws import NONE
from spectail.spectra.tail_tests import UNDECIDED, tail_kind
from spectail.spectra.tails import KS_SPREAD, ROUNDING, SHORT_TAIL, PowerLawFit, hill_fit, ks_fit, standard_error
from spectail.spectra.vuong import likelihood_ratios
from spectail.weights.matrix import WeightMatrix, joined_notes, read_once

SHORT_TAIL_NOTE = "KS tail of "
"""What the note of a KS fit on few eigenvalues begins with."""

_VECTORS = "each slice is a vector, and its one eigenvalue the square of its norm: no phase and no null"

_VANISHING = 1e-280  # an eigenvalue below which squares are no longer exact in float64

_SHARES = ("share_norms_and_entries", "share_spikes", "share_correlation")

_EXPONENTS = ("pl_alpha_hill", "z_hill", "effect", "pl_alpha_ks", "ks_distance", "ks_xmin", "tail_size", "alpha_stderr")

# Phases of which copies among rows and columns may be the reason.
_HAS_A_REASON = (Phase.BULK_DECAY, Phase.HEAVY_TAILED, Phase.RANK_COLLAPSE, Phase.BIMODAL, Phase.UNKNOWN)


def measure_matrix(
    matrix: WeightMatrix,
    *,
    nulls: str | bool = "gaussian",
    tail: bool = False,
    seed: int = 0,
    before: str = "",
    rounding: float | None = None,
) -> tuple[dict[str, Any], Float[Tensor, " k"]]:
    """One row of `analyze`, and the spectrum that it tells of.

    Args:
        matrix: what to measure.
        nulls: "gaussian" to compare with Gaussian matrices of the shape, which are kept on disk; "full" also with
            shuffles of the matrix, some twenty spectra. With False the phase is that of thresholds that know no shape,
            and norms and entries are not looked at.
        tail: whether to ask what kind of tail it is, which takes as long as a hundred spectra.
        seed: of what is drawn for that, and of shuffles.
        before: the phase that the matrix was in when it was last measured, which it leaves more slowly than it enters
            another.
        rounding: variance of the rounding of an entry, where the matrix is a difference of stored weights; by default
            that of storing the matrix itself.

    Returns:
        the row, keyed by name and `quantities.of_row`: NaN where there is nothing to say, and then `note` says why;
        and the pooled eigenvalues in float64 on the CPU, none where there is no spectrum.
    """
    try:
        matrix = _loaded(matrix)
        spectra = slice_spectra(matrix)
    except SourceError:
        raise
    except (SpectailError, np.linalg.LinAlgError) as error:
        return unmeasured_row(matrix, [str(error)]), torch.empty(0, dtype=torch.float64)
    spectrum = pooled(spectra).cpu()
    if (
        matrix.factors is None
        and spectrum[-1] < _VANISHING
        and (largest := float(matrix.load().detach().abs().max())) > 0
    ):
        return _row_of_tiny(matrix, largest, nulls, tail, seed, before), torch.empty(0, dtype=torch.float64)
    compared = nulls and matrix.factors is None and has_null(matrix, len(spectrum))
    judged = _homogenised(matrix, spectra.cpu()) if compared else None
    row = measure_spectrum(
        spectrum, matrix, judged, nulls=bool(nulls), tail=tail, seed=seed, before=before, rounding=rounding
    )
    if row["phase"] in _HAS_A_REASON and matrix.factors is None and spectrum[-1] > 0:
        eps = stored_spacing(matrix.dtype) or EPS.get(matrix.dtype)
        why = repetition(matrix, eps, nearly=row["phase"] != Phase.RANK_COLLAPSE)
        row["note"] = joined_notes(why, lost_in_rounding(spectrum, matrix, rounding), row["note"])
    return row | (against_shuffles(matrix, row, seed) if nulls == "full" else {}), spectrum


def _loaded(matrix: WeightMatrix) -> WeightMatrix:
    """The matrix with its weights read once; one known by its factors as it is."""
    if matrix.factors is not None:
        return matrix
    slices = matrix.load().detach()
    return matrix.with_values(lambda: slices)


class Homogenised(NamedTuple):
    """A matrix with norms and entries taken out: its pooled spectrum, its shape, and what was taken out."""

    spectrum: Float[Tensor, " k"]
    slices: int
    rows: int
    cols: int
    inhomogeneity: Inhomogeneity | None


def _homogenised(matrix: WeightMatrix, spectra: Float[Tensor, "s b"]) -> Homogenised:
    """The spectrum that is judged: slices scaled to one mean, rows and columns to one norm where norms were unequal."""
    weights = matrix.load().detach()
    scaled, inhomogeneity = homogeneous(weights)
    shape = (matrix.slices, matrix.rows, matrix.cols)
    if scaled is not None:
        fast = float32_eigenvalues(scaled)
        spectra = (eigenvalues_of_slices(scaled) if fast is None else fast).cpu()
        shape = (scaled.shape[0], scaled.shape[1], scaled.shape[2])
    if len(spectra) > 1:
        means = spectra.mean(1, keepdim=True)
        spectra = spectra / torch.where(means > 0, means, 1.0)
    return Homogenised(spectra.flatten(), *shape, inhomogeneity)


def _row_of_tiny(
    matrix: WeightMatrix, largest: float, nulls: str | bool, tail: bool, seed: int, before: str
) -> dict[str, Any]:
    """The row of weights whose squares vanish in float64: that of a multiple, with the norms of the weights."""
    scale = 2.0 ** math.floor(math.log2(largest))
    scaled = matrix.with_values(lambda: matrix.load().detach().double() / scale)
    row, _ = measure_matrix(scaled, nulls=nulls, tail=tail, seed=seed, before=before)
    factors = {"w": scale, "w²": math.nan}
    row |= {q.name: row[q.name] * factors[q.unit] for q in of_row() if q.unit in factors}
    tiny = f"weights of {largest:.0e}: their eigenvalues are below what float64 holds"
    return row | {"note": joined_notes(row["note"], tiny)}


def measure_spectrum(
    spectrum: Float[Tensor, " k"],
    matrix: WeightMatrix,
    judged: Homogenised | None = None,
    *,
    nulls: bool = True,
    tail: bool = False,
    seed: int = 0,
    before: str = "",
    rounding: float | None = None,
) -> dict[str, Any]:
    """The row of a matrix whose pooled eigenvalues are known; arguments as for `measure_matrix`.

    The phase is judged on `judged`; without it, on the spectrum as it is.
    """
    largest = float(spectrum[-1])
    if largest == 0.0:
        return unmeasured_row(matrix, ["all weights are zero"], _sizes(spectrum, matrix))
    sizes, level = _sizes(spectrum, matrix), rounding_level_of(spectrum, matrix, rounding)
    spectrum = torch.where(spectrum > max(ZERO_SHARE * largest, level), spectrum, 0.0)
    zeros = int((spectrum == 0).sum())
    measured, notes = _fits(spectrum, matrix)
    if zeros > 0.5 * len(spectrum):  # no median, and no tail above it
        measured, notes = dict.fromkeys(measured, math.nan), []
    measured |= sizes
    if zeros:
        measured["effective_rank"] = effective_rank(spectrum)  # rounding would count, by its square root
        dtype = matrix.dtype if rounding is None else "the stored weights"
        to_rounding = f" to the rounding of {dtype}" if level > ZERO_SHARE * largest else ""
        notes.append(f"{zeros} of {len(spectrum)} eigenvalues are zero{to_rounding}")
    if matrix.factors is not None and len(spectrum) < (shorter := min(matrix.rows, matrix.cols)):
        notes.append(f"the other {shorter - len(spectrum)} eigenvalues are zero")
    if matrix.product:
        return unmeasured_row(
            matrix, ["a product of weights, of which no Gaussian matrix is a null: no phase", *notes], measured
        )
    if len(spectrum) < FEWEST_EIGENVALUES:
        return unmeasured_row(matrix, [too_few(len(spectrum)), *notes], measured)
    if min(matrix.rows, matrix.cols) == 1:
        return unmeasured_row(matrix, [_VECTORS, *notes], measured)
    if not nulls:
        evidence = classify_by_fixed_thresholds(spectrum, matrix.rows, matrix.cols)
        measured |= _without_bulk(bulk_quantities(evidence) | {"visible_edge": evidence.visible_edge})
    else:
        measured |= _against_nulls(measured, matrix) | _phase(spectrum, matrix, judged, before, notes)
        if abs(measured["z_hill"]) < Z_UNLIKELY:
            measured |= dict.fromkeys(_SHARES, math.nan)
    if tail:
        measured |= _kind_of_tail(spectrum, matrix, measured, notes, seed)
    return unmeasured_row(matrix, notes, measured)


def _phase(
    spectrum: Tensor, matrix: WeightMatrix, judged: Homogenised | None, before: str, notes: list[str]
) -> dict[str, Any]:
    """The phase and its spikes, what it comes from, and the bulk of the spectrum as it is, which pictures draw."""
    slices, rows, cols = judged[1:4] if judged else (matrix.slices, matrix.rows, matrix.cols)
    inhomogeneity = judged.inhomogeneity if judged else None
    nulls = nulls_of_shape(
        rows, cols, slices, normalised=judged is not None, balanced=bool(inhomogeneity and inhomogeneity.norms)
    )
    same = matrix.slices == 1 and not (inhomogeneity and inhomogeneity.taken_out)
    evidence = judge(
        spectrum, judged.spectrum if judged and not same else spectrum, rows, cols, slices=slices, nulls=nulls,
        inhomogeneity=inhomogeneity, before=before,
    )  # fmt: skip
    notes.extend(filter(None, [evidence.note] if spectrum[(len(spectrum) - 1) // 2] > 0 else []))
    if evidence.equal:
        notes[:] = [note for note in notes if not note.startswith(SHORT_TAIL_NOTE)]  # there is no fit
        return dict.fromkeys(_EXPONENTS, math.nan) | _causes(evidence)
    if not evidence.law.variance:
        return _without_bulk(bulk_quantities(evidence)) | _causes(evidence)
    law, n_past, edge = evidence.law, evidence.n_spikes, evidence.visible_edge
    if not same:
        law, n_past = fit_bulk(spectrum, matrix.rows, matrix.cols, slices=matrix.slices)
        edge *= law.variance / evidence.law.variance
    drawn = {
        "bulk_edge": law.edges[1],
        "bulk_variance": law.variance,
        "bulk_distance": evidence.bulk_distance if same else law.distance(spectrum[: len(spectrum) - n_past]),
        "spectral_gap": spectral_gap(spectrum, law),
        "visible_edge": edge,
    }
    return _without_bulk(bulk_quantities(evidence) | drawn) | _causes(evidence)


def _without_bulk(bulk: dict[str, Any]) -> dict[str, Any]:
    """The same without a bulk where half of the spectrum, or all of it below the spikes, is next to nothing."""
    none = ("bulk_edge", "bulk_variance", "bulk_distance", "n_spikes", "spectral_gap", "visible_edge")
    empty = bulk["phase"] == Phase.RANK_COLLAPSE or bulk["bulk_variance"] == 0.0
    return bulk | dict.fromkeys(none, math.nan) if empty else bulk


def _causes(evidence: PhaseEvidence) -> dict[str, Any]:
    """What is left once norms and entries are taken out, and what the departure from untrained comes from."""
    quantities: dict[str, Any] = {
        "z_homogeneous": evidence.z_hill,
        "effect_homogeneous": evidence.effect,
        "z_bulk": evidence.z_bulk,
        "cause": evidence.cause,
    }
    if inhomogeneity := evidence.inhomogeneity:
        quantities |= {
            "row_norm_spread": inhomogeneity.row_spread,
            "col_norm_spread": inhomogeneity.col_spread,
            "slice_norm_spread": inhomogeneity.slice_spread,
            "kurtosis": inhomogeneity.kurtosis,
            "taken_out": inhomogeneity.taken_out,
        }
    total = sum(evidence.parts.values())
    return quantities | {f"share_{name}": part / total for name, part in evidence.parts.items() if total}


def tail_quantities(hill: PowerLawFit, ks: PowerLawFit) -> dict[str, Any]:
    """The fits of both exponents, by the names of their quantities."""
    return {
        "pl_alpha_hill": hill.alpha,
        "pl_alpha_ks": ks.alpha,
        "ks_distance": ks.ks_distance,
        "ks_xmin": ks.xmin,
        "tail_size": ks.tail_size,
    }


def bulk_quantities(evidence: PhaseEvidence) -> dict[str, Any]:
    """A phase and its evidence, by the names of their quantities."""
    return {
        "bulk_edge": evidence.law.edges[1],
        "bulk_variance": evidence.law.variance,
        "bulk_distance": evidence.bulk_distance,
        "n_spikes": evidence.n_spikes,
        "spectral_gap": evidence.spectral_gap,
        "phase": str(evidence.phase),
    }


def _sizes(spectrum: Tensor, matrix: WeightMatrix) -> dict[str, Any]:
    """How many eigenvalues there are; norms of the weights as they are; ranks, in which no scale is left."""
    factor = SLICE_FACTOR if matrix.slices > 1 else 1.0
    return {
        "n_eigenvalues": len(spectrum),
        "stable_rank": float(stable_rank(spectrum)),
        "effective_rank": effective_rank(spectrum),
        "spectral_norm": math.sqrt(float(spectrum[-1]) / factor),
        "frobenius_norm": math.sqrt(float(spectrum.sum()) / factor),
    }


def _fits(spectrum: Tensor, matrix: WeightMatrix) -> tuple[dict[str, Any], list[str]]:
    """Both exponents, and what a reader must know before trusting them."""
    shorter, longer = sorted((matrix.rows, matrix.cols))
    rounding = max(ROUNDING, 4 * stored_spacing(matrix.dtype) * math.sqrt(shorter / longer))
    hill, ks = hill_fit(spectrum, rounding=rounding), ks_fit(spectrum, rounding=rounding)
    notes = list(dict.fromkeys(note for note in (hill.note, ks.note) if note))
    if 0 < ks.tail_size < SHORT_TAIL:
        notes.append(f"{SHORT_TAIL_NOTE}{ks.tail_size} eigenvalues only")
    return tail_quantities(hill, ks) | {"tail_size": ks.tail_size or math.nan}, notes


def _kind_of_tail(
    spectrum: Tensor, matrix: WeightMatrix, measured: Mapping[str, Any], notes: list[str], seed: int
) -> dict[str, Any]:
    """What the tail is, how plausible, and what a power law above the KS threshold is against other laws."""
    evidence = tail_kind(spectrum, matrix.rows, matrix.cols, slices=matrix.slices, seed=seed)
    notes.extend(filter(None, [evidence.note]))
    kind: dict[str, Any] = {"tail_kind": evidence.kind, "tail_p": evidence.p_value}
    if math.isnan(measured.get("alpha_stderr", math.nan)) and evidence.kind not in (NONE, UNDECIDED):
        kind["alpha_stderr"] = evidence.ks_spread
    ratios = likelihood_ratios(spectrum, measured["ks_xmin"])
    return kind | {f"tail_ratio_{one.alternative.split()[0]}": one.ratio for one in ratios}


def _against_nulls(tail: Mapping[str, Any], matrix: WeightMatrix) -> dict[str, Any]:
    """The exponents of untrained matrices of the shape, and how far from them this one is."""
    nulls = nulls_of_shape(matrix.rows, matrix.cols, matrix.slices)
    alpha = tail["pl_alpha_hill"]
    z = nulls.hill.z(alpha)
    stderr = standard_error(tail["pl_alpha_ks"], KS_SPREAD) if abs(z) <= Z_UNLIKELY else math.nan
    effect = 1.0 / ((alpha - 1.0) * nulls.hill.log_spread)
    return null_quantities(matrix) | {"z_hill": z, "effect": effect, "alpha_stderr": stderr}


def null_quantities(matrix: WeightMatrix) -> dict[str, float]:
    """What is expected of untrained matrices of a shape; nulls that are not on the disk yet are simulated."""
    nulls = nulls_of_shape(matrix.rows, matrix.cols, matrix.slices)
    count = matrix.slices * min(matrix.rows, matrix.cols)  # the nulls of ranks are shares of it
    return {
        "null_alpha_hill": nulls.hill.alpha,
        "null_alpha_ks": nulls.alpha_ks,
        "null_spread_hill": nulls.hill.spread,
        "null_stable_rank": count * math.exp(nulls.stable_rank.mean),
        "null_spread_stable_rank": nulls.stable_rank.spread,
        "null_effective_rank": count * math.exp(nulls.effective_rank.mean),
        "null_spread_effective_rank": nulls.effective_rank.spread,
    }


def unmeasured_row(matrix: WeightMatrix, notes: list[str], measured: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A row with NaN wherever nothing was measured.

    Args:
        matrix: whose row it is.
        notes: why, beside what the matrix itself has to say.
        measured: what was.
    """
    row: dict[str, Any] = {"name": matrix.name} | {q.name: math.nan for q in of_row()}
    row |= {q.name: "" for q in of_row() if q.dtype is str} | labels(matrix)
    row |= {"n_eigenvalues": 0, "phase": str(Phase.UNKNOWN)} | dict(measured or {})
    return row | {"note": joined_notes(matrix.note, *notes)}


def has_null(matrix: WeightMatrix, n_eigenvalues: int) -> bool:
    """Whether there is a Gaussian matrix to compare with, and enough eigenvalues for a phase.

    Args:
        matrix: not read.
        n_eigenvalues: of its spectrum.
    """
    return not matrix.product and n_eigenvalues >= FEWEST_EIGENVALUES and min(matrix.rows, matrix.cols) > 1


def labels(matrix: WeightMatrix) -> dict[str, Any]:
    """What a recording says of a matrix beside its name."""
    own = {name: getattr(matrix, name) for name in MATRIX_LABELS if name != "tensor"}
    return own | {"tensor": tensor_of(matrix.name)}


def constant_quantities(matrix: WeightMatrix, nulls: bool) -> dict[str, Any]:
    """What of a matrix does not change while it trains: its name, labels and nulls."""
    quantities = {"name": matrix.name} | labels(matrix) | {q.name: math.nan for q in select("null")}
    if nulls and has_null(matrix, matrix.slices * min(matrix.rows, matrix.cols)):
        quantities |= null_quantities(matrix)
    return quantities


def measure_all(
    matrices: Sequence[WeightMatrix],
    nulls: bool,
    before: Sequence[Mapping[str, Any]] = (),
    measure: Callable[..., tuple[dict[str, Any], Tensor]] = measure_matrix,
) -> tuple[list[dict[str, Any]], list[Tensor]]:
    """A row and a spectrum of each; one that cannot be measured has a note and no spectrum.

    Args:
        matrices: of one model.
        nulls: whether to compare with Gaussian matrices.
        before: rows of the measurement before; a phase that weights had there is left more slowly than another is
            entered.
        measure: called with a matrix, and with `nulls` and `before` by name.
    """
    weights = [row for row in before if tensor_of(str(row["name"])) == "weights"]
    known = [row for row in weights if row["phase"] != Phase.UNKNOWN or math.isfinite(row.get("z_hill", math.nan))]
    phases = {row["name"]: str(row["phase"]) for row in known}
    rows, spectra = [], []
    for matrix in read_once(matrices):
        row, spectrum = measured_or_noted(matrix, partial(measure, nulls=nulls, before=phases.get(matrix.name, "")))
        rows.append(row)
        spectra.append(spectrum)
    return rows, spectra


def measured_or_noted(
    matrix: WeightMatrix, measure: Callable[[WeightMatrix], tuple[dict[str, Any], Tensor]]
) -> tuple[dict[str, Any], Float[Tensor, " k"]]:
    """A row and a spectrum; where that fails, for whatever reason, a row that says why, and no spectrum.

    Args:
        matrix: what to measure.
        measure: gives its row and spectrum.
    """
    try:
        return measure(matrix)
    except Exception as error:  # no memory, no convergence, a file that is gone: the other rows are worth more
        return not_measured(matrix, why_not(error, matrix)), torch.empty(0, dtype=torch.float64)


def not_measured(matrix: WeightMatrix, why: str) -> dict[str, Any]:
    """The row of a matrix that could not be measured."""
    return unmeasured_row(matrix, [NOT_MEASURED + why])
