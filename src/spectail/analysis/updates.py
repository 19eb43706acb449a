"""What was added to a matrix between two states of one model in memory, and its row.

Here: updates of a training that is watched. Not here: changes between two models or files (`comparison`, `pieces`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from spectail.analysis.comparison import rounding_of_change, update_overlaps
from spectail.analysis.row import measure_matrix
from spectail.recording.tensors import NAME_ENDINGS
from spectail.weights.matrix import WeightMatrix


@dataclass(frozen=True)
class Update(WeightMatrix):
    """What was added to a matrix.

    Attributes:
        old: the matrix before.
        new: the matrix after.
    """

    old: WeightMatrix | None = None
    new: WeightMatrix | None = None


@dataclass(frozen=True)
class Difference:
    """Reads what was added to a parameter, in float64: it takes the memory of one copy more, where the weights lie.

    Attributes:
        before: reads the parameter as it was.
        after: reads it as it is.
    """

    before: Callable[[], Tensor]
    after: Callable[[], Tensor]

    def __call__(self) -> Tensor:
        """The difference."""
        after = self.after().detach()
        where = "cpu" if after.device.type == "mps" else after.device  # which knows no float64
        change = after.to(where, torch.float64, copy=True)
        change -= self.before().to(where)
        return change


def update_of(matrix: WeightMatrix, before: Callable[[], Tensor], difference: Difference) -> Update:
    """The update of a matrix.

    Args:
        matrix: as it is now.
        before: reads the parameter that the matrix lies in, or its rows there, as they were.
        difference: reads what was added to these; one for all matrices that are read together.

    >>> weight = torch.eye(3)
    >>> matrix = WeightMatrix("w", "linear", 3, 3, 1, lambda: weight, view=lambda values: values[None])
    >>> before = lambda: torch.zeros(3, 3)
    >>> update = update_of(matrix, before, Difference(before, matrix.read))
    >>> update.name, update.load().sum().item()
    ('w (update)', 3.0)
    """
    same = {one.name: getattr(matrix, one.name) for one in fields(WeightMatrix)}
    same |= {"name": matrix.name + NAME_ENDINGS["updates"], "read": difference, "factors": None}
    old = WeightMatrix(**{**same, "name": matrix.name, "read": before})
    return Update(**same, old=old, new=matrix)


def measure_tensor(matrix: WeightMatrix, *, nulls: bool, before: str = "") -> tuple[dict[str, Any], Tensor]:
    """The row and spectrum of weights, or of anything that belongs to them.

    Args:
        matrix: of an update, its row also says how far its leading directions are those of the weights.
        nulls: whether to compare with Gaussian matrices.
        before: the phase that it was in when it was last measured.
    """
    if not isinstance(matrix, Update):
        return measure_matrix(matrix, nulls=nulls, before=before)
    assert matrix.old is not None
    assert matrix.new is not None
    row, spectrum = measure_matrix(matrix, nulls=nulls, rounding=rounding_of_change(matrix.old, matrix.new))
    if row["frobenius_norm"] == 0:
        row["note"] = "unchanged"
    return row | update_overlaps(matrix.old, matrix), spectrum
