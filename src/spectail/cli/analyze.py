"""`spectail analyze`."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated

import tyro


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
            raise ValueError(f"seed={self.seed} is not valid; expected 0 or more")
        from spectail.networks.analyze import analyze_with_spectra
        from spectail.report.analysis import matrix_progress, print_analysis, save_analysis
        from spectail.report.progress import print_paths

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
            raise ValueError(f"{found.title} has no matrix to analyse; all of its {count} parameters were skipped")
        print_analysis(found)
        if self.out is not None:
            given = [
                self.source,
                *filter(None, [self.after]),
                *(["--conv", self.conv] if "flat" in self.conv else []),
            ]
            command = shlex.join(["spectail", "analyze", *given, *(["--p-value"] if self.p_value else [])])
            print_paths(save_analysis(found, self.out, command))
