"""What a monitor can hand its measurements to."""

from __future__ import annotations

import os
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Sequence
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
    sentence = f"{what}: {type(error).__name__}: {error}"
    place = _users_line(traceback.extract_tb(error.__traceback__))
    if place is None:
        warnings.warn(sentence, stacklevel=2)
        return
    file, line = place
    warnings.warn_explicit(f"{sentence} ({Path(file).name}, line {line})", UserWarning, file, line)


def warn_where_it_trains(sentence: str) -> None:
    """Warn at the line of the user's own code that is being executed.

    Args:
        sentence: of the warning.
    """
    place = _users_line(traceback.extract_stack())
    if place is None:
        warnings.warn(sentence, stacklevel=2)
    else:
        warnings.warn_explicit(sentence, UserWarning, *place)


def _users_line(frames: Sequence[traceback.FrameSummary]) -> tuple[str, int] | None:
    """File and line of the innermost of these frames that is of no installed package."""
    for one in reversed(frames):
        if not any(folder in Path(one.filename).parents for folder in _NOT_THE_USERS):
            return one.filename, one.lineno or 1
    return None


_NOT_THE_USERS = [Path(__file__).parents[1], *(Path(sysconfig.get_paths()[name]) for name in ("purelib", "stdlib"))]


Logger = Callable[[Measurement], object]
"""Whatever a measurement can be handed to."""
