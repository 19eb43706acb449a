"""A row beside shuffles of its matrix: what is left of the departure from untrained, and what that says.

Not here: the shuffles (`spectra.shuffles`).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

from spectail.spectra.nulls import Z_UNLIKELY
from spectail.spectra.shuffles import ShuffledNull, shuffled_nulls
from spectail.weights.matrix import WeightMatrix

_SHARE_LEFT = 1 / 3  # of log effect: a shuffle that leaves more explains little, however few standard deviations it is

_EXPLANATIONS = {
    "shuffled": "entries",
    "within_slices": "slices",
    "within_rows": "rows",
    "within_cols": "columns",
}


def against_shuffles(matrix: WeightMatrix, row: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The quantities of a row that come from shuffles; the same for the same matrix whenever it is asked.

    Args:
        matrix: as it was measured.
        row: of it.
        seed: of the shuffles, with the name and the shape of the matrix.

    Returns:
        NaN where there is no null to compare with, which the row's note says, and for a matrix that is known by its
        factors, whose entries have no order.
    """
    lacking: dict[str, Any] = {"n_shuffles": math.nan, "explained_by": ""}
    lacking |= {"share_entries": math.nan, "share_norms": math.nan}
    lacking |= {f"{what}_{name}": math.nan for what in ("z", "effect") for name in _EXPLANATIONS}
    alpha = row["pl_alpha_hill"]
    if matrix.factors is not None or math.isnan(row["z_hill"]):
        return lacking
    of_this = f"{seed} {matrix.name} {matrix.slices}×{matrix.rows}×{matrix.cols}"
    nulls = shuffled_nulls(matrix.load(), seed=zlib.crc32(of_this.encode()))
    quantities: dict[str, Any] = {"n_shuffles": next((null.draws for null in nulls.values()), math.nan)}
    for name, null in nulls.items():
        quantities |= {f"z_{name}": null.z(alpha), f"effect_{name}": null.effect(alpha)}
    return lacking | quantities | _shares(row, nulls) | {"explained_by": _explanation(row, nulls)}


def _shares(row: Mapping[str, Any], nulls: Mapping[str, ShuffledNull]) -> dict[str, float]:
    """What of the share of norms and entries is that of the entries, which shuffles of all of them still have."""
    both = row["share_norms_and_entries"]
    if both == 0.0:  # neither was taken out
        return {"share_entries": 0.0, "share_norms": 0.0}
    if math.isnan(both) or (null := nulls.get("shuffled")) is None:
        return {}
    entries = 1.0 - math.log(null.effect(row["pl_alpha_hill"])) / math.log(row["effect"])
    return {"share_entries": entries, "share_norms": both - entries}


def _explanation(row: Mapping[str, Any], nulls: Mapping[str, ShuffledNull]) -> str:
    """What explains the departure: what is kept by the shuffle that keeps least of those that leave nothing to explain.

    "norms" where only the norms of rows and columns together leave nothing, "dependence" where no shuffle does.
    """
    if abs(row["z_hill"]) < Z_UNLIKELY:
        return ""
    alpha, departure = row["pl_alpha_hill"], abs(math.log(row["effect"]))
    for name, word in _EXPLANATIONS.items():
        if (null := nulls.get(name)) is None or not abs(null.z(alpha)) < Z_UNLIKELY:
            continue
        if abs(math.log(null.effect(alpha))) < _SHARE_LEFT * departure:
            return word
    return "norms" if abs(row["z_homogeneous"]) < Z_UNLIKELY else "dependence"
