"""What a monitor can hand its measurements to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from spectail.recording.layout import Measurement


def to_csv(path: str | os.PathLike[str]) -> Logger:
    """A logger for `SpectralMonitor` that appends one line a matrix to a CSV file.

    Args:
        path: the file; a header is written if there is none yet. Lines of an earlier run stay.

    Returns:
        what to give as `on_measurement`.
    """
    path = Path(path)

    def append(measurement: Measurement) -> None:
        frame = measurement.frame.copy()
        frame.insert(0, "step", measurement.step)
        new = not path.exists() or path.stat().st_size == 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(frame.to_csv(index=False, header=new))

    return append


Logger = Callable[[Measurement], object]
"""Whatever a measurement can be handed to."""
