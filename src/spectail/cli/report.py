"""`spectail report`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from spectail.cli.imports import quick_imports
from spectail.cli.option import option
from spectail.cli.printing import Answering, Printing
from spectail.errors import SettingError, unknown_name


@dataclasses.dataclass(frozen=True)
class Report:
    """Write one HTML page of what a folder holds: pictures, verdicts, and an explorer of its runs.

    The page needs no network and no server: open it in a browser, or send it to somebody. The file of a
    recording has a page of its own beside it, whether of a monitor, a run, a training or an analysis; of a
    folder's runs, one page shows all.
    Example: spectail report results --out pages; spectail report run.nc
    """

    folder: Annotated[
        Path,
        tyro.conf.Positional,
        option(metavar="DIR|FILE.nc", help="A folder of results, or the file of a recording."),
    ]
    scale: Annotated[
        str,
        option(metavar="paper|quarter|small", help="Which reproductions to show: at the paper's sizes, or smaller."),
    ] = "paper"
    out: Annotated[Path | None, option(metavar="DIR", help="Folder for the pages; default: beside what they show.")] = (
        None
    )

    printing: Answering = dataclasses.field(default_factory=Printing)

    def __call__(self) -> None:
        """Write the page, or several."""
        if not self.folder.exists():
            raise SettingError(f"{self.folder} is not a folder or a file; expected one that spectail wrote")
        with quick_imports():
            from spectail.recording.reading import load_recording
            from spectail.report.pages.recording import recordings_in, write_page
            from spectail.store.store import Store
            from spectail.study.settings import SCALES

        if self.scale not in SCALES:
            raise SettingError(unknown_name("scale", self.scale, SCALES))
        if self.folder.is_file():
            self._tell([write_page(load_recording(self.folder), self._page_of(self.folder))])
            return
        store = Store(self.folder)
        pages = [write_page(one, self._page_of(path)) for path, one in recordings_in(self.folder)]
        if not pages or store.has_runs:
            from spectail.report.pages.study import write_report

            pages.append(write_report(self.folder, self.scale, self.out))
        self._tell(pages)

    def _page_of(self, path: Path) -> Path:
        page = path.with_suffix(".html")
        return page if self.out is None else self.out / page.name

    def _tell(self, pages: list[Path]) -> None:
        from spectail.report.terminal.tables import print_paths

        self.printing.tell("report", lambda: {"written": pages}, lambda: print_paths(pages))
