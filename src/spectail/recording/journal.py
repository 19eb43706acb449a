"""Measurements so far, kept in a file."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spectail.recording.events import PhaseChange, phase_changes
from spectail.recording.layout import _float, _padded
from spectail.recording.netcdf import write_netcdf
from spectail.recording.quantities import CLOCKS, MONITOR_FORMAT, MONITOR_VARIABLES, STATIC, WORDS


@dataclass
class Recorded:
    """One measurement of all layers."""

    step: int
    rows: Sequence[Mapping[str, Any]]
    spectra: Sequence[NDArray[np.float32]] | None
    lr: tuple[float, ...]
    clocks: dict[str, float]


@dataclass
class Journal:
    """The measurements so far; it keeps itself in a file.

    Attributes:
        title: of the model.
        layers: name and what is in `STATIC`, of each.
        path: the file; None keeps it in memory only.
        seconds: between two writes of the file.
        measurements: in the order of their steps.
    """

    title: str
    layers: list[dict[str, Any]]
    path: Path | None = None
    seconds: float = 10.0
    measurements: list[Recorded] = field(default_factory=list)
    _pending: bool = False
    _saved_at: float = 0.0
    _cost: float = 0.0

    @property
    def names(self) -> list[str]:
        """Of the layers."""
        return [str(layer["name"]) for layer in self.layers]

    @property
    def events(self) -> list[PhaseChange]:
        """Every change of a phase between neighbouring measurements."""
        found: list[PhaseChange] = []
        for before, after in zip(self.measurements, self.measurements[1:], strict=False):
            found += self.changes(before, after)
        return found

    def changes(self, before: Recorded, after: Recorded) -> tuple[PhaseChange, ...]:
        """The changes of a phase between two measurements."""
        phases = [[str(row["phase"]) for row in one.rows] for one in (before, after)]
        return phase_changes(after.step, self.names, *phases)

    def add(self, measurement: Recorded) -> tuple[PhaseChange, ...]:
        """Append a measurement, and say which phases changed. It is in memory until the next `save`."""
        changes = self.changes(self.measurements[-1], measurement) if self.measurements else ()
        self.measurements.append(measurement)
        self._pending = True
        return changes

    def save(self, *, now: bool = True) -> None:
        """Write the file, whole or not at all, if there is something new.

        Args:
            now: if false, only when the last write is long enough ago: `seconds`, and 50 times as long
                as it took, so that writing takes at most 2 % of the time however long the file is.

        Raises:
            OSError: it cannot be written; the file is then as it was.
        """
        start = time.perf_counter()
        if self.path is None or not self._pending:
            return
        if not now and start - self._saved_at < max(self.seconds, 50 * self._cost):
            return
        write_netcdf(self.dataset(), self.path, compressed=["eigenvalues"])
        self._pending, self._saved_at = False, time.perf_counter()
        self._cost = self._saved_at - start

    def dataset(self) -> xr.Dataset:
        """All measurements, labelled by step and layer."""
        from spectail import __version__

        shape = (len(self.measurements), len(self.layers))
        variables: dict[str, Any] = {}
        for name, text in MONITOR_VARIABLES.items():
            numbers = np.array([[_float(row[name]) for row in one.rows] for one in self.measurements])
            variables[name] = (("step", "layer"), numbers.reshape(shape), {"long_name": text})
        for name, text in WORDS.items():
            words = np.array([[str(row[name]) for row in one.rows] for one in self.measurements], dtype=object)
            variables[name] = (("step", "layer"), words.reshape(shape), {"long_name": text})
        for name, text in STATIC.items():
            values = [layer[name] for layer in self.layers]
            kind = object if isinstance(values[0], str) else None
            variables[name] = ("layer", np.array(values, dtype=kind), {"long_name": text})
        for name, text in CLOCKS.items():
            seconds = np.array([one.clocks[name] for one in self.measurements], dtype=float)
            variables[name] = ("step", seconds, {"long_name": text, "units": "s"})
        rates = _padded([np.array(one.lr) for one in self.measurements], np.dtype(float))
        variables["lr"] = (("step", "group"), rates, {"long_name": "learning rate of each group of parameters"})
        variables |= self._spectra() | self._events()
        steps = np.array([one.step for one in self.measurements], dtype=np.int64)
        names = np.array(self.names, dtype=object)
        attributes = {"spectail_monitor_format": MONITOR_FORMAT, "spectail_version": __version__, "title": self.title}
        return xr.Dataset(variables, {"step": steps, "layer": names}, attributes)

    def _spectra(self) -> dict[str, Any]:
        if not self.measurements or any(one.spectra is None for one in self.measurements):
            return {}
        flat = [values for one in self.measurements for values in one.spectra or ()]
        stacked = _padded(flat, np.dtype(np.float32)).reshape(len(self.measurements), len(self.layers), -1)
        text = "eigenvalues of the layer, ascending; NaN past their number"
        return {"eigenvalues": (("step", "layer", "index"), stacked, {"long_name": text})}

    def _events(self) -> dict[str, Any]:
        events = self.events
        words = {"event_layer": "layer", "event_before": "before", "event_after": "after"}
        return {
            "event_step": ("event", np.array([event.step for event in events], dtype=np.int64)),
            **{key: ("event", np.array([getattr(e, of) for e in events], dtype=object)) for key, of in words.items()},
        }
