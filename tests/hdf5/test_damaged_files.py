"""Whatever a disk has made of a file of HDF5: reading it ends, does not end this process, and gives no wrong number.

Read as any other file, `gd.nc` with a zeroed block of 512 bytes hangs in 5 of 106 places.
"""

import os
import subprocess
import sys
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


READING = """
import sys
from pathlib import Path

from spectail.errors import StoreError
from spectail.hdf5 import reader
from spectail.recording.reading import load_recording

reader._SECONDS = 1
run = load_recording(Path(sys.argv[1]))
for path in sorted(Path(sys.argv[2]).iterdir()):
    try:
        says = "is whole" if load_recording(path).identical(run) else "is another"
    except StoreError as error:
        says = str(error).removeprefix(str(path))
    print(path.stem, says)
"""


def damages(content, rng):
    """Of each kind that disks and transfers make, some: by a name that says which."""
    blocks = range(0, len(content) - BLOCK, BLOCK)
    for at in (*blocks[::13], ENDLESS_AT):
        yield f"zeros-{at:05}", with_zeros(content, at)
    for at in rng.integers(len(content), size=6):
        yield f"cut-{at:05}", content[:at]
        yield f"bit-{at:05}", content[:at] + bytes([content[at] ^ 1 << int(rng.integers(8))]) + content[at + 1 :]
        yield f"noise-{at:05}", content[:at] + rng.bytes(16) + content[at + 16 :]
    for at, to in rng.choice(blocks, size=(6, 2)):
        yield f"moved-{at:05}", content[:to] + content[at : at + BLOCK] + content[to + BLOCK :]


@pytest.mark.parametrize("is_sealed", [True, False], ids=["sealed", "unsealed"])
def test_no_damage_hangs_or_ends_who_reads_or_gives_other_numbers(run, is_sealed, tmp_path):
    whole, folder = tmp_path / "whole.nc", tmp_path / "damaged"
    whole.write_bytes(UNSEALED.read_bytes())
    if is_sealed:
        seal(whole)
    folder.mkdir()
    for name, damaged in damages(whole.read_bytes(), np.random.default_rng(1)):
        (folder / f"{name}.nc").write_bytes(damaged)
    command = [sys.executable, "-c", READING, whole, folder]
    # Unguarded, libhdf5 never comes back: a process of its own is what this one can end.
    answer = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert answer.returncode == 0, answer.stderr
    said = dict(line.split(" ", 1) for line in answer.stdout.splitlines())
    assert len(said) == len(list(folder.iterdir())), "one line each"
    assert not [name for name, says in said.items() if says == "is another"]
    refused = [name for name, says in said.items() if says != "is whole"]
    assert len(refused) > 0.7 * len(said), "of a file with few blocks of zeros"
    if is_sealed:
        assert {said[name] for name in refused} == {
            " is damaged: its content does not have the checksum that it was written with"
        } | {said[name] for name in refused if name.startswith("cut")}
    else:
        assert "reading it does not come to an end" in said[f"zeros-{ENDLESS_AT:05}"]


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
