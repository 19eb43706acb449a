"""Progress, estimates and defects on the terminal, for commands that may have nothing to compute.

Nothing here waits for torch.

Not here: the bar over runs (`sweeps/bar_over_runs.py`), and how time is estimated (`sweeps/estimate.py`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from spectail.analysis.name_lists import how_many
from spectail.report.terminal.tables import console, print_paths, print_table
from spectail.report.wording import duration
from spectail.store.store import Store
from spectail.store.upkeep import Defect
from spectail.sweeps.bar_over_runs import BarOverRuns
from spectail.sweeps.estimate import Estimate
from spectail.sweeps.sweep import SweepSummary


class RunProgress(BarOverRuns):
    """A bar over many runs, and below it how they ended."""

    def __init__(self, workers: str = "") -> None:
        super().__init__()
        self._workers, self._started = workers, time.perf_counter()

    def print_summary(self, summary: SweepSummary, paths: Sequence[Path] = ()) -> None:
        """What was found and computed, each run that failed, and where the runs are."""
        taken = time.perf_counter() - self._started
        out = console()
        sentence = (
            f"{how_many(summary.runs, 'run')}: {summary.found} found, {summary.computed} computed in {taken:.1f} s"
        )
        out.print(sentence + self._workers, style="dim")
        for failure in summary.failures:
            out.print(Text(f"failed: {failure.sentence}", style="red"))
        if paths and not (summary.stopped or summary.failures):
            print_paths(paths, see=paths[0].parent)


def print_estimate(estimate: Estimate, runs: int, store: Store) -> None:
    """What a sweep is about to do."""
    basis = "from the runs in the store" if estimate.measured else "from a quick matrix product; within a factor of 2"
    rows = [("runs", "in the store", "to compute", "time", "disk")]
    size = f"{estimate.bytes / 1e6:,.1f} MB" if estimate.bytes < 1e9 else f"{estimate.bytes / 1e9:,.1f} GB"
    done = runs - estimate.runs
    takes = "unknown" if math.isnan(estimate.seconds) else duration(estimate.seconds)
    rows.append((str(runs), str(done), str(estimate.runs), takes, size))
    print_table(f"dry run into {store.root}", rows)
    if estimate.runs:
        console().print(f"time: {basis}", style="dim")


def print_defects(defects: Sequence[Defect], runs: int) -> None:
    """What `spectail store check` says."""
    out = console()
    for defect in defects:
        out.print(Text(("damaged: " if defect.harmful else "note: ") + defect.what), soft_wrap=True)
    harmful = sum(defect.harmful for defect in defects)
    out.print(f"{how_many(runs, 'run')} whole, {harmful} not" if harmful else f"{how_many(runs, 'run')}, all whole")


def print_removed(paths: Sequence[Path]) -> None:
    """What `spectail store gc` removed."""
    out = console()
    for path in paths:
        out.print(f"removed {path}", soft_wrap=True)
    out.print(f"{how_many(len(paths), 'file')} removed")
