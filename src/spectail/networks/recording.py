"""What a monitor measured, as one labelled Dataset in one netCDF file."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spectail.files import check_variables, read_netcdf, write_netcdf
from spectail.networks.events import PhaseChange, phase_changes

FORMAT = 1
"""Version of the layout below; a reader refuses a newer one."""

VARIABLES: dict[str, str] = {
    "pl_alpha_hill": "power-law exponent of the upper half of the spectrum (Hill)",
    "pl_alpha_ks": "power-law exponent of the tail with the smallest KS distance",
    "ks_distance": "that distance",
    "xmin": "smallest eigenvalue of that tail",
    "tail_size": "number of eigenvalues in that tail",
    "alpha_stderr": "standard error of pl_alpha_ks, given xmin",
    "z_hill": "standard deviations between pl_alpha_hill and an untrained matrix of the shape; negative: heavier tail",
    "z_ks": "the same of pl_alpha_ks",
    "bulk_edge": "upper edge of the Marchenko-Pastur law fitted to the median",
    "n_spikes": "number of eigenvalues visibly past that edge",
    "spectral_gap": "largest eigenvalue over that edge",
    "stable_rank": "squared Frobenius norm over squared spectral norm",
    "effective_rank": "exponential of the entropy of the singular values' shares",
    "spectral_norm": "largest singular value",
    "frobenius_norm": "root of the sum of squares",
}
"""Variables over step and layer that are numbers, and what they mean. NaN where nothing could be measured."""

WORDS = {"phase": "phase of the spectrum", "note": "what to know before trusting the figures; why some are NaN"}
"""Variables over step and layer that are text."""

STATIC = {
    "kind": "what the layer is",
    "rows": "rows of one matrix",
    "cols": "columns of one matrix",
    "slices": "matrices pooled into one spectrum",
    "null_alpha_hill": "pl_alpha_hill of the Marchenko-Pastur law of the shape",
    "null_alpha_ks": "typical pl_alpha_ks of an untrained matrix of the shape",
    "null_spread_hill": "standard deviation of log(pl_alpha_hill - 1) over untrained matrices of the shape",
    "null_spread_ks": "the same of pl_alpha_ks",
}
"""Variables over layer only."""

CLOCKS = {"measuring_seconds": "time that the measurement took", "training_seconds": "training since attached"}
"""Variables over step only."""


@dataclass
class Recorded:
    """One measurement of all layers."""

    step: int
    rows: Sequence[Mapping[str, Any]]
    spectra: Sequence[NDArray[np.float32]] | None
    lr: tuple[float, ...]
    clocks: dict[str, float]


@dataclass
class Recording:
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
        for name, text in VARIABLES.items():
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
        attributes = {"spectail_monitor_format": FORMAT, "spectail_version": __version__, "title": self.title}
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


def open_monitor(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read what a monitor measured, whole, into memory.

    Nothing in the file is executed: it is HDF5 with numbers and strings.

    Args:
        path: the file that a `SpectralMonitor` wrote.

    Returns:
        variables over step and layer, `eigenvalues` over step, layer and index where spectra were kept, and
        one entry of `event_step`, `event_layer`, `event_before` and `event_after` for each change of a phase.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, was not written by a monitor, or by a newer version.
    """
    path = Path(path)
    found = read_netcdf(path, "a monitor", "spectail_monitor_format", FORMAT)
    over = {**dict.fromkeys((*VARIABLES, *WORDS), ("step", "layer")), **dict.fromkeys(STATIC, ("layer",))}
    over |= dict.fromkeys(CLOCKS, ("step",)) | {"lr": ("step", "group"), "step": ("step",), "layer": ("layer",)}
    over |= dict.fromkeys(("event_step", "event_layer", "event_before", "event_after"), ("event",))
    over |= {"eigenvalues": ("step", "layer", "index")} if "eigenvalues" in found else {}
    check_variables(found, path, "a monitor", over)
    return found


def recorded(dataset: xr.Dataset, until: int) -> list[Recorded]:
    """The measurements of a Dataset up to a step, to go on from there."""
    kept = dataset.isel(step=np.flatnonzero(dataset.step.values <= until))
    tables = {name: kept[name].values for name in (*VARIABLES, *WORDS)}
    spectra = kept["eigenvalues"].values if "eigenvalues" in kept else None
    found = []
    for at, step in enumerate(kept.step.values):
        rows = [{name: table[at, layer] for name, table in tables.items()} for layer in range(kept.sizes["layer"])]
        ragged = None if spectra is None else [values[~np.isnan(values)] for values in spectra[at]]
        rates = tuple(float(rate) for rate in kept.lr.values[at] if not np.isnan(rate))
        clocks = {name: float(kept[name].values[at]) for name in CLOCKS}
        found.append(Recorded(int(step), rows, ragged, rates, clocks))
    return found


def _padded(rows: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Rows of different lengths as one array, NaN past their ends."""
    out = np.full((len(rows), max((len(row) for row in rows), default=0)), np.nan, dtype=dtype)
    for at, row in enumerate(rows):
        out[at, : len(row)] = row
    return out


def _float(value: Any) -> float:
    return float(value)
