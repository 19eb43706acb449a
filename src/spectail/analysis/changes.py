"""Matrices that come, go, or get another shape while a model is watched: what they are called, and what is told.

Here: what a recording says of one step and the one before. Not here: changes of phase (`recording/events.py`), warnings
(`alerts`), and how a matrix is measured (`row`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spectail.recording.events import Event
from spectail.recording.tensors import tensor_of
from spectail.weights.matrix import WeightMatrix

_FROM = " (from step "


def names_in_recording(matrices: Sequence[WeightMatrix], known: Sequence[Mapping[str, Any]], step: int) -> list[str]:
    """What the matrices of a model are called in a recording; one of another shape has a name of its own.

    Args:
        matrices: of the model at a step.
        known: name, rows, cols and slices of the matrices of the recording.
        step: of the model.

    Returns:
        the name of each; a matrix that is known by name and shape keeps the name that it has in the recording.

    >>> matrix = WeightMatrix("a.weight", "linear", 20, 40, 1, lambda: None)
    >>> names_in_recording([matrix], [{"name": "a.weight", "rows": 20, "cols": 30, "slices": 1}], 8)
    ['a.weight (from step 8)']
    """
    known_names = {one["name"] for one in known}
    weights = [one for one in known if tensor_of(one["name"]) == "weights"]
    names = []
    for matrix in matrices:
        fitting = [one["name"] for one in weights if name_in_model(one["name"]) == matrix.name and _alike(one, matrix)]
        new = f"{matrix.name}{_FROM}{step})" if matrix.name in known_names else matrix.name
        names.append(fitting[-1] if fitting else new)
    return names


def name_in_model(name: str) -> str:
    """What a matrix of a recording is called in the model.

    >>> name_in_model("a.weight (from step 8)"), name_in_model("a.weight")
    ('a.weight', 'a.weight')
    """
    return name.partition(_FROM)[0]


def matrix_changes(
    matrices: Sequence[WeightMatrix],
    names: Sequence[str],
    there: Sequence[str],
    known: Sequence[Mapping[str, Any]],
    step: int,
) -> tuple[Event, ...]:
    """Which matrices came, went, or got another shape since the step before.

    Args:
        matrices: of the model at a step.
        names: of each in the recording.
        there: names in the recording of the matrices of the step before.
        known: name, rows, cols and slices of the matrices of the recording.
        step: of the model.
    """
    shapes = {one["name"]: _words(one["rows"], one["cols"]) for one in known}
    events = []
    for matrix, name in zip(matrices, names, strict=True):
        if name in there:
            continue
        old = next((one for one in there if name_in_model(one) == name_in_model(name)), None)
        shape = _words(matrix.rows, matrix.cols)
        if old is None:
            events.append(Event(step, name, "added", f"it is in the model, {shape}, and was not before"))
        else:
            events.append(Event(step, name, "replaced", f"its shape was {shapes[old]} and is {shape}"))
    stay = {name_in_model(name) for name in names}
    gone = [name for name in there if name_in_model(name) not in stay]
    return (*events, *(Event(step, name, "removed", "it is not in the model any more") for name in gone))


def _alike(known: Mapping[str, Any], matrix: WeightMatrix) -> bool:
    shape = (matrix.rows, matrix.cols, matrix.slices)
    return tuple(int(known[name]) for name in ("rows", "cols", "slices")) == shape


def _words(rows: int, cols: int) -> str:
    return f"{int(rows)}×{int(cols)}"
