"""A recording that another process writes, looked at again and again.

Not here: how it is shown: `serving` (a page), `terminal/live` (the terminal).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import xarray as xr

from spectail.errors import SpectailError, first_line
from spectail.recording.journal_reading import journal_path
from spectail.recording.reading import load_recording
from spectail.store.store import Store
from spectail.store.unfinished import changed_at, load_unfinished, state_beside, unfinished_runs

INTERVAL = 1.0
"""Seconds between two looks at a file."""


class WatchedRecording:
    """The newest state of a recording that can be read.

    Attributes:
        path: of the file.
        recording: as it was read last; None until it could be read once.
        sentence: how the last look went, without a full stop.
        version: counts the states that were read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.version = path, 0
        self.recording: xr.Dataset | None = None
        self.sentence = f"{path} was not looked at yet"
        self._stamp: object = None

    def look(self) -> bool:
        """Read the file if it has changed. What cannot be read now is tried again at the next look.

        Returns:
            whether there is something new to show: another state, or another sentence.
        """
        stamp, before = self._stamp_now(), (self.sentence, self.version)
        if stamp == self._stamp:
            return False
        try:
            recording = self._load()
            if not recording.sizes["step"] or not recording["matrix"].size:
                raise FileNotFoundError(f"{self.path} holds no measurement yet")
        except (SpectailError, OSError) as error:  # half written, or gone between two looks
            self.sentence = f"{first_line(error)}; it is tried again"
            return self.sentence != before[0]
        self._stamp = stamp
        if self.recording is None or not recording.identical(self.recording):  # else its journal became part of it
            self.recording, self.version = recording, self.version + 1
        steps = recording["step"].values
        self.sentence = (
            f"{self.path.name}: {len(steps)} measurement{'s' * (len(steps) > 1)}, the last at step {steps[-1]}"
        )
        return (self.sentence, self.version) != before

    def states(self, stop: Event | None = None) -> Iterator[None]:
        """Look until told to stop, and yield whenever there is something new.

        Args:
            stop: ends it; without it only Ctrl-C does.
        """
        stop = stop or Event()
        while not stop.is_set():
            if self.look():
                yield
            stop.wait(INTERVAL)

    def _load(self) -> xr.Dataset:
        try:
            return load_recording(self.path)
        except FileNotFoundError:
            if state_beside(self.path).is_file():
                return load_unfinished(self.path)
            others = [path for path in unfinished_runs(self.path.parent) if path != self.path]
            if not others:
                raise
            raise FileNotFoundError(
                f"{self.path} does not exist; {others[-1]} is a run of this folder that is not finished"
            ) from None

    def _stamp_now(self) -> object:
        stamps: list[object] = []
        for path in (self.path, journal_path(self.path), state_beside(self.path)):
            try:
                status = path.stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return stamps


def such_as(folder: Path) -> str:
    """The end of a sentence for who named a folder: the recording in it that was written to last, finished or not."""
    files = [
        path for pattern in ("*.nc", "*.nc.journal", "runs/*.nc", "trainings/*.nc") for path in folder.glob(pattern)
    ]
    unfinished = unfinished_runs(folder) | {
        path: at for path, at in unfinished_runs(folder.parent).items() if path.parent == folder
    }
    written = {path: changed_at(path) for path in files} | unfinished
    newest = max(written, key=lambda path: written[path], default=None)
    if newest is not None:
        return f", such as {str(newest).removesuffix('.journal')}"
    if Store(folder).has_runs:
        return "; it holds no run yet, and what a long one has measured can be watched when it is kept, each minute"
    return ""
