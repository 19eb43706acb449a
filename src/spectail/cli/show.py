"""`spectail show`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from spectail.errors import StoreError


@dataclasses.dataclass(frozen=True)
class Show:
    """Print a stored run, and draw it again beside its file or in DIR.

    Example: spectail show results/runs/0123456789abcdef.nc
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE", help="The netCDF file of a run.")]
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help="Folder for the figures.")] = None

    def __call__(self) -> None:
        """Print and draw."""
        from spectail.plots.recording_plot import draw_beside
        from spectail.recording.reading import load_recording
        from spectail.report.terminal.recording import print_run

        result = load_recording(self.file)
        if result.attrs["of"] != "two-layer":
            raise StoreError(f"{self.file} holds no run of the laboratory; see it with spectail report {self.file}")
        beside = self.file if self.out is None else self.out / self.file.name
        print_run(result, draw_beside(result, beside), found=False)
