"""Tables for spreadsheets: CSV in which no text is taken for a formula.

Not here: what is in a table (`layout`), and how it is shown in a notebook (`printed_table`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from spectail.files import write_whole


def write_csv(table: pd.DataFrame, path: Path, digits: int | None = None) -> Path:
    """Write a table as CSV, whole or not at all, `without_formulas`.

    Args:
        table: what to write.
        path: where to.
        digits: of numbers that are not whole; None for all.

    Returns:
        the path.

    Raises:
        OSError: it cannot be written.
    """
    plain = without_formulas(table)
    form = None if digits is None else f"%.{digits}g"
    return write_whole(path, lambda part: plain.to_csv(part, index=False, float_format=form))


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """A table with an apostrophe before each text that would begin a formula.

    Args:
        table: of texts and numbers, which stay.

    Source: OWASP, CSV injection.
    """
    texts = {name: column for name, column in table.items() if not pd.api.types.is_numeric_dtype(column.dtype)}
    return table.assign(**{str(name): column.map(_plain_text) for name, column in texts.items()})


def _plain_text(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell
