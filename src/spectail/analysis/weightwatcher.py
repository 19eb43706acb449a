"""The table that WeightWatcher makes of a model, from an analysis: its columns and options.

`docs/weightwatcher.md` says where the two differ, and why. Not here: how a number is computed (`spectra`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spectail.analysis.pooling import SLICE_FACTOR
from spectail.errors import SettingError, SourceError, unknown_name
from spectail.recording.layout import each_matrix, eigenvalues_at
from spectail.spectra.precision import ZERO_SHARE
from spectail.spectra.tails import PowerLawFit
from spectail.spectra.truncated_power_law import truncated_power_law_fit
from spectail.spectra.weightwatcher_formulas import (
    clipped_fit,
    density_fit,
    ks_fit_within,
    log10_power_sum,
    matrix_entropy,
    matrix_rank,
    peak_of_logs,
    share_distance,
    unit_product_tail,
    vector_quantities,
)
from spectail.weights.matrix import ConvMatrix, WeightMatrix, read_once
from spectail.weights.opening import open_weights

if TYPE_CHECKING:
    import pandas as pd

_Array = NDArray[np.float64]

FITS = ("PL", "TPL", "E_TPL")
FINGERS = ("clip_xmax", "xmin_peak")

OVER_TRAINED, UNDER_TRAINED = 2.0, 6.0
"""WeightWatcher's thresholds of α, below and above which it warns."""

WEAK_RANK_LOSS = 1e-6
"""Below this an eigenvalue is counted in `weak_rank_loss`; it is no share, so the count depends on the scale of W."""

SUMMARISED = (
    "log_norm",
    "alpha",
    "alpha_weighted",
    "log_alpha_norm",
    "log_spectral_norm",
    "stable_rank",
    "mp_softrank",
)


def to_weightwatcher(
    analysis: Any,
    source: Any = None,
    *,
    fit: str = "PL",
    fix_fingers: str | None = None,
    max_fingers: int = 10,
    finger_thresh: float = 1.0,
    xmin_max: float | None = None,
    mp_fit: bool = False,
    detX: bool = False,
    vectors: bool = False,
    randomize: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """The table that WeightWatcher makes: its columns and options, one row a matrix, in the order of the analysis.

    Everything but `vectors` and `randomize` is computed from the eigenvalues that the analysis keeps.

    Args:
        analysis: what `spectail.analyze` gives.
        source: what was analysed, for `vectors` and `randomize`; None where neither is asked for.
        fit: "PL", a power law; "TPL", one that an exponential cuts off; "E_TPL", the same with a tail that begins about
            the peak of log λ.
        fix_fingers: None; "clip_xmax" leaves out the largest eigenvalues, as few as lower α by `finger_thresh`;
            "xmin_peak" begins the tail about the peak of log λ.
        max_fingers: how many may be left out.
        finger_thresh: by how much α must fall.
        xmin_max: where the tail begins at most, with "xmin_peak"; None for 1.5 times the peak.
        mp_fit: whether a Marchenko–Pastur law is fitted: `sigma_mp`, `mp_softrank`, `num_spikes`.
        detX: whether the tail whose eigenvalues have a product of one is counted: `detX_num`, `detX_val`, `ERG_gap`.
        vectors: whether singular vectors are measured: `tail_mean_part_ratio` and eleven more.
        randomize: whether entries are shuffled: `rand_distance`, `num_traps`, `max_rand_eval` and others.
        seed: of the shuffles; no global random state is touched.

    Returns:
        a table; `weightwatcher_summary` makes its averages. Where a matrix has no spectrum,
        `status` is "failed" and its numbers are NaN.

    Raises:
        SettingError: an option is not known, two exclude each other, or one needs the source.
        SourceError: the source is not what was analysed.

    >>> import spectail
    >>> from torch import nn
    >>> model = nn.Linear(30, 20)
    >>> table = spectail.analyze(model, nulls=False).to_weightwatcher(model, vectors=True)
    >>> table[["N", "M", "Q", "num_evals", "rank_loss"]].values.tolist()
    [[30.0, 20.0, 1.5, 20.0, 0.0]]
    """
    import pandas as pd

    _check(fit, fix_fingers, vectors or randomize, source)
    recording: xr.Dataset = analysis.recording
    matrices = _matrices(recording, source) if vectors or randomize else {}
    fingers = "xmin_peak" if fit == "E_TPL" else fix_fingers
    rows = []
    for one in each_matrix(recording):
        name, spectrum, sides = str(one["matrix"].item()), _spectrum(one), _sides(one)
        kind = str(one["kind"].item())
        row: dict[str, Any] = {"name": name, "longname": name.removesuffix(".weight")}
        row |= {"layer_type": "dense" if kind == "linear" else kind, "N": sides[0], "M": sides[1]}
        row |= {"rf": int(one["slices"]), "Q": sides[0] / sides[1], "num_evals": len(spectrum)}
        if len(spectrum) == 0 or spectrum[-1] <= 0:
            rows.append(row | {"status": "failed", "warning": ""})
            continue
        row |= _counts(spectrum)
        if fit != "PL":
            tail = _truncated(spectrum, fingers, xmin_max)
        elif fingers:
            tail = _fixed(spectrum, _stored_fit(one), fingers, max_fingers, finger_thresh, xmin_max)
        else:
            tail = _as_columns(_stored_fit(one), spectrum)
        row |= tail
        weights = _weights(matrices[name], one) if matrices else np.empty(0)
        if mp_fit:
            row |= _bulk(spectrum, sides, "")
        if vectors:
            row |= _vectors(weights, tail["num_pl_spikes"])
        if randomize:
            row |= _randomized(weights, spectrum, sides, np.random.RandomState([seed, crc32(name.encode())]))
        if detX:
            row |= _unit_product(spectrum, tail["num_pl_spikes"])
        rows.append(row | _norms(spectrum, tail["alpha"]))
    return pd.DataFrame(rows)


def weightwatcher_summary(details: pd.DataFrame) -> dict[str, float]:
    """The mean over all layers of the columns that WeightWatcher's `get_summary` averages, where they are there.

    Args:
        details: what `Analysis.to_weightwatcher` gives.

    >>> import spectail, torch
    >>> table = spectail.analyze({"w": torch.eye(30).cumsum(0)}, nulls=False).to_weightwatcher()
    >>> [*weightwatcher_summary(table)]
    ['log_norm', 'alpha', 'alpha_weighted', 'log_alpha_norm', 'log_spectral_norm', 'stable_rank']
    """
    return {name: float(details[name].mean()) for name in SUMMARISED if name in details}


def _check(fit: str, fix_fingers: str | None, needs_weights: bool, source: Any) -> None:
    if fit not in FITS:
        raise SettingError(unknown_name("fit", fit, FITS))
    if fix_fingers not in (None, *FINGERS):
        raise SettingError(unknown_name("fix_fingers", str(fix_fingers), FINGERS))
    if fit != "PL" and fix_fingers == "clip_xmax":
        raise SettingError(f"fix_fingers='clip_xmax' goes with fit='PL'; expected None or 'xmin_peak' with fit={fit!r}")
    if needs_weights and source is None:
        raise SettingError("vectors= and randomize= need the weights; expected the model that was analysed as well")


def _matrices(recording: xr.Dataset, source: Any) -> dict[str, WeightMatrix]:
    """The matrices of a recording by name, unread."""
    rows = {str(one["matrix"].item()): one for one in each_matrix(recording)}
    sliced = any(int(one["slices"]) > 1 for one in rows.values())
    weights = open_weights(source, ConvMatrix.KERNEL_SLICES if sliced else ConvMatrix.FLATTEN, heads=True)
    by_name = {one.name: one for one in read_once(one for one in weights.matrices if one.name in rows)}
    for name, one in rows.items():
        matrix = by_name.get(name)
        if matrix is None or (matrix.slices, matrix.rows, matrix.cols) != _shape(one):
            raise SourceError(f"{weights.title} has no {name} of the shape that was analysed")
    return by_name


def _weights(matrix: WeightMatrix, one: xr.Dataset) -> _Array:
    """Slices × rows × cols, scaled as WeightWatcher has them.

    Raises:
        SourceError: their norm is not that of what was analysed.
    """
    weights = matrix.load().detach().cpu().double().numpy()
    norm = float(one["frobenius_norm"].squeeze())
    if not math.isclose(float(np.linalg.norm(weights)), norm, rel_tol=1e-5):  # what other weights never are by chance
        raise SourceError(f"the weights of {matrix.name} are not those that were analysed: their norm is another")
    return np.asarray(weights * math.sqrt(_halved(one)))


def _shape(one: xr.Dataset) -> tuple[int, int, int]:
    return int(one["slices"]), int(one["rows"]), int(one["cols"])


def _sides(one: xr.Dataset) -> tuple[int, int]:
    """The longer and the shorter side: N and M."""
    _, rows, cols = _shape(one)
    return max(rows, cols), min(rows, cols)


def _halved(one: xr.Dataset) -> float:
    """The factor on squared weights: WeightWatcher halves those of all two-dimensional convolutions."""
    return SLICE_FACTOR if int(one["slices"]) > 1 or str(one["kind"].item()) == "conv2d" else 1.0


def _spectrum(one: xr.Dataset) -> _Array:
    """Eigenvalues as WeightWatcher scales them, ascending; what is stored of kernel slices is halved already."""
    factor = _halved(one) if int(one["slices"]) == 1 else 1.0
    return np.asarray(eigenvalues_at(one), dtype=np.float64) * factor


def _counts(spectrum: _Array) -> dict[str, Any]:
    return {
        "sv_max": math.sqrt(spectrum[-1]),
        "sv_min": math.sqrt(spectrum[0]),
        "rank_loss": len(spectrum) - matrix_rank(spectrum),
        "weak_rank_loss": int((spectrum < WEAK_RANK_LOSS).sum()),
        "lambda_max": float(spectrum[-1]),
    }


def _norms(spectrum: _Array, alpha: float) -> dict[str, float]:
    total, largest = float(spectrum.sum()), float(spectrum[-1])
    return {
        "norm": total,
        "log_norm": math.log10(total),
        "spectral_norm": largest,
        "log_spectral_norm": math.log10(largest),
        "alpha_weighted": alpha * math.log10(largest),
        "log_alpha_norm": log10_power_sum(spectrum, alpha),
        "stable_rank": total / largest,
        "matrix_rank": matrix_rank(spectrum),
        "entropy": matrix_entropy(spectrum),
    }


def _stored_fit(one: xr.Dataset) -> PowerLawFit:
    """The KS fit of the recording, which was made before the spectrum was rounded to be kept."""
    factor = _halved(one) if int(one["slices"]) == 1 else 1.0
    alpha, size = float(one["pl_alpha_ks"].squeeze()), one["tail_size"].squeeze()
    tail = 0 if np.isnan(alpha) else int(size)
    return PowerLawFit(alpha, float(one["ks_xmin"].squeeze()) * factor, tail, float(one["ks_distance"].squeeze()))


def _as_columns(fit: PowerLawFit, spectrum: _Array, clipped: int = 0) -> dict[str, Any]:
    warning = "over-trained" if fit.alpha < OVER_TRAINED else "under-trained" if fit.alpha > UNDER_TRAINED else ""
    return {
        "alpha": fit.alpha,
        "xmin": fit.xmin,
        "xmax": float(spectrum[-1 - clipped]),
        "D": fit.ks_distance,
        "sigma": (fit.alpha - 1.0) / math.sqrt(fit.tail_size) if fit.tail_size else math.nan,
        "num_pl_spikes": fit.tail_size + clipped,
        "status": "failed" if math.isnan(fit.alpha) else "success",
        "warning": warning,
    }


def _positive(spectrum: _Array) -> _Array:
    return np.asarray(spectrum[spectrum > spectrum[-1] * ZERO_SHARE])


def _around_the_peak(spectrum: _Array, xmin_max: float | None) -> tuple[float, float]:
    peak = peak_of_logs(spectrum)
    return 0.95 * peak, 1.5 * peak if xmin_max is None else xmin_max


def _fixed(
    spectrum: _Array, whole: PowerLawFit, fingers: str, max_fingers: int, finger_thresh: float, xmin_max: float | None
) -> dict[str, Any]:
    """A power law whose fingers are fixed."""
    positive = _positive(spectrum)
    if fingers == "xmin_peak":
        return _as_columns(ks_fit_within(positive, *_around_the_peak(positive, xmin_max)), spectrum)
    fit, clipped = clipped_fit(positive, whole, max_fingers, finger_thresh)
    return _as_columns(fit, spectrum, clipped) | {"num_fingers": clipped, "raw_alpha": whole.alpha}


def _truncated(spectrum: _Array, fingers: str | None, xmin_max: float | None) -> dict[str, Any]:
    """A truncated power law; `Lambda` is the rate of its exponential."""
    positive = _positive(spectrum)
    lowest, highest = _around_the_peak(positive, xmin_max) if fingers else (0.0, math.inf)
    fit = truncated_power_law_fit(positive, lowest=lowest, highest=highest)
    plain = PowerLawFit(fit.alpha, fit.xmin, fit.tail_size, fit.ks_distance, fit.note)
    return _as_columns(plain, spectrum) | {"sigma": fit.stderr, "Lambda": fit.rate}


def _bulk(spectrum: _Array, sides: tuple[int, int], of: str) -> dict[str, float]:
    fit = density_fit(spectrum, *sides)
    names = {
        "num_spikes": fit.spikes,
        "sigma_mp": fit.sigma,
        "mp_softrank": fit.soft_rank,
        "bulk_max": fit.edges[1],
        "bulk_min": fit.edges[0],
    }
    return {of + name: value for name, value in names.items()}


def _unit_product(spectrum: _Array, num_pl_spikes: int) -> dict[str, float]:
    tail = unit_product_tail(spectrum)
    first = float(spectrum[-tail]) if tail else math.nan
    return {"detX_num": tail, "detX_val": first, "num_ERG_spikes": tail, "ERG_gap": tail - num_pl_spikes}


def _vectors(weights: _Array, num_pl_spikes: int) -> dict[str, float]:
    """Means and variances over the vectors of the shorter side, below the tail and in it."""
    values, quantities = [], []
    for w in weights:
        u, singular, vh = np.linalg.svd(w, full_matrices=False)
        values.append(singular)
        quantities.append(vector_quantities(u if w.shape[0] <= w.shape[1] else vh.T))
    order = np.argsort(np.concatenate(values), kind="stable")
    columns: dict[str, float] = {}
    for name in quantities[0]:
        ordered = np.concatenate([one[name] for one in quantities])[order]
        bulk, tail = np.split(ordered, [len(ordered) - num_pl_spikes])
        for of, part in (("bulk", bulk), ("tail", tail)):
            columns[f"{of}_mean_{name}"] = float(part.mean()) if len(part) else math.nan
            columns[f"{of}_var_{name}"] = float(part.var()) if len(part) else math.nan
    return columns


_FEW, _REPLICAS = 100, 5  # with fewer eigenvalues than this, so many shuffles give the largest one and the traps


def _randomized(
    weights: _Array, spectrum: _Array, sides: tuple[int, int], generator: np.random.RandomState
) -> dict[str, float]:
    """The spectrum after the entries of each slice were shuffled."""

    def shuffled(replicas: int) -> _Array:
        values = []
        for w in [*weights] * replicas:
            entries = w.flatten()
            generator.shuffle(entries)
            values.append(np.linalg.svd(entries.reshape(w.shape), compute_uv=False) ** 2)
        return np.sort(np.concatenate(values))

    several = shuffled(_REPLICAS if len(spectrum) < _FEW else 1)
    once = shuffled(1)
    bulk = _bulk(several, sides, "rand_")
    return {
        "max_rand_eval": float(several[-1]),
        "rand_distance": share_distance(spectrum, once),
        "ww_softrank": float(once[-1] / spectrum[-1]),
        "ww_maxdist": float(spectrum[-1] - once[-1]),
        "num_traps": bulk["rand_num_spikes"],
        **bulk,
    }
