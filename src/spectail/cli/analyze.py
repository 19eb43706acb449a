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
        from spectail.analysis.model import analyze_with_spectra
        from spectail.progress import matrix_progress
        from spectail.report.terminal.recording import print_analysis
        from spectail.report.terminal.tables import print_paths

        with matrix_progress() as progress:
            found = analyze_with_spectra(
                self.source,
                after=self.after,
                conv=self.conv,
                p_value=self.p_value,
                seed=self.seed,
                progress=progress,
            )
        if found.frame.empty:
            count = len(found.frame.attrs["skipped"])
            raise SettingError(f"{found.title} has no matrix to analyse; all of its {count} parameters were skipped")
        print_analysis(found)
        if self.out is not None:
            given = [
                self.source,
                *filter(None, [self.after]),
                *(["--conv", self.conv] if "flat" in self.conv else []),
            ]
            command = shlex.join(["spectail", "analyze", *given, *(["--p-value"] if self.p_value else [])])
            print_paths(save_analysis(found, self.out, command))


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
    from spectail.recording.layout import spectra_dataset
    from spectail.recording.netcdf import write_netcdf
    from spectail.report.pages.recording import write_analysis_page

    frame = analysis.frame
    skipped = pd.DataFrame(frame.attrs["skipped"], columns=["name", "shape", "reason"])
    skipped["shape"] = ["×".join(map(str, shape)) for shape in skipped["shape"]]
    return [
        write_whole(folder / "analysis.csv", lambda part: frame.to_csv(part, index=False)),
        write_whole(folder / "skipped.csv", lambda part: skipped.to_csv(part, index=False)),
        write_netcdf(spectra_dataset(analysis), folder / "spectra.nc"),
        write_analysis_page(analysis, folder / "analysis.html", command),
    ]
