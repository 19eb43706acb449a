"""The palette: how each phase, optimizer and series looks in pictures, on pages and on the terminal.

All colours stand here, but those of a page's text and paper (`report/pages/base.css`). No matplotlib: pages and
the terminal have it too.

Not here: sizes, fonts and labels (`look`).
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

# Colour, marker, style on the terminal; in the order that training passes them. Okabe & Ito's colours (2008), moved
# until every two differ for the colour-blind too: by 8 in OKLab × 100, and each stands out from white and from black
# by 1.6 or more (tests/plots/test_colours.py). Where that is too faint, a mark has an outline in the ink of the page.
PHASES: dict[str, tuple[str, str, str]] = {
    "random-like": ("#8C8C8C", "o", "default"),
    "bleeding-out": ("#3BAAFF", "v", "cyan"),
    "bulk+spike": ("#1C76A2", "D", "bright_blue"),
    "bulk-decay": ("#E69F00", "s", "yellow"),
    "heavy-tailed": ("#D55E00", "^", "red"),
    "bimodal": ("#BE83CA", "*", "magenta"),
    "rank-collapse": ("#7A2B8A", "X", "bold magenta"),
    "unknown": ("#C9C9C9", "P", "dim"),
}


def phase_look(phase: str) -> tuple[str, str, str]:
    """Colour, marker and style of a phase; of one that only a file names, those of "unknown"."""
    return PHASES.get(phase, PHASES["unknown"])


SERIES: tuple[tuple[str, str], ...] = (
    ("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "D"), ("#BE83CA", "^"), ("#D55E00", "v"), ("#56B4E9", "P"),
    ("#707070", "X"),
)  # fmt: skip
"""Colour and marker of the first, second, ... curve of a picture."""


class _OptimizerLooks(dict[str, tuple[str, str, str]]):
    """An optimizer that has no look of its own gets one of a series, always the same, and its name."""

    def __missing__(self, name: str) -> tuple[str, str, str]:
        return *SERIES[2 + crc32(name.encode()) % (len(SERIES) - 2)], name


OPTIMIZER_LOOKS = _OptimizerLooks(
    gd=("#E69F00", "s", "GD"), adam=("#0072B2", "o", "FB-Adam"), sign=("#009E73", "D", "sign descent")
)
"""Colour, marker and name of each optimizer."""

INITIAL = "#D55E00"
"""Of a spectrum before training."""

FINAL = "#0072B2"
"""Of a spectrum now."""

MARKED = "#D55E00"
"""Of what is marked singly: spikes, the largest overlap."""

TAIL = "#009E73"
"""Of the fitted power law."""

PREDICTED = "#BE83CA"
"""Of what theory predicts."""

LAW = "#222222"
"""Of the Marchenko–Pastur law, in pictures on white."""

FRAME = "#888888"
"""Of thin frames."""

BAND = "#80808047"
"""Of where untrained matrices lie; lets through what is behind it."""

RAMP = ("#00224E", "#1A386F", "#434E6C", "#61656F", "#7D7C78", "#9B9476", "#BBAF71", "#DCCA60", "#FEE838")
"""From little to much, on pages: nine of the colours of cividis (Nuñez, Anderton & Renslow 2018)."""

DIVERGING = ("#B2182B", "#D6604D", "#F4A582", "#FDDBC7", "#F7F7F7", "#D1E5F0", "#92C5DE", "#4393C3", "#2166AC")
"""From negative by way of zero to positive, on pages: Brewer's red and blue."""

_SYMBOLS = {
    "o": "circle", "v": "triangle-down", "D": "diamond", "s": "square", "^": "triangle-up", "*": "star", "X": "x",
    "P": "cross",
}  # fmt: skip


def ink_on(colour: str) -> str:
    """Black or white, whichever is read more easily on a colour.

    >>> ink_on("#E69F00"), ink_on("#7A2B8A")
    ('black', 'white')
    """
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "white"  # WCAG 2: equal contrast there


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def palette() -> dict[str, Any]:
    """What the scripts of pages draw with, for JSON: markers are named as `report/pages/draw.js` names them."""
    return {
        "phases": {
            name: {"colour": colour, "symbol": _SYMBOLS[marker]} for name, (colour, marker, _) in PHASES.items()
        },
        "series": [{"colour": colour, "symbol": _SYMBOLS[marker]} for colour, marker in SERIES],
        "first": INITIAL,
        "now": FINAL,
        "marked": MARKED,
        "tail": TAIL,
        "predicted": PREDICTED,
        "band": BAND,
        "ramp": list(RAMP),
        "diverging": list(DIVERGING),
        "frame": FRAME,
    }
