"""Progress, estimates and findings on the terminal, for commands that may have nothing to compute.

Nothing here waits for torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from spectail.sweeps.cost import Estimate, operations
from spectail.sweeps.store import Store
from spectail.sweeps.sweep import Summary, Watcher
from spectail.sweeps.upkeep import Finding
from spectail.teacher_student.experiment import Experiment


def console() -> Console:
    """Standard output; 120 columns where that is no terminal, so that tables are not torn."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=120)


def print_table(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    """A table; its first row holds the headers."""
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    for index, header in enumerate(rows[0]):
        table.add_column(Text(header), justify="left" if index < 2 else "right")
    for row in rows[1:]:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


def print_paths(paths: Sequence[Path]) -> None:
    """Where the files are, one a line, so that a terminal can open them."""
    out = console()
    out.print("written:")
    for path in paths:
        out.print(f"  {path}", soft_wrap=True)


class RunProgress(Watcher):
    """One bar over many runs, weighed by their floating-point operations; runs found cost nothing."""

    def __init__(self, workers: str = "") -> None:
        self._bar, self._workers = bar(), workers
        self._total, self._kept, self._found, self._part = 0, 0, 0, 0.0
        self._started = time.perf_counter()

    def __enter__(self) -> RunProgress:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)

    def begin(self, missing: Sequence[Experiment], found: int) -> None:
        """Show how much there is to do."""
        self._total, self._found = len(missing), found
        self._task = self._bar.add_task("runs", total=max(sum(map(operations, missing)), 1.0), text=self._text())

    def step(self, experiment: Experiment, step: int) -> None:
        """Move on by a step of a run in this process."""
        part = operations(experiment) * step / max(experiment.steps, 1)
        self._bar.advance(self._task, part - self._part)
        self._part = part

    def kept(self, experiment: Experiment) -> None:
        """Move on by a run."""
        self._kept += 1
        self._bar.update(self._task, advance=operations(experiment) - self._part, text=self._text())
        self._part = 0.0

    def stopping(self) -> None:
        """Say what happens now."""
        self._bar.console.print(
            "finishing the current runs, or keeping where long ones are; Ctrl-C again stops now", style="yellow"
        )

    def print_summary(self, summary: Summary) -> None:
        """What was found and computed, and each run that failed."""
        taken = time.perf_counter() - self._started
        out = console()
        told = f"{summary.runs} runs: {summary.found} found, {summary.computed} computed in {taken:.1f} s"
        out.print(told + self._workers, style="dim")
        for failure in summary.failures:
            out.print(Text(f"failed: {failure.sentence}", style="red"))

    def _text(self) -> str:
        return f"{self._kept} of {self._total} runs" + (f" ({self._found} found)" if self._found else "")


@contextmanager
def step_progress(experiment: Experiment) -> Iterator[Callable[[int, int], None]]:
    """A bar over the steps of one run."""
    with bar() as progress:
        task = progress.add_task("steps", total=max(experiment.steps, 1), text="step 0")
        yield lambda step, steps: progress.update(task, completed=step, text=f"step {step} of {steps}")


def print_estimate(estimate: Estimate, runs: int, store: Store) -> None:
    """What a sweep is about to do."""
    basis = "from the runs in the store" if estimate.measured else "from a quick matrix product; within a factor of 2"
    rows = [("runs", "in the store", "to compute", "time", "disk")]
    size = f"{estimate.bytes / 1e6:,.1f} MB" if estimate.bytes < 1e9 else f"{estimate.bytes / 1e9:,.1f} GB"
    done = runs - estimate.runs
    rows.append((str(runs), str(done), str(estimate.runs), duration(estimate.seconds), size))
    print_table(f"dry run into {store.root}", rows)
    if estimate.runs:
        console().print(f"time: {basis}", style="dim")


def print_findings(findings: Sequence[Finding], runs: int) -> None:
    """What `spectail store check` found."""
    out = console()
    for finding in findings:
        out.print(Text(("damaged: " if finding.harmful else "note: ") + finding.what), soft_wrap=True)
    harmful = sum(finding.harmful for finding in findings)
    out.print(f"{runs} runs are whole; {harmful} are not" if harmful else f"{runs} runs, all whole")


def duration(seconds: float) -> str:
    """Seconds in words that fit them.

    >>> duration(0.4), duration(75), duration(7500), duration(198000)
    ('0.4 s', '1 min 15 s', '2 h 5 min', '2 d 7 h')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    for size, unit, lower, small in ((60, "min", 1, "s"), (3600, "h", 60, "min"), (86400, "d", 3600, "h")):
        if seconds < size * (60 if size == 60 else 24) or unit == "d":
            return f"{int(seconds // size)} {unit} {round(seconds % size // lower)} {small}"
    raise AssertionError


def bar() -> Progress:
    """A bar with what is done, and how long the rest takes; on the standard error of a terminal."""
    columns = (
        TextColumn("{task.fields[text]}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    out = Console(stderr=True)
    return Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
