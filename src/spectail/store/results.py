"""Every run of a folder at once: labelled arrays over what varies between them, or a tidy table.

Not here: what is known of each run without opening it (`manifest`), and runs of networks (`network_results`).
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from spectail.errors import StoreError, unknown_name
from spectail.experiments.description import check_numerics
from spectail.experiments.experiment import Experiment
from spectail.recording.layout import BESIDE_STEPS, dims_in_run
from spectail.recording.quantities import Quantity, quantity, stored_in_runs, stored_in_some_runs
from spectail.recording.reading import load_recording
from spectail.store.manifest import Entry
from spectail.store.network_results import network_rows, networks_in_one
from spectail.store.recordings import recordings_in_one, warn_of_unreadable
from spectail.store.store import Store, hint_above
from spectail.store.varying import axes_of, plain_fields

_LARGEST = 50_000_000  # cells; beyond it the runs are no grid, and most cells would be empty

Selection = Mapping[str, Any] | Iterable[Experiment] | None


def load_results(path: str | os.PathLike[str], select: Selection = None) -> xr.Dataset:
    """Every run of a folder in one Dataset, read whole: what `lazy_results` gives, with the eigenvalues in memory.

    Args:
        path: as for `lazy_results`; or a folder of recordings of models: monitors, series, analyses.
        select: as for `lazy_results`.

    Returns:
        as `lazy_results`; nothing is read from the folder later. Recordings of models stand along the dimension
        `recording`, by the names of their files; what one of them lacks, a step, a matrix, a quantity, is NaN or "".
        What is damaged is left out, and named in a warning.

    Raises:
        FileNotFoundError: the folder has neither runs nor recordings, or none is selected.
        StoreError: as `lazy_results`.

    >>> import tempfile
    >>> from spectail import sweep
    >>> tiny = {"n": 40, "n_test": 9, "n_test_large": 9, "d": 20, "h": 30, "steps": 1}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = sweep({"fixed": tiny, "axes": {"lr": [0.1, 1.0]}}, folder)
    ...     results = load_results(folder)
    >>> results.eigenvalues.dims, results.eigenvalues.shape
    (('lr', 'step', 'index'), (2, 2, 20))
    """
    if select is None and not Store(path).has_runs and (recordings := recordings_in_one(Path(path))) is not None:
        return recordings
    return lazy_results(path, select).load()


def lazy_results(path: str | os.PathLike[str], select: Selection = None) -> xr.Dataset:
    """Every run of a folder in one Dataset, with what varies between them as dimensions.

    Scalars are there at once, from the folder's manifest; `eigenvalues` are read when they are used, from the files
    that are asked for. Runs of networks are read whole. A field that goes with another, as n with d where n = 2d, is a
    coordinate along it. Cells without a run hold NaN (whole numbers are then floating-point ones), −1 or "".

    Args:
        path: the folder; it has a folder `runs`, or `trainings` of networks.
        select: only these runs: experiments, or values of fields such as {"optimizer": "adam",
            "seed": [0, 1]}.

    Returns:
        variables of a run (`spectail.quantities()`) over the axes and `step`, and KTA's nulls where runs have them;
        where some have several hidden layers, over `matrix` too, with NaN or "" past the layers of the others;
        `eigenvalues` over the axes, `step` and `index`, ascending, with NaN behind the spectrum of a
        smaller matrix; `wall_time`, `diverged_at` (−1 where it did not) and `key` over the axes. Of networks, what
        their files hold over the axes, `step` and `matrix`, with loss and accuracy over `update`.
        Attributes: the fields that all runs share.

    Raises:
        FileNotFoundError: the folder has no runs, or none is selected.
        StoreError: the runs are too far from a grid; take `results_frame` or a selection. Or they are of students and
            of networks, of a newer spectail's numerics, or of several versions' numerics.

    >>> import tempfile
    >>> from spectail import sweep
    >>> tiny = {"n": 40, "n_test": 9, "n_test_large": 9, "d": 20, "h": 30, "steps": 1}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = sweep({"fixed": tiny, "axes": {"lr": [0.1, 1.0]}}, folder)
    ...     results = lazy_results(folder, {"lr": 1.0})
    ...     last = results.eigenvalues.sel(step=1).values  # read here
    >>> results.attrs["runs"], last.shape
    (1, (20,))
    """
    store, entries = _of_one_kind(path, select)
    fields = [plain_fields(entry.fields) for entry in entries]
    shared = {name: fields[0][name] for name in fields[0] if all(f[name] == fields[0][name] for f in fields)}
    axes, along = axes_of([{k: v for k, v in f.items() if k not in shared} for f in fields])
    shape = tuple(len(values) for values in axes.values())
    steps = sorted({step for entry in entries for step in entry.steps})
    if math.prod(shape) * len(steps) > _LARGEST:
        grid = " × ".join(f"{name} {len(values)}" for name, values in axes.items())
        raise StoreError(
            f"{len(entries)} runs do not fill the grid {grid}; give `select`, such as "
            "{'optimizer': 'adam'}, or take spectail.results_frame"
        )
    if entries[0].matrices:
        in_one = networks_in_one(_files(store, entries), fields, axes, along)
        return in_one.assign_attrs({**shared, "runs": len(entries)})
    places = [tuple(axes[name].index(f[name]) for name in axes) for f in fields]
    variables = _scalars(entries, places, shape, steps, tuple(axes))
    lazy = _Spectra(store, entries, places, shape, steps)
    layers = max(entry.layers for entry in entries)
    variables["eigenvalues"] = xr.Variable(
        (*axes, "step", *(("matrix",) if layers > 1 else ()), "index"),
        indexing.LazilyIndexedArray(lazy),
        {"long_name": "eigenvalues of WᵀW, ascending"},
    )
    coordinates: dict[str, Any] = {name: (name, values) for name, values in axes.items()}
    coordinates |= {name: (axis, values) for name, (axis, values) in along.items()}
    if layers > 1:
        coordinates["matrix"] = [f"W{layer}" for layer in range(1, layers + 1)]
    return xr.Dataset(variables, {**coordinates, "step": steps}, {**shared, "runs": len(entries)})


def open_results(path: str | os.PathLike[str], select: Selection = None) -> xr.Dataset:
    """The first edition's name of `lazy_results`."""
    warnings.warn("open_results is now lazy_results; load_results reads all now", DeprecationWarning, stacklevel=2)
    return lazy_results(path, select)


def results_frame(path: str | os.PathLike[str], select: Selection = None) -> pd.DataFrame:
    """Every run of a folder as a tidy table: one row a run and step.

    Args:
        path: as for `lazy_results`.
        select: as for `lazy_results`.

    Returns:
        the fields that vary between the runs, `step`, every scalar, and the run's `key`; where some have several hidden
        layers, and of networks, a row for each, named in `matrix`;
        `attrs` holds the fields that all runs share.

    Raises:
        FileNotFoundError: the folder has no runs, or none is selected.
        StoreError: they are of students and of networks, of a newer spectail's numerics, or of several versions'.

    >>> import tempfile
    >>> from spectail import sweep
    >>> tiny = {"n": 40, "n_test": 9, "n_test_large": 9, "d": 20, "h": 30, "steps": 1}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = sweep({"fixed": tiny, "axes": {"lr": [0.1, 1.0]}}, folder)
    ...     frame = results_frame(folder)
    >>> len(frame), "lr" in frame, frame.attrs["h"]
    (4, True, 30)
    """
    store, entries = _of_one_kind(path, select)
    fields = [plain_fields(entry.fields) for entry in entries]
    shared = {name: fields[0][name] for name in fields[0] if all(f[name] == fields[0][name] for f in fields)}
    if entries[0].matrices:
        rows = network_rows(_files(store, entries), fields, [name for name in fields[0] if name not in shared])
        rows.attrs = shared
        return rows
    lengths = [len(entry.steps) * entry.layers for entry in entries]
    columns: dict[str, Any] = {
        name: np.repeat(np.array([f[name] for f in fields], dtype=None if _numeric(fields, name) else object), lengths)
        for name in fields[0]
        if name not in shared
    }
    columns["step"] = [step for entry in entries for step in entry.steps for _ in range(entry.layers)]
    if several := max(entry.layers for entry in entries) > 1:
        columns["matrix"] = [f"W{at + 1}" for entry in entries for _ in entry.steps for at in range(entry.layers)]
    columns |= {
        q.name: [v for entry in entries for v in _of_rows(entry, q, several=several)] for q in _measured(entries)
    }
    columns["key"] = np.repeat([entry.key for entry in entries], lengths)
    frame = pd.DataFrame(columns)
    frame.attrs = shared
    return frame


def _of_rows(entry: Entry, q: Quantity, *, several: bool) -> list[Any]:
    """The values of a quantity in a table with a row a step and layer."""
    of_steps = entry.scalars.get(q.name, [math.nan] * len(entry.steps))
    if entry.layers > 1 and "matrix" in dims_in_run(q, several=several):
        return [value for of_step in of_steps for value in of_step]
    return [value for value in of_steps for _ in range(entry.layers)]


def experiment_at(results: xr.Dataset, **axes: Any) -> Experiment:
    """The experiment of one cell of the results.

    Args:
        results: of `lazy_results`.
        **axes: a value for each axis.
    """
    fields = {name: value for name, value in results.attrs.items() if name in Experiment.model_fields}
    cell = results.sel(axes)
    names = (name for name in map(str, cell.coords) if name in Experiment.model_fields)
    fields |= {name: cell.coords[name].item() for name in names}
    return Experiment(**{name: _structured(name, value) for name, value in fields.items()})


class _Spectra(BackendArray):
    """The eigenvalues of all runs as one array, read from the files that are asked for."""

    def __init__(
        self, store: Store, entries: Sequence[Entry], places: Sequence[tuple[int, ...]], axes: tuple[int, ...],
        steps: Sequence[int],
    ) -> None:  # fmt: skip
        self._paths = {place: store.runs / f"{entry.key}.nc" for place, entry in zip(places, entries, strict=True)}
        self._steps = steps
        layers = max(entry.layers for entry in entries)
        of_each = (layers,) if layers > 1 else ()
        self.shape = (*axes, len(steps), *of_each, max(entry.eigenvalues for entry in entries))
        self._inner = self.shape[len(axes) :]
        self.dtype = np.dtype(np.float64)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
        axes, rest = key[: len(self.shape) - len(self._inner)], key[len(self.shape) - len(self._inner) :]
        chosen = [np.atleast_1d(np.arange(size)[k]) for k, size in zip(axes, self.shape, strict=False)]
        spectra = np.full((*(len(c) for c in chosen), *self._inner), np.nan)
        damaged: dict[Path, Exception] = {}
        for cell in np.ndindex(*(len(c) for c in chosen)):
            path = self._paths.get(tuple(int(c[i]) for c, i in zip(chosen, cell, strict=True)))
            if path is None:
                continue
            try:
                run = load_recording(path)
            except StoreError as error:
                damaged[path] = error
                continue
            rows = [self._steps.index(int(t)) for t in run.step.values]
            values = run.eigenvalues.values
            if len(self._inner) == 3:
                values = values if values.ndim == 3 else values[:, None]
                values = np.sort(values)  # NaN behind, as for a smaller matrix
                spectra[(*cell, rows, slice(values.shape[1]), slice(values.shape[2]))] = values
            else:
                spectra[(*cell, rows, slice(run.sizes["index"]))] = values
        warn_of_unreadable(damaged)
        whole = tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in axes)
        selected: np.ndarray[Any, np.dtype[np.float64]] = spectra[whole]
        first = selected.ndim - len(self._inner)
        for back, k in enumerate(reversed(rest)):  # from the last, as a number takes its dimension away
            selected = selected[(*(slice(None),) * (first + len(rest) - 1 - back), k)]
        return selected


def runs_of(path: str | os.PathLike[str]) -> list[Entry]:
    """What is known of each run of a folder. Raises as `load_results`."""
    return _entries(path, None)[1]


def _entries(path: str | os.PathLike[str], select: Selection) -> tuple[Store, list[Entry]]:
    """The manifest's entries of the runs that are there, with those added that it did not have."""
    store = Store(path)
    if not store.has_runs:
        raise FileNotFoundError(f"{path} holds no results: it has no folder runs{hint_above(Path(path))}")
    known = store.manifest.read()
    entries = []
    unreadable: dict[Path, Exception] = {}
    for file in store.files():
        entry = known.get(file.stem)
        if entry is None or file.stat().st_size != entry.size:
            try:
                entry = _read_anew(store, file)
            except (StoreError, OSError) as error:  # a sweep sets it aside and computes it again
                unreadable[file] = error
                continue
        entries.append(entry)
    warn_of_unreadable(unreadable)
    selected = _chosen(entries, select)
    if not selected:
        raise FileNotFoundError(f"{path} holds {len(entries)} runs, none of them among those asked for")
    numerics = sorted({entry.numerics for entry in selected})
    if len(numerics) > 1:
        held = " and ".join(map(str, numerics))
        raise StoreError(f"{path} holds runs of numerics {held}, which are not mixed: give select={{'numerics': …}}")
    try:
        check_numerics(numerics[0])
    except ValueError as error:
        raise StoreError(f"{path}: {error}") from None
    return store, selected


def _of_one_kind(path: str | os.PathLike[str], select: Selection) -> tuple[Store, list[Entry]]:
    """As `_entries`, of students or of networks alone."""
    store, entries = _entries(path, select)
    if len({bool(entry.matrices) for entry in entries}) > 1:
        raise StoreError(
            f"{path} holds runs of students and of networks, which are not mixed: "
            "give select={'model': None}, or {'model': 'NAME'}"
        )
    return store, entries


def _files(store: Store, entries: Iterable[Entry]) -> list[Path]:
    return [store.trainings / f"{entry.key}.nc" for entry in entries]


def _read_anew(store: Store, path: Path) -> Entry:
    entry = Entry.of(load_recording(path), path)
    with suppress(OSError):  # a folder to read only
        store.manifest.add(entry)
    return entry


def _chosen(entries: list[Entry], select: Selection) -> list[Entry]:
    if select is None:
        return entries
    if not isinstance(select, Mapping):
        keys = {experiment.key for experiment in select}
        return [entry for entry in entries if entry.key in keys]
    for name in select:
        if name not in Experiment.model_fields:
            raise StoreError(unknown_name("select", name, Experiment.model_fields))
    allowed = {name: value if isinstance(value, list | tuple | set) else [value] for name, value in select.items()}
    return [entry for entry in entries if all(entry.fields.get(name) in values for name, values in allowed.items())]


def _structured(name: str, value: Any) -> Any:
    """The opposite of `plain_fields`."""
    lists = ("optimizer_options", "schedule_options", "overlaps", "layers", "lr_factors", "kernels")
    if name in lists or (name == "record" and value != "log"):
        return json.loads(value) if isinstance(value, str) else value
    return None if name in ("schedule", "batch") and value == "" else value


def _numeric(fields: Sequence[Mapping[str, Any]], name: str) -> bool:
    return all(isinstance(f[name], int | float) for f in fields)


def _measured(entries: Sequence[Entry]) -> list[Quantity]:
    """What is known of each step of some runs."""
    names = (*(q.name for q in stored_in_some_runs()), *BESIDE_STEPS)
    beside = (name for name in names if any(name in entry.scalars for entry in entries))
    return [*stored_in_runs(), *map(quantity, beside)]


def _scalars(
    entries: Sequence[Entry], places: Sequence[tuple[int, ...]], shape: tuple[int, ...], steps: Sequence[int],
    axes: tuple[str, ...],
) -> dict[str, Any]:  # fmt: skip
    """Every scalar over the axes and steps; wall time, `diverged_at` and key of each run over the axes."""
    row = {step: i for i, step in enumerate(steps)}
    cells = [[row[step] for step in entry.steps] for entry in entries]
    layers = max(entry.layers for entry in entries)
    whole = math.prod(shape) == len(entries) and all(len(c) == len(steps) for c in cells)
    whole = whole and all(entry.layers == layers for entry in entries)
    variables: dict[str, Any] = {}
    for q in _measured(entries):
        dims = dims_in_run(q, several=layers > 1)
        size = (*shape, len(steps), *(layers,) * (len(dims) - 1))
        column: np.ndarray[Any, Any] = np.full(size, "" if q.dtype is str else np.nan, object)
        if q.dtype is not str:
            column = column.astype(np.float64)
        for entry, place, rows in zip(entries, places, cells, strict=True):
            values = entry.scalars.get(q.name, math.nan)
            if len(dims) == 1:
                column[place][rows] = values
            elif entry.layers == 1:
                column[place][rows, 0] = values
            else:
                column[place][rows, : entry.layers] = np.array(values, column.dtype).reshape(len(rows), entry.layers)
        if q.dtype is int and whole:
            column = column.astype(np.int64)
        variables[q.name] = ((*axes, *dims), column, q.attributes)
    about = {"wall_time": np.full(shape, np.nan), "diverged_at": np.full(shape, -1), "key": np.full(shape, "", object)}
    for entry, place in zip(entries, places, strict=True):
        about["wall_time"][place] = entry.wall_time
        about["diverged_at"][place] = -1 if entry.diverged_at is None else entry.diverged_at
        about["key"][place] = entry.key
    return variables | {name: (axes, values) for name, values in about.items()}
