"""Runs on disk: one netCDF file each, named by the experiment's key, whole or not at all."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from spectail.teacher_student.dataset import FORMAT, VARIABLES, experiment_of
from spectail.teacher_student.experiment import Experiment


def save_run(run: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a run as netCDF, in one piece.

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
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        run.to_netcdf(part, engine="netcdf4")
        _flush(part)
        part.chmod(0o644)
        part.replace(path)
        _flush(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def open_run(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a run back, whole, into memory.

    Nothing in the file is executed: it is HDF5 with numbers, strings and one JSON attribute.

    Args:
        path: a file that `save_run` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is not a run of spectail, or was written by a newer version.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected the netCDF file of a run")
    try:
        run = xr.load_dataset(path, engine="netcdf4")
    except Exception as error:  # netCDF4 and xarray raise a dozen kinds for damaged files
        raise ValueError(f"{path} is not a readable netCDF file: it is damaged, or of another kind") from error
    version = run.attrs.get("spectail_format")
    if not isinstance(version, int | np.integer):
        raise ValueError(f"{path} is not a run of spectail: its attribute spectail_format is missing")
    if version > FORMAT:
        raise ValueError(f"{path} has format {version}, newer than this spectail reads ({FORMAT}); please upgrade")
    missing = [name for name in (*VARIABLES, "eigenvalues") if name not in run or "step" not in run[name].dims]
    if missing:
        raise ValueError(f"{path} is not a whole run of spectail: {', '.join(missing)} missing or without steps")
    try:
        experiment_of(run)
    except ValueError as error:
        raise ValueError(f"{path} does not say which experiment it holds: {error}") from None
    return run


class Store:
    """A folder of runs, each found again by its experiment.

    Args:
        root: the folder; runs lie in `root/runs`.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    def path(self, experiment: Experiment) -> Path:
        """Where the run of an experiment is, or would be."""
        return self.root / "runs" / f"{experiment.key}.nc"

    def __contains__(self, experiment: Experiment) -> bool:
        return self.path(experiment).exists()

    def check_writable(self) -> None:
        """See that runs can be written, before hours are spent on computing one.

        Raises:
            OSError: they cannot; one sentence says where and why.
        """
        folder = self.root / "runs"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            reason = error.strerror or str(error)
            raise type(error)(f"cannot write to {folder}: {reason[0].lower()}{reason[1:]}") from None

    def get(self, experiment: Experiment) -> xr.Dataset | None:
        """The stored run of an experiment, or None.

        A file under its name that cannot be read, or that holds something else, is set aside under
        another name with a warning, never deleted, and counts as missing.
        """
        path = self.path(experiment)
        if not path.exists():
            return None
        try:
            run = open_run(path)
            if experiment_of(run) == experiment:
                return run
            reason = f"{path} holds the run of another experiment"
        except ValueError as error:
            reason = str(error)
        aside = _free_name(path)
        path.replace(aside)
        warnings.warn(f"{reason}; it was set aside as {aside.name} and is computed again", stacklevel=2)
        return None

    def put(self, run: xr.Dataset) -> Path:
        """Keep a run under its experiment's key. Raises OSError as `save_run` does."""
        return save_run(run, self.path(experiment_of(run)))

    def get_or_run(
        self, experiment: Experiment, simulate: Callable[[Experiment], xr.Dataset]
    ) -> tuple[xr.Dataset, bool]:
        """The run of an experiment, computed only if it is not there yet.

        Args:
            experiment: which.
            simulate: computes it; its result is stored.

        Returns:
            the run, and whether it was found.
        """
        found = self.get(experiment)
        if found is not None:
            return found, True
        run = simulate(experiment)
        self.put(run)
        return run, False


def _flush(path: Path) -> None:
    """Hand a file, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some file systems cannot sync a folder
    finally:
        os.close(handle)


def _free_name(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.set-aside-{number}")).exists():
        number += 1
    return aside
