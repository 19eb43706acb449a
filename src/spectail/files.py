"""Files that appear whole or not at all, and of which a reader says in a sentence what is wrong with them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # most files are written without xarray
    import xarray as xr

PART = ".part"
"""Ending of a file that is being written; one that nobody writes any more was cut off."""


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file under another name, and give it its own only when it is complete and on the disk.

    A process that is killed, or a disk that is full, leaves what was there before.

    Args:
        path: where to; its folder is made if need be.
        write: called with the path to write to.

    Returns:
        the path.

    Raises:
        OSError: the folder cannot be made or written to, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=PART, dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        write(part)
        flush(part)
        part.chmod(0o644)
        part.replace(path)
        flush(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


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
        raise ValueError(f"{path} is not a readable netCDF file: it is damaged, or of another kind") from error
    version = found.attrs.get(attribute)
    if not isinstance(version, Integral):
        raise ValueError(f"{path} is not the file of {kind}: its attribute {attribute} is missing")
    if int(version) > newest:
        raise ValueError(f"{path} has format {version}, newer than this spectail reads ({newest}); please upgrade")
    return found


def check_variables(found: xr.Dataset, path: Path, kind: str, dims: Mapping[str, tuple[str, ...]]) -> None:
    """See that a Dataset has the variables it should have, over the right dimensions.

    Raises:
        ValueError: some are missing, or over others.
    """
    wrong = [name for name, over in dims.items() if name not in found.variables or found[name].dims != over]
    if wrong:
        raise ValueError(f"{path} is not the whole file of {kind}: {', '.join(wrong)} missing or of other dimensions")


def flush(path: Path) -> None:
    """Hand a file, or a folder's list of names, to the disk.

    Raises:
        OSError: the disk is full, or broken.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if path.is_file():
            raise
        # some file systems cannot sync a folder
    finally:
        os.close(handle)
