"""An analysed model on the terminal and in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from spectail.analysis.model import Analysis
from spectail.analysis.row import SHORT_TAIL
from spectail.experiments.experiment import experiment_of
from spectail.plots.colours import PHASES
from spectail.report.terminal.tables import console, print_paths, print_table
from spectail.report.wording import duration, number_text, skipped_by_reason
from spectail.spectra.bulk import MarchenkoPastur

_OVERLAPS = ("top_overlap_left", "top_overlap_right")

_NOTES = 12  # printed; the files hold all


def print_analysis(analysis: Analysis) -> None:
    """A table of the matrices, what a reader should know of them, and what was skipped."""
    frame, out = analysis.frame, console()
    table = Table(
        title=Text(analysis.title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    changed = _OVERLAPS[0] in frame
    table.add_column("matrix", overflow="fold", ratio=1)
    for head in ("kind", "shape", "Hill", "(null)", "z", "KS", "tail", "z", "λ₁/λ₊", "rank"):
        table.add_column(head, justify="left" if head == "kind" else "right", no_wrap=True)
    if changed:
        table.add_column("overlap", no_wrap=True)
    table.add_column("phase", no_wrap=True)
    for row in frame.to_dict("records"):
        table.add_row(*_cells({str(k): v for k, v in row.items()}, changed))
    out.print(table)
    out.print(
        "null: Hill of an untrained matrix of the shape; z: standard deviations above it, negative for a heavier tail; "
        "tail: eigenvalues in the KS fit; rank: stable rank" + ("; overlap: left, right" if changed else ""),
        style="dim",
    )
    _print_notes(frame)
    skipped = analysis.skipped
    if skipped:
        out.print(f"skipped {len(skipped)} parameters:")
        for reason, names in skipped_by_reason(skipped):
            out.print(Text(f"  {reason} – {names}"), soft_wrap=True)
    else:
        out.print("nothing was skipped")


def _cells(row: dict[str, Any], changed: bool) -> list[Text]:
    figures = (
        "pl_alpha_hill",
        "null_alpha_hill",
        "z_hill",
        "pl_alpha_ks",
        "tail_size",
        "z_ks",
        "spectral_gap",
        "stable_rank",
    )
    cells = [row["name"], row["kind"], f"{row['rows']}×{row['cols']}", *(number_text(row[name], 3) for name in figures)]
    if changed:
        cells.append(", ".join(number_text(row[name], 3) for name in _OVERLAPS))
    return [*map(Text, cells), Text(row["phase"], style=PHASES[row["phase"]][2])]


def _print_notes(frame: pd.DataFrame) -> None:
    """What the rows say; short tails, of which the table tells, as a count."""
    out = console()
    short = int((frame["tail_size"] < SHORT_TAIL).sum())
    if short:
        out.print(
            f"{short} KS fits rest on fewer than {SHORT_TAIL} eigenvalues: do not trust those exponents", style="yellow"
        )
    notes = []
    for name, note in zip(frame["name"], frame["note"], strict=True):
        told = "; ".join(part for part in note.split("; ") if not part.startswith("KS tail of"))
        notes += [f"{name}: {told}"] if told else []
    for note in notes[:_NOTES]:
        out.print(Text(note, style="yellow"), soft_wrap=True)
    if len(notes) > _NOTES:
        out.print(f"… and {len(notes) - _NOTES} more notes", style="yellow")


def print_training(run: xr.Dataset, path: Path, *, found: bool) -> None:
    """Loss and accuracy after each update, and each layer's exponents before and after."""
    rows: list[tuple[str, ...]] = [("updates", "loss", "accuracy")]
    for update, loss, accuracy in zip(run["update"].values, run.cross_entropy.values, run.accuracy.values, strict=True):
        rows.append((str(update), f"{loss:.4g}", f"{accuracy:.3f}"))
    print_table(run.attrs["title"], rows)
    first, last = run.isel(step=0), run.isel(step=-1)
    rows = [("layer", "phase", "Hill", "at first", "untrained", "z", "KS", "at first", "λ₁/λ₊")]
    for i, name in enumerate(run.matrix.values):
        figures = [
            f"{source[variable].values[i]:.3g}"
            for source, variable in (
                (last, "pl_alpha_hill"), (first, "pl_alpha_hill"), (run, "null_alpha_hill"), (last, "z_hill"),
                (last, "pl_alpha_ks"), (first, "pl_alpha_ks"), (last, "spectral_gap"),
            )
        ]  # fmt: skip
        rows.append((str(name), str(last.phase.values[i]), *figures))
    print_table(f"spectra after {int(last.step)} updates", rows)
    told = f"training took {duration(run.attrs['wall_time'])}"
    console().print(f"found, not computed again; {told}" if found else told, style="dim")
    print_paths([path])
    console().print(f"see it: spectail report {path}", style="dim", soft_wrap=True)


def print_run(run: xr.Dataset, paths: Sequence[Path], *, found: bool) -> None:
    """A run's measurements step by step, and where its files are."""
    e = experiment_of(run)
    untrained = MarchenkoPastur(e.h, e.d).hill()
    title = f"{e.optimizer}, η={e.lr:g}, n={e.n}, d={e.d}, h={e.h}, {e.protocol}, seed {e.seed}"
    title += f", numerics {e.numerics} of an earlier spectail" if e.outdated else ""
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
