"""A file that cannot be written never ends a training, and nothing that was measured is lost."""

import re
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from forked import finish, start
from monitor.small_training import go_on, small
from spectail import SpectralMonitor, StoreError, every, load_recording
from spectail.monitor.runs import MonitoredRuns
from spectail.recording import growing
from spectail.recording.journal_reading import journal_path


def watch(path, model=None, **options):
    model, optimizer = (model, None) if model is not None else small()
    return SpectralMonitor(model, optimizer, when=every(1), path=path, nulls=False, **options)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The folder of temporary files."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def no_space(*arguments, **options):
    raise OSError(28, "No space left on device")


def full_disk(folder, patch):
    patch.setattr(growing.JournalFile, "append", no_space)
    patch.setattr(growing.JournalFile, "fold", no_space)


def folder_removed(folder, patch):
    shutil.rmtree(folder)
    folder.write_text("a file where the folder was")


def other_file(folder, patch):
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "run.nc").write_bytes(b"of somebody else")


def other_writer(folder, patch):
    (folder / "run.nc").unlink()
    journal_path(folder / "run.nc").unlink()
    patch.setattr(growing.JournalFile, "__init__", lambda *_, **__: (_ for _ in ()).throw(StoreError("in use")))


@pytest.mark.parametrize("fault", [full_disk, folder_removed, other_file, other_writer])
def test_what_cannot_be_written_is_told_once_and_kept_in_a_temporary_file(fault, tmp_path, elsewhere, monkeypatch):
    folder = tmp_path / "runs"
    model, optimizer = small()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with SpectralMonitor(model, optimizer, when=every(1), path=folder / "run.nc", nulls=False) as monitor:
            go_on(model, optimizer, 2)
            with monkeypatch.context() as patch:
                fault(folder, patch)
                go_on(model, optimizer, 3)
                monitor.close()
    sentences = [str(one.message) for one in warned if "anew" not in str(one.message)]
    assert len(sentences) == 2  # once while the training went on, and once at the end
    assert "training goes on" in sentences[0]
    (kept,) = elsewhere.glob("run-*.nc")
    assert f"all measurements are in {kept}" in sentences[1]
    assert repr(monitor).endswith(f"kept in {kept}>")
    assert load_recording(kept).step.values.tolist() == list(range(6))
    if fault is other_file:
        assert (folder / "run.nc").read_bytes() == b"of somebody else"


def test_a_disk_that_is_full_for_a_while_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "run.nc"
    model, optimizer = small()
    with SpectralMonitor(model, optimizer, when=every(1), path=path, nulls=False):
        for last in (3, 6):
            with monkeypatch.context() as patch:
                full_disk(tmp_path, patch)
                with pytest.warns(UserWarning, match="No space left") as warned:
                    go_on(model, optimizer, 2)
            assert len(warned) == 1
            go_on(model, optimizer, 1)
            assert load_recording(path).step.values.tolist() == list(range(last + 1))


@pytest.mark.parametrize("steps", [0, 2])
def test_a_folder_that_was_removed_is_made_anew(steps, tmp_path):
    path = tmp_path / "runs" / "run.nc"
    model, optimizer = small()
    monitor = SpectralMonitor(model, optimizer, when=every(1), path=path, nulls=False)
    go_on(model, optimizer, 2)
    shutil.rmtree(path.parent)

    def to_the_end():
        go_on(model, optimizer, steps)
        monitor.close()

    with pytest.warns(UserWarning, match=re.escape(f"{path} or its folder was removed; all")) as warned:
        to_the_end()
    assert len(warned) == 1
    assert load_recording(path).step.values.tolist() == list(range(3 + steps))
    assert [one.name for one in path.parent.iterdir()] == ["run.nc"]


def test_a_folder_that_was_renamed_is_made_anew_and_a_relative_path_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, optimizer = small()
    monitor = SpectralMonitor(model, optimizer, when=every(1), path="runs/run.nc", nulls=False)
    go_on(model, optimizer, 1)
    monkeypatch.chdir(tmp_path / "runs")
    go_on(model, optimizer, 1)
    assert [one.name for one in (tmp_path / "runs").iterdir() if one.is_dir()] == []
    (tmp_path / "runs").rename(tmp_path / "moved")
    with pytest.warns(UserWarning, match="written anew"):
        go_on(model, optimizer, 1)
    monitor.close()
    assert load_recording(tmp_path / "runs" / "run.nc").step.values.tolist() == [0, 1, 2, 3]
    assert load_recording(tmp_path / "moved" / "run.nc").step.values.tolist() == [0, 1, 2]


def test_where_nothing_can_be_written_it_is_a_warning(tmp_path, monkeypatch):
    monitor = watch(tmp_path / "run.nc", nn.Linear(30, 20))
    monkeypatch.setattr(growing.JournalFile, "fold", no_space)
    monkeypatch.setattr(growing, "write_part", no_space)
    monitor.step()  # into the journal
    with pytest.warns(UserWarning, match=r"nor a temporary file \(.*No space"):
        monitor.close()
    assert monitor.recording.sizes["step"] == 2
    assert load_recording(tmp_path / "run.nc").sizes["step"] == 2  # as the journal has it


def test_a_training_that_failed_is_told_and_not_the_disk(tmp_path, elsewhere, monkeypatch):
    model, optimizer = small()

    def train():
        with SpectralMonitor(model, optimizer, when=every(1), path=tmp_path / "run.nc", nulls=False):
            full_disk(tmp_path, monkeypatch)
            go_on(model, optimizer, 1)
            raise KeyError("of the training")

    with pytest.warns(UserWarning, match="not written"), pytest.raises(KeyError, match="of the training"):
        train()
    assert load_recording(next(elsewhere.glob("run-*.nc"))).sizes["step"] == 2


def test_a_forgotten_monitor_that_cannot_write_says_where_its_measurements_are(tmp_path, elsewhere, monkeypatch):
    monitors = [watch(tmp_path / "run.nc", nn.Linear(30, 20))]
    full_disk(tmp_path, monkeypatch)
    with pytest.warns(UserWarning, match="training goes on"):
        monitors[0].step()
    with pytest.warns(UserWarning, match="not written") as warned:
        monitors.clear()
    assert str(next(elsewhere.glob("run-*.nc"))) in str(warned[-1].message)


@pytest.mark.parametrize("existing", ["refuse", "resume", "replace"])
def test_two_monitors_on_one_path_never_overwrite_each_other(existing, tmp_path):
    path = tmp_path / "run.nc"
    model, optimizer = small()
    first = SpectralMonitor(model, optimizer, when=every(1), path=path, nulls=False)
    go_on(model, optimizer, 2)
    load_recording(path)  # which does not end the lock
    options = {"existing": existing, "initial_step": 0}
    with pytest.raises((FileExistsError, StoreError), match=r"run\.nc (exists|is being written to)"):
        watch(path, small()[0], **options)
    (tmp_path / "link").symlink_to(tmp_path)  # by whatever name
    with pytest.raises((FileExistsError, StoreError)):
        watch(tmp_path / "link" / "run.nc", small()[0], **options)
    code, said = finish(start(tmp_path, _another_process, path, options))
    assert code == 0, said
    go_on(model, optimizer, 1)
    first.close()
    assert load_recording(path).step.values.tolist() == [0, 1, 2, 3]
    watch(path, small()[0], existing="replace").detach()  # it was let go of
    assert load_recording(path).step.values.tolist() == [0]


def _another_process(path, options):
    try:
        watch(path, small()[0], **options)
    except (FileExistsError, StoreError):
        return
    raise AssertionError("a second process writes to the file")


def test_a_file_that_was_written_while_a_monitor_began_is_not_written_over(tmp_path, monkeypatch):
    path = tmp_path / "run.nc"
    taken = growing.GrowingRecording.open

    def late(self, **options):
        monkeypatch.setattr(growing.GrowingRecording, "open", taken)
        watch(path, nn.Linear(20, 20)).detach()
        taken(self, **options)

    monkeypatch.setattr(growing.GrowingRecording, "open", late)
    with pytest.raises(StoreError, match="was written by somebody else meanwhile"):
        watch(path)
    assert load_recording(path).matrix.values.tolist() == ["weight"]
    assert [one.name for one in tmp_path.iterdir()] == ["run.nc"]


def test_what_a_killed_process_was_writing_is_removed_by_the_next(tmp_path):
    path = tmp_path / "run.nc"
    (tmp_path / ".run.nc-abcd_123.part").write_bytes(b"half")
    others = [".run.html-abcd_123.part", ".run-2.nc-abcd_123.part", ".run.nc-2-abcd_123.part", "run.nc-abcd_123.part"]
    for name in others:
        (tmp_path / name).write_bytes(b"of others")
    watch(path).detach()
    assert {one.name for one in tmp_path.iterdir()} == {"run.nc", *others}


def runs_of(path, *begin, existing="refuse", steps=2, model=None):
    """Several runs of a callback: each as (steps that the trainer says, whether it ends well, its model)."""
    runs = MonitoredRuns({"when": every(1), "path": path, "nulls": False, "existing": existing})
    model = model or small()[0]
    for step, ends_well, another in begin:
        model = another or model
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        runs.begin(model, optimizer, step)
        go_on(model, optimizer, steps)
        if ends_well:
            runs.end()
    return runs


def steps_of(path):
    return load_recording(path).step.values.tolist()


def test_a_second_run_has_a_file_of_its_own(tmp_path):
    (tmp_path / "run-2.nc").write_bytes(b"of somebody else")
    with pytest.warns(UserWarning, match=r"run\.nc holds the run before; this one is kept in .*run-3\.nc"):
        runs_of(tmp_path / "run.nc", (0, True, None), (0, True, None))
    assert steps_of(tmp_path / "run.nc") == steps_of(tmp_path / "run-3.nc") == [0, 1, 2]
    with pytest.raises(FileExistsError):  # of another program: that is what the option says
        runs_of(tmp_path / "run.nc", (0, True, None))
    with pytest.warns(UserWarning, match=r"run-4\.nc"):  # only what was there is replaced, not what was just measured
        runs_of(tmp_path / "run.nc", (0, True, None), (0, True, None), existing="replace", steps=1)
    assert steps_of(tmp_path / "run.nc") == steps_of(tmp_path / "run-4.nc") == [0, 1]


@pytest.mark.parametrize(
    ("begin", "steps"),
    [
        ([(0, True, None), (2, True, None)], [0, 1, 2, 3, 4]),  # the trainer counts on
        ([(0, True, None), (0, True, None)], [0, 1, 2, 3, 4]),  # it counts anew, but trains the same weights
        ([(0, False, None), (0, True, None)], [0, 1, 2, 3, 4]),  # it ran out of memory on the way
        ([(0, True, None), (1, True, None)], [0, 1, 2, 3]),  # from a checkpoint
    ],
)
def test_a_second_run_goes_on_where_that_is_asked_for(begin, steps, tmp_path):
    runs_of(tmp_path / "run.nc", *begin, existing="resume")
    assert steps_of(tmp_path / "run.nc") == steps


def test_a_second_run_of_another_model_does_not_drop_the_first(tmp_path):
    with pytest.warns(UserWarning, match=r"run-2\.nc"):
        runs_of(tmp_path / "run.nc", (0, True, None), (0, True, small()[0]), existing="resume")
    assert steps_of(tmp_path / "run.nc") == steps_of(tmp_path / "run-2.nc") == [0, 1, 2]


@pytest.mark.parametrize("existing", ["refuse", "resume", "replace"])
def test_a_try_that_made_no_step_leaves_no_file_of_its_own(existing, tmp_path):
    path = tmp_path / "run.nc"
    runs = MonitoredRuns({"when": every(1), "path": path, "nulls": False, "existing": existing})
    model, optimizer = small()
    for _ in range(2):  # as auto_find_batch_size tries
        runs.begin(model, optimizer, 0)
    go_on(model, optimizer, 2)
    runs.end()
    assert steps_of(path) == [0, 1, 2]
    assert [one.name for one in tmp_path.iterdir()] == ["run.nc"]


def test_a_run_that_cannot_be_watched_trains(tmp_path):
    runs = MonitoredRuns(
        {"when": every(1), "path": tmp_path / "run.nc", "nulls": False, "layers": "0.*", "existing": "resume"}
    )
    model, optimizer = small()
    runs.begin(model, optimizer, 0)
    go_on(model, optimizer, 1)
    runs.end()
    with pytest.warns(UserWarning, match="this run is not watched, training goes on: layers="):
        runs.begin(nn.Linear(30, 20), optimizer, 1)
    assert runs.monitor is None
    runs.end()
    runs.begin(model, optimizer, 1)
    assert steps_of(tmp_path / "run.nc") == [0, 1]


def test_runs_without_a_file_are_watched_each():
    runs = runs_of(None, (0, True, None), (2, True, None))
    assert runs.monitor.recording.step.values.tolist() == [2, 3, 4]


def test_a_path_that_cannot_be_written_from_the_start_is_an_error():
    with pytest.raises(OSError, match="nowhere"):
        watch(Path("/proc/nowhere/run.nc"))
