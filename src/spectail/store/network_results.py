"""Runs of networks at once: labelled arrays over what varies between them, or a tidy table.

Not here: runs of students, whose scalars the manifest has (`results`), and which runs are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from spectail.recording.layout import frame, labels_of
from spectail.recording.quantities import select
from spectail.recording.reading import load_recording
from spectail.store.recordings import concatenated


def networks_in_one(
    files: Sequence[Path],
    fields: Sequence[Mapping[str, Any]],
    axes: Mapping[str, Sequence[Any]],
    along: Mapping[str, Any],
) -> xr.Dataset:
    """Runs of networks as one Dataset with axes of what varies between them, read whole.

    Args:
        files: of the runs.
        fields: of each, with a value for each axis.
        axes: values of each axis.
        along: fields that go with an axis: the axis, and their values along it.

    Returns:
        what their files hold over the axes, `step`, `matrix` and `update`; labels of matrices over the axes too where
        networks differ; and `wall_time`, `diverged_at` and `key`. What a run lacks is NaN, "" or −1.
    """
    runs = {path.stem: load_recording(path) for path in files}
    names = {tuple(run["matrix"].values.tolist()) for run in runs.values()}
    if len(names) > 1:
        labels = [name for name in labels_of(next(iter(runs.values())))[0] if name != "name"]
        runs = {key: run.reset_coords(labels) for key, run in runs.items()}
    in_one = concatenated(runs, "run")
    about = {name: [run.attrs.get(name, -1) for run in runs.values()] for name in ("wall_time", "diverged_at")}
    in_one = in_one.assign({name: ("run", np.array(values, float)) for name, values in about.items()})
    in_one = in_one.assign(key=("run", np.array(list(runs), dtype=object))).drop_vars("run")
    in_one = in_one.assign_coords({name: ("run", [f[name] for f in fields]) for name in axes})
    match list(axes):
        case []:
            in_one = in_one.isel(run=0)
        case [axis]:
            in_one = in_one.swap_dims(run=axis)
        case several:
            in_one = in_one.set_index(run=several).unstack("run")
    in_one = in_one.reindex({name: list(values) for name, values in axes.items()}).transpose(*axes, ...)
    in_one = in_one.assign({name: one.fillna("") for name, one in in_one.data_vars.items() if one.dtype == object})
    in_one["diverged_at"] = in_one["diverged_at"].fillna(-1).astype(int)
    return in_one.assign_coords(dict(along))


def network_rows(files: Sequence[Path], fields: Sequence[Mapping[str, Any]], varying: Sequence[str]) -> pd.DataFrame:
    """Runs of networks as a tidy table: one row a run, step and matrix.

    Args:
        files: of the runs.
        fields: of each.
        varying: names of those that differ.
    """
    tables = []
    for path, of_run in zip(files, fields, strict=True):
        run = load_recording(path)
        for at, step in enumerate(run["step"].values.tolist()):
            table = pd.DataFrame(frame(run, at)).rename(columns={"name": "matrix"})
            first = {name: of_run[name] for name in varying} | {"step": step}
            for place, (name, value) in enumerate(first.items()):
                table.insert(place, name, value)
            of_update = {q.name: run[q.name].values[step] for q in select("training") if q.name in run}
            tables.append(table.assign(**of_update, key=path.stem))
    return pd.concat(tables, ignore_index=True)
