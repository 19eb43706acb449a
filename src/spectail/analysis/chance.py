"""What a two-layer run would have by chance: sim, KTA and overlaps of directions that know nothing of each other.

Completed from what its file holds, of which no bit changes. Not here: the formulas (`spectra/overlap_nulls`), and the
nulls of spectra (`row`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spectail.recording.layout import beside
from spectail.recording.quantities import OVER, quantity
from spectail.spectra.overlap_nulls import (
    alignment_null,
    largest_overlap_null,
    leading_overlap_null,
    overlap_entropy_null,
    overlap_null,
    participation_ratio_null,
)
from spectail.spectra.overlaps import (
    WINDOW,
    leading_overlap,
    overlap_entropy,
    window_overlap,
)

SUBSPACE = 10
"""The leading directions whose common subspace is compared; fewer where there are fewer."""


def with_chance(run: xr.Dataset) -> xr.Dataset:
    """A two-layer run with the nulls of sim and KTA, and with what its overlaps say beside their entries.

    Args:
        run: a two-layer run; another recording is returned as it is.

    Returns:
        the same with the quantities of "teacher", "readout" and "pair…" that files do not hold. KTA's nulls are NaN
        where the run was made before they were kept.
    """
    if run.attrs.get("of") != "two-layer":
        return run
    steps, null = run.sizes["step"], alignment_null(int(run["cols"]))
    values: dict[str, Any] = {"null_alignment": np.full(steps, null.mean)}
    values["null_spread_alignment"] = np.full(steps, null.spread)
    for name in ("null_kta", "null_spread_kta"):
        kept = beside(run, name)
        values[name] = np.full(steps, np.nan) if kept is None or len(kept) != steps else kept
    if "pair" in run.sizes:
        for side, n in (("left", int(run["rows"])), ("right", int(run["cols"]))):
            values |= _of_overlaps(run, side, n)
    described = {name: (OVER[quantity(name).of], value, quantity(name).attributes) for name, value in values.items()}
    return run.assign({name: variable for name, variable in described.items() if name not in run.variables})


def known_overlaps(run: xr.Dataset, pair: int, side: str) -> NDArray[np.float64]:
    """O of one pair of steps, NaN past the numerical rank of W or M: directions there are arbitrary.

    Args:
        run: a two-layer run with overlaps.
        pair: index of the pair.
        side: "left" or "right".

    Returns:
        (b × b); all of it where the run was made before ranks were kept.
    """
    overlaps: NDArray[np.float64] = run[f"overlap_{side}"].values[pair].astype(np.float64)
    if (ranks := beside(run, "overlap_ranks")) is not None:
        of_w, of_m = ranks[pair].tolist()
        overlaps[of_w:], overlaps[:, of_m:] = np.nan, np.nan
    return overlaps


def _of_overlaps(run: xr.Dataset, side: str, n: int) -> dict[str, NDArray[np.float64]]:
    """By the name of the quantity: what overlaps say, and what independent directions of n dimensions would have."""
    stack = np.stack([known_overlaps(run, pair, side) for pair in range(run.sizes["pair"])])
    b, k = stack.shape[1], min(SUBSPACE, stack.shape[1])
    of_m = [int(np.isfinite(one).any(0).sum()) for one in stack]  # the length of a row
    name, rank = f"overlap_{side}", np.arange(b)
    windows = [np.clip(rank + WINDOW, None, m - 1) - np.maximum(rank - WINDOW, 0) + 1 for m in of_m]
    nulls = {
        "": [overlap_null(n).mean for _ in of_m],
        "_max": [largest_overlap_null(n, b * b).mean for _ in of_m],
        "_spread": [participation_ratio_null(m).mean if m else np.nan for m in of_m],
        "_entropy": [overlap_entropy_null(m).mean if m else np.nan for m in of_m],
        "_window": [
            np.maximum(window, 0) / m if m else np.full(b, np.nan) for window, m in zip(windows, of_m, strict=True)
        ],
        "_subspace": [leading_overlap_null(n, k).mean for _ in of_m],
    }
    measured = {
        f"{name}_entropy": overlap_entropy(stack).numpy(),
        f"{name}_window": window_overlap(stack, share=True).numpy(),
        f"{name}_subspace": leading_overlap(stack, k).numpy(),
    }
    return measured | {f"null_{name}{end}": np.array(values) for end, values in nulls.items()}
