"""Which rows of a table are shown, and in which order.

Not here: options that say so (`cli/printing.py`), and which columns a table has (`wording`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectail.errors import SettingError, unknown_name
from spectail.recording.quantities import QUANTITIES


@dataclass(frozen=True)
class RowChoice:
    """An order of rows, by a column, and how many of the first are shown.

    Attributes:
        sort: name or head of a quantity, or "name": numbers from the largest, words from A; with ":up" numbers from the
            smallest. "" leaves them in the order of the model.
        top: how many are shown; None for all.

    >>> RowChoice("effect", 2).of({"effect": [1.0, float("nan"), 3.0, 2.0]}, 4)
    [2, 3]
    """

    sort: str = ""
    top: int | None = None

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise SettingError(f"top={self.top} is not valid; expected 1 or more")
        known = {"name", "step", *(q.name for q in QUANTITIES)}
        if self.sort and self._column not in known:
            heads = [q.head for q in QUANTITIES if q.head]
            raise SettingError(unknown_name("sort", self._column, sorted({*heads, *known})))

    @property
    def _column(self) -> str:
        word = self.sort.removesuffix(":up")
        return next((q.name for q in QUANTITIES if q.head and q.head.lower() == word.lower()), word)

    def of(self, columns: Any, count: int) -> list[int]:
        """The positions of the rows that are shown.

        Args:
            columns: of the table: a dictionary, a frame, or a Dataset.
            count: of its rows.

        Raises:
            SettingError: it has no such column.
        """
        order = list(range(count))
        if self.sort:
            if self._column not in columns:
                raise SettingError(f"sort={self.sort!r} is not possible: this table has no {self._column}")
            values = np.asarray(columns[self._column], dtype=object).tolist()
            sign = 1 if self.sort.endswith(":up") else -1
            order.sort(key=lambda at: _rank(values[at], sign))
        return order[: self.top]


ALL_ROWS = RowChoice()


def _rank(value: Any, sign: int) -> tuple[bool, float, str]:
    """Words from A; numbers by size; what is missing last."""
    if isinstance(value, str):
        return False, 0.0, value
    number = math.nan if value is None or value != value else float(value)
    return math.isnan(number), 0.0 if math.isnan(number) else sign * number, ""
