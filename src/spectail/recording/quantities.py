"""The table of quantities: everything that is measured, what it is called, what it means, how it is drawn.

Rows of an analysis, variables of recordings, axis labels, tables and pages are made from it. To add a quantity: an
entry here, its formula in `formulas.py`, its function in `spectra/`, and the line of `analysis/row.py` that calls it.
Not here: how anything is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from spectail.recording.formulas import FORMULAS

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True, slots=True)
class Quantity:
    """One thing that is measured.

    Attributes:
        name: of the variable, column and attribute, everywhere.
        symbol: on axes and in heads of pages, in Unicode; "" where it is never drawn.
        text: what it is, complete by itself.
        of: what it is measured from; this gives its dimensions (`OVER`) and the recordings that hold it (`HELD`).
            For a quantity of one's own: "spectrum", or "weights".
        unit: "1", "w" (of the weights), "w²" or "s".
        dtype: float, int or str. Whole numbers that may be missing are floats in a Dataset and Int64 in a frame.
        drawn: "linear", "log", "signed" (around zero) or "phase".
        head: of its column in tables; "" where it is shown only when asked for.
        null: the quantity that holds its value by chance, which tables show behind it in brackets.
        run: 2 where each two-layer file stores it, 3 where those do in which there is something to measure; 0 where it
            is completed when asked for.
        weightwatcher: its name in WeightWatcher's table; "" where that has no such column.
        formula: how it is computed; "" where it only says where something comes from.

    >>> Quantity("n_small", "k₀", "eigenvalues below 1e-4 of the largest", dtype=int).attributes
    {'long_name': 'eigenvalues below 1e-4 of the largest', 'units': '1', 'symbol': 'k₀'}
    """

    name: str
    symbol: str = ""
    text: str = ""
    of: str = "spectrum"
    unit: str = "1"
    dtype: type = float
    drawn: str = "linear"
    head: str = ""
    null: str = ""
    run: int = 0
    weightwatcher: str = ""
    formula: str = ""

    @property
    def attributes(self) -> dict[str, str]:
        """What a variable says of itself in a file; empty texts are left out."""
        said = {"long_name": self.text, "units": self.unit, "symbol": self.symbol, "head": self.head, "null": self.null}
        if self.drawn != "linear":
            said["drawn"] = self.drawn
        return {name: text for name, text in said.items() if text}


OVER: dict[str, tuple[str, ...]] = {
    "matrix": ("matrix",),
    "null": ("matrix",),
    "spectrum": ("step", "matrix"),
    "weights": ("step", "matrix"),
    "change": ("step", "matrix"),
    "base": ("step", "matrix"),
    "shuffles": ("step", "matrix"),
    "between": ("step", "matrix"),
    "content": ("step", "matrix"),
    "source": ("step",),
    "teacher": ("step",),
    "readout": ("step",),
    "update": ("step",),
    "clock": ("step",),
    "group": ("step", "group"),
    "training": ("update",),
    "pair": ("pair", "i", "j"),
    "pair_row": ("pair", "i"),
    "pair_all": ("pair",),
    "event": ("event",),
}
"""The dimensions of a quantity, by what it is measured from. In a two-layer run there is no dimension `matrix`."""

HELD = {
    "two-layer": ("matrix", "spectrum", "teacher", "readout", "update", "pair", "pair_row", "pair_all"),
    "multilayer": ("matrix", "null", "spectrum", "teacher", "readout", "update"),
    "monitor": ("matrix", "null", "spectrum", "between", "clock", "group", "event"),
    "series": ("matrix", "null", "spectrum", "change", "between", "shuffles", "content", "source", "event"),
    "training": ("matrix", "null", "spectrum", "clock", "group", "training"),
    "analysis": ("matrix", "null", "spectrum", "base", "shuffles"),
    "comparison": ("matrix", "null", "spectrum", "change", "shuffles"),
}
"""What the quantities of each kind of recording are measured from."""

Q = Quantity
# fmt: off


def _overlaps(side: str, role: str) -> tuple[Quantity, ...]:
    """What the overlaps of singular vectors on one side say, and what independent directions would have."""
    name, symbol = f"overlap_{side}", f"O({role}_W, {role}_M)"
    return (
        Q(name, symbol, f"{symbol} of W at w_step with the update M at m_step (App. C)", "pair", null=f"null_{name}",
          run=2),
        Q(f"{name}_max", "max O", f"largest entry of {symbol}", "pair_all", null=f"null_{name}_max", run=2),
        Q(f"{name}_diagonal", "O_ii", f"diagonal of {symbol}", "pair_row", null=f"null_{name}", run=2),
        Q(f"{name}_spread", "", f"participation ratio of each row of {symbol}", "pair_row",
          null=f"null_{name}_spread", run=2),
        Q(f"{name}_entropy", "", f"entropy of each row of {symbol}, as shares of its sum, in nats", "pair_row",
          null=f"null_{name}_entropy"),
        Q(f"{name}_window", "", f"share of each row of {symbol} within ± 5 ranks", "pair_row",
          null=f"null_{name}_window"),
        Q(f"{name}_subspace", "", "mean squared cosine of the principal angles between the leading 10 directions of W "
          f"and of M, {side}", "pair_all", null=f"null_{name}_subspace"),
        Q(f"null_{name}", "", f"mean entry of {symbol} for independent directions", "pair_all"),
        Q(f"null_{name}_max", "", f"mean of the largest entry of {symbol} for independent directions", "pair_all"),
        Q(f"null_{name}_spread", "", f"mean participation ratio of a row of {symbol} for independent directions",
          "pair_all"),
        Q(f"null_{name}_entropy", "", f"mean entropy of a row of {symbol} for independent directions", "pair_all"),
        Q(f"null_{name}_window", "", f"mean share of a row of {symbol} within ± 5 ranks for independent directions",
          "pair_row"),
        Q(f"null_{name}_subspace", "", f"mean of {name}_subspace for independent directions", "pair_all"),
    )


def _update_overlap(side: str, role: str) -> tuple[Quantity, ...]:
    """How far the strongest directions of an update are those of the weights, and what independent ones would have."""
    name = f"update_overlap_{side}"
    return (
        Q(name, f"φ({role}, {role}_ΔW)", f"share of the span of the ten strongest {side} singular vectors of W before, "
          "or of half of them, that lies in that of as many of the update", "between", head=f"W·ΔW {side}",
          null=f"null_{name}"),
        Q(f"null_{name}", "", f"mean of {name} for independent directions", "between"),
        Q(f"null_spread_{name}", "", f"standard deviation of {name} for independent directions", "between"),
    )


def _turned(side: str, role: str) -> tuple[Quantity, ...]:
    """How far the strongest directions on one side turned, and what independent ones would have."""
    small, top, leading = role.lower(), f"top_overlap_{side}", f"leading_overlap_{side}"
    return (
        Q(top, f"({small}·{small}′)²", f"squared cosine of the top {side} singular vectors before and after", "change",
          head=side, null=f"null_{top}"),
        Q(leading, f"φ({role}, {role}′)", f"share of the span of the ten strongest {side} singular vectors before, or "
          "of half of them, that lies in that of as many after", "change", head=f"{side}₁₀", null=f"null_{leading}"),
        Q(f"null_{top}", "", f"mean of {top} for independent directions", "change"),
        Q(f"null_spread_{top}", "", f"standard deviation of {top} for independent directions", "change"),
        Q(f"null_{leading}", "", f"mean of {leading} for independent directions", "change"),
        Q(f"null_spread_{leading}", "", f"standard deviation of {leading} for independent directions", "change"),
    )


_TABLE: tuple[Quantity, ...] = (
    Q("kind", "", "what the matrix is: linear, conv2d, embedding, …", "matrix", dtype=str, head="kind"),
    Q("rows", "", "rows of one matrix", "matrix", dtype=int, head="rows"),
    Q("cols", "", "columns of one matrix", "matrix", dtype=int, head="cols"),
    Q("slices", "", "matrices pooled into one spectrum", "matrix", dtype=int),
    Q("dtype", "", "how the weights are stored", "matrix", dtype=str),
    Q("tensor", "", "what of the parameter: weights, gradients, updates, momentum", "matrix", dtype=str),
    Q("null_alpha_hill", "α_H untrained", "typical Hill exponent of Gaussian matrices of the shape", "null"),
    Q("null_alpha_ks", "α_KS untrained", "typical KS exponent of Gaussian matrices of the shape", "null"),
    Q("null_spread_hill", "", "standard deviation of log(α_H − 1) over Gaussian matrices of the shape", "null"),
    Q("n_eigenvalues", "k", "eigenvalues in the spectrum", dtype=int, weightwatcher="num_evals"),
    Q("pl_alpha_hill", "α_H", "power-law exponent of the upper half of the spectrum (Hill)", head="Hill",
      null="null_alpha_hill", run=2),
    Q("z_hill", "z_H", "standard deviations of log(α_H − 1) from an untrained matrix; negative: heavier tail",
      drawn="signed", head="z"),
    Q("effect", "effect", "spread of log λ above the median, 1/(α_H − 1), over that of untrained matrices; "
      "1 as untrained, 2 twice as wide", drawn="log", head="effect"),
    Q("effect_homogeneous", "effect⁰", "effect once norms of rows, columns, slices and the law of the entries are "
      "taken out", drawn="log"),
    Q("z_homogeneous", "z_H⁰", "z_H once norms of rows, columns, slices and the law of the entries are taken out",
      drawn="signed"),
    Q("z_bulk", "z_bulk", "sphericity of the bulk below the spikes, in standard deviations of untrained matrices",
      drawn="signed"),
    Q("cause", "", "the largest part of the departure from untrained: entries, norms, spikes, correlation", dtype=str,
      head="cause"),
    Q("share_norms_and_entries", "", "share of log effect that unequal norms and heavy entries explain"),
    Q("share_spikes", "", "share of log effect that the spikes explain"),
    Q("share_correlation", "", "share of log effect that is left: correlated entries"),
    Q("row_norm_spread", "", "standard deviation of the norms of rows over their mean, beyond chance"),
    Q("col_norm_spread", "", "standard deviation of the norms of columns over their mean, beyond chance"),
    Q("slice_norm_spread", "", "standard deviation of the norms of slices over their mean, beyond chance"),
    Q("kurtosis", "κ", "kurtosis of the entries once norms are taken out; 3 if Gaussian", drawn="log"),
    Q("pl_alpha_ks", "α_KS", "power-law exponent of the tail with the smallest KS distance", drawn="log", head="KS",
      null="null_alpha_ks", run=2, weightwatcher="alpha"),
    Q("ks_distance", "D", "Kolmogorov–Smirnov distance between the KS tail and its power law", run=2,
      weightwatcher="D"),
    Q("ks_xmin", "x_min", "smallest eigenvalue of the KS tail", unit="w²", drawn="log", run=2, weightwatcher="xmin"),
    Q("tail_size", "k_tail", "eigenvalues in the KS tail", dtype=int, run=2,
      weightwatcher="num_pl_spikes"),
    Q("alpha_stderr", "", "standard error of α_KS: over untrained matrices of the shape where this looks like one, "
      "else over matrices with its kind of tail, where that was asked for"),
    Q("tail_kind", "", "what the tail follows: none, power law, truncated power law, lognormal, exponential", dtype=str,
      head="tail is"),
    Q("tail_p", "p", "share of matrices drawn with the law of the tail that lie as far from it", head="p"),
    Q("tail_ratio_lognormal", "", "Vuong's normalised ratio of a power law above x_min to a lognormal; "
      "negative: the lognormal fits better"),
    Q("tail_ratio_exponential", "", "Vuong's normalised ratio of a power law above x_min to an exponential"),
    Q("tail_ratio_truncated", "", "Vuong's normalised ratio of a power law above x_min to a truncated one"),
    Q("bulk_edge", "λ₊", "upper edge of the Marchenko–Pastur law fitted to the eigenvalues below the spikes", unit="w²",
      drawn="log", run=2),
    Q("bulk_variance", "v", "entry variance of the fitted Marchenko–Pastur law", unit="w²", drawn="log", run=2),
    Q("bulk_distance", "D_MP", "KS distance of the eigenvalues below the spikes from the fitted Marchenko–Pastur law",
      run=2),
    Q("n_spikes", "spikes", "eigenvalues past the visible edge, once norms and entries are taken out", dtype=int,
      head="spikes", run=2),
    Q("visible_edge", "λ visible", "edge that the largest eigenvalue of 1 in 500 untrained matrices passes; past it "
      "eigenvalues are spikes (two-layer runs, and rows without nulls: λ₊ and three Tracy–Widom scales)", unit="w²",
      drawn="log"),
    Q("taken_out", "", "what was taken out before spikes were counted and the phase was judged: norms, entries",
      dtype=str),
    Q("spectral_gap", "λ₁/λ₊", "largest eigenvalue over the bulk's edge", drawn="log", head="λ₁/λ₊", run=2),
    Q("stable_rank", "stable rank", "squared Frobenius norm over squared spectral norm", drawn="log", head="rank",
      null="null_stable_rank", run=2, weightwatcher="stable_rank"),
    Q("null_stable_rank", "", "typical stable rank of Gaussian matrices of the shape", "null"),
    Q("null_spread_stable_rank", "", "standard deviation of the logarithm of stable ranks of Gaussian matrices of the "
      "shape", "null"),
    Q("effective_rank", "effective rank", "exponential of the entropy of the singular values' shares", drawn="log",
      null="null_effective_rank"),
    Q("null_effective_rank", "", "typical effective rank of Gaussian matrices of the shape", "null"),
    Q("null_spread_effective_rank", "", "standard deviation of the logarithm of effective ranks of Gaussian matrices "
      "of the shape", "null"),
    Q("spectral_norm", "‖W‖₂", "largest singular value", unit="w", drawn="log"),
    Q("frobenius_norm", "‖W‖_F", "root of the sum of squares", unit="w", drawn="log"),
    Q("phase", "phase", "phase of the spectrum", dtype=str, drawn="phase", head="phase", run=2),
    Q("note", "", "why quantities are NaN, and what to know before trusting them", dtype=str, run=2),
    *_turned("left", "U"),
    *_turned("right", "V"),
    Q("wasserstein", "W₁", "mean distance by which log λ moved from before to after (Wasserstein-1)", "change"),
    Q("wasserstein_shape", "W₁ shape", "the least mean distance by which log λ moved, over all scales of the weights",
      "change"),
    Q("jensen_shannon", "JS", "Jensen–Shannon distance of the densities of log λ before and after: 0 alike, 1 apart",
      "change"),
    Q("jensen_shannon_shape", "JS shape",
      "Jensen–Shannon distance of the densities of log λ, on the scale that moves log λ least", "change"),
    Q("n_intruders", "intruders", "of the ten strongest left singular vectors of W₀ + ΔW, those whose largest |cosine| "
      "with any of the base W₀ is below 0.5", "base", dtype=int, head="intruders"),
    Q("least_base_cosine", "min cos", "the smallest, of the ten strongest left singular vectors of W₀ + ΔW, of the "
      "largest |cosine| with any of the base W₀", "base", head="cos"),
    Q("base_overlap_left", "φ(U)", "share of the span of ΔW's ten strongest left singular vectors, or of all, within "
      "that of the ten strongest of the base W₀", "base", head="φ(U)"),
    Q("base_overlap_right", "φ(V)", "share of the span of ΔW's ten strongest right singular vectors, or of all, within "
      "that of the ten strongest of the base W₀", "base", head="φ(V)"),
    Q("explained_by", "", "what shuffles say the departure from untrained is due to: entries; norms of slices, rows, "
      "columns or both (norms); or dependence between entries", "shuffles", dtype=str, head="due to"),
    Q("n_shuffles", "", "shuffles of each kind", "shuffles", dtype=int),
    Q("share_entries", "", "of share_norms_and_entries, what the law of the entries explains: shuffles of all entries "
      "still have it", "shuffles"),
    Q("share_norms", "", "of share_norms_and_entries, what unequal norms explain: the rest", "shuffles"),
    Q("z_shuffled", "z_H shuffled", "standard deviations of log(α_H − 1) from that of the same entries in random order",
      "shuffles", drawn="signed"),
    Q("z_within_slices", "z_H in slices", "standard deviations of log(α_H − 1) from that of entries in "
      "random order within each slice", "shuffles", drawn="signed"),
    Q("z_within_rows", "z_H in rows", "standard deviations of log(α_H − 1) from that of entries in "
      "random order within each row", "shuffles", drawn="signed"),
    Q("z_within_cols", "z_H in columns", "standard deviations of log(α_H − 1) from that of entries in "
      "random order within each column", "shuffles", drawn="signed"),
    Q("effect_shuffled", "effect shuffled", "spread of log λ above the median over that of the same entries in "
      "random order", "shuffles", drawn="log"),
    Q("effect_within_slices", "effect in slices", "spread of log λ above the median over that of entries in "
      "random order within each slice", "shuffles", drawn="log"),
    Q("effect_within_rows", "effect in rows", "spread of log λ above the median over that of entries in "
      "random order within each row", "shuffles", drawn="log"),
    Q("effect_within_cols", "effect in columns", "spread of log λ above the median over that of entries in "
      "random order within each column", "shuffles", drawn="log"),
    *_update_overlap("left", "U"),
    *_update_overlap("right", "V"),
    Q("content", "", "hash of the weights that were measured; equal where they did not change", "content", dtype=str),
    Q("alignment", "sim(W, β*)", "|v₁·β*|, v₁ the top right singular vector of W", "teacher", head="sim",
      null="null_alignment", run=2),
    Q("null_alignment", "sim by chance", "mean |v·β*| of a direction v that is independent of β*", "teacher"),
    Q("null_spread_alignment", "", "standard deviation of |v·β*| of a direction independent of β*", "teacher"),
    Q("teacher_overlap", "φ(V, B)", "share of the span of the teacher's K directions within that of the K strongest "
      "right singular vectors of W", "teacher", head="φ(V, B)", null="null_teacher_overlap", run=3),
    Q("null_teacher_overlap", "", "mean of teacher_overlap for independent directions", "teacher"),
    Q("train_loss", "train loss", "readout loss on the hold-out set, (1/n)‖ȳ − Z̄ᵀâ‖² (eq. 6)", "readout", head="train",
      run=2),
    Q("test_loss", "test loss, n_test", "readout loss on the n_test test points", "readout", run=2),
    Q("test_loss_large", "test loss", "readout loss on the n_test_large further test points", "readout", head="test",
      run=2),
    Q("kta", "KTA", "kernel–target alignment of the hidden features (eq. 7)", "readout", head="KTA",
      null="null_kta", run=2),
    Q("null_kta", "KTA by chance", "mean KTA of the same features with shuffled labels", "readout"),
    Q("null_spread_kta", "", "standard deviation of KTA with shuffled labels", "readout"),
    Q("objective", "objective", "training objective, loss_factor/n ‖y − f(X)‖², before the update", "update",
      drawn="log", head="objective", run=2),
    Q("update_norm_2", "‖M‖₂", "spectral norm of the update M that led to this step", "update", unit="w", drawn="log",
      run=2),
    Q("update_norm_fro", "‖M‖_F", "Frobenius norm of the update M that led to this step", "update", unit="w",
      drawn="log", run=2),
    Q("sharpness", "λ_max(H)", "largest curvature of the objective: top eigenvalue of the Gauss–Newton part of its "
      "Hessian", "update", drawn="log"),
    Q("stability", "η λ_max(P⁻¹H) / bearable", "largest curvature that the update sees, over what it bears before "
      "steps grow: 2/η for descent, 38/η for Adam; above 1 unstable", "update", drawn="log"),
    Q("update_lr", "η", "learning rate of the update that led to this step", "update", drawn="log", run=2),
    *_overlaps("left", "U"),
    *_overlaps("right", "V"),
    Q("cross_entropy", "loss", "mean cross-entropy over all samples, after so many updates", "training", drawn="log",
      head="loss"),
    Q("accuracy", "accuracy", "share of the samples classified rightly, after so many updates", "training",
      head="accuracy"),
    Q("squared_error", "loss", "mean squared error over all samples, after so many updates", "training", drawn="log",
      head="loss"),
    Q("test_accuracy", "test accuracy", "accuracy on samples that are not trained on, after so many updates",
      "training", head="test accuracy"),
    Q("test_squared_error", "test loss", "mean squared error over samples that are not trained on, after so many "
      "updates", "training", drawn="log", head="test loss"),
    Q("lr", "η", "learning rate of each group of parameters", "group", drawn="log"),
    Q("measuring_seconds", "", "time that the measurement took", "clock", unit="s"),
    Q("training_seconds", "", "training since the monitor was attached", "clock", unit="s"),
    Q("source", "", "where the weights of the step were read", "source", dtype=str),
    Q("source_stamp", "", "its files, their bytes, and when they were written", "source", dtype=str),
    Q("event_step", "", "step at which it was noticed", "event", dtype=int),
    Q("event_matrix", "", "matrix that it is about", "event", dtype=str),
    Q("event_kind", "", "alert, replaced, added, removed", "event", dtype=str),
    Q("event_text", "", "what happened, in a sentence", "event", dtype=str),
)
# fmt: on

QUANTITIES = tuple(replace(entry, formula=FORMULAS.get(entry.name, entry.formula)) for entry in _TABLE)
"""All quantities, in the order in which tables show them. No name stands twice."""


def select(*of: str) -> list[Quantity]:
    """The quantities that are measured from one of these, in the order of the table."""
    return [q for q in QUANTITIES if q.of in of]


def of_row(extra: Iterable[Quantity] = ()) -> list[Quantity]:
    """What a row of one matrix holds beside its name; `extra` are a user's own."""
    return [*select("matrix", "null", "spectrum"), *extra]


def stored_in_runs() -> list[Quantity]:
    """What each file of a two-layer run holds over `step`."""
    return [q for q in QUANTITIES if q.run == 2 and OVER[q.of][0] == "step"]


def stored_in_some_runs() -> list[Quantity]:
    """What the file of a two-layer run holds over `step` where there is something to measure."""
    return [q for q in QUANTITIES if q.run == 3]


def quantity(name: str, attributes: Mapping[str, Any] | None = None) -> Quantity:
    """A quantity by its name: of the table, or as a variable's attributes describe it.

    Args:
        name: of the variable.
        attributes: of the variable, for a quantity that is a user's own.

    >>> quantity("pl_alpha_hill").symbol
    'α_H'
    """
    for known in QUANTITIES:
        if known.name == name:
            return known
    said = attributes or {}
    texts: dict[str, Any] = {key: str(said[key]) for key in ("symbol", "head", "drawn", "null") if key in said}
    text = str(said.get("long_name", name.replace("_", " ")))
    return Quantity(name, **{"symbol": name.replace("_", " "), **texts}, text=text, unit=str(said.get("units", "1")))


def quantities_of(recording: xr.Dataset) -> list[Quantity]:
    """The quantities that a recording holds, in the order of the table; a user's own come last.

    Args:
        recording: of any kind.
    """
    labels = {
        "step",
        "matrix",
        "update",
        "index",
        "eigenvalues",
        "w_step",
        "m_step",
        "ck_eigenvalues",
        "ntk_eigenvalues",
    }
    known = [q for q in QUANTITIES if q.name in recording.variables]
    own = [str(name) for name in recording.data_vars if name not in labels | {q.name for q in known}]
    return [*known, *(quantity(name, recording[name].attrs) for name in own)]


def quantities() -> pd.DataFrame:
    """The table of quantities, one row each, by name.

    Returns:
        the attributes of `Quantity` as columns, and `dimensions`, those of a recording.

    >>> quantities().loc["n_spikes", "head"]
    'spikes'
    """
    import pandas as pd

    names = [field.name for field in fields(Quantity)]
    rows = [{name: getattr(q, name) for name in names} | {"dimensions": OVER[q.of]} for q in QUANTITIES]
    frame = pd.DataFrame(rows, columns=[*names, "dimensions"]).set_index("name")
    return frame.assign(dtype=[dtype.__name__ for dtype in frame["dtype"]])
