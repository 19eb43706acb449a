import os

import numpy as np
import pytest
import xarray as xr

from spectail.files import write_netcdf

OLD = xr.Dataset({"eigenvalues": ("index", np.zeros(3))})
NEW = xr.Dataset({"eigenvalues": ("index", np.random.default_rng(0).random(10**6))})


def test_a_dataset_comes_back_and_is_smaller_compressed(tmp_path):
    dataset = xr.Dataset({"eigenvalues": ("index", np.zeros(10**5)), "name": ("layer", np.array(["a"], object))})
    plain = write_netcdf(dataset, tmp_path / "deep" / "plain.nc")
    small = write_netcdf(dataset, tmp_path / "deep" / "small.nc", compressed=["eigenvalues"])
    for path in (plain, small):
        xr.testing.assert_identical(xr.load_dataset(path, engine="netcdf4"), dataset)
    assert small.stat().st_size < plain.stat().st_size / 10
    assert sorted(os.listdir(tmp_path / "deep")) == ["plain.nc", "small.nc"]


def test_a_write_that_fails_is_an_oserror_and_leaves_the_old_file_and_nothing_half_written(tmp_path, monkeypatch):
    path = write_netcdf(OLD, tmp_path / "run.nc")
    before = path.read_bytes()

    def full_disk(self, part, **options):
        part.write_bytes(b"half")
        raise RuntimeError("NetCDF: HDF error")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full_disk)
    with pytest.raises(OSError, match=f"cannot write to {tmp_path}: NetCDF: HDF error"):
        write_netcdf(NEW, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.nc"]


def test_hdf5_does_not_say_why_a_write_failed_but_we_do(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of POSIX")
    path = write_netcdf(OLD, tmp_path / "run.nc")
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))  # bytes of a file; the new one has 8 million
    try:
        with pytest.raises(OSError, match=f"cannot write to {tmp_path}: file too large"):
            write_netcdf(NEW, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.nc"]
    xr.testing.assert_identical(xr.load_dataset(write_netcdf(NEW, path), engine="netcdf4"), NEW)
