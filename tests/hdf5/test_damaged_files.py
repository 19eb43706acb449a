"""Whatever a disk has made of a file of HDF5: reading it ends, does not end this process, and gives no wrong number.

Read as any other file, `gd.nc` with a zeroed block of 512 bytes hangs in 5 of 106 places.
"""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from spectail.errors import StoreError
from spectail.hdf5 import reader
from spectail.hdf5.seal import is_sealed, seal
from spectail.recording.netcdf import read_netcdf, save_recording
from spectail.recording.reading import load_recording

FIRST_EDITION = Path(__file__).parents[1] / "data" / "first_edition"
UNSEALED = FIRST_EDITION / "runs" / "gd.nc"
ENDLESS_AT = 5120  # bytes; where libhdf5 goes round in circles
BLOCK = 512  # bytes that a disk loses at once


@pytest.fixture(scope="module")
def run():
    return load_recording(UNSEALED)


@pytest.fixture(scope="module")
def sealed(run, tmp_path_factory):
    return save_recording(run, tmp_path_factory.mktemp("sealed") / "run.nc")


@pytest.fixture
def hasty(monkeypatch):
    """A second of the processor is enough for files as small as these."""
    monkeypatch.setattr(reader, "_SECONDS", 1)


def with_zeros(content, at):
    return content[:at] + bytes(min(BLOCK, len(content) - at)) + content[at + BLOCK :]


def tried(content, path):
    """What reading gives; None where it is refused in a sentence that names the file."""
    path.write_bytes(content)
    try:
        return load_recording(path)
    except StoreError as error:
        sentence = str(error)
    assert sentence.startswith(str(path))
    assert "\n" not in sentence
    return None


def test_a_sealed_file_with_a_block_gone_anywhere_is_refused_or_whole(sealed, tmp_path):
    content, run = sealed.read_bytes(), load_recording(sealed)
    refused = 0
    for at in range(0, len(content), BLOCK):
        damaged = with_zeros(content, at)
        if damaged != content:
            recording = tried(damaged, tmp_path / "run.nc")
            refused += recording is None
            assert recording is None or recording.identical(run)
    assert refused >= len(content) // BLOCK - 9, "all but blocks of zeros, and those of the seal"


def test_a_sealed_file_that_was_cut_off_is_refused_unless_its_content_is_whole(sealed, tmp_path):
    content, run = sealed.read_bytes(), load_recording(sealed)
    for length in (*range(0, len(content), len(content) // 9), len(content) - 1153, len(content) - 1200):
        assert tried(content[:length], tmp_path / "run.nc") is None
    for length in (len(content) - 1, len(content) - 1152 + 48, len(content) - 1152):
        assert tried(content[:length], tmp_path / "run.nc").identical(run)


def test_an_unsealed_file_with_a_block_gone_is_refused_or_whole(hasty, run, tmp_path):
    content = UNSEALED.read_bytes()
    for at in range(0, len(content), 13 * BLOCK):
        recording = tried(with_zeros(content, at), tmp_path / "run.nc")
        assert recording is None or recording.identical(run)


def test_a_file_on_which_reading_would_not_end_is_refused_and_the_next_is_read(hasty, run, tmp_path):
    path = tmp_path / "endless.nc"
    path.write_bytes(with_zeros(UNSEALED.read_bytes(), ENDLESS_AT))
    with pytest.raises(StoreError, match=r"endless\.nc is not a readable .* \(reading it does not come to an end\)"):
        load_recording(path)
    assert load_recording(UNSEALED).identical(run)


def test_a_process_that_is_gone_is_replaced(run):
    load_recording(UNSEALED)
    process = reader._child._process
    load_recording(UNSEALED)
    assert reader._child._process is process, "one reads many files"
    process.kill()
    process.wait()
    assert load_recording(UNSEALED).identical(run)


@pytest.mark.parametrize("path", sorted(FIRST_EDITION.rglob("*.nc")), ids=lambda path: path.stem)
def test_what_another_process_reads_is_to_the_bit_what_xarray_reads(path):
    ours, theirs = read_netcdf(path), xr.load_dataset(path, engine="netcdf4")
    assert not is_sealed(path)
    assert ours.identical(theirs)
    for name, variable in theirs.variables.items():
        assert ours[name].dtype == variable.dtype
        if variable.dtype.kind == "f":
            np.testing.assert_array_equal(ours[name].values.view("u1"), variable.values.view("u1"))


def test_text_masks_and_times_are_decoded_as_xarray_does(tmp_path):
    dataset = xr.Dataset(
        {
            "words": ("x", ["a", "", "ä"]),
            "letters": ("x", np.array([b"ab", b"c", b"d"])),
            "masked": ("x", [1.0, np.nan, 3.0], {"units": "m", "list": ["a", "b"], "n": np.int32(3)}),
            "when": ("x", np.array(["2020-01-01", "2020-01-02", "2021-01-01"], "datetime64[ns]")),
            "is": ("x", [True, False, True]),
            "none": ("y", np.zeros(0)),
            "scalar": 2.5,
        },
        {"x": [1, 2, 3]},
        {"title": "of all kinds", "numbers": np.arange(3)},
    )
    dataset.to_netcdf(tmp_path / "all.nc", encoding={"masked": {"dtype": "int16", "_FillValue": -1}})
    assert read_netcdf(tmp_path / "all.nc").identical(xr.load_dataset(tmp_path / "all.nc"))


def test_who_changes_a_sealed_file_elsewhere_takes_the_seal_off(sealed, run, tmp_path):
    path = tmp_path / "run.nc"
    path.write_bytes(sealed.read_bytes())
    assert is_sealed(path)
    with xr.open_dataset(path) as stored:  # a seal is in nobody's way
        assert stored.sizes["step"] == run.sizes["step"]
    xr.Dataset({"mine": ("mine", np.arange(3))}).to_netcdf(path, mode="a")
    assert not is_sealed(path)
    assert read_netcdf(path)["mine"].values.tolist() == [0, 1, 2]


def test_a_seal_that_was_damaged_itself_still_says_that_there_was_one(tmp_path):
    path = tmp_path / "any"
    path.write_bytes(bytes(range(256)) * 9)
    seal(path)
    content = path.read_bytes()
    for at in range(len(content) - 1152 - BLOCK, len(content), 7):
        path.write_bytes(with_zeros(content, at))
        try:
            assert is_sealed(path)
        except StoreError:
            assert at < 9 * 256, "the content is as it was"


def test_threads_and_forks_of_a_process_read_too(run):
    recordings = []
    threads = [threading.Thread(target=lambda: recordings.append(load_recording(UNSEALED))) for _ in range(3)]
    for thread in threads:
        thread.start()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if load_recording(UNSEALED).identical(run) else 1)
    for thread in threads:
        thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [one.identical(run) for one in recordings] == [True] * 3


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.nc")
    with pytest.raises(StoreError, match=r"pipe\.nc is no file"):
        read_netcdf(tmp_path / "pipe.nc")
