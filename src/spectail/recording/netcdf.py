"""Recordings as netCDF, whole or not at all, and the checksum of a run."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path

import numpy as np
import xarray as xr

from spectail.errors import StoreError
from spectail.files import write_whole


def write_netcdf(dataset: xr.Dataset, path: Path, *, compressed: Iterable[str] = ()) -> Path:
    """Write a Dataset as netCDF, as `write_whole` does.

    Args:
        dataset: what to write.
        path: where to; its folder is made if need be.
        compressed: names of variables that are worth it, if there are such.

    Returns:
        the path.

    Raises:
        OSError: the folder cannot be made or written to, or the disk is full.
    """
    encoding = {name: {"zlib": True, "complevel": 1} for name in compressed if name in dataset}

    def write(part: Path) -> None:
        try:
            dataset.to_netcdf(part, engine="netcdf4", encoding=encoding)
        except RuntimeError as error:  # how HDF5 reports a write that failed, without saying why
            raise OSError(f"cannot write to {path.parent}: {_why_not(part) or error}") from error

    return write_whole(path, write)


def _why_not(part: Path) -> str | None:
    """What kept HDF5 from writing a file, found by writing as much beside it; None if that can be done."""
    try:
        with tempfile.TemporaryFile(dir=part.parent) as file:
            file.write(bytes(max(part.stat().st_size, 1 << 20)))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def read_netcdf(path: Path, kind: str, attribute: str, newest: int) -> xr.Dataset:
    """Read a Dataset back, whole, into memory.

    Args:
        path: of the file.
        kind: what it should be the file of, with an article.
        attribute: which holds the version of its layout, and marks its kind.
        newest: of the versions that can be read.

    Returns:
        what the file holds; of a version up to `newest`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, of another kind, or of a newer version.
    """
    import xarray as xr

    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected the netCDF file of {kind}")
    try:
        found = xr.load_dataset(path, engine="netcdf4")
    except Exception as error:  # netCDF4 and xarray raise a dozen kinds for damaged files
        raise StoreError(f"{path} is not a readable netCDF file: it is damaged, or of another kind") from error
    version = found.attrs.get(attribute)
    if not isinstance(version, Integral):
        raise StoreError(f"{path} is not the file of {kind}: its attribute {attribute} is missing")
    if int(version) > newest:
        raise StoreError(f"{path} has format {version}, newer than this spectail reads ({newest}); please upgrade")
    return found


def check_variables(found: xr.Dataset, path: Path, kind: str, dims: Mapping[str, tuple[str, ...]]) -> None:
    """See that a Dataset has the variables it should have, over the right dimensions.

    Raises:
        ValueError: some are missing, or over others.
    """
    wrong = [name for name, over in dims.items() if name not in found.variables or found[name].dims != over]
    if wrong:
        raise StoreError(f"{path} is not the whole file of {kind}: {', '.join(wrong)} missing or of other dimensions")


def checksum(run: xr.Dataset) -> str:
    """A hash of what a run found: every variable and coordinate, the experiment, and whether it diverged.

    Equal for equal results, bit for bit, on whatever machine and however long they took: wall time,
    device and versions are not part of it.

    Returns:
        64 hexadecimal digits (SHA-256).
    """
    digest = hashlib.sha256()
    about = (run.attrs.get("experiment", ""), int(run.attrs.get("diverged_at", -1)))
    digest.update(json.dumps(about).encode())
    for name in sorted(str(name) for name in run.variables):
        variable = run.variables[name]
        values = np.ascontiguousarray(variable.values)
        words = values.dtype.kind in "OSUT"
        kind = "text" if words else values.dtype.newbyteorder("<").str
        digest.update(json.dumps([name, [str(dim) for dim in variable.dims], values.shape, kind]).encode())
        digest.update(json.dumps(values.astype(str).tolist()).encode() if words else values.astype(kind).tobytes())
    return digest.hexdigest()


def save_run(run: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a run as netCDF, in one piece, with the checksum of what is in it.

    The file appears under its name only when it is complete and on the disk; a process that is
    killed, or a disk that is full, leaves what was there before.

    Args:
        run: what `simulate` returned.
        path: where to; its folder is made if need be.

    Returns:
        the path.

    Raises:
        OSError: the folder cannot be made or written to, or the disk is full.
    """
    return write_netcdf(run.assign_attrs(checksum=checksum(run)), Path(path))
