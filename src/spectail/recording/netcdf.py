"""Recordings as netCDF, whole or not at all, and the checksum of a run.

Not here: what a recording has in it (`layout`), how its variables are checked (`reading`), and damaged files
(`hdf5/reader.py`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import InMemoryDataStore

from spectail.errors import SettingError, StoreError, naming_the_extra
from spectail.files import OF_FILES, check_writable, write_whole
from spectail.hdf5.reader import HDF5_LOCK, UnreadableError, contents
from spectail.hdf5.seal import is_sealed, seal
from spectail.recording.layout import RUN_MARK, without_labels
from spectail.recording.quantities import select


def write_netcdf(dataset: xr.Dataset, path: Path) -> Path:
    """Write a Dataset as netCDF, as `write_whole` does.

    Args:
        dataset: what to write.
        path: where to; its folder is made if need be.

    Returns:
        the path.

    Raises:
        OSError: the folder cannot be made or written to, or the disk is full.
    """
    return write_whole(path, lambda part: write_part(dataset, part))


def write_part(dataset: xr.Dataset, part: Path) -> None:
    """Write the file that will take the place of another. Raises OSError as `write_netcdf`.

    Eigenvalues are compressed where most of the array is NaN, which stands before the first of shorter spectra.
    Elsewhere compression would make the file smaller by a third only, and writing it ten times slower.
    """
    need_netcdf(part)
    spectra = dataset.variables.get("eigenvalues")
    is_hollow = spectra is not None and 2 * int(np.isnan(spectra.values).sum()) > spectra.size
    encoding = {"eigenvalues": {"zlib": True, "complevel": 1}} if is_hollow else {}
    try:
        with HDF5_LOCK:
            dataset.to_netcdf(part, engine="netcdf4", encoding=encoding)
        seal(part)
    except (RuntimeError, OSError) as error:  # HDF5 reports a write that failed without saying why, or the wrong reason
        raise OSError(f"cannot write to {part.parent}: {_why_not(part) or error}") from error


def check_place(path: Path) -> None:
    """Try whether a recording can be written, before the work whose result it is to hold.

    Args:
        path: of the file; its folder is made if need be.

    Raises:
        MissingPackageError: what writes netCDF is not installed.
        SettingError: its name says that it is no recording.
        OSError: it is a folder, or its folder cannot be made or written to.
    """
    need_netcdf(path)
    check_ending(path)
    check_writable(path)


def check_ending(path: Path) -> None:
    """Refuse to write a recording under the name of a table, a page or a picture.

    Args:
        path: where a recording is to be written.

    Raises:
        SettingError: its name says that it is no recording.
    """
    if path.suffix.lower() in OF_FILES - {".nc"}:
        raise SettingError(
            f"{path} would hold a recording, which is netCDF; expected a name such as {path.with_suffix('.nc')} "
            "(load_recording(path).to_dataframe() makes a table of one)"
        )


def need_netcdf(path: Path) -> None:
    """Import what reads and writes netCDF. Raises MissingPackageError where it is not installed."""
    with naming_the_extra(str(path)):
        import netCDF4  # noqa: F401


def _why_not(part: Path) -> str | None:
    """What kept HDF5 from writing a file, found by writing as much beside it; None if that can be done."""
    try:
        with tempfile.TemporaryFile(dir=part.parent) as file:
            file.write(bytes(max(part.stat().st_size if part.exists() else 0, 1 << 20)))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def read_netcdf(path: Path) -> xr.Dataset:
    """Read a Dataset back, whole, into memory. Nothing in the file is executed: it is HDF5 with numbers and strings.

    A file without a seal is read by another process, which may crash if the file is damaged.

    Args:
        path: of the file.

    Returns:
        what is in it.

    Raises:
        StoreError: the file is damaged, or of another kind.
        OSError: it is not there, or may not be read.
    """
    need_netcdf(path)
    sentence = f"{path} is not a readable netCDF file: it is damaged, or of another kind"
    if path.exists() and not path.is_file():
        raise StoreError(f"{path} is no file")  # a pipe would be waited for
    with HDF5_LOCK:
        sealed = is_sealed(path)
        if not sealed and not _begins_as_netcdf(path):  # no process for each of a stranger's thousands
            raise StoreError(sentence)
        try:
            return xr.load_dataset(path, engine="netcdf4") if sealed else _decoded(*contents(path))
        except UnreadableError as error:
            raise StoreError(f"{sentence} ({error})") from None
        except OSError:  # of the disk or the system, not of the file
            raise
        except Exception as error:  # netCDF4 and xarray raise a dozen kinds for files of others
            raise StoreError(sentence) from error


def _begins_as_netcdf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8).startswith((b"\x89HDF\r\n\x1a\n", b"CDF"))


def _decoded(header: Mapping[str, Any], content: bytes) -> xr.Dataset:
    """The Dataset that xarray makes of what is in a file."""
    variables, at = {}, 0
    for one in header["variables"]:
        shape, text = tuple(one["shape"]), one.get("text")
        dtype = np.dtype(object if text is not None else one["dtype"])
        if text is None:
            values = np.frombuffer(content, dtype, math.prod(shape), at).reshape(shape).copy()
            at += values.nbytes
        else:
            values = np.array(text, dtype=object).reshape(shape)
        as_stored = {"dtype": dtype if text is None else str}  # which xarray asks for where it decodes text
        variables[one["name"]] = xr.Variable(one["dims"], values, _attributes(one["attributes"]), as_stored)
    store = InMemoryDataStore(variables, _attributes(header["attributes"]))  # type: ignore[no-untyped-call]
    return xr.decode_cf(store).load()


def _attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: np.array(value["values"], dtype=value["dtype"])[()] if isinstance(value, dict) else value
        for name, value in attributes.items()
    }


def checksum(run: xr.Dataset) -> str:
    """A hash of what a run found: every variable and coordinate, the experiment, and whether it diverged.

    Equal for equal results, bit for bit, on whatever machine and however long they took: wall time, clocks,
    device and versions are not part of it.

    Returns:
        64 hexadecimal digits (SHA-256).
    """
    digest = hashlib.sha256()
    run = run.drop_vars(_CLOCKS, errors="ignore") if "training" in run.attrs else without_labels(run)
    described = run.attrs.get("training", run.attrs.get("experiment", ""))
    about = (str(described), int(run.attrs.get("diverged_at", -1)))
    digest.update(json.dumps(about).encode())
    for name in sorted(str(name) for name in run.variables):
        variable = run.variables[name]
        values = np.ascontiguousarray(variable.values)
        words = values.dtype.kind in "OSUT"
        kind = "text" if words else values.dtype.newbyteorder("<").str
        digest.update(json.dumps([name, [str(dim) for dim in variable.dims], values.shape, kind]).encode())
        digest.update(json.dumps(values.astype(str).tolist()).encode() if words else values.astype(kind).tobytes())
    return digest.hexdigest()


_CLOCKS = tuple(q.name for q in select("clock"))


def with_checksum(run: xr.Dataset) -> xr.Dataset:
    """A run that says the checksum of what is in it."""
    return run.assign_attrs(checksum=checksum(run))


def save_recording(recording: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a recording as netCDF, in one piece; a two-layer run with the checksum of what is in it.

    The file appears under its name only when it is complete and on the disk; a process that is
    killed, or a disk that is full, leaves what was there before.

    Args:
        recording: of any kind.
        path: where to; its folder is made if need be.

    Returns:
        the path.

    Raises:
        SettingError: the name of the file says that it is no recording.
        OSError: the folder cannot be made or written to, or the disk is full.
    """
    check_ending(Path(path))
    if recording.attrs.get("of") in ("two-layer", "multilayer") or RUN_MARK in recording.attrs:
        return write_netcdf(without_labels(with_checksum(recording)), Path(path))
    return write_netcdf(recording, Path(path))
