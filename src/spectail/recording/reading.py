"""Reads recordings of every kind, and those of the first edition.

Not here: what eigenvalues tell beside what a file holds; `analysis.completion.complete` adds that.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path

import numpy as np
import xarray as xr

from spectail.errors import NewerVersionError, StoreError
from spectail.recording.events import events
from spectail.recording.growing_analysis import rows_by_place
from spectail.recording.journal_reading import JournalContent, JournaledStep, read_with_journal
from spectail.recording.journal_steps import from_journal
from spectail.recording.layout import (
    FORMAT,
    MARK,
    MOST_ROWS,
    RUN_FORMAT,
    RUN_MARK,
    appended,
    as_kept,
    dims_in_run,
    labels_of,
    measurements_of,
    pad,
    rows_to_dataset,
    to_dataset,
    with_labels,
)
from spectail.recording.netcdf import checksum, read_netcdf
from spectail.recording.quantities import HELD, OVER, QUANTITIES, quantities_of, select, stored_in_runs

_FIRST_MARK, _FIRST_FORMAT = "spectail_monitor_format", 1
"""The attribute that marks monitor files and trainings of the first edition, and their newest version."""
_RENAMED = {"layer": "matrix", "xmin": "ks_xmin", "train_loss": "cross_entropy", "train_accuracy": "accuracy"}
_COMPUTED = ("event_step", "event_layer", "event_before", "event_after")  # the changes of phase


def load_recording(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a recording, whole, into memory: a run, what a monitor measured, a training, an analysis, a comparison.

    Files of the first edition are read too, and get today's names. Those of its monitors have no checksum: of damage in
    them only what makes the file unreadable is noticed, values that cannot be, and norms that are not those of the
    eigenvalues. Nothing in a file is executed: it is HDF5 with numbers, strings and JSON.

    Args:
        path: of the file.

    Returns:
        quantities over `step` and `matrix`, with `eigenvalues` over `index` besides, ascending, NaN before the first.
        A two-layer run has one matrix and no such dimension. The attribute `of` says which kind it is.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: the file is damaged, is not a recording, or was written by a newer version.

    >>> import spectail, tempfile, torch
    >>> from torch import nn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     spectail.SpectralMonitor(nn.Linear(30, 20), path=f"{folder}/run.nc", nulls=False).detach()
    ...     load_recording(f"{folder}/run.nc").sizes["index"]
    20
    """
    path = Path(path)
    recording, journal = read_with_journal(path, _load_file)
    if recording is None and journal.open_step.rows and "title" in (journal.header or {}):
        return _unfinished(journal)
    if recording is None:
        raise FileNotFoundError(f"{path} does not exist; expected the netCDF file of a recording")
    return _with_steps(recording, journal.steps) if journal.steps else recording


def _unfinished(journal: JournalContent) -> xr.Dataset:
    """An analysis under way: the rows that are there."""
    pairs = [pair for _, pair in sorted(rows_by_place(journal.open_step).items())]
    header = journal.header or {}
    return rows_to_dataset(
        str(header.get("of", "analysis")),
        [row for row, _ in pairs],
        [one for _, one in pairs],
        {"title": header["title"]},
    )


def _with_steps(recording: xr.Dataset, steps: Sequence[JournaledStep]) -> xr.Dataset:
    """A recording with what its journal holds beyond it."""
    extra = [q for q in quantities_of(recording) if OVER[q.of] == ("step", "matrix")]
    extra = [q for q in extra if q not in select(*HELD[recording.attrs["of"]])]
    closings = [step.closing or {} for step in steps]
    last = int(recording["step"].values[-1]) if recording.sizes["step"] else -1
    if not any("matrices" in one for one in closings) and all(int(one["step"]) > last for one in closings):
        later = sorted((from_journal(step) for step in steps), key=lambda one: one.step)
        matrices = labels_of(recording.coords.to_dataset())
        behind = to_dataset(recording.attrs["of"], matrices, later, recording.attrs, extra)
        if _measured(behind) == _measured(recording):
            return appended(recording, behind)
    measurements, matrices = {one.step: one for one in measurements_of(recording)}, labels_of(recording)
    for step in steps:
        one = from_journal(step)
        measurements[one.step] = one
        matrices += (step.closing or {}).get("matrices", [])
    ordered = [measurements[at] for at in sorted(measurements)]
    return to_dataset(recording.attrs["of"], matrices, ordered, recording.attrs, extra)


def _measured(recording: xr.Dataset) -> set[str]:
    """The variables over steps."""
    return {str(name) for name, values in recording.data_vars.items() if "step" in values.dims}


def _load_file(path: Path) -> xr.Dataset:
    recording = read_netcdf(path)
    attributes = recording.attrs
    if RUN_MARK in attributes:
        return _checked_run(recording, path)
    if MARK in attributes:
        return _checked(recording, path)
    if _FIRST_MARK in attributes:
        return _of_first_edition(recording, path)
    if recording["eigenvalues"].dims == ("index",) == recording["layer"].dims if "layer" in recording.coords else False:
        return _analysis_of_first_edition(recording)
    raise StoreError(f"{path} is not a recording of spectail: its attribute {MARK} is missing")


def _checked_run(run: xr.Dataset, path: Path) -> xr.Dataset:
    version = _version(run, RUN_MARK, RUN_FORMAT, path)
    if version < RUN_FORMAT:
        raise StoreError(f"{path} has format {version}, from before runs had a checksum; it must be computed again")
    several = "matrix" in run.dims
    over = {q.name: dims_in_run(q, several=several) for q in stored_in_runs()}
    over["eigenvalues"] = ("step", "matrix", "index") if several else ("step", "index")
    _check_variables(run, path, "a run", over)
    _check_values(run, path)
    if run.attrs.get("checksum") != checksum(run):
        raise StoreError(f"{path} is damaged: its content does not have the checksum that it was written with")
    try:
        labelled = with_labels(run)
    except StoreError as error:
        raise StoreError(f"{path} does not say which experiment it holds: {error}") from None
    if run.sizes["index"] != np.minimum(labelled["rows"], labelled["cols"]).max():
        raise StoreError(f"{path} has {run.sizes['index']} eigenvalues, which its experiment does not have")
    return labelled


def _checked(recording: xr.Dataset, path: Path) -> xr.Dataset:
    _version(recording, MARK, FORMAT, path)
    needed = ("kind", "rows", "cols", "slices", "phase", "note")  # the rest can be completed, or was not asked for
    over = {q.name: OVER[q.of] for q in select(*OVER) if q.name in recording.variables or q.name in needed}
    _check_variables(recording, path, "a recording", over | {"step": ("step",), "matrix": ("matrix",)})
    _check_values(recording, path)
    if "training" in recording.attrs and recording.attrs.get("checksum", "") not in ("", checksum(recording)):
        raise StoreError(f"{path} is damaged: its content does not have the checksum that it was written with")
    return recording.set_coords([q.name for q in select("matrix", "null") if q.name in recording])


def _of_first_edition(recording: xr.Dataset, path: Path) -> xr.Dataset:
    """A monitor's file or a training: other names, NaN behind the eigenvalues, changes of phase stored."""
    _version(recording, _FIRST_MARK, _FIRST_FORMAT, path)
    training = "training" in recording.attrs
    renamed = recording.drop_vars(_COMPUTED, errors="ignore").rename(
        {old: new for old, new in _RENAMED.items() if old in recording.variables or old in recording.dims}
    )
    held = select("matrix", "null", "spectrum", "clock", "group", "training")
    known = {q.name: OVER[q.of] for q in held if q.name in renamed.variables}
    needed = ("pl_alpha_hill", "phase", "rows", "cols", "lr", *(("cross_entropy", "accuracy") if training else ()))
    what = "a training" if training else "a monitor"
    _check_variables(renamed, path, what, known | {q.name: OVER[q.of] for q in held if q.name in needed})
    if "eigenvalues" in renamed:
        _check_variables(renamed, path, what, {"eigenvalues": ("step", "matrix", "index")})
        renamed["eigenvalues"] = _sorted_by(~renamed["eigenvalues"].isnull(), renamed["eigenvalues"])
        _check_norms(renamed, path)
    for q in held:
        if q.name in renamed:
            renamed[q.name].attrs = q.attributes
    labels = [q.name for q in select("matrix", "null") if q.name in renamed]
    return renamed.set_coords(labels).assign_attrs(of="training" if training else "monitor")


def _check_norms(recording: xr.Dataset, path: Path) -> None:
    """See that norms are those of the eigenvalues: these files have no checksum, and most of one are eigenvalues."""
    spectra, slices = recording["eigenvalues"], recording.get("slices", 1)
    is_measured = spectra.notnull().any("index") & (slices == 1)
    known = {"spectral_norm": spectra.max("index"), "frobenius_norm": spectra.sum("index")}
    for name, squared in known.items():
        if name in recording:
            is_other = ~np.isclose(recording[name] ** 2, squared, rtol=1e-4, atol=1e-30)  # of float32, and its sums
            if bool((is_other & is_measured & recording[name].notnull()).any()):
                raise StoreError(f"{path} is damaged: its {name} is not that of its eigenvalues")


def _sorted_by(last: xr.DataArray, spectra: xr.DataArray) -> xr.DataArray:
    """Spectra with the values that are to be last moved there; all else stays in its order."""
    order = np.argsort(last.values, axis=-1, kind="stable")
    return spectra.copy(data=np.take_along_axis(spectra.values, order, axis=-1))


def _analysis_of_first_edition(recording: xr.Dataset) -> xr.Dataset:
    """`spectra.nc`: the spectra of an analysis one after the other, and nothing else."""
    names = recording["layer"].values.astype(str)
    of_name = {name: as_kept(recording["eigenvalues"].values[names == name]) for name in dict.fromkeys(names.tolist())}
    padded = pad(list(of_name.values()))[None]
    return xr.Dataset(
        {"eigenvalues": (("step", "matrix", "index"), padded)},
        {"step": np.array([0], dtype=np.int64), "matrix": np.array(list(of_name), dtype=object)},
        {"of": "analysis", "title": recording.attrs.get("title", "")},
    )


def _version(recording: xr.Dataset, mark: str, newest: int, path: Path) -> int:
    version = recording.attrs[mark]
    if not isinstance(version, Integral):
        raise StoreError(f"{path} is not a recording of spectail: its attribute {mark} is {version!r}")
    if int(version) > newest:
        raise NewerVersionError(
            f"{path} has format {version}, newer than this spectail reads ({newest}); please upgrade"
        )
    return int(version)


def _check_variables(recording: xr.Dataset, path: Path, kind: str, over: Mapping[str, tuple[str, ...]]) -> None:
    wrong = [name for name, dims in over.items() if name not in recording.variables or recording[name].dims != dims]
    if wrong:
        raise StoreError(f"{path} is not the whole file of {kind}: {', '.join(wrong)} missing or of other dimensions")
    words = {"matrix", *(q.name for q in QUANTITIES if q.dtype is str)}
    wrong = [name for name in over if (recording[name].dtype.kind not in "biuf") != (name in words)]
    if wrong:
        raise StoreError(
            f"{path} is not the file of {kind}: {', '.join(wrong)} has text where numbers are expected, "
            "or numbers where text is"
        )


def _check_values(recording: xr.Dataset, path: Path) -> None:
    """See that steps rise, that no eigenvalue is infinite, and that numbers of spikes are possible."""
    steps = recording["step"].values
    wrong = [] if steps.dtype.kind in "iu" and (np.diff(steps) > 0).all() else ["step"]
    if "eigenvalues" in recording:
        wrong += ["eigenvalues"] if np.isinf(recording["eigenvalues"].values).any() else []
    spikes = recording["n_spikes"].values if "n_spikes" in recording else np.zeros(0)
    wrong += [] if ((spikes >= 0) & (spikes <= MOST_ROWS) | np.isnan(spikes)).all() else ["n_spikes"]
    if wrong:
        raise StoreError(f"{path} has values in {', '.join(wrong)} that cannot be; it is damaged, or not by spectail")


def open_run(path: str | os.PathLike[str]) -> xr.Dataset:
    """The first edition's name of `load_recording`, for a run."""
    warnings.warn("open_run is now load_recording", DeprecationWarning, stacklevel=2)
    return load_recording(path)


def open_monitor(path: str | os.PathLike[str]) -> xr.Dataset:
    """What a monitor measured with the first edition's names: `layer`, `xmin`, NaN behind the eigenvalues."""
    warnings.warn("open_monitor is now load_recording, with matrix for layer, ks_xmin for xmin", DeprecationWarning, 2)
    recording = load_recording(path)
    changes = [event for event in events(recording) if event.kind == "phase"]
    columns = {"event_step": "step", "event_layer": "matrix", "event_before": "before", "event_after": "after"}
    there = {*recording.variables, *recording.dims}
    view = recording.rename({new: old for old, new in _RENAMED.items() if new in there})
    if "eigenvalues" in view:
        view["eigenvalues"] = _sorted_by(view["eigenvalues"].isnull(), view["eigenvalues"])
    return view.assign({name: ("event", [getattr(event, of) for event in changes]) for name, of in columns.items()})
