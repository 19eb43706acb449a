"""The answer of an analysis in words and numbers; the terminal, pages and `repr` say the same.

Not here: how it is printed or drawn.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from spectail.spectra.phases import Phase

if TYPE_CHECKING:
    import pandas as pd

_NAMED = 3  # matrices that are named one by one
_FURTHEST = 5


def summary_lines(title: str, frame: pd.DataFrame, skipped: int | None) -> list[str]:
    """What an analysis says, first.

    Args:
        title: of the source.
        frame: one row a matrix, as `spectail.analyze` gives it.
        skipped: how many parameters were not measured; None where that is not known.

    Returns:
        a line on the counts, one on the phases, and one on what is furthest from untrained where that is known.
    """
    measured = f"{len(frame)} matri{'x' if len(frame) == 1 else 'ces'} measured"
    left_out = "" if skipped is None else f", {skipped} parameter{'' if skipped == 1 else 's'} skipped"
    lines = [f"{title}: {measured}{left_out}"]
    counts = []
    for phase in Phase:
        names = frame.loc[frame["phase"] == str(phase), "name"].tolist()
        if names:
            named = f" ({', '.join(names)})" if len(names) <= _NAMED < len(frame) else ""
            counts.append(f"{phase} {len(names)}{named}")
    lines += [" · ".join(counts)] if counts else []
    z = frame.set_index("name")["z_hill"].dropna().sort_values()
    if len(z):
        shown = ", ".join(f"{name} z {value:.3g}".replace("-", "−") for name, value in z.head(_FURTHEST).items())
        lines.append(f"furthest from untrained: {shown}")
    return lines


def summary_html(text: str, frame: pd.DataFrame) -> str:
    """The same for a notebook, with the table below."""
    return f"<pre>{escape(text)}</pre>{frame.to_html(max_rows=20, notebook=True)}"
