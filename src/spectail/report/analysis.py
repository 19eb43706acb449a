"""An analysed model on the terminal and in files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from spectail.files import write_netcdf, write_whole
from spectail.networks.analyze import Analysis, Progress
from spectail.networks.change import OVERLAPS
from spectail.networks.row import SHORT_TAIL
from spectail.report.analysis_page import figure, summary_of, write_analysis_page
from spectail.report.progress import bar, console

_NOTES = 12  # printed; the files hold all
_STYLES = {"heavy-tailed": "yellow", "bulk+spike": "cyan", "rank-collapse": "red", "unknown": "dim"}


@contextmanager
def matrix_progress() -> Iterator[Progress]:
    """A bar over the matrices of a model, weighed by their work."""
    with bar() as progress:
        task = progress.add_task("matrices", total=1.0, text="opening")
        yield lambda share, name: progress.update(task, completed=share, text=name)


def print_analysis(analysis: Analysis) -> None:
    """A table of the matrices, what a reader should know of them, and what was skipped."""
    frame, out = analysis.frame, console()
    table = Table(
        title=Text(analysis.title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    changed = OVERLAPS[0] in frame
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
    skipped = frame.attrs["skipped"]
    if skipped:
        out.print(f"skipped {len(skipped)} parameters:")
        for reason, names in summary_of(skipped):
            out.print(Text(f"  {reason} – {names}"), soft_wrap=True)
    else:
        out.print("nothing was skipped")


def save_analysis(analysis: Analysis, folder: Path, command: str) -> list[Path]:
    """Write analysis.csv, skipped.csv, spectra.nc and analysis.html.

    Args:
        analysis: what to write.
        folder: where to; made if need be.
        command: that the page says it was made by.

    Returns:
        the paths.

    Raises:
        OSError: the folder cannot be written to.
    """
    frame = analysis.frame
    skipped = pd.DataFrame(frame.attrs["skipped"], columns=["name", "shape", "reason"])
    skipped["shape"] = ["×".join(map(str, shape)) for shape in skipped["shape"]]
    return [
        write_whole(folder / "analysis.csv", lambda part: frame.to_csv(part, index=False)),
        write_whole(folder / "skipped.csv", lambda part: skipped.to_csv(part, index=False)),
        write_netcdf(spectra_dataset(analysis), folder / "spectra.nc"),
        write_analysis_page(analysis, folder / "analysis.html", command),
    ]


def spectra_dataset(analysis: Analysis) -> xr.Dataset:
    """All spectra one after the other: `eigenvalues (index)`, and `layer (index)`, the name each belongs to."""
    names = analysis.frame["name"].to_numpy(dtype=str)
    sizes = [len(spectrum) for spectrum in analysis.spectra]
    values = np.concatenate([spectrum.numpy() for spectrum in analysis.spectra]) if sizes else np.empty(0)
    return xr.Dataset(
        {"eigenvalues": ("index", values)},
        coords={"layer": ("index", np.repeat(names, sizes))},
        attrs={"title": analysis.title, "units": "squared units of the weights"},
    )


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
    cells = [row["name"], row["kind"], f"{row['rows']}×{row['cols']}", *(figure(row[name], 3) for name in figures)]
    if changed:
        cells.append(", ".join(figure(row[name], 3) for name in OVERLAPS))
    return [*map(Text, cells), Text(row["phase"], style=_STYLES.get(row["phase"], ""))]


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
