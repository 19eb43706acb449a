"""One row of the table: what the spectrum of one matrix says.

Here: a matrix becomes a row of quantities and a spectrum. Not here: how a quantity is computed (spectra/), and what it
is called (recording/quantities).
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from spectail.analysis.chance import with_chance
from spectail.analysis.null_cache import nulls_of_shape
from spectail.analysis.repetition import repetition
from spectail.analysis.shuffled import against_shuffles
from spectail.errors import SourceError, SpectailError
from spectail.recording.layout import MATRIX_LABELS, each_matrix, eigenvalues_at
from spectail.recording.quantities import OVER, of_row, select
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.eigen import eigenvalues_of_slices
from spectail.spectra.fixed_phases import classify_by_fixed_thresholds
from spectail.spectra.low_rank import eigenvalues_of_kronecker, eigenvalues_of_product
from spectail.spectra.margins import Margins, homogeneous
from spectail.spectra.norms import effective_rank, stable_rank
from spectail.spectra.nulls import KS_SPREAD, Z_UNLIKELY, standard_error
from spectail.spectra.phases import Phase, PhaseEvidence, judge
from spectail.spectra.precision import ZERO_SHARE
from spectail.spectra.single_precision import float32_eigenvalues
from spectail.spectra.spikes import fit_bulk, spectral_gap, visible_edge
from spectail.spectra.tail_laws import NONE
from spectail.spectra.tail_tests import UNDECIDED, likelihood_ratios, tail_kind
from spectail.spectra.tails import ROUNDING, PowerLawFit, hill_fit, ks_fit
from spectail.weights.matrix import WeightMatrix, joined_notes, read_once

FEWEST_EIGENVALUES = 10
"""Below this many eigenvalues a spectrum has no phase, and no null is worth its name."""

SHORT_TAIL = 50
"""A KS fit on fewer eigenvalues than this is noted (Clauset et al. 2009 find exponents unreliable below about 50)."""

_VANISHING = 1e-280  # an eigenvalue below which squares are no longer exact in float64

_SHARES = ("share_margins", "share_spikes", "share_correlation")

_EXPONENTS = ("pl_alpha_hill", "z_hill", "effect", "pl_alpha_ks", "ks_distance", "ks_xmin", "tail_size", "alpha_stderr")

# Phases of which copies among rows and columns may be the reason.
_HAS_A_REASON = (Phase.BULK_DECAY, Phase.HEAVY_TAILED, Phase.RANK_COLLAPSE, Phase.BIMODAL, Phase.UNKNOWN)


def measure_matrix(
    matrix: WeightMatrix, *, nulls: str | bool = "gaussian", tail: bool = False, seed: int = 0, before: str = ""
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

    Returns:
        the row, keyed by name and `quantities.of_row`: NaN where there is nothing to say, and then `note` says why;
        and the pooled eigenvalues in float64 on the CPU, none where there is no spectrum.
    """
    try:
        matrix = _loaded(matrix)
        spectra = slice_spectra(matrix)
    except SourceError:
        raise
    except ValueError as error:
        return _row(matrix, [str(error)]), torch.empty(0, dtype=torch.float64)
    spectrum = _pooled(spectra).cpu()
    if (
        matrix.factors is None
        and spectrum[-1] < _VANISHING
        and (largest := float(matrix.load().detach().abs().max())) > 0
    ):
        return _row_of_tiny(matrix, largest, nulls, tail, seed, before), torch.empty(0, dtype=torch.float64)
    compared = nulls and not matrix.product and matrix.factors is None and len(spectrum) >= FEWEST_EIGENVALUES
    judged = _judged(matrix, spectra.cpu()) if compared else None
    row = measure_spectrum(spectrum, matrix, judged, nulls=bool(nulls), tail=tail, seed=seed, before=before)
    if row["phase"] in _HAS_A_REASON and matrix.factors is None and spectrum[-1] > 0:
        why = repetition(matrix, _stored_spacing(matrix.dtype) or _EPS.get(matrix.dtype))
        row["note"] = joined_notes(why, row["note"])
    return row | (against_shuffles(matrix, row, seed) if nulls == "full" else {}), spectrum


def _loaded(matrix: WeightMatrix) -> WeightMatrix:
    """The same with its weights in memory, however often they are looked at; one known by its factors as it is."""
    if matrix.factors is not None:
        return matrix
    slices = matrix.load().detach()
    return matrix.with_values(lambda: slices)


class Judged(NamedTuple):
    """A matrix with norms and entries taken out: its pooled spectrum, the shape of a slice, and what was taken out."""

    spectrum: Float[Tensor, " k"]
    rows: int
    cols: int
    margins: Margins | None


def _judged(matrix: WeightMatrix, spectra: Float[Tensor, "s b"]) -> Judged:
    """What is judged of a matrix: slices of one scale, and of one norm a row and column where they had several."""
    weights = matrix.load().detach()
    scaled, margins = homogeneous(weights)
    shape = (matrix.rows, matrix.cols)
    if scaled is not None:
        fast = float32_eigenvalues(scaled)
        spectra = (eigenvalues_of_slices(scaled) if fast is None else fast).cpu()
        shape = (scaled.shape[1], scaled.shape[2])
    if len(spectra) > 1:
        means = spectra.mean(1, keepdim=True)
        spectra = spectra / torch.where(means > 0, means, 1.0)
    return Judged(spectra.flatten(), *shape, margins)


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


NOT_MEASURED = "not measured: "
"""What the note of a row begins with where something other than the weights themselves was in the way."""


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
    return _row(matrix, [NOT_MEASURED + why])


def bytes_needed(matrix: WeightMatrix) -> int:
    """About how much memory it takes at most to measure a matrix: as it is stored, and in float64 what is solved.

    Args:
        matrix: not read.

    Returns:
        bytes, without those of the interpreter.
    """
    shorter, longer = sorted((matrix.rows, matrix.cols))
    if matrix.factors is not None:
        return 64 * min(matrix.rank, shorter) * (matrix.rows + matrix.cols)
    copies = 2 if matrix.slices > 1 else 1  # a slice of a kernel lies scattered over all of it
    pooled = 24 * matrix.slices * shorter  # eigenvalues, sorted and compared
    return copies * bytes_stored(matrix) + max(8 * shorter * longer, 20 * shorter**2) + pooled


def bytes_stored(matrix: WeightMatrix) -> int:
    """How much memory the weights of a matrix take as they are stored."""
    each = {"float64": 8, "float32": 4, "": 4}.get(matrix.dtype, 2)
    if matrix.factors is not None:
        return each * matrix.rank * (matrix.rows + matrix.cols)
    return each * matrix.slices * matrix.rows * matrix.cols


def why_not(error: Exception, matrix: WeightMatrix) -> str:
    """One sentence on what was in the way, and what would help."""
    first = next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM or "memory" in first.lower():
        where, instead = (" on the device", "device cpu") if "CUDA" in first else ("", "fewer workers at once")
        return f"no memory{where}: it needs about {bytes_needed(matrix) / 2**30:.2g} GiB; {instead}, or more memory"
    return first if isinstance(error, SpectailError | OSError) and first else f"{type(error).__name__}: {first:.200}"


def measure_spectrum(
    spectrum: Float[Tensor, " k"],
    matrix: WeightMatrix,
    judged: Judged | None = None,
    *,
    nulls: bool = True,
    tail: bool = False,
    seed: int = 0,
    before: str = "",
) -> dict[str, Any]:
    """The row of a matrix whose pooled eigenvalues are known; arguments as for `measure_matrix`.

    Without `judged`, of which the phase is, it is that of the spectrum as it is.
    """
    largest = float(spectrum[-1])
    if largest == 0.0:
        return _row(matrix, ["all weights are zero"], _norms(spectrum, matrix))
    norms, rounding = _norms(spectrum, matrix), _rounding(spectrum, matrix)
    spectrum = torch.where(spectrum > max(ZERO_SHARE * largest, rounding), spectrum, 0.0)
    zeros = int((spectrum == 0).sum())
    measured, notes = _fits(spectrum, matrix)
    if zeros > 0.5 * len(spectrum):  # no median, and no tail above it
        measured, notes = dict.fromkeys(measured, math.nan), []
    measured |= norms
    if zeros:
        measured["effective_rank"] = effective_rank(spectrum)  # rounding would count, by its square root
        to_rounding = f" to the rounding of {matrix.dtype}" if rounding > ZERO_SHARE * largest else ""
        notes.append(f"{zeros} of {len(spectrum)} eigenvalues are zero{to_rounding}")
    if matrix.factors is not None and len(spectrum) < (shorter := min(matrix.rows, matrix.cols)):
        notes.append(f"the other {shorter - len(spectrum)} eigenvalues are zero")
    if matrix.product:
        return _row(matrix, ["a product of weights, of which no Gaussian matrix is a null: no phase", *notes], measured)
    if len(spectrum) < FEWEST_EIGENVALUES:
        count = f"{len(spectrum)} eigenvalue" + ("s" if len(spectrum) > 1 else "")
        return _row(matrix, [f"only {count}: no phase and no null", *notes], measured)
    if not nulls:
        evidence = classify_by_fixed_thresholds(spectrum, matrix.rows, matrix.cols)
        measured |= _without_collapsed(bulk_quantities(evidence) | {"visible_edge": evidence.visible_edge})
    else:
        measured |= _against_nulls(measured, matrix) | _phase(spectrum, matrix, judged, before, notes)
        if abs(measured["z_hill"]) < Z_UNLIKELY:
            measured |= dict.fromkeys(_SHARES, math.nan)
    if tail:
        measured |= _kind_of_tail(spectrum, matrix, measured, notes, seed)
    return _row(matrix, notes, measured)


def _rounding(spectrum: Tensor, matrix: WeightMatrix) -> float:
    """Below it eigenvalues are rounding of the stored weights, where half of them are; else 0."""
    eps = _EPS.get(matrix.dtype, 0.0)
    entry = float(spectrum.mean()) / max(matrix.rows, matrix.cols)  # mean square of one
    edge = eps**2 / 12.0 * MarchenkoPastur(matrix.rows, matrix.cols, entry).edges[1]
    return edge if float(spectrum[(len(spectrum) - 1) // 2]) < edge else 0.0


def _phase(
    spectrum: Tensor, matrix: WeightMatrix, judged: Judged | None, before: str, notes: list[str]
) -> dict[str, Any]:
    """The phase and its spikes, what it comes from, and the bulk of the spectrum as it is, which pictures draw."""
    shape = (judged.rows, judged.cols) if judged else (matrix.rows, matrix.cols)
    margins = judged.margins if judged else None
    nulls = nulls_of_shape(
        *shape, matrix.slices, normalised=judged is not None, balanced=bool(margins and margins.norms)
    )
    evidence = judge(
        spectrum, judged.spectrum if judged else spectrum, *shape, slices=matrix.slices, nulls=nulls, margins=margins,
        before=before,
    )  # fmt: skip
    notes.extend(filter(None, [evidence.note] if spectrum[(len(spectrum) - 1) // 2] > 0 else []))
    if evidence.equal:
        return dict.fromkeys(_EXPONENTS, math.nan) | _causes(evidence)
    law, n_past, edge = evidence.law, evidence.n_spikes, evidence.visible_edge
    if matrix.slices > 1 or (margins and margins.taken_out):
        law, n_past = fit_bulk(spectrum, matrix.rows, matrix.cols, slices=matrix.slices)
        edge *= law.variance / evidence.law.variance
    drawn = {
        "bulk_edge": law.edges[1],
        "bulk_variance": law.variance,
        "bulk_distance": law.distance(spectrum[: len(spectrum) - n_past]),
        "spectral_gap": spectral_gap(spectrum, law),
        "visible_edge": edge,
    }
    return _without_collapsed(bulk_quantities(evidence) | drawn) | _causes(evidence)


def _without_collapsed(bulk: dict[str, Any]) -> dict[str, Any]:
    """The same without a bulk where it holds next to nothing."""
    none = ("bulk_edge", "bulk_variance", "bulk_distance", "n_spikes", "spectral_gap", "visible_edge")
    return bulk | dict.fromkeys(none, math.nan) if bulk["phase"] == Phase.RANK_COLLAPSE else bulk


def _causes(evidence: PhaseEvidence) -> dict[str, Any]:
    """What is left once norms and entries are taken out, and what the departure from untrained comes from."""
    quantities: dict[str, Any] = {
        "z_homogeneous": evidence.z_hill,
        "effect_homogeneous": evidence.tail_spread,
        "z_bulk": evidence.z_bulk,
        "cause": evidence.cause,
    }
    if margins := evidence.margins:
        quantities |= {
            "row_norm_spread": margins.row_spread,
            "col_norm_spread": margins.col_spread,
            "slice_norm_spread": margins.slice_spread,
            "kurtosis": margins.kurtosis,
            "taken_out": margins.taken_out,
        }
    total = sum(evidence.parts.values())
    return quantities | {f"share_{name}": part / total for name, part in evidence.parts.items() if total}


def tail_quantities(hill: PowerLawFit, ks: PowerLawFit) -> dict[str, Any]:
    """What the fits of both exponents are called in a row."""
    return {
        "pl_alpha_hill": hill.alpha,
        "pl_alpha_ks": ks.alpha,
        "ks_distance": ks.ks_distance,
        "ks_xmin": ks.xmin,
        "tail_size": ks.tail_size,
    }


def bulk_quantities(evidence: PhaseEvidence) -> dict[str, Any]:
    """What a phase and its evidence are called in a row."""
    return {
        "bulk_edge": evidence.law.edges[1],
        "bulk_variance": evidence.law.variance,
        "bulk_distance": evidence.bulk_distance,
        "n_spikes": evidence.n_spikes,
        "spectral_gap": evidence.spectral_gap,
        "phase": str(evidence.phase),
    }


def _norms(spectrum: Tensor, matrix: WeightMatrix) -> dict[str, Any]:
    """Norms of the weights as they are, and ranks; no scale is left in the latter."""
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
    rounding = max(ROUNDING, 4 * _stored_spacing(matrix.dtype) * math.sqrt(shorter / longer))
    hill, ks = hill_fit(spectrum, rounding=rounding), ks_fit(spectrum, rounding=rounding)
    notes = list(dict.fromkeys(note for note in (hill.note, ks.note) if note))
    if 0 < ks.tail_size < SHORT_TAIL:
        notes.append(f"KS tail of {ks.tail_size} eigenvalues only")
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


def _row(matrix: WeightMatrix, notes: list[str], measured: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A row with NaN wherever nothing was measured."""
    row: dict[str, Any] = {"name": matrix.name} | {q.name: math.nan for q in of_row()}
    row |= {q.name: "" for q in of_row() if q.dtype is str} | labels(matrix)
    row |= {"n_eigenvalues": 0, "phase": str(Phase.UNKNOWN)} | dict(measured or {})
    return row | {"note": joined_notes(matrix.note, *notes)}


def labels(matrix: WeightMatrix) -> dict[str, Any]:
    """What a recording says of a matrix beside its name."""
    return {name: getattr(matrix, name) for name in MATRIX_LABELS if name != "tensor"} | {"tensor": "weights"}


SLICE_FACTOR = 0.5
"""On the eigenvalues of kernel slices: the convention that the paper's program inherits. No exponent feels it."""


def slice_spectra(matrix: WeightMatrix) -> Float[Tensor, "s b"]:
    """Eigenvalues of WᵀW of every slice of a matrix, each ascending.

    Args:
        matrix: what to read; its parameter is not changed.

    Returns:
        float64, on the device of the weights; those of several slices times `SLICE_FACTOR`. One spectrum, of as many
        as its rank, where a matrix is known by its factors.

    Raises:
        ValueError: a weight is NaN or inf.

    Source: paper §3.2; Zhou et al. (2023) for kernel slices.
    """
    if matrix.factors is not None:
        factors = matrix.factors()
        of = eigenvalues_of_kronecker if factors.kronecker else eigenvalues_of_product
        return of(factors.left, factors.right)[None]
    slices = matrix.load().detach()
    if len(slices) == 1:
        return eigenvalues_of_slices(slices, eps=_spacing(matrix.dtype))
    # a slice of a kernel lies scattered over all of it
    return eigenvalues_of_slices(slices.contiguous(), eps=_spacing(matrix.dtype)) * SLICE_FACTOR


def pooled_eigenvalues(matrix: WeightMatrix) -> Float[Tensor, " k"]:
    """The eigenvalues of `slice_spectra`, pooled, ascending: slices · min(rows, cols) values.

    Args:
        matrix: what to read.
    """
    return _pooled(slice_spectra(matrix))


def _pooled(spectra: Tensor) -> Tensor:
    return spectra[0] if len(spectra) == 1 else spectra.flatten().sort().values


_OWN_SPACING = ("", "float64", "float32", "bfloat16", "float16")

_EPS = {name: torch.finfo(getattr(torch, name)).eps for name in _OWN_SPACING if name}


def _spacing(stored: str) -> float:
    """The relative spacing of weights of 8 bits and less, however they are read: at least that of 16; else 0."""
    return 0.0 if stored in _OWN_SPACING else torch.finfo(torch.bfloat16).eps


def _stored_spacing(stored: str) -> float:
    """The relative spacing of weights of 16 bits and less; else 0."""
    return (
        torch.finfo(torch.float16).eps
        if stored == "float16"
        else _spacing(stored) or (torch.finfo(torch.bfloat16).eps if stored == "bfloat16" else 0.0)
    )


def constant_quantities(matrix: WeightMatrix, nulls: bool) -> dict[str, Any]:
    """What of a matrix does not change while it trains: its name, labels and nulls."""
    quantities = {"name": matrix.name} | labels(matrix) | {q.name: math.nan for q in select("null")}
    if nulls and not matrix.product and matrix.slices * min(matrix.rows, matrix.cols) >= FEWEST_EIGENVALUES:
        quantities |= null_quantities(matrix)
    return quantities


def measure_all(
    matrices: Sequence[WeightMatrix], nulls: bool, before: Sequence[Mapping[str, Any]] = ()
) -> tuple[list[dict[str, Any]], list[Tensor]]:
    """A row and a spectrum of each; one that cannot be measured has a note and no spectrum.

    Args:
        matrices: of one model.
        nulls: whether to compare with Gaussian matrices.
        before: rows of the measurement before, whose phases are left more slowly than others are entered.
    """
    known = [row for row in before if row["phase"] != Phase.UNKNOWN or math.isfinite(row.get("z_hill", math.nan))]
    phases = {row["name"]: str(row["phase"]) for row in known}
    rows, spectra = [], []
    for matrix in read_once(matrices):
        measure = partial(measure_matrix, nulls=nulls, before=phases.get(matrix.name, ""))
        row, spectrum = measured_or_noted(matrix, measure)
        rows.append(row)
        spectra.append(spectrum)
    return rows, spectra


def complete(recording: xr.Dataset) -> xr.Dataset:
    """Add the quantities that a recording lacks and its eigenvalues and shapes tell; nothing is guessed.

    Files of the first edition gain what they did not hold, two-layer runs their nulls, norms and ranks.

    Args:
        recording: of any kind.

    Returns:
        the same with every quantity of "spectrum" and "null"; NaN where eigenvalues do not tell; a two-layer run also
        with what it would have by chance (`chance`). As it is where
        spectra were not kept, or shapes are not known.

    >>> import spectail
    >>> run = spectail.simulate(spectail.Experiment(n=40, n_test=9, n_test_large=9, d=20, h=30, steps=1))
    >>> "z_hill" in run, complete(run)["z_hill"].dims
    (False, ('step',))
    """
    recording = with_chance(recording)
    missing = [q for q in select("null", "spectrum") if q.name not in recording.variables]
    if not missing or "eigenvalues" not in recording or not {"rows", "cols"} <= set(recording.coords):
        return recording
    rows = [[_from_spectrum(one, step) for step in range(one.sizes["step"])] for one in each_matrix(recording)]
    single = "matrix" not in recording.dims
    for q in missing:
        values = np.array([[row[q.name] for row in steps] for steps in rows], dtype=object).T
        values = values.astype(float) if q.dtype is not str else values
        table = values[0] if q.of == "null" else values
        dims = tuple(dim for dim in OVER[q.of] if not (single and dim == "matrix"))
        variable = (dims, table[..., 0] if single else table, q.attributes)
        recording = (
            recording.assign_coords({q.name: variable}) if q.of == "null" else recording.assign({q.name: variable})
        )
    return recording


def _from_spectrum(one: xr.Dataset, step: int) -> dict[str, Any]:
    """The row that a stored spectrum tells of."""
    rows, cols = int(one["rows"]), int(one["cols"])
    slices = int(one["slices"]) if "slices" in one.coords else 1
    kind = str(one["kind"].item()) if "kind" in one.coords else "weight"
    matrix = WeightMatrix(str(one["matrix"].item()), kind, rows, cols, slices, _unread)
    values = torch.from_numpy(eigenvalues_at(one, step))
    if not len(values):
        return _row(matrix, ["no spectrum was kept"])
    row = measure_spectrum(values, matrix)
    if "n_spikes" in one.data_vars:  # counted past three scales of the law, before thresholds came from draws
        law = MarchenkoPastur(rows, cols, float(one["bulk_edge"][step]) / MarchenkoPastur(rows, cols).edges[1])
        row["visible_edge"] = visible_edge(law)
    return row


def _unread() -> Tensor:
    raise AssertionError("a stored spectrum has no weights behind it")
