"""What of a recording a picture shows: one matrix, one step, the laws beside it.

Not here: anything that is drawn (`spectrum_plot`, `quantities_plot`).
"""

from __future__ import annotations

import math
import os
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from spectail.analysis.completion import complete
from spectail.errors import SettingError, StoreError, unknown_name
from spectail.experiments.experiment import Experiment, experiment_of
from spectail.experiments.theory import untrained_law
from spectail.recording.argument import as_recording
from spectail.recording.layout import with_labels
from spectail.recording.reading import load_recording
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.spikes import visible_edge
from spectail.store.results import experiment_at, load_results

NO_BULK = 1e-9
"""Share of the largest eigenvalue: an edge below it is that of a collapsed spectrum, whose median is rounding."""


def dataset_of(x: Any) -> xr.Dataset:
    """The Dataset behind what a user has: a recording, or results of many runs.

    Args:
        x: a Dataset; what has a recording, as an `Analysis` or a monitor; or the path of a recording or of a folder.

    Raises:
        StoreError: it is none of these.
        OSError: there is no such file or folder.
    """
    if isinstance(x, str | os.PathLike):
        return load_results(x) if Path(x).is_dir() else load_recording(x)
    dataset = x if isinstance(x, xr.Dataset) else getattr(x, "recording", x)
    if not isinstance(dataset, xr.Dataset):
        raise StoreError(f"{type(x).__name__} is neither a recording nor results; expected one, or its path")
    return dataset


def recording_of(x: Any, *names: str) -> xr.Dataset:
    """The recording behind what a user has, with some quantities.

    Args:
        x: as for `dataset_of`; of results a single run, as `results.sel(lr=0.1, seed=0)` gives it.
        *names: of quantities that it is to have; those that it lacks are completed from its spectra.

    Raises:
        StoreError: it is no recording, or has no step.
        SettingError: it has no such quantity.
    """
    dataset = dataset_of(x)
    recording = as_recording(_run_of(dataset) if {"key", "recording"} & {*map(str, dataset.variables)} else dataset)
    if not recording.sizes.get("step"):
        raise StoreError("the recording has no step")
    recording = recording if set(names) <= set(recording.variables) else complete(recording)
    for name in names:
        if name not in recording.variables:
            raise SettingError(unknown_name("quantity", name, map(str, recording.variables)))
    return recording


def _run_of(results: xr.Dataset) -> xr.Dataset:
    """The one run of results as a recording."""
    axes = results["key"].dims if "key" in results else ("recording",) * ("recording" in results.dims)
    if several := [str(axis) for axis in axes if results.sizes[axis] > 1]:
        chosen = ", ".join(f"{axis}={results[axis].values.tolist()[0]!r}" for axis in several)
        raise SettingError(f"a picture of one run is asked for; expected one of the results, such as .sel({chosen})")
    run = results.squeeze(list(axes))
    if "key" not in results or "rows" in run.coords:
        return run
    e = experiment_at(run)
    run = run.isel(step=np.flatnonzero((run["phase"] != "").values.reshape(run.sizes["step"], -1).any(1)))
    run = run.drop_vars([name for name in run.coords if name in Experiment.model_fields])
    about = {"experiment": e.canonical_json, "key": e.key}
    return with_labels(run.drop_vars("key").assign_attrs(about))


def one_matrix(recording: xr.Dataset, matrix: str | None) -> xr.Dataset:
    """The recording of one matrix.

    Args:
        recording: of any kind.
        matrix: its name; not needed where there is only one.

    Raises:
        SettingError: there is no such matrix, or there are several.
    """
    names = [str(name) for name in np.atleast_1d(recording["matrix"].values)]
    if matrix is None and len(names) > 1:
        raise SettingError(f"matrix needs a value, such as matrix={names[0]!r}; there are {len(names)}")
    if matrix is not None and matrix not in names:
        raise SettingError(unknown_name("matrix", matrix, names))
    if "matrix" not in recording.dims:
        return recording
    return recording.isel(matrix=names.index(matrix) if matrix is not None else 0)


def at_step(recording: xr.Dataset, step: int) -> xr.Dataset:
    """One step of a recording.

    Args:
        recording: of any kind.
        step: the step itself; −1 is the last that was recorded, −2 the one before it.

    Raises:
        SettingError: it was not recorded.
    """
    steps = recording["step"].values.tolist()
    whole = isinstance(step, Integral) and not isinstance(step, bool)
    if not whole or (step not in steps and not -len(steps) <= step < 0):
        shown = step if whole else repr(step)
        raise SettingError(f"step={shown} was not recorded; there are {', '.join(map(str, steps))}")
    return recording.isel(step=steps.index(step) if step in steps else step)


def initial_law(recording: xr.Dataset) -> MarchenkoPastur | None:
    """The law of the initial weights of one matrix, where the recording says how they were drawn."""
    if recording.attrs.get("of") not in ("two-layer", "multilayer"):
        return None
    e, rows, cols = experiment_of(recording), int(recording["rows"]), int(recording["cols"])
    return (
        untrained_law(e)
        if not e.layers
        else MarchenkoPastur(rows, cols, 1.0 if e.initialization == "ntk" else 1 / cols)
    )


def fitted_bulk(at: xr.Dataset) -> MarchenkoPastur | None:
    """The law that was fitted to a spectrum.

    Args:
        at: one step of one matrix.

    Returns:
        None where no bulk was found.
    """
    unit, edge = MarchenkoPastur(int(at["rows"]), int(at["cols"])), float(at["bulk_edge"])
    largest = float(np.nanmax(at["eigenvalues"].values, initial=0.0))
    return MarchenkoPastur(unit.rows, unit.cols, edge / unit.edges[1]) if edge > NO_BULK * largest else None


def edge_of_spikes(at: xr.Dataset) -> tuple[float, str]:
    """The edge past which the spikes of a spectrum were counted, and what was taken out before, in words.

    Args:
        at: one step of one matrix.

    Returns:
        the edge, squared units of the weights, NaN where there is no bulk; and the words. Where the recording holds no
        visible edge (runs, files of the first edition), it is that of the fitted law: λ₊ plus three Tracy–Widom scales.
    """
    if "visible_edge" in at:
        return float(at["visible_edge"]), str(at["taken_out"].item()) if "taken_out" in at else ""
    bulk = fitted_bulk(at)
    return visible_edge(bulk) if bulk else math.nan, ""


def count_of_spikes(at: xr.Dataset) -> int:
    """How many spikes the row of a spectrum counts; none where it does not say."""
    return int(np.nan_to_num(float(at["n_spikes"])))
