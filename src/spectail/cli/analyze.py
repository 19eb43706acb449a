"""`spectail analyze`."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from spectail.errors import SettingError

if TYPE_CHECKING:
    from spectail.analysis.model import Analysis


@dataclasses.dataclass(frozen=True)
class Analyze:
    """Say what the spectra of a model show: a table, and with --out CSV, netCDF and one HTML page.

    SOURCE is a .safetensors file, a .pt or .pth state dict, a folder or an index of shards as Hugging Face
    lays them out, or package.module:factory. With AFTER, the same model later, spectra are of the change.
    Example: spectail analyze model.safetensors --out analysis
    """

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE", help="The model.")]
    after: Annotated[
        str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[AFTER]", help="The same model, later.")
    ] = None
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help="Folder for the files and the page.")] = None
    conv: Annotated[str, tyro.conf.arg(metavar="kernel-slices|flatten", help="How a kernel becomes matrices.")] = (
        "kernel-slices"
    )
    p_value: Annotated[bool, tyro.conf.arg(help="Bootstrap the goodness of each KS fit; takes a while.")] = False
    seed: Annotated[int, tyro.conf.arg(metavar="INT", help="Of the bootstrap.")] = 0

    def __call__(self) -> None:
        """Analyse, print, and write the files."""
        if self.seed < 0:
            raise SettingError(f"seed={self.seed} is not valid; expected 0 or more")
        from spectail.analysis.model import analyze, compare
        from spectail.report.terminal.recording import print_recording
        from spectail.report.terminal.tables import print_paths

        if self.after is None:
            analysis = analyze(self.source, conv=self.conv, p_value=self.p_value, seed=self.seed)
        else:
            analysis = compare(self.source, self.after, conv=self.conv, p_value=self.p_value, seed=self.seed)
        if analysis.frame.empty:
            count = len(analysis.skipped)
            raise SettingError(f"{analysis.title} has no matrix to analyse; all of its {count} parameters were skipped")
        print_recording(analysis.recording)
        if self.out is not None:
            given = [
                self.source,
                *filter(None, [self.after]),
                *(["--conv", self.conv] if "flat" in self.conv else []),
            ]
            command = shlex.join(["spectail", "analyze", *given, *(["--p-value"] if self.p_value else [])])
            print_paths(save_analysis(analysis, self.out, command))


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
    import pandas as pd

    from spectail.files import write_whole
    from spectail.recording.netcdf import save_recording
    from spectail.report.pages.recording import write_page

    frame = analysis.frame
    rows = [(one.name, "×".join(map(str, one.shape)), one.reason) for one in analysis.skipped]
    skipped = pd.DataFrame(rows, columns=["name", "shape", "reason"])
    return [
        write_whole(folder / "analysis.csv", lambda part: frame.to_csv(part, index=False)),
        write_whole(folder / "skipped.csv", lambda part: skipped.to_csv(part, index=False)),
        save_recording(analysis.recording, folder / "spectra.nc"),
        write_page(analysis, folder / "analysis.html", command=command),
    ]
