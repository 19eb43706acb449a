"""What a monitor can hand its measurements to."""

from __future__ import annotations

import os
import sysconfig
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

from spectail.recording.layout import Measurement


def to_csv(path: str | os.PathLike[str]) -> Logger:
    """A logger for `SpectralMonitor` that appends one line a matrix to a CSV file.

    Args:
        path: the file; a header is written if there is none yet. Lines of an earlier run stay.

    Returns:
        what to give as `on_measurement`.
    """
    return partial(_append, Path(path))


def _append(path: Path, measurement: Measurement) -> None:
    frame = measurement.frame.copy()
    frame.insert(0, "step", measurement.step)
    new = not path.exists() or path.stat().st_size == 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(frame.to_csv(index=False, header=new))


def warn_at_users_line(what: str, error: BaseException) -> None:
    """Warn of an error in a user's own code, and where in it: the innermost line that is of no installed package.

    Args:
        what: failed.
        error: what was raised.
    """
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [one for one in frames if not any(folder in Path(one.filename).parents for folder in _NOT_THE_USERS)]
    sentence = f"{what}: {type(error).__name__}: {error}"
    if not theirs:
        warnings.warn(sentence, stacklevel=2)
        return
    file, line = theirs[-1].filename, theirs[-1].lineno or 1
    warnings.warn_explicit(f"{sentence} ({Path(file).name}, line {line})", UserWarning, file, line)


_NOT_THE_USERS = [Path(__file__).parents[1], *(Path(sysconfig.get_paths()[name]) for name in ("purelib", "stdlib"))]


Logger = Callable[[Measurement], object]
"""Whatever a measurement can be handed to."""
