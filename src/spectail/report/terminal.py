"""Tables, verdicts and progress on the terminal."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import xarray as xr
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Verdict
from spectail.paper.reproduce import PROTOCOLS, Tested
from spectail.spectra.bulk import MarchenkoPastur
from spectail.teacher_student.dataset import experiment_of
from spectail.teacher_student.experiment import Experiment

_VERDICT_STYLE = {Verdict.HOLDS: "green", Verdict.DOES_NOT_HOLD: "red", Verdict.UNDECIDED: "yellow"}


def console() -> Console:
    """Standard output; 120 columns where that is no terminal, so that tables are not torn."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=120)


def print_run(run: xr.Dataset, paths: Sequence[Path], *, found: bool) -> None:
    """A run's measurements step by step, and where its files are."""
    e = experiment_of(run)
    untrained = MarchenkoPastur(e.h, e.d).hill()
    title = f"{e.optimizer}, η={e.lr:g}, n={e.n}, d={e.d}, h={e.h}, {e.protocol}, seed {e.seed}"
    learned = ("objective", "train", "test", "KTA", "sim")
    rows: list[tuple[str, ...]] = [
        ("step", "phase", *learned, f"Hill ({untrained:.3f})", "KS (tail)", "λ₁/λ₊", "past λ₊"),
    ]
    for step in run.step.values:
        at = {
            name: value.item()
            for name, value in run.drop_dims("index").sel(step=step).data_vars.items()
            if not value.dims
        }
        figures = (at["objective"], at["train_loss"], at["test_loss_large"], at["kta"], at["alignment"])
        rows.append(
            (
                str(step),
                at["phase"],
                *(f"{figure:.4g}" for figure in figures),
                f"{at['pl_alpha_hill']:.3f}",
                f"{at['pl_alpha_ks']:.2f} ({at['tail_size']})",
                f"{at['spectral_gap']:.2f}",
                str(at["n_spikes"]),
            )
        )
    print_table(title, rows)
    out = console()
    out.print(
        f"test: on {e.n_test_large} points. Hill: in brackets, what an untrained matrix of this shape has.", style="dim"
    )
    for step, note in zip(run.step.values, run.note.values, strict=True):
        if str(note):
            out.print(f"step {step}: {note}", style="yellow")
    if "diverged_at" in run.attrs:
        out.print(f"The run diverged at step {run.attrs['diverged_at']}; what came before is kept.", style="yellow")
    if found:
        out.print(f"found, not computed again (it took {run.attrs['wall_time']:.1f} s)", style="dim")
    print_paths(paths)


def print_table(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    """A table; its first row holds the headers."""
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    for index, header in enumerate(rows[0]):
        table.add_column(Text(header), justify="left" if index < 2 else "right")
    for row in rows[1:]:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


def print_catalogue(artifacts: Sequence[Artifact]) -> None:
    """What can be reproduced."""
    rows = [("name", "what it shows", "claims", "repeats")]
    rows += [(a.name, a.title, str(len(a.claims)), str(a.repeats)) for a in artifacts]
    print_table("spectail reproduce NAME...", rows)


def print_verdicts(tested: Sequence[Tested], scale: str) -> None:
    """For each claim: what was expected, what was measured under each protocol, and whether it holds."""
    if not tested:
        return
    small = "" if scale == "paper" else f" – at the {scale} scale, where sampling noise is larger: not evidence"
    table = Table(title=Text(f"Claims of the paper{small}"), title_justify="left", title_style="bold", show_lines=True)
    table.add_column("claim", no_wrap=True)
    table.add_column("what the paper says / what must be measured for it", ratio=5)
    for protocol in PROTOCOLS:
        table.add_column(protocol, ratio=6)
    for item in tested:
        claim = item.claim
        said = Text(claim.statement)
        said.append(f"\n{claim.criterion}", style="dim")
        cells = []
        for protocol in PROTOCOLS:
            outcome = item.outcomes[protocol]
            cell = Text(str(outcome.verdict), style=f"bold {_VERDICT_STYLE[outcome.verdict]}")
            cell.append(f"\n{outcome.measured}", style="not bold default")
            cells.append(cell)
        table.add_row(Text(f"{claim.number}\n{claim.where}"), said, *cells)
    console().print(table)


def save_verdicts(tested: Sequence[Tested], path: Path) -> Path:
    """The verdicts as a CSV file, whole or not at all: one row a claim and protocol."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}-{os.getpid()}.part")
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("artifact", "claim", "where", "statement", "criterion", "protocol", "verdict", "measured"))
            for item in tested:
                c = item.claim
                for protocol, found in item.outcomes.items():
                    said = (item.artifact, c.number, c.where, c.statement, c.criterion)
                    rows.writerow((*said, protocol, str(found.verdict), found.measured))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def print_paths(paths: Sequence[Path]) -> None:
    """Where the files are, one a line, so that a terminal can open them."""
    out = console()
    out.print("written:")
    for path in paths:
        out.print(f"  {path}", soft_wrap=True)


@contextmanager
def run_progress(experiments: Sequence[Experiment]) -> Iterator[Callable[[Experiment, bool], None]]:
    """One bar over many runs, weighed by their floating-point operations; runs found cost nothing."""
    total = sum(cost(e) for e in experiments)
    done = found = 0
    started = time.perf_counter()
    with _bar() as progress:
        task = progress.add_task("runs", total=total, text=f"0 of {len(experiments)} runs")

        def advance(experiment: Experiment, was_found: bool) -> None:
            nonlocal done, found, total
            done, found = done + 1, found + was_found
            if was_found:
                total -= cost(experiment)
                progress.update(task, total=max(total, 1.0))
            else:
                progress.advance(task, cost(experiment))
            progress.update(task, text=f"{done} of {len(experiments)} runs")

        yield advance
    taken = time.perf_counter() - started
    console().print(f"{len(experiments)} runs: {found} found, {done - found} computed in {taken:.1f} s", style="dim")


@contextmanager
def step_progress(experiment: Experiment) -> Iterator[Callable[[int, int], None]]:
    """A bar over the steps of one run."""
    with _bar() as progress:
        task = progress.add_task("steps", total=max(experiment.steps, 1), text="step 0")
        yield lambda step, steps: progress.update(task, completed=step, text=f"step {step} of {steps}")


def cost(experiment: Experiment) -> float:
    """Floating-point operations of a run, near enough to weigh it: products of steps and measurements."""
    e = experiment
    step = 4.0 * e.n * e.h * e.d
    measurement = 2.0 * (e.n + e.n_test + e.n_test_large) * e.h * e.d + 2.0 * e.n * e.h**2 + 10.0 * min(e.h, e.d) ** 3
    return e.steps * step + (len(e.recorded_steps) - 1) * measurement


def _bar() -> Progress:
    columns = (
        TextColumn("{task.fields[text]}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    out = Console(stderr=True)
    return Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
