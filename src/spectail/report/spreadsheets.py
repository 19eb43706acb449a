"""Tables for spreadsheets: CSV in which no text is taken for a formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from spectail.files import write_whole


def write_csv(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV, whole or not at all; an apostrophe stands before a text that would begin a formula.

    Args:
        table: what to write.
        path: where to.

    Returns:
        the path.

    Raises:
        OSError: it cannot be written.

    Source: OWASP, CSV injection.
    """
    texts = {name: column for name, column in table.items() if column.dtype == object or column.dtype == "string"}
    plain = table.assign(**{str(name): column.map(_plain_text) for name, column in texts.items()})
    return write_whole(path, lambda part: plain.to_csv(part, index=False))


def _plain_text(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell
