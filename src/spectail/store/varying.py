"""What differs between runs: the axes of the grid that they make, in an order that suits eyes.

Not here: what was measured along them (results.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import CONVENTIONS


def plain_fields(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an experiment as values that can label an axis: lists and tables as JSON.

    >>> plain_fields({"lr": 0.1, "layers": [20, 10], "batch": None})
    {'lr': 0.1, 'layers': '[20, 10]', 'batch': ''}
    """
    return {k: json.dumps(v) if isinstance(v, list | dict) else "" if v is None else v for k, v in experiment.items()}


def axes_of(varying: Sequence[Mapping[str, Any]]) -> tuple[dict[str, list[Any]], dict[str, tuple[str, list[Any]]]]:
    """The axes of a grid, out of the fields that differ between its runs.

    Args:
        varying: of each run, the fields that are not the same in all, as `plain_fields` has them.

    Returns:
        the axes, each with its values, ascending; and the fields that go with an axis, having one value for each of its
        values: their axis, and their values along it.

    >>> axes_of([{"n": 20, "d": 10, "lr": 1.0}, {"n": 40, "d": 20, "lr": 1.0}, {"n": 20, "d": 10, "lr": 0.1}])
    ({'d': [10, 20], 'lr': [0.1, 1.0]}, {'n': ('d', [20, 40])})
    """
    names = sorted(varying[0], key=_importance)
    axes: dict[str, list[Any]] = {}
    along: dict[str, tuple[str, list[Any]]] = {}
    for name in names:
        for axis in axes:
            partner = {run[axis]: run[name] for run in varying}
            if all(partner[run[axis]] == run[name] for run in varying):
                along[name] = (axis, [partner[value] for value in axes[axis]])
                break
        else:
            axes[name] = sorted({run[name] for run in varying}, key=lambda v: (isinstance(v, str), v))
    others = [name for name in axes if name != "record"]
    if len({tuple(run[name] for name in others) for run in varying}) == len(varying):
        axes.pop("record", None)  # not needed to tell a run from the others
    return axes, along


_FIRST = ("protocol", "optimizer", "activation", "teacher", "initialization", "h", "d", "n", "lr")

_LAST = ("seed", *CONVENTIONS, "record")


def _importance(name: str) -> tuple[int, int]:
    """Which of two fields that go together is the axis; and in which order axes come."""
    if name in _FIRST:
        return 0, _FIRST.index(name)
    return (2, _LAST.index(name)) if name in _LAST else (1, list(Experiment.model_fields).index(name))
