"""Runs, artifacts and verdicts on the terminal."""

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


def print_catalogue(costs: Sequence[Cost], scale: str) -> None:
    """What can be reproduced, and how long each takes here by itself."""
    rows = [("name", "what it shows", "claims", "repeats", "runs", "missing", "takes")]
    for cost in costs:
        a = cost.artifact
        takes = duration(cost.missing.seconds) if cost.missing.runs else "–"
        takes = "needs torchvision" if math.isnan(cost.missing.seconds) else takes
        figures = (str(len(a.claims)), str(a.repeats), str(cost.runs), str(cost.missing.runs), takes)
        rows.append((a.name, a.title, *figures))
    print_table(f"spectail reproduce NAME... --scale {scale}", rows)
    basis = "as the runs in this folder went" if costs[0].missing.measured else "from a quick matrix product"
    console().print(f"takes: what is missing, on this machine, {basis}; within a factor of 2 or so", style="dim")


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
            colour = "" if small else _VERDICT_STYLE[outcome.verdict]  # of what is no evidence
            cell = Text(str(outcome.verdict), style=f"bold {colour}")
            cell.append(f" {outcome.clarity}\n{outcome.measured}", style="not bold default")
            cells.append(cell)
        table.add_row(Text(f"{claim.number}\n{claim.where}"), statement, *cells)
    console().print(table)
