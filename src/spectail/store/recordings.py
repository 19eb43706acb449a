"""Many recordings of models as one: of monitors, series, trainings, analyses, along a dimension of their names.

Not here: runs of the laboratory, which are known by their experiments (`results`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from spectail.errors import StoreError, first_line
from spectail.progress import over_files
from spectail.recording.reading import load_recording
from spectail.store.store import hint_above


def recordings_in_one(folder: Path) -> xr.Dataset | None:
    """All recordings in a folder, and in those below it, along the dimension `recording`; None where there is none.

    Args:
        folder: that they lie in; a warning names the files that cannot be read.

    Raises:
        StoreError: some are of two-layer runs, which have no matrices with names.
    """
    recordings: dict[str, xr.Dataset] = {}
    unreadable: dict[Path, Exception] = {}
    for path in over_files(sorted(folder.rglob("*.nc"))):
        try:
            recordings[path.relative_to(folder).with_suffix("").as_posix()] = load_recording(path)
        except (StoreError, OSError) as error:
            unreadable[path] = error
    warn_of_unreadable(unreadable)
    if not recordings:
        return None
    if runs := [name for name, one in recordings.items() if "matrix" not in one.dims]:
        hint = hint_above(folder) or ", outside a folder runs; expected a store"
        raise StoreError(f"{folder} holds two-layer runs, such as {runs[0]}.nc{hint}")
    in_one = concatenated(recordings, "recording")
    return in_one.assign({name: one.fillna("") for name, one in in_one.data_vars.items() if one.dtype == object})


def concatenated(recordings: Mapping[str, xr.Dataset], dimension: str) -> xr.Dataset:
    """Recordings along a new dimension of their names; what one lacks that another has, is NaN.

    Args:
        recordings: by name.
        dimension: what it is called.

    Returns:
        one Dataset; labels of matrices stand over `matrix`, or over both dimensions where recordings differ in them.
    """
    names = xr.Variable(dimension, list(recordings))
    places = {str(dim) for one in recordings.values() for dim in one.dims if dim not in one.coords}
    labels = {str(name): None for one in recordings.values() for name in one.coords if one[name].dims == ("matrix",)}
    labels.pop("matrix", None)
    padded = [
        one.drop_vars(labels, errors="ignore").assign_coords(
            {dim: range(one.sizes[dim]) for dim in places & {*one.dims}}
        )
        for one in recordings.values()
    ]
    in_one = xr.concat(
        padded, names, join="outer", combine_attrs="drop_conflicts", data_vars="all", coords="minimal",
        compat="override",
    )  # fmt: skip
    return in_one.drop_vars(places).assign_coords(
        {name: _label_in_one(name, list(recordings.values()), in_one["matrix"], dimension) for name in labels}
    )


def _label_in_one(name: str, recordings: Sequence[xr.Dataset], matrices: xr.DataArray, dimension: str) -> xr.Variable:
    """A label of all matrices: over them, or over recordings too where it is not the same in all that have one."""
    having = [one[name] for one in recordings if name in one.coords]
    columns = [one.to_series() for one in having]
    merged = pd.concat(columns)
    merged = merged[~merged.index.duplicated()]
    if all(
        merged.loc[column.index].equals(column.astype(merged.dtype)) for column in columns
    ):  # NaN is a value too: the matrix is too small for a null
        return xr.Variable("matrix", merged.reindex(matrices.values).to_numpy(), having[0].attrs)
    lacking = pd.Series(index=matrices.values, dtype=object)
    of_each = [one[name].to_series() if name in one.coords else lacking for one in recordings]
    table = np.stack([column.reindex(matrices.values).to_numpy() for column in of_each])
    return xr.Variable((dimension, "matrix"), table, having[0].attrs)


def warn_of_unreadable(files: Mapping[Path, Exception]) -> None:
    """Say in one sentence which files were left out, and why.

    Args:
        files: those that cannot be read, with the error of each; where there are none, nothing is said.
    """
    if not files:
        return
    (path, why), *others = files.items()
    names = ", ".join(other.name for other, _ in others[:_MOST_NAMES]) + ", …" * (len(others) > _MOST_NAMES)
    also = f", and so are {len(others)} more: {names}" if len(others) > 1 else f", and so is {names}" if others else ""
    reason = first_line(why)
    warnings.warn(f"{reason if str(path) in reason else f'{path}: {reason}'}; it is left out{also}", stacklevel=2)


_MOST_NAMES = 10
"""Of files that a warning names."""
