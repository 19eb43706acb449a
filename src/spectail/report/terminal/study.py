"""Runs, artifacts and verdicts on the terminal.

Not here: what a record holds (`study/records.py`), and the same on a page (`report/pages/study.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from spectail.experiments.protocols import PROTOCOLS
from spectail.report.terminal.tables import console, print_table
from spectail.report.wording import duration
from spectail.study.plan import Cost
from spectail.study.records import ClaimRecord
from spectail.study.verdicts import Verdict

_VERDICT_STYLE = {Verdict.HOLDS: "green", Verdict.DOES_NOT_HOLD: "red", Verdict.UNDECIDED: "yellow"}

_TITLE, _ROOM_OF_TITLE = 1, 38  # of the list of artifacts: the column that says what they show, and its width

_LEFT_OUT_FIRST = ("repeats", "claims", "runs", "missing")


def print_catalogue(costs: Sequence[Cost], scale: str) -> None:
    """What can be reproduced, and how long each takes here by itself."""
    rows: list[tuple[str, ...]] = [("name", "what it shows", "claims", "repeats", "runs", "missing", "takes")]
    for cost in costs:
        a = cost.artifact
        takes = duration(cost.missing.seconds) if cost.missing.runs else "–"
        takes = "needs torchvision" if math.isnan(cost.missing.seconds) else takes
        figures = (str(len(a.claims)), str(a.repeats), str(cost.runs), str(cost.missing.runs), takes)
        rows.append((a.name, a.title, *figures))
    out, left_out = console(), list[str]()
    for name in _LEFT_OUT_FIRST:
        others = sum(3 + max(map(len, column)) for at, column in enumerate(zip(*rows, strict=True)) if at != _TITLE)
        if out.width - others - 4 >= _ROOM_OF_TITLE:
            break
        at = rows[0].index(name)
        rows = [(*row[:at], *row[at + 1 :]) for row in rows]
        left_out.append(name)
    print_table(f"spectail reproduce NAME... --scale {scale}", rows)
    if left_out:
        out.print(f"left out for lack of room: {', '.join(left_out)}", style="dim")
    basis = "as the runs in this folder went" if costs[0].missing.measured else "from a quick matrix product"
    out.print(f"takes: what is missing, on this machine, {basis}; within a factor of 2 or so", style="dim")


def print_verdicts(claims: Sequence[ClaimRecord], scale: str) -> None:
    """For each claim: what was expected, what was measured under each protocol, and whether it holds."""
    if not claims:
        return
    small = "" if scale == "paper" else f" – at the {scale} scale, where sampling noise is larger: not evidence"
    table = Table(title=Text(f"Claims of the paper{small}"), title_justify="left", title_style="bold", show_lines=True)
    table.add_column("claim", no_wrap=True)
    table.add_column("what the paper says / what must be measured for it", ratio=5)
    for protocol in PROTOCOLS:
        table.add_column(protocol, ratio=6)
    for claim in claims:
        statement = Text(claim.statement)
        statement.append(f"\n{claim.criterion}", style="dim")
        cells = []
        for protocol in PROTOCOLS:
            outcome = claim.outcomes.get(protocol)
            if outcome is None:
                cells.append(Text("not run", style="dim"))
                continue
            colour = "" if small else _VERDICT_STYLE[outcome.verdict]  # none where it is no evidence
            cell = Text(str(outcome.verdict), style=f"bold {colour}")
            cell.append(f" {outcome.clarity}\n{outcome.measured}", style="not bold default")
            cells.append(cell)
        table.add_row(Text(f"{claim.number}\n{claim.where}"), statement, *cells)
    console().print(table)
