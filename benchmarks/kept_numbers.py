"""Numbers that a benchmark keeps in docs/results/app-h, from which its picture and its verdicts are made.

Each is measured once, is kept at once, and is found there afterwards: a benchmark that was cut off goes on, and one
whose numbers are all kept draws without computing. To measure anew, remove the table.

Not here: what is measured, drawn and claimed, which each benchmark says by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import pandas as pd
from matplotlib.figure import Figure

from spectail.plots.picture_files import PAGE, save_figure
from spectail.study.claims import Outcome
from spectail.study.verdicts import as_a_family

RESULTS = Path(__file__).parents[1] / "docs" / "results"

Cell: TypeAlias = "str | int | float"
Row = Mapping[str, Cell]


def kept_table(name: str, pieces: Iterable[Row], measure: Callable[..., Iterable[Row]]) -> pd.DataFrame:
    """The table of a name, once each piece has been measured.

    Args:
        name: of the table, app-h/NAME.csv.
        pieces: what each is told by, as arguments of `measure`; columns of the table.
        measure: the further columns of the rows of a piece.
    """
    path = RESULTS / "app-h" / f"{name}.csv"
    table = pd.read_csv(path) if path.is_file() else pd.DataFrame()
    for piece in pieces:
        if len(table) and (table[list(piece)] == pd.Series(piece)).all(axis=1).any():
            continue
        print(", ".join(f"{key} = {value}" for key, value in piece.items()), file=sys.stderr, flush=True)
        rows = pd.DataFrame([{**piece, **row} for row in measure(**piece)])
        table = pd.concat([table, rows], ignore_index=True)
        table.to_csv(path, index=False, float_format="%.6g")
    return pd.read_csv(path)


def draw(name: str, make: Callable[[], Figure]) -> None:
    """Keep a picture as figures/NAME.png, in the look of a page."""
    with PAGE.style():
        save_figure(make(), RESULTS / "figures" / name, ("png",))


def print_verdicts(outcomes: Mapping[str, Outcome]) -> None:
    """A row for each claim: what was measured, and the verdict, with Holm's correction for their number."""
    print("| claim | verdict | measured | p; margin and its interval |\n|---|---|---|---|")
    findings = as_a_family([outcome.finding for outcome in outcomes.values()])
    for (claim, outcome), finding in zip(outcomes.items(), findings, strict=True):
        said = Outcome(finding, outcome.measured)
        print(f"| {claim} | {said.verdict} | {said.measured} | {said.clarity or '–'} |")
