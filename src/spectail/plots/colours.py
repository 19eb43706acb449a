"""The palette: the colour of each phase, optimizer and series. No matplotlib: pages and the terminal have it too."""

from __future__ import annotations

PHASE_COLOURS = {
    "random-like": "#999999",
    "bleeding-out": "#56B4E9",
    "bulk+spike": "#0072B2",
    "bulk-decay": "#E69F00",
    "heavy-tailed": "#D55E00",
    "bimodal": "#CC79A7",
    "rank-collapse": "#000000",
    "unknown": "#FFFFFF",
}

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")

MARKERS = ("o", "s", "^", "D", "v", "P", "X")

# Okabe & Ito (2008), and a distinct marker with each, for print without colour.
INITIAL = "#D55E00"

FINAL = "#0072B2"

LAW = "#222222"

PREDICTED = "#CC79A7"

SERIES_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")

OPTIMIZER_STYLE = {"gd": ("#E69F00", "s"), "adam": ("#0072B2", "o")}

OPTIMIZER_NAME = {"gd": "GD", "adam": "FB-Adam", "sign": "sign descent"}
