"""Reads recordings of every kind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import xarray as xr

from spectail.errors import StoreError
from spectail.experiments.experiment import experiment_of
from spectail.recording.journal import Recorded
from spectail.recording.netcdf import check_variables, checksum, read_netcdf
from spectail.recording.quantities import (
    CLOCKS,
    MONITOR_FORMAT,
    MONITOR_VARIABLES,
    RUN_FORMAT,
    RUN_VARIABLES,
    STATIC,
    WORDS,
)


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
    found = read_netcdf(path, "a monitor", "spectail_monitor_format", MONITOR_FORMAT)
    over = {**dict.fromkeys((*MONITOR_VARIABLES, *WORDS), ("step", "layer")), **dict.fromkeys(STATIC, ("layer",))}
    over |= dict.fromkeys(CLOCKS, ("step",)) | {"lr": ("step", "group"), "step": ("step",), "layer": ("layer",)}
    over |= dict.fromkeys(("event_step", "event_layer", "event_before", "event_after"), ("event",))
    over |= {"eigenvalues": ("step", "layer", "index")} if "eigenvalues" in found else {}
    check_variables(found, path, "a monitor", over)
    return found


def measurements_of(dataset: xr.Dataset, until: int) -> list[Recorded]:
    """The measurements of a Dataset up to a step, to go on from there."""
    kept = dataset.isel(step=np.flatnonzero(dataset.step.values <= until))
    tables = {name: kept[name].values for name in (*MONITOR_VARIABLES, *WORDS)}
    spectra = kept["eigenvalues"].values if "eigenvalues" in kept else None
    found = []
    for at, step in enumerate(kept.step.values):
        rows = [{name: table[at, layer] for name, table in tables.items()} for layer in range(kept.sizes["layer"])]
        ragged = None if spectra is None else [values[~np.isnan(values)] for values in spectra[at]]
        rates = tuple(float(rate) for rate in kept.lr.values[at] if not np.isnan(rate))
        clocks = {name: float(kept[name].values[at]) for name in CLOCKS}
        found.append(Recorded(int(step), rows, ragged, rates, clocks))
    return found


def open_run(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a run back, whole, into memory.

    Nothing in the file is executed: it is HDF5 with numbers, strings and one JSON attribute.

    Args:
        path: a file that `save_run` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is not a run of spectail, or was written by another version.
    """
    path = Path(path)
    run = read_netcdf(path, "a run", "spectail_format", RUN_FORMAT)
    if (version := run.attrs["spectail_format"]) < RUN_FORMAT:
        raise StoreError(f"{path} has format {version}, from before runs had a checksum; it must be computed again")
    check_variables(run, path, "a run", dict.fromkeys(RUN_VARIABLES, ("step",)) | {"eigenvalues": ("step", "index")})
    try:
        experiment_of(run)
    except ValueError as error:
        raise StoreError(f"{path} does not say which experiment it holds: {error}") from None
    if run.attrs.get("checksum") != checksum(run):
        raise StoreError(f"{path} is damaged: its content does not have the checksum that it was written with")
    return run


def open_training(path: Path) -> xr.Dataset:
    """Read a training back: what `open_monitor` gives, with `train_loss` and `train_accuracy` over `update`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or not the file of a training.
    """
    found = open_monitor(path)
    if "training" not in found.attrs or "images_sha256" not in found.attrs:
        raise StoreError(f"{path} is not the file of a training")
    check_variables(found, path, "a training", dict.fromkeys(("train_loss", "train_accuracy"), ("update",)))
    return found
