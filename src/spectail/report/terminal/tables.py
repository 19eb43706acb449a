"""Tables and lists of files on the terminal.

Not here: what stands in a table (`recording`, `runs`, `models`), and how numbers are worded (`report/wording.py`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spectail.weights.untrusted import printable


class _Output(Console):
    """Standard output. If its reader has gone, the command ends as it does when it writes by other means.

    What a terminal would obey, in a name of a file or in a recording of somebody else, is shown and not sent.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich does, with all text printable."""
        super().print(*map(_printable, objects), **options)

    def on_broken_pipe(self) -> None:
        """Leave it to the command."""
        raise BrokenPipeError


def _printable(shown: Any) -> Any:
    if isinstance(shown, str):
        return "\n".join(map(printable, shown.split("\n")))
    if isinstance(shown, Text):
        shown.plain = _printable(shown.plain)
    elif isinstance(shown, Table):
        for text in (shown.title, *(text for column in shown.columns for text in (column.header, *column.cells))):
            if isinstance(text, Text):
                _printable(text)
    return shown


def console(least: int = 0) -> Console:
    """Standard output.

    Args:
        least: columns that are needed. Where it is no terminal and COLUMNS does not say how wide it is, it has so many,
            and at least 120, so that tables are not torn.
    """
    out = _Output(highlight=False)
    known = out.is_terminal or os.environ.get("COLUMNS", "").isdigit()
    return out if known else _Output(highlight=False, width=max(least, 120))


def print_table(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    """A table; its first row holds the headers."""
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    for index, header in enumerate(rows[0]):
        table.add_column(Text(header), justify="left" if index < 2 else "right")
    for row in rows[1:]:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


def print_paths(paths: Sequence[Path], see: Path | str = "") -> None:
    """Where the files are, one a line, so that a terminal can open them.

    Args:
        paths: of the files, and of folders of many.
        see: what `spectail report` makes a page of.
    """
    out = console()
    out.print("written:")
    for path in paths:
        out.print(f"  {path}", soft_wrap=True)
    if see:
        out.print(f"see it: spectail report {see}", style="dim", soft_wrap=True)
