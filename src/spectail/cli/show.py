"""`spectail show`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from spectail.cli.imports import quick_imports
from spectail.cli.option import option
from spectail.cli.options import Drawing
from spectail.cli.printing import AnsweringRows, PrintingRows


@dataclasses.dataclass(frozen=True)
class Show:
    """Print a recording of any kind, and draw it beside its file or in DIR; of a folder of runs, print what is there.

    Example: spectail show results/runs/0123456789abcdef.nc
    """

    file: Annotated[
        Path,
        tyro.conf.Positional,
        option(metavar="FILE", help="A netCDF file: of a run, a monitor, a series, an analysis; or a folder of runs."),
    ]
    out: Annotated[Path | None, option(metavar="DIR", help="Folder for the figures.")] = None
    drawing: tyro.conf.OmitArgPrefixes[Drawing] = dataclasses.field(default_factory=Drawing)
    printing: AnsweringRows = dataclasses.field(default_factory=PrintingRows)

    def __call__(self) -> None:
        """Print and draw."""
        rows = self.printing.rows()
        if self.file.is_dir():
            from spectail.report.json_answers import runs_answer
            from spectail.report.terminal.runs import print_folder
            from spectail.store.results import runs_of

            self.printing.tell("show", lambda: runs_answer(runs_of(self.file)), lambda: print_folder(self.file))
            return
        with quick_imports():
            from spectail.plots.recording_plot import draw_beside
        from spectail.recording.reading import load_recording
        from spectail.report.json_answers import recording_answer
        from spectail.report.terminal.recording import print_recording

        recording, pictures = load_recording(self.file), self.drawing.pictures()
        beside = self.file if self.out is None else self.out / self.file.name
        paths = draw_beside(recording, beside, pictures)
        self.printing.tell(
            "show",
            lambda: recording_answer(recording, rows, paths),
            lambda: print_recording(recording, paths, choice=rows, everything=self.printing.verbose),
        )
