"""The monitors of a callback, which is told of one run of the trainer after the other.

Here: which file a run after the first has. Not here: when a library says that a run begins.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from spectail.errors import first_line
from spectail.monitor.loggers import Logger
from spectail.monitor.monitor import SpectralMonitor
from spectail.recording.journal_reading import journal_path


class MonitoredRuns:
    """A monitor a run. Only what is wrong from the start is an error: a run after the first is never stopped.

    Args:
        options: of each `SpectralMonitor`.
        tell: is handed each measurement, besides those whom the options name.

    Attributes:
        options: of each `SpectralMonitor`.
        monitor: of the last run; None before the first run, and for a run that could not be watched.
    """

    def __init__(self, options: Mapping[str, Any], tell: Logger | None = None) -> None:
        self.options = dict(options)
        self._tell = tell
        self.monitor: SpectralMonitor | None = None
        self._is_first = True
        self._model: Callable[[], nn.Module | None] = _nothing

    def begin(self, model: nn.Module, optimizer: Any, step: int) -> None:
        """Attach a monitor.

        Args:
            model: that is trained.
            optimizer: that trains it.
            step: how many updates it has made, as far as its trainer knows.

        Raises:
            SettingError: an option is out of range; only for the first run.
            OSError: the file exists, or cannot be written; only for the first run.
        """
        is_same = self._model() is model
        self._model = weakref.ref(model)
        if self._is_first:
            self.monitor = self._monitor(model, optimizer, step, self.options)
            self._is_first = False
            return
        try:
            self._begin_again(model, optimizer, step, is_same=is_same)
        except Exception as error:  # whatever it is: the training is worth more
            self.monitor = None
            warnings.warn(f"this run is not watched, training goes on: {first_line(error)}", stacklevel=2)

    def _begin_again(self, model: nn.Module, optimizer: Any, step: int, *, is_same: bool) -> None:
        before, options = self.monitor, dict(self.options)
        if before is not None:
            before.detach()
        path = options.get("path")
        if path is not None:
            is_resumed = options.pop("resume", False) or options.get("existing") == "resume"
            options.pop("overwrite", None)
            if before is not None and before.steps == before.first_step:
                options["existing"] = "replace"  # the run before made no step
            elif is_resumed and (step or (is_same and before is not None)):
                step = step or (
                    before.steps if before else 0
                )  # a trainer that begins to count anew has not put the weights back
                options["existing"] = "resume"
            else:
                options |= {"existing": "refuse", "path": _free(Path(path))}
                warnings.warn(f"{path} holds the run before; this one is kept in {options['path']}", stacklevel=2)
        self.monitor = self._monitor(model, optimizer, step, options)

    def _monitor(self, model: nn.Module, optimizer: Any, step: int, options: Mapping[str, Any]) -> SpectralMonitor:
        options = dict(options)
        if self._tell is not None:
            others = options.get("on_measurement", ())
            options["on_measurement"] = (*((others,) if callable(others) else others), self._tell)
        return SpectralMonitor(model, optimizer, initial_step=step, **options)

    def end(self, *, failed: bool = False) -> None:
        """Write the file, after a last measurement where the run has not failed."""
        if self.monitor is not None:
            self.monitor.detach() if failed else self.monitor.close()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy has, in another process: the model there is another."""
        return {**vars(self), "_model": _nothing}


def _free(path: Path) -> Path:
    """The first of run-2.nc, run-3.nc, … that is not there."""
    number = 2
    while (free := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists() or journal_path(free).exists():
        number += 1
    return free


def _nothing() -> None:
    """What a reference to no model gives."""
