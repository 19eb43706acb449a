"""Rows and spectra as a labelled Dataset, and back: the only file that knows dimensions.

A recording has rows of matrices over steps. One matrix is a scalar coordinate, several are the dimension `matrix`;
eigenvalues are ascending, with NaN before the first of a shorter spectrum. Not here: files, and what quantities mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from spectail.errors import StoreError
from spectail.recording.argument import as_recording
from spectail.recording.events import NOT_THERE, Event, events_between, last_measured, stored_events
from spectail.recording.quantities import (
    HELD,
    OVER,
    Quantity,
    of_row,
    quantity,
    select,
    stored_in_runs,
    stored_in_some_runs,
)

if TYPE_CHECKING:
    import pandas as pd

RUN_MARK, RUN_FORMAT = "spectail_format", 2
"""The attribute that marks the file of a two-layer run, and the newest version of its layout. 2 added the checksum."""

MARK, FORMAT = "spectail_recording_format", 1
"""The same of every other recording."""

MATRIX_LABELS = ("kind", "rows", "cols", "slices", "dtype", "tensor")
"""What is known of a matrix beside its name: coordinates along `matrix`, which travel with a selection."""

_SINGLE_ABOVE = 1e-24  # a largest eigenvalue past which what is not rounding is a normal float32


ABSENT = {"phase": "unknown", "note": NOT_THERE}
"""The row of a matrix that was added to the model later, or taken out of it before."""


@dataclass(frozen=True)
class Measurement:
    """All rows of one step; what a logger is handed.

    Attributes:
        step: how many updates were made before.
        rows: one a matrix: its name and quantities.
        spectra: the eigenvalues of each matrix, ascending, by name; none where a matrix has no spectrum. None where
            they are not kept.
        lr: the learning rate of each group of parameters.
        clocks: seconds, by the name of the quantity.
        events: what happened to a matrix since the measurement before.
        source: where the weights were read, by the name of the quantity; empty where they were in memory.
    """

    step: int
    rows: Sequence[Mapping[str, Any]] = field(repr=False)
    spectra: Mapping[str, Any] | None = field(default=None, repr=False)
    lr: tuple[float, ...] = ()
    clocks: Mapping[str, float] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    source: Mapping[str, str] = field(default_factory=dict)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a matrix, as `spectail.analyze` has them."""
        return frame_of_rows(self.rows)

    @property
    def seconds(self) -> float:
        """How long the measurement took."""
        return self.clocks.get("measuring_seconds", math.nan)

    def to_keep(self, *, spectra: bool = True) -> Measurement:
        """The measurement with spectra as a file keeps them, or without spectra."""
        arrays = None if self.spectra is None or not spectra else {k: as_kept(v) for k, v in self.spectra.items()}
        return replace(self, spectra=arrays)


def as_kept(eigenvalues: ArrayLike) -> NDArray[Any]:
    """A spectrum in float32, or in float64 where float32 cannot hold it."""
    values = np.asarray(eigenvalues)
    if len(values) and not (values[-1] == 0 or _SINGLE_ABOVE < values[-1] < np.finfo(np.float32).max):
        return values.astype(np.float64)
    return values.astype(np.float32)


def to_dataset(
    of: str,
    matrices: Sequence[Mapping[str, Any]],
    measurements: Sequence[Measurement],
    attributes: Mapping[str, Any] | None = None,
    extra: Iterable[Quantity] = (),
) -> xr.Dataset:
    """Measurements of any matrices as a recording.

    Args:
        of: the kind of recording; a key of `HELD`.
        matrices: name, labels and nulls of each.
        measurements: in the order of their steps, with a row a matrix; one that was not in the model then needs none.
        attributes: of the Dataset.
        extra: quantities of a user's own that the rows have.

    Returns:
        quantities over step and matrix, `eigenvalues` over step, matrix and index where all measurements have spectra.
    """
    shape = (len(measurements), len(matrices))
    names = [str(matrix["name"]) for matrix in matrices]
    tables = [{row["name"]: row for row in one.rows} for one in measurements]
    variables: dict[str, Any] = {}
    measured = {name for table in tables for row in table.values() for name in row}
    between = [q for q in select(*{"change", "between", "shuffles"} & {*HELD[of]}) if q.name in measured]
    for q in [*select(*{"spectrum", "content"} & {*HELD[of]}), *between, *extra]:
        lacking = "" if q.dtype is str else math.nan
        values: list[Any] = [[table.get(name, ABSENT).get(q.name, lacking) for name in names] for table in tables]
        variables[q.name] = (("step", "matrix"), _column(values, q).reshape(shape), q.attributes)
    if "clock" in HELD[of]:
        for q in select("clock"):
            values = [one.clocks.get(q.name, math.nan) for one in measurements]
            variables[q.name] = ("step", np.array(values, dtype=float), q.attributes)
    if "source" in HELD[of]:
        for q in select("source"):
            values = [one.source.get(q.name, "") for one in measurements]
            variables[q.name] = ("step", _column(values, q), q.attributes)
    if "group" in HELD[of]:
        q = quantity("lr")
        rates = pad([np.array(one.lr, dtype=float) for one in measurements], front=False)
        variables["lr"] = (("step", "group"), rates, q.attributes)
    if happened := [event for one in measurements for event in one.events if event.kind != "phase"]:
        for q in select("event"):
            values = [getattr(event, q.name.removeprefix("event_")) for event in happened]
            variables[q.name] = ("event", _column(values, q, whole=True), q.attributes)
    if measurements and all(one.spectra is not None for one in measurements):
        nothing = np.empty(0, np.float32)
        flat = [np.asarray((one.spectra or {}).get(name, nothing)) for one in measurements for name in names]
        attrs = {"long_name": "eigenvalues of WᵀW, ascending; NaN before the first", "units": "w²"}
        padded = pad(flat)
        variables["eigenvalues"] = (("step", "matrix", "index"), padded.reshape(*shape, padded.shape[1]), attrs)
    coordinates: dict[str, Any] = {
        "step": np.array([one.step for one in measurements], dtype=np.int64),
        "matrix": np.array(names, dtype=object),
    }
    for q in select("matrix", "null"):
        values = [matrix.get(q.name, "" if q.dtype is str else math.nan) for matrix in matrices]
        coordinates[q.name] = ("matrix", _column(values, q, whole=q.of == "matrix"), q.attributes)
    return xr.Dataset(variables, coordinates, {**(attributes or {}), "of": of, MARK: FORMAT})


def rows_to_dataset(
    of: str,
    rows: Sequence[Mapping[str, Any]],
    spectra: Sequence[ArrayLike],
    attributes: Mapping[str, Any] | None = None,
    extra: Iterable[Quantity] = (),
) -> xr.Dataset:
    """The rows of one step as a recording.

    Args:
        of: the kind of recording.
        rows: one a matrix: its name, labels, nulls and quantities.
        spectra: the eigenvalues of each.
        attributes: of the Dataset.
        extra: quantities of a user's own that the rows have.
    """
    constant = [q.name for q in select("matrix", "null")]
    matrices = [{"name": row["name"]} | {name: row[name] for name in constant if name in row} for row in rows]
    by_name = {row["name"]: values for row, values in zip(rows, spectra, strict=True)}
    return to_dataset(of, matrices, [Measurement(0, rows, by_name).to_keep()], attributes, extra)


def run_to_dataset(
    records: Sequence[Mapping[str, Any]],
    overlaps: Mapping[tuple[int, int], Mapping[str, NDArray[Any]]],
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    """A run of the laboratory as a recording; one of a single hidden layer has no dimension `matrix`.

    Args:
        records: what was measured at each recorded step, with `eigenvalues` and `step`.
        overlaps: of each pair (s, t): left and right squared overlaps, and the spread of their rows, by
            "left", "right", "left_spread" and "right_spread"; and both numerical ranks, by "ranks".
        attributes: of the run: its experiment in JSON, its key, and so on.
    """
    experiment = json.loads(attributes["experiment"])
    shapes = _shapes_of_run(experiment)
    optional = [q for q in stored_in_some_runs() if records and q.name in records[0]]
    variables: dict[str, Any] = {}
    for q in [*stored_in_runs(), *optional]:
        dims = dims_in_run(q, several=len(shapes) > 1)
        column: NDArray[Any] = np.array([r[q.name] for r in records], dtype=object if q.dtype is str else q.dtype)
        variables[q.name] = (dims, column.reshape(len(records), *(len(shapes),) * (len(dims) - 1)), q.attributes)
    coordinates: dict[str, Any] = {"step": np.array([r["step"] for r in records], dtype=np.int64)}
    if len(shapes) == 1:
        eigenvalues = np.array([r["eigenvalues"] for r in records]).reshape(len(records), min(*shapes[0]))
        variables["eigenvalues"] = (("step", "index"), eigenvalues, {"long_name": "eigenvalues of WᵀW, ascending"})
    else:
        padded = pad([np.asarray(one) for r in records for one in r["eigenvalues"]])
        of_each = padded.reshape(len(records), len(shapes), padded.shape[1])
        text = "eigenvalues of WᵀW, ascending; NaN before the first"
        variables["eigenvalues"] = (("step", "matrix", "index"), of_each, {"long_name": text})
    for name, text in KERNEL_SPECTRA.items():
        if records and name in records[0]:
            dims = ("step", name.replace("eigenvalues", "index"))
            variables[name] = (dims, np.array([r[name] for r in records]), {"long_name": text})
    if overlaps:
        for side in ("left", "right"):
            stack = np.stack([pair[side] for pair in overlaps.values()])
            values = {
                "": stack.astype(np.float32),
                "_max": stack.max((1, 2)),
                "_diagonal": np.diagonal(stack, axis1=1, axis2=2).copy(),
                "_spread": np.stack([pair[f"{side}_spread"] for pair in overlaps.values()]),
            }
            for end, array in values.items():
                q = quantity(f"overlap_{side}{end}")
                variables[q.name] = (OVER[q.of], array, q.attributes)
        coordinates["w_step"] = ("pair", np.array([s for s, _ in overlaps], dtype=np.int64))
        coordinates["m_step"] = ("pair", np.array([t for _, t in overlaps], dtype=np.int64))
    measured = [name for name in BESIDE_STEPS if any(name in r for r in records)]
    beside = {name: [r.get(name, math.nan) for r in records] for name in measured}
    if overlaps:
        beside["overlap_ranks"] = [pair["ranks"].tolist() for pair in overlaps.values()]
    texts = {name: json.dumps(values) for name, values in beside.items()}
    return with_labels(xr.Dataset(variables, coordinates, {**attributes, **texts}))


KERNEL_SPECTRA = {
    "ck_eigenvalues": "eigenvalues of the conjugate kernel on the hold-out points, ascending",
    "ntk_eigenvalues": "eigenvalues of the neural tangent kernel on the hold-out points, ascending",
}
"""Spectra beside those of weights that a run may hold."""

BESIDE_STEPS = ("null_kta", "null_spread_kta", "sharpness", "stability")
"""What a two-layer run holds of each step beside its variables."""


def beside(run: xr.Dataset, name: str) -> NDArray[Any] | None:
    """What a two-layer run holds beside its variables; these, and so its checksum, are as in the first edition.

    Args:
        run: a two-layer run.
        name: one of `BESIDE_STEPS`, along `step`; "overlap_ranks" of W and of M, along `pair`.

    Returns:
        None where the run was made before this was kept.
    """
    return np.array(json.loads(run.attrs[name])) if name in run.attrs else None


def dims_in_run(q: Quantity, *, several: bool) -> tuple[str, ...]:
    """The dimensions of a quantity in the file of a run of the laboratory.

    Args:
        q: one that such a file stores over `step`.
        several: whether the student has several hidden layers; norms and learning rates of updates are then of each.
    """
    of_each = q.of == "spectrum" or q.name in ("update_norm_2", "update_norm_fro", "update_lr")
    return ("step", "matrix") if several and of_each else ("step",)


def _shapes_of_run(experiment: Mapping[str, Any]) -> list[tuple[int, int]]:
    """The shapes of the matrices that a run of the laboratory measures, by the stored fields of its experiment."""
    widths = experiment.get("layers") or [experiment["h"]]
    shapes = list(zip(widths, [experiment["d"], *widths[:-1]], strict=True))
    if not all(isinstance(size, int) and 0 < size <= MOST_ROWS for shape in shapes for size in shape):
        raise ValueError("sizes are whole numbers")
    return shapes


MOST_ROWS = 10**9  # rows or columns of a matrix


def with_labels(run: xr.Dataset) -> xr.Dataset:
    """A run of the laboratory with the labels of its matrices as coordinates, which its file does not store.

    Those of one matrix are scalars: a two-layer run has no dimension `matrix`.
    """
    try:
        experiment = json.loads(run.attrs["experiment"])
        shapes, dtype = _shapes_of_run(experiment), experiment["dtype"]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise StoreError("the data set carries no experiment, so it is not a run of spectail") from None
    names = ["W"] if len(shapes) == 1 else [f"W{layer}" for layer in range(1, len(shapes) + 1)]
    labels = [
        {"matrix": name, "rows": rows, "cols": cols, "dtype": dtype, "kind": "linear", "slices": 1, "tensor": "weights"}
        for name, (rows, cols) in zip(names, shapes, strict=True)
    ]
    if len(labels) == 1:
        return run.assign_coords({name: ((), value) for name, value in labels[0].items()}).assign_attrs(of="two-layer")
    columns = {
        name: ("matrix", np.array([one[name] for one in labels], dtype=object if isinstance(value, str) else None))
        for name, value in labels[0].items()
    }
    return run.assign_coords(columns).assign_attrs(of="multilayer")


def without_labels(run: xr.Dataset) -> xr.Dataset:
    """A two-layer run as its file and its checksum have it."""
    bare = run.drop_vars(["matrix", *MATRIX_LABELS], errors="ignore")
    return bare.assign_attrs({name: value for name, value in bare.attrs.items() if name != "of"})


def each_matrix(recording: Any) -> Iterator[xr.Dataset]:
    """The recording of each matrix, with its labels as scalar coordinates.

    Args:
        recording: of any kind, or an analysis.

    Yields:
        one Dataset a matrix without the dimension `matrix`; of a two-layer run, itself.

    Raises:
        StoreError: the Dataset is not a recording.

    >>> import spectail, torch
    >>> analysis = spectail.analyze({"a.weight": torch.eye(20), "b.weight": torch.eye(30)}, nulls=False)
    >>> [(str(one["matrix"].item()), int(one["rows"])) for one in each_matrix(analysis.recording)]
    [('a.weight', 20), ('b.weight', 30)]
    """
    recording = as_recording(recording)
    if "matrix" not in recording.dims:
        yield recording
        return
    for index in range(recording.sizes["matrix"]):
        yield recording.isel(matrix=index)


def of_tensor(recording: xr.Dataset, tensor: str) -> xr.Dataset:
    """The matrices of a recording that are weights, or of their gradients, updates, momentum.

    Args:
        recording: of any kind; one that does not say it holds weights only.
        tensor: "weights", "gradients", "updates" or "momentum".
    """
    if "matrix" not in recording.dims:
        return recording
    labels = recording["tensor"].values if "tensor" in recording.coords else ["weights"] * recording.sizes["matrix"]
    chosen = [at for at, label in enumerate(labels) if label == tensor]
    return recording if len(chosen) == len(labels) else recording.isel(matrix=chosen)


def labels_of(recording: xr.Dataset) -> list[dict[str, Any]]:
    """Name, labels and nulls of each matrix of a recording."""
    known = [q.name for q in select("matrix", "null") if q.name in recording.coords]
    return [{"name": str(one["matrix"].item())} | {n: one[n].item() for n in known} for one in each_matrix(recording)]


def eigenvalues_at(recording: xr.Dataset, step: int = -1) -> NDArray[np.float64]:
    """The eigenvalues of one matrix, ascending, without what pads them.

    Args:
        recording: of one matrix, as `each_matrix` gives it; a step of it will do.
        step: index of the step, the last by default.

    Returns:
        none where the matrix has no spectrum.
    """
    values = recording["eigenvalues"]
    row = np.asarray(values.isel(step=step) if "step" in values.dims else values, dtype=np.float64)
    return row[~np.isnan(row)]


def frame(recording: xr.Dataset, step: int = -1) -> pd.DataFrame:
    """One step of a recording as a table, one row a matrix.

    Args:
        recording: of any kind.
        step: index of the step, the last by default.

    Returns:
        `name` and every quantity of a matrix that the recording has.
    """
    if "matrix" not in recording.coords:
        raise StoreError("the data set has no matrix, so it is no recording of spectail")
    at = recording.drop_vars("eigenvalues", errors="ignore")
    at = at.isel(step=step) if "step" in recording.dims else at
    skip = {"matrix", "step"}
    names = [str(n) for n, v in at.variables.items() if set(v.dims) <= {"matrix"} and n not in skip]
    matrices = np.atleast_1d(at["matrix"].values).astype(str).tolist()
    columns = [np.broadcast_to(at[n].values, len(matrices)).tolist() for n in names]
    return frame_of_rows(
        [{"name": name} | dict(zip(names, row, strict=True)) for name, *row in zip(matrices, *columns, strict=True)]
    )


def frame_of_rows(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table, in the order of the table of quantities; whole numbers that may be missing are Int64."""
    from spectail.recording.printed_table import PrintedTable

    own = dict.fromkeys(name for row in rows for name in row)
    known = (
        [q.name for q in of_row(select("change", "base", "shuffles", "between", "content")) if q.name in own]
        if rows
        else [q.name for q in of_row()]
    )
    table = PrintedTable(list(rows), columns=["name", *known, *(n for n in own if n not in {"name", *known})])
    for q in of_row(select("base", "shuffles")):
        if q.name in table and q.dtype is int:
            table[q.name] = table[q.name].astype("int64" if OVER[q.of] == ("matrix",) else "Int64")
    return table


def measurements_of(recording: xr.Dataset, until: float = math.inf) -> list[Measurement]:
    """The measurements of a recording of several matrices, up to a step, so that a monitor can go on from there."""
    some = recording.isel(step=np.flatnonzero(recording["step"].values <= until))
    names = [str(name) for name in some["matrix"].values]
    tables = {str(name): values.values for name, values in some.data_vars.items() if values.dims == ("step", "matrix")}
    clocks = [q.name for q in select("clock") if q.name in some]
    sources = [q.name for q in select("source") if q.name in some]
    happened = stored_events(some)
    measurements: list[Measurement] = []
    before: Sequence[Mapping[str, Any]] = ()
    for at, step in enumerate(some["step"].values):
        rows = [
            {"name": name} | {key: word_or_number(table[at, i]) for key, table in tables.items()}
            for i, name in enumerate(names)
        ]
        spectra = None
        if "eigenvalues" in some:
            spectra = {
                name: values[~np.isnan(values)]
                for name, values in zip(names, some["eigenvalues"].values[at], strict=True)
            }
        rates = some["lr"].values[at] if "lr" in some else ()
        lr = tuple(float(rate) for rate in rates if not np.isnan(rate))
        ticks = {name: float(some[name].values[at]) for name in clocks}
        source = {name: str(some[name].values[at]) for name in sources}
        changes, before = events_between(before, rows, int(step)), last_measured(before, rows)
        of_step = tuple(event for event in happened if event.step == step)
        measurements.append(Measurement(int(step), rows, spectra, lr, ticks, (*changes, *of_step), source))
    return measurements


def appended(recording: xr.Dataset, later: xr.Dataset) -> xr.Dataset:
    """A recording with later steps of the same matrices, and the same quantities of them, behind its own.

    Args:
        recording: of several matrices.
        later: of the same, from `to_dataset`.
    """
    variables: dict[str, xr.Variable] = {}
    for name in {**recording.variables, **later.variables}:
        parts = [one[name].variable for one in (recording, later) if name in one.variables]
        if {"step", "event"} & {*parts[-1].dims} and len(parts) == 2:
            last, widths = parts[-1].dims[-1], [part.shape[-1] for part in parts]
            if last in ("index", "group") and len({*widths}) > 1:
                parts = [_widened(part, max(widths), front=last == "index") for part in parts]
            values = np.concatenate([part.values for part in parts])
            parts = [xr.Variable(parts[0].dims, values, parts[0].attrs)]
        variables[str(name)] = parts[0]
    names = [*recording.coords]
    data = {name: value for name, value in variables.items() if name not in names}
    return xr.Dataset(data, {name: variables[str(name)] for name in names}, recording.attrs)


def _widened(part: xr.Variable, width: int, *, front: bool) -> xr.Variable:
    """A variable made longer by NaN, before or behind, along its last dimension."""
    more = width - part.shape[-1]
    around = [(0, 0)] * (part.ndim - 1) + [(more, 0) if front else (0, more)]
    return xr.Variable(part.dims, np.pad(part.values, around, constant_values=math.nan), part.attrs)


def _column(values: Sequence[Any], q: Quantity, *, whole: bool = False) -> NDArray[Any]:
    """Values of one quantity; whole numbers that may be missing are floats."""
    if q.dtype is str:
        return np.array([[str(v) for v in row] if isinstance(row, list) else str(row) for row in values], dtype=object)
    return np.array(values, dtype=np.int64 if q.dtype is int and whole else np.float64)


def pad(rows: Sequence[NDArray[Any]], *, front: bool = True) -> NDArray[Any]:
    """Rows of different lengths as one array, NaN before (or behind) the shorter ones; float64 where one is."""
    dtype = np.result_type(*rows) if rows else np.dtype(np.float64)
    out = np.full((len(rows), max((len(row) for row in rows), default=0)), np.nan, dtype=dtype)
    for at, row in enumerate(rows):
        out[at, out.shape[1] - len(row) if front else 0 : None if front else len(row)] = row
    return out


def word_or_number(value: Any) -> Any:
    """A value of a row as a file keeps it."""
    return value if isinstance(value, str) else float(value)
