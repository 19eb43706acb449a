"""Numbers, times and lists in words, for the terminal and for pages.

Not here: what is said of matrices (`analysis/summary.py`), and how tables are printed (`report/terminal/tables.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spectail.recording.quantities import OVER, Quantity, quantities_of

if TYPE_CHECKING:
    import xarray as xr

    from spectail.weights.matrix import Skipped


def duration(seconds: float) -> str:
    """A duration in words, with a unit that fits.

    >>> duration(0.4), duration(75), duration(7500), duration(198000)
    ('0.4 s', '1 min 15 s', '2 h 5 min', '2 d 7 h')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    for size, unit, lower, small in ((60, "min", 1, "s"), (3600, "h", 60, "min"), (86400, "d", 3600, "h")):
        if seconds < size * (60 if size == 60 else 24) or unit == "d":
            return f"{int(seconds // size)} {unit} {round(seconds % size // lower)} {small}"
    raise AssertionError


def number_text(value: Any, digits: int = 4) -> str:
    """A number as a table shows it: so many digits, two of one below 0.1; an integer whole; NaN or None as a dash.

    >>> number_text(2.44912), number_text(0.01234), number_text(12345.6), number_text(-7.1), number_text(float("nan"))
    ('2.449', '0.012', '12346', '−7.100', '–')
    >>> number_text(0.0049, 3), number_text(0.49, 3), number_text(0.000051, 3)
    ('0.0049', '0.49', '5.1e−05')
    """
    if pd.isna(value):
        return "–"
    if isinstance(value, int | np.integer):
        return str(value)
    size = abs(value)
    if size == 0:
        return "0"
    exponent = math.floor(math.log10(size)) if math.isfinite(size) else 0
    if 1e-4 <= size < 10**digits:
        text = f"{value:.{1 - exponent if exponent < -1 else max(digits - 1 - max(exponent, 0), 0)}f}"
    else:
        text = f"{value:.0f}" if 1 <= size < 1e6 else f"{value:.2g}"
    return text.replace("-", "−")


def with_null(text: str, null: Any, digits: int = 4) -> str:
    """The text of a number, and in brackets what it would be by chance, where that is known.

    >>> with_null("2.449", 2.736), with_null("0.91", 0.00067), with_null("–", 2.736)
    ('2.449 (2.736)', '0.91 (0.00067)', '–')
    """
    if null is None or pd.isna(null) or text == "–":
        return text
    return f"{text} ({number_text(null, digits) if abs(null) >= 0.1 else f'{null:.2g}'})"


IN_BRACKETS = "in brackets: by chance, of untrained matrices of the shape, independent directions or shuffled labels"
"""What `with_null` adds, in words."""


def skipped_by_reason(skipped: Sequence[Skipped], shown: int = 3) -> list[tuple[str, str]]:
    """Skipped parameters by reason: the reason, and how many there are with the first names."""
    by_reason: dict[str, list[str]] = {}
    for one in skipped:
        by_reason.setdefault(one.reason, []).append(one.name)
    return [
        (reason, f"{len(names)}: {', '.join(names[:shown])}{', …' if len(names) > shown else ''}")
        for reason, names in by_reason.items()
    ]


def recording_title(recording: xr.Dataset) -> str:
    """What a recording is of, in a line."""
    if recording.attrs.get("of") not in ("two-layer", "multilayer"):
        return str(recording.attrs.get("title") or "recording")
    from spectail.experiments.experiment import experiment_of  # 0.1 s to import, for runs only

    e = experiment_of(recording)
    return e.title + (f", numerics {e.numerics} of an earlier spectail" if e.outdated else "")


def shown_quantities(recording: xr.Dataset) -> list[Quantity]:
    """The columns of a table with a row a matrix: quantities that have a head, and are known of some matrix."""
    return [q for q in quantities_of(recording) if q.head and _is_shown(recording[q.name], q)]


def _is_shown(values: xr.DataArray, q: Quantity) -> bool:
    of_a_matrix = "matrix" in OVER[q.of] and set(values.dims) <= {"step", "matrix"}
    return of_a_matrix and bool((values != "" if q.dtype is str else np.isfinite(values.astype(float))).any())
