"""What a monitor can hand its measurements to.

Not here: when they are called (`monitor`), and what a measurement is (`recording/layout.py`).
"""

from __future__ import annotations

import csv
import math
import os
import re
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectail.recording.layout import Measurement
from spectail.recording.quantities import of_row
from spectail.recording.spreadsheets import without_formulas


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
    if not new:  # a file that another release began may have other columns
        with path.open(encoding="utf-8", newline="") as file:
            frame = frame.reindex(columns=next(csv.reader(file)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(without_formulas(frame).to_csv(index=False, header=new))


def scalars_of(measurement: Measurement) -> dict[str, float]:
    """The finite numbers of a measurement that tables show, by the names that trackers have for them.

    Args:
        measurement: any.

    Returns:
        values by `spectail/LAYER/QUANTITY`.

    >>> scalars_of(Measurement(3, [{"name": "conv.weight[0,1]", "stable_rank": 2.5, "spectral_gap": math.nan}]))
    {'spectail/conv.weight_0_1/stable_rank': 2.5}
    """
    shown = [q.name for q in of_row() if q.head and q.dtype is not str and q.of not in ("matrix", "null")]
    values = {
        f"{_tag(row['name'])}/{name}": float(row[name])
        for row in measurement.rows
        for name in shown
        if row.get(name) is not None
    }
    return {tag: value for tag, value in values.items() if math.isfinite(value)}


def spectra_of(measurement: Measurement) -> dict[str, NDArray[np.float64]]:
    """The decimal logarithms of each matrix's eigenvalues, without those that are zero, for histograms.

    Args:
        measurement: any.

    Returns:
        values by `spectail/LAYER/log10 eigenvalues`.
    """
    spectra = {name: np.asarray(values, dtype=np.float64) for name, values in (measurement.spectra or {}).items()}
    return {
        f"{_tag(name)}/log10 eigenvalues": np.log10(values[values > values[-1] * _SMALLEST])
        for name, values in spectra.items()
        if len(values) and 0 < values[-1] < math.inf
    }


_SMALLEST = 1e-12
"""Share of the largest eigenvalue: of what lies below it, a histogram would show little but rounding."""


def _tag(name: str) -> str:
    """The name of a matrix as every tracker takes it; MLflow refuses brackets."""
    return "spectail/" + re.sub(r"[^\w./-]+", "_", name).strip("_")


def to_tensorboard(writer: Any) -> Logger:
    """A logger for `SpectralMonitor` that writes numbers, spectra and events for TensorBoard.

    Args:
        writer: a `SummaryWriter` of torch or tensorboardX; it is not closed.

    Returns:
        what to give as `on_measurement`.
    """
    return partial(_write_summary, writer)


def _write_summary(writer: Any, measurement: Measurement) -> None:
    for tag, value in scalars_of(measurement).items():
        writer.add_scalar(tag, value, measurement.step)
    for tag, spectrum in spectra_of(measurement).items():
        writer.add_histogram(tag, spectrum, measurement.step)
    if measurement.events:
        writer.add_text("spectail/events", "  \n".join(map(str, measurement.events)), measurement.step)


def to_wandb(run: Any) -> Logger:
    """A logger for `SpectralMonitor` that writes numbers and spectra to Weights & Biases.

    Everything has `spectail/step` as its axis. W&B's own step goes on as without the monitor: the numbers wait for the
    next row that the user logs. Only if the user logs none between two measurements, the first gets a row of its own.

    Args:
        run: of `wandb.init`; it is not finished.

    Returns:
        what to give as `on_measurement`.
    """
    return _ToWandb(run)


class _ToWandb:
    def __init__(self, run: Any) -> None:
        self._run = run
        self._waits_at: int | None = None
        run.define_metric("spectail/step")
        run.define_metric("spectail/*", step_metric="spectail/step")

    def __call__(self, measurement: Measurement) -> None:
        """Add a measurement to the row that the user's next call of `log` completes."""
        histogram = import_module("wandb").Histogram
        spectra = {
            tag: histogram(np_histogram=np.histogram(values, bins=64))
            for tag, values in spectra_of(measurement).items()
        }
        if self._waits_at == self._run.step:
            self._run.log({}, commit=True)
        self._run.log({"spectail/step": measurement.step, **scalars_of(measurement), **spectra}, commit=False)
        self._waits_at = self._run.step


def to_accelerate(accelerator: Any) -> Logger:
    """A logger for `SpectralMonitor` that writes to all trackers of an `Accelerator`.

    Args:
        accelerator: after its `init_trackers`.

    Returns:
        what to give as `on_measurement`.
    """
    loggers = [own_logger(tracker.tracker) or partial(_log_scalars, tracker.log) for tracker in accelerator.trackers]
    return partial(_tell_each, loggers)


def _log_scalars(log: Callable[..., object], measurement: Measurement) -> None:
    log(scalars_of(measurement), step=measurement.step)


def _tell_each(loggers: Sequence[Logger], measurement: Measurement) -> None:
    for logger in loggers:
        logger(measurement)


def own_logger(tracker: Any) -> Logger | None:
    """Our logger for what a trainer's logger writes to, where that takes more than numbers.

    Args:
        tracker: a `SummaryWriter`, a run of W&B, or anything else.

    Returns:
        None for anything else.
    """
    if hasattr(tracker, "add_scalar") and hasattr(tracker, "add_histogram"):
        return to_tensorboard(tracker)
    if hasattr(tracker, "define_metric") and hasattr(tracker, "log"):
        return to_wandb(tracker)
    return None


def warn_at_users_line(what: str, error: BaseException) -> None:
    """Warn of an error in a user's own code, and where in it: the innermost line that is of no installed package.

    Args:
        what: failed, as the beginning of a sentence.
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
