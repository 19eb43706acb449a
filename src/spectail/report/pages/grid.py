"""The grid that the runs of a page make: the axes along which they differ, and where on them each run stands.

Not here: what a run shows (explorer.py), and how the grid is drawn (`grid.js`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spectail.recording.quantities import quantity
from spectail.store.varying import axes_of
from spectail.weights.parameter import natural_key

_TITLES = {"lr": "learning rate η", "h": "hidden units h", "d": "dimension d", "n": "training points n"}

LAYER = "matrix"
"""The name of the axis of matrices, which runs with several have."""


def grid_axes(runs: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """The axes of some runs, and the place of each run on each.

    Args:
        runs: the fields of each run that are not the same in all, with `LAYER` where these have several matrices.

    Returns:
        each axis as the script has it: name, title, values; and for each run its place on each axis.

    >>> axes, places = grid_axes([{"lr": 1.0, "n": 20}, {"lr": 0.1, "n": 20}, {"lr": 0.1, "n": 40}])
    >>> [axis["name"] for axis in axes], places
    (['n', 'lr'], [[0, 1], [0, 0], [1, 0]])
    """
    if not runs or not runs[0]:
        return [], [[] for _ in runs]
    names = [name for name in runs[0] if name != LAYER]
    axes, along = axes_of([{name: run[name] for name in names} for run in runs])
    if LAYER in runs[0]:
        axes[LAYER] = sorted({run[LAYER] for run in runs}, key=natural_key)
    places = {name: {value: at for at, value in enumerate(values)} for name, values in axes.items()}
    described = [
        {
            "name": name,
            "title": ", ".join([_TITLES.get(name, name), *(other for other, (of, _) in along.items() if of == name)]),
            "values": values,
        }
        for name, values in axes.items()
    ]
    return described, [[places[name][run[name]] for name in axes] for run in runs]


def described_quantities(names: Sequence[str]) -> list[dict[str, Any]]:
    """What can be drawn over a grid, as the script has it.

    Args:
        names: of quantities with a number at each step.
    """
    of_names = [quantity(name) for name in names]
    return [{"name": q.name, "title": q.symbol or q.name, "log": q.drawn == "log"} for q in of_names]
