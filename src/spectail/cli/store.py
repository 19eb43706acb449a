"""`spectail store`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from spectail.cli.option import option
from spectail.cli.printing import Answering, Printing
from spectail.errors import SettingError


@dataclasses.dataclass(frozen=True)
class StoreCommand:
    """Verify a folder of runs (check), or remove what is provably incomplete from it (gc).

    Example: spectail store check results
    """

    action: Annotated[str, tyro.conf.Positional, option(metavar="check|gc", help="What to do.")]
    folder: Annotated[Path, tyro.conf.Positional, option(metavar="DIR", help="The folder.")]

    printing: Answering = dataclasses.field(default_factory=Printing)

    def __call__(self) -> None:
        """Verify, or remove, and say what is wrong."""
        from spectail.errors import unknown_name
        from spectail.report.terminal import sweep as progress
        from spectail.store import upkeep
        from spectail.store.store import Store
        from spectail.study.settings import figure_folders

        store, figures = Store(self.folder), figure_folders(self.folder)
        if self.action == "check":
            defects = upkeep.check(store, figures)
            runs = len(store.manifest.read())
            self.printing.tell(
                "store",
                lambda: {"runs": runs, "defects": [vars(defect) for defect in defects]},
                lambda: progress.print_defects(defects, runs),
            )
            if any(defect.harmful for defect in defects):
                sys.exit(1)
        elif self.action == "gc":
            removed = upkeep.collect_garbage(store, figures)
            self.printing.tell("store", lambda: {"removed": removed}, lambda: progress.print_removed(removed))
        else:
            raise SettingError(unknown_name("action", self.action, ("check", "gc")))
