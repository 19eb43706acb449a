"""What a two-layer run would have by chance: sim, KTA and overlaps of directions that know nothing of each other.

Completed from what its file holds, of which no bit changes. Not here: the formulas (`spectra/overlap_nulls`), and the
nulls of spectra (`row`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spectail.recording.layout import BESIDE_STEPS, beside
from spectail.recording.quantities import OVER, Quantity, quantity
from spectail.spectra.overlap_nulls import (
    OverlapNull,
    alignment_null,
    largest_overlap_null,
    leading_overlap_null,
    overlap_entropy_null,
    overlap_null,
    participation_ratio_null,
)
from spectail.spectra.overlaps import (
    WINDOW,
    leading_count,
    leading_overlap,
    overlap_entropy,
    participation_ratio,
    window_overlap,
)


def with_chance(run: xr.Dataset) -> xr.Dataset:
    """A two-layer run with the nulls of sim and KTA, and with what its overlaps say beside their entries.

    Args:
        run: a two-layer run; another recording is returned as it is.

    Returns:
        the same with the quantities of "teacher", "readout" and "pair…" that files do not hold. KTA's nulls are NaN
        where the run was made before they were kept.
    """
    run = with_null_alignments(run)
    if run.attrs.get("of") != "two-layer" or "pair" not in run.sizes:
        return run
    return _assigned(run, _of_overlaps(run, "left", int(run["rows"])) | _of_overlaps(run, "right", int(run["cols"])))


def with_null_alignments(run: xr.Dataset) -> xr.Dataset:
    """`with_chance` without overlaps: of sim and KTA alone, at no cost.

    Args:
        run: a run of the laboratory; another recording is returned as it is.
    """
    if run.attrs.get("of") not in ("two-layer", "multilayer"):
        return run
    steps, d = run.sizes["step"], int(np.ravel(run["cols"])[0])
    directions = int(json.loads(run.attrs["experiment"]).get("directions", 1))
    null = alignment_null(d) if directions == 1 else _length_of_projection(directions, d)
    values = {"null_alignment": np.full(steps, null.mean), "null_spread_alignment": np.full(steps, null.spread)}
    if "teacher_overlap" in run:
        values["null_teacher_overlap"] = np.full(steps, directions / d)
    for name in BESIDE_STEPS:
        of_steps = beside(run, name)
        if of_steps is not None and len(of_steps) == steps:
            values[name] = of_steps
        elif name in ("null_kta", "null_spread_kta"):
            values[name] = np.full(steps, np.nan)
    return _assigned(run, values)


def _length_of_projection(k: int, d: int) -> OverlapNull:
    """Mean and standard deviation of the length of a random unit vector's projection on k of d dimensions."""
    log_mean = math.lgamma((k + 1) / 2) - math.lgamma(k / 2) + math.lgamma(d / 2) - math.lgamma((d + 1) / 2)
    mean = math.exp(log_mean)
    spread = math.sqrt(max(k / d - mean**2, 0.0))
    return OverlapNull(mean, spread, mean - 2 * spread, mean + 2 * spread)


def _assigned(run: xr.Dataset, values: Mapping[str, NDArray[Any]]) -> xr.Dataset:
    described = {name: (OVER[quantity(name).of], value, quantity(name).attributes) for name, value in values.items()}
    return run.assign({name: variable for name, variable in described.items() if name not in run.variables})


def known_overlaps(run: xr.Dataset, pair: int, side: str) -> NDArray[np.float64]:
    """O of one pair of steps, NaN past the numerical rank of W or M: directions there are arbitrary.

    Args:
        run: a two-layer run with overlaps.
        pair: index of the pair.
        side: "left" or "right".

    Returns:
        (b × b); all of it where the run was made before ranks were kept, or only some of its pairs are here.
    """
    overlaps: NDArray[np.float64] = run[f"overlap_{side}"].values[pair].astype(np.float64)
    ranks = beside(run, "overlap_ranks")
    if ranks is not None and len(ranks) == run.sizes["pair"]:
        of_w, of_m = ranks[pair].tolist()
        overlaps[of_w:], overlaps[:, of_m:] = np.nan, np.nan
    return overlaps


class ChanceOfOverlaps(NamedTuple):
    """What independent directions would have in one matrix of overlaps.

    Attributes:
        mean: of an entry.
        largest: of the largest entry, on average.
    """

    mean: float
    largest: float


def overlaps_of_pair(run: xr.Dataset, pair: int, side: str) -> tuple[NDArray[np.float64], ChanceOfOverlaps]:
    """The overlaps of one pair of steps, NaN past a rank, and what independent directions would have.

    Args:
        run: a two-layer run with overlaps.
        pair: index of the pair.
        side: "left" or "right".
    """
    overlaps = known_overlaps(run, pair, side)
    return overlaps, chance_of_overlaps(overlaps, int(run["rows" if side == "left" else "cols"]))


def chance_of_overlaps(overlaps: ArrayLike, n: int) -> ChanceOfOverlaps:
    """What independent directions would have where overlaps are known.

    Args:
        overlaps: O (b × b), NaN past a rank.
        n: dimensions of the directions.

    >>> chance_of_overlaps([[1.0, 0.0], [0.0, math.nan]], 100).mean
    0.01
    """
    known = int(np.isfinite(overlaps).sum())
    return ChanceOfOverlaps(overlap_null(n).mean, largest_overlap_null(n, known).mean if known else math.nan)


OF_OVERLAPS = tuple(
    Quantity(name, head, text, null=f"null_{name}", head=head)
    for name, head, text in (
        ("largest", "largest", "largest overlap"),
        ("diagonal", "O_ii", "mean of the diagonal"),
        ("window", "± 5 ranks", "mean share of a row within ± 5 ranks"),
        ("subspace", "first 10", "share of the span of the ten strongest directions of W, or of half of them, within "
         "that of as many of M"),
        ("spread", "spread", "mean participation ratio of a row: over how many directions it spreads"),
        ("entropy", "entropy", "mean entropy of a row, in nats"),
    )
)  # fmt: skip
"""What `overlaps_in_numbers` says of each pair and side."""


def overlaps_in_numbers(run: xr.Dataset) -> list[dict[str, Any]]:
    """What the overlaps of each pair of steps say, left and right, with what independent directions would have.

    Args:
        run: a two-layer run; other recordings have none.

    Returns:
        a row a pair and side: its name and `OF_OVERLAPS`, over the directions that are known.
    """
    if not run.sizes.get("pair", 0):
        return []
    whole, rows = with_chance(run), []
    for pair, (s, t) in enumerate(zip(whole["w_step"].values.tolist(), whole["m_step"].values.tolist(), strict=True)):
        for side, role in (("left", "U"), ("right", "V")):
            matrix, chance = overlaps_of_pair(whole, pair, side)
            row: dict[str, Any] = {"name": f"O({role}_W{s}, {role}_M{t})"}
            row |= {"largest": largest_overlap(matrix), "null_largest": chance.largest}
            row |= {"diagonal": _mean(matrix.diagonal()), "null_diagonal": chance.mean}
            for end in ("window", "subspace", "spread", "entropy"):
                name = f"overlap_{side}_{end}"
                row |= {of + end: _mean(whole[of + name].values[pair]) for of in ("", "null_")}
            rows.append(row | {"spread": _mean(participation_ratio(matrix))})  # files hold it past the rank, too
    return rows


def _mean(values: ArrayLike) -> float:
    """Of what is known; NaN where nothing is."""
    there = np.asarray(values, dtype=np.float64)
    there = there[np.isfinite(there)]
    return float(there.mean()) if there.size else math.nan


def largest_overlap(overlaps: ArrayLike) -> float:
    """The largest entry of what is known; NaN where nothing is.

    >>> largest_overlap([[0.5, 0.0], [0.0, math.nan]])
    0.5
    """
    values = np.asarray(overlaps, dtype=np.float64)
    return float(np.nanmax(values)) if np.isfinite(values).any() else math.nan


def _of_overlaps(run: xr.Dataset, side: str, n: int) -> dict[str, NDArray[np.float64]]:
    """By the name of the quantity: what overlaps say, and what independent directions of n dimensions would have."""
    stack = np.stack([known_overlaps(run, pair, side) for pair in range(run.sizes["pair"])])
    b, k = stack.shape[1], leading_count(stack.shape[1])
    of_m = [int(np.isfinite(one).any(0).sum()) for one in stack]  # the length of a row
    name, rank = f"overlap_{side}", np.arange(b)
    windows = [np.clip(rank + WINDOW, None, m - 1) - np.maximum(rank - WINDOW, 0) + 1 for m in of_m]
    nulls = {
        "": [overlap_null(n).mean for _ in of_m],
        "_max": [chance_of_overlaps(one, n).largest for one in stack],
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
