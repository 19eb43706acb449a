import errno
import os

import numpy as np
import pytest
import xarray as xr

from spectail.errors import StoreError
from spectail.files import flush, write_content, write_whole
from spectail.recording.netcdf import write_netcdf
from spectail.recording.reading import load_recording

OLD = xr.Dataset({"eigenvalues": ("index", np.zeros(3))})
NEW = xr.Dataset({"eigenvalues": ("index", np.random.default_rng(0).random(10**6))})


def test_a_dataset_comes_back_and_is_smaller_where_most_of_its_spectra_is_nan(tmp_path):
    whole = np.random.default_rng(0).random((100, 1000))
    hollow = np.where(np.arange(1000) < 900, np.nan, whole)
    sizes = []
    for name, spectra in {"whole": whole, "hollow": hollow}.items():
        words = ("layer", np.array(["a"], object))
        dataset = xr.Dataset({"eigenvalues": (("matrix", "index"), spectra), "name": words})
        path = write_netcdf(dataset, tmp_path / "deep" / f"{name}.nc")
        xr.testing.assert_identical(xr.load_dataset(path, engine="netcdf4"), dataset)
        sizes.append(path.stat().st_size)
    assert whole.nbytes < sizes[0] < 1.1 * whole.nbytes, "as it is: to compress it would take long for little"
    assert sizes[1] < sizes[0] / 5
    assert sorted(os.listdir(tmp_path / "deep")) == ["hollow.nc", "whole.nc"]


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


def test_a_disk_that_is_full_names_the_file(tmp_path):
    def full_disk(part):
        raise OSError(errno.ENOSPC, "No space left on device")  # as the system has it: without a name

    with pytest.raises(OSError, match=r"No space left on device: '.*figure\.png'$"):
        write_whole(tmp_path / "figure.png", full_disk)
    assert os.listdir(tmp_path) == []


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


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({}, "is not a recording of spectail: its attribute spectail_recording_format is missing"),
        ({"spectail_recording_format": "two"}, "is not a recording of spectail"),
        ({"spectail_recording_format": 3}, r"has format 3, newer than this spectail reads \(1\); please upgrade"),
        ({"spectail_recording_format": 1}, r"is not the whole file of a recording: .*phase"),
    ],
)
def test_a_file_of_another_kind_or_of_the_future_is_refused_in_a_sentence(tmp_path, attributes, sentence):
    path = write_netcdf(OLD.assign_attrs(attributes), tmp_path / "song.nc")
    with pytest.raises(StoreError, match=rf"song\.nc {sentence}"):
        load_recording(path)


@pytest.mark.parametrize("size", [0, 1000])
def test_a_file_that_was_cut_off_is_refused_in_a_sentence(tmp_path, size):
    path = write_netcdf(OLD, tmp_path / "song.nc")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(StoreError, match=r"song\.nc is not a readable netCDF file"):
        load_recording(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"song\.nc does not exist; expected the netCDF file of a recording"):
        load_recording(tmp_path / "song.nc")


def test_files_are_flushed_as_windows_lets_them(tmp_path, monkeypatch):
    """It opens no folder, and flushes no file that may only be read."""
    fcntl = pytest.importorskip("fcntl", reason="asks POSIX how a file was opened")
    flushed, opened, sync = [], os.open, os.fsync

    def open_on_windows(path, flags, *mode, **options):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *mode, **options)

    def sync_on_windows(handle):
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(9, "Bad file descriptor")
        flushed.append(handle)
        sync(handle)

    monkeypatch.setattr(os, "open", open_on_windows)
    monkeypatch.setattr(os, "fsync", sync_on_windows)
    assert write_content(tmp_path / "new" / "file.txt", "λ").read_text(encoding="utf-8") == "λ"
    assert len(flushed) == 1
    with pytest.raises(FileNotFoundError):
        flush(tmp_path / "nowhere")


def test_a_file_that_may_not_be_written_is_told_of(tmp_path, monkeypatch):
    path = write_content(tmp_path / "file.txt", "")
    monkeypatch.setattr(os, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(PermissionError):
        flush(path)
