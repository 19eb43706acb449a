"""Runs, artifacts and verdicts on the terminal."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import xarray as xr
from rich.table import Table
from rich.text import Text

from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Verdict
from spectail.paper.reproduce import Tested
from spectail.paper.runs import PROTOCOLS
from spectail.report.progress import console, print_paths, print_table
from spectail.spectra.bulk import MarchenkoPastur
from spectail.teacher_student.dataset import experiment_of

_VERDICT_STYLE = {Verdict.HOLDS: "green", Verdict.DOES_NOT_HOLD: "red", Verdict.UNDECIDED: "yellow"}


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
