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

INTERVAL = 1.0
"""Seconds between two looks at a file."""


class WatchedRecording:
    """The newest state of a recording that can be read.

    Attributes:
        path: of the file.
        recording: as it was read last; None until it could be read once.
        sentence: how the last look went, without a point.
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
        stamp, before = self._stamp_now(), self.sentence
        if stamp == self._stamp:
            return False
        try:
            recording = load_recording(self.path)
            if not recording.sizes["step"] or not recording["matrix"].size:
                raise FileNotFoundError(f"{self.path} holds no measurement yet")
        except (SpectailError, OSError) as error:  # half written, or gone between two looks
            self.sentence = f"{first_line(error)}; it is tried again"
            return self.sentence != before
        self._stamp, self.recording, self.version = stamp, recording, self.version + 1
        steps = recording["step"].values
        self.sentence = (
            f"{self.path.name}: {len(steps)} measurement{'s' * (len(steps) > 1)}, the last at step {steps[-1]}"
        )
        return True

    def states(self, stop: Event | None = None) -> Iterator[None]:
        """Look until one is told to stop, and yield whenever there is something new.

        Args:
            stop: ends it; without it only Ctrl-C does.
        """
        stop = stop or Event()
        while not stop.is_set():
            if self.look():
                yield
            stop.wait(INTERVAL)

    def _stamp_now(self) -> object:
        stamps: list[object] = []
        for path in (self.path, journal_path(self.path)):
            try:
                status = path.stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return stamps
