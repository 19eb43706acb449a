"""`spectail list`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from spectail.cli.imports import quick_imports
from spectail.cli.option import option
from spectail.cli.printing import Answering, Printing


@dataclasses.dataclass(frozen=True)
class List:
    """Say what is in a folder: runs with their settings, last phase, name, key and size; and other recordings.

    Example: spectail list results
    """

    folder: Annotated[Path, tyro.conf.Positional, option(metavar="DIR", help="A folder of runs, or of recordings.")]

    printing: Answering = dataclasses.field(default_factory=Printing)

    def __call__(self) -> None:
        """Print the list."""
        with quick_imports():
            from spectail.report.json_answers import runs_answer
            from spectail.report.terminal.runs import print_folder
        from spectail.store.results import runs_of

        self.printing.tell("list", lambda: runs_answer(runs_of(self.folder)), lambda: print_folder(self.folder))
