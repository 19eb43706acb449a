"""`spectail watch`."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Annotated

import tyro

from spectail.cli.imports import quick_imports
from spectail.cli.option import option
from spectail.cli.printing import Answering, Printing


@dataclasses.dataclass(frozen=True)
class Watch:
    """Show a recording while it grows, until Ctrl-C.

    The page is served to this machine only, and loads itself anew when there is more to show. The file may be one that
    a monitor or `spectail series --follow` writes right now, or that does not exist yet; of a run that is being
    computed it is what was measured when its state was kept, each minute.
    Example: spectail watch run.nc; spectail watch run.nc --terminal
    """

    file: Annotated[Path, tyro.conf.Positional, option(metavar="FILE.nc", help="The file of the recording.")]
    terminal: Annotated[bool, option(help="Show it in the terminal, not as a page.", help_behavior_hint="")] = False
    port: Annotated[int, option(metavar="PORT", help="To serve the page at; 0 is any that is free.")] = 0
    printing: Answering = dataclasses.field(default_factory=Printing)

    def __call__(self) -> None:
        """Look at the file until Ctrl-C."""
        from spectail.errors import SettingError

        with quick_imports():
            from spectail.report.watching import WatchedRecording, such_as

        if self.file.is_dir():
            newest = such_as(self.file)
            checkpoints = "" if newest else self._instead_of_checkpoints()
            raise SettingError(f"{self.file} is a folder{checkpoints or f'; expected the file of a recording{newest}'}")
        if not 0 <= self.port < 2**16:
            raise SettingError(f"port must be from 0 to 65535, not {self.port}")
        watched = WatchedRecording(self.file)
        if self.terminal and (self.printing.json or self.printing.quiet):
            raise SettingError("--terminal shows the recording there; expected neither --json nor --quiet beside it")
        if self.terminal:
            from spectail.report.terminal.live import show_live

            show_live(watched)
            return
        from spectail.report.serving import PageServer

        watched.look()
        with PageServer(watched, self.port) as server:
            self.printing.tell(
                "watch",
                lambda: {"file": self.file, "address": server.address},
                lambda: print(f"{self.file} is shown at {server.address} (Ctrl-C ends this)", flush=True),
            )
            self._say(watched.sentence)
            for _ in watched.states():
                server.refresh()
                self._say(watched.sentence)

    def _instead_of_checkpoints(self) -> str:
        """What to type where a folder holds checkpoints; "" where it holds none."""
        from spectail.errors import SpectailError
        from spectail.weights.series import find_series

        try:
            find_series(self.file)
        except (SpectailError, OSError):
            return ""
        measure = shlex.join(["spectail", "series", str(self.file), "--follow", "--out", "run.nc"])
        return f" of checkpoints; {measure} measures them as they come, and spectail watch run.nc shows that meanwhile"

    def _say(self, sentence: str) -> None:
        if not self.printing.quiet:
            print(sentence, file=sys.stderr)
