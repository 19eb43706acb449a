import os
import pickle
import stat

import pytest
import xarray as xr

from spectail import files
from spectail.errors import StoreError
from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.recording.netcdf import save_recording
from spectail.recording.reading import load_recording
from spectail.store.store import Store

SMALL = Experiment(n=30, n_test=5, n_test_large=5, d=10, h=15, steps=2, overlaps=((1, 0),))


@pytest.fixture(scope="module")
def run():
    return simulate(SMALL)


def test_a_run_comes_back_as_it_was(tmp_path, run):
    xr.testing.assert_identical(load_recording(save_recording(run, tmp_path / "deep" / "run.nc")), run)


def test_a_finished_run_is_found_and_not_computed_again(tmp_path, run):
    store, calls = Store(tmp_path), []
    first, found_first = store.get_or_run(SMALL, lambda e: calls.append(e) or run)
    again, found_again = store.get_or_run(SMALL, lambda e: calls.append(e) or run)
    assert (found_first, found_again, len(calls)) == (False, True, 1)
    xr.testing.assert_identical(first, again)
    assert SMALL in store
    assert SMALL.replace(lr=2) not in store


def test_the_first_editions_names_of_states_work_and_name_the_new_ones(tmp_path):
    with pytest.warns(DeprecationWarning, match="is now Store\\(state_seconds=…\\)"):
        store = Store(tmp_path, checkpoint_seconds=3.0)
    assert store.state_seconds == 3.0
    with pytest.warns(DeprecationWarning, match=r"Store.checkpoint_path is now Store.state_path"):
        assert store.checkpoint_path(SMALL) == store.state_path(SMALL)
    with pytest.raises(AttributeError, match="has no attribute 'chekpoint'"):
        store.chekpoint  # noqa: B018


def test_a_write_that_fails_leaves_what_was_there_and_no_rubbish(tmp_path, run, monkeypatch):
    path = save_recording(run, tmp_path / "run.nc")
    before = path.read_bytes()

    def full_disk(part):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "flush", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_recording(run, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.nc"]


def test_a_killed_write_is_never_mistaken_for_a_run(tmp_path, run):
    store = Store(tmp_path)
    path = store.put(run)
    path.rename(path.with_name(f".{path.stem}-abc.part"))  # what a kill between writing and renaming leaves
    assert store.get(SMALL) is None


@pytest.mark.parametrize(
    "damage",
    ["truncated", "other bytes", "empty", "pickle", "another run", "no run", "odd format", "a variable gone"],
)
def test_a_file_that_is_not_the_run_is_set_aside_named_and_counts_as_missing(tmp_path, run, damage):
    store = Store(tmp_path)
    path = store.put(run)
    whole = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "other bytes":
        path.write_bytes(b"not a netCDF file")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "pickle":
        path.write_bytes(pickle.dumps({"a": 1}))
    elif damage == "another run":
        save_recording(run.assign_attrs(experiment=SMALL.replace(lr=9).canonical_json), path)
    elif damage == "odd format":
        save_recording(run.assign_attrs(spectail_format="one"), path)
    elif damage == "a variable gone":
        save_recording(run.drop_vars("kta"), path)
    else:
        save_recording(xr.Dataset({"x": 1.0}), path)
    content = path.read_bytes()
    with pytest.warns(UserWarning, match="set aside"):
        assert store.get(SMALL) is None
    (aside,) = path.parent.glob("*.set-aside-*")
    assert aside.read_bytes() == content
    assert store.get(SMALL) is None  # and a second look is quiet
    store.put(run)
    assert store.get(SMALL) is not None


def test_a_run_of_a_newer_spectail_stays_what_and_where_it_is(tmp_path, run):
    """An older one must not rename what it cannot read; nor may a sweep compute it again, beside it."""
    store = Store(tmp_path)
    content = save_recording(run.assign_attrs(spectail_format=99), store.path(SMALL)).read_bytes()
    for ask in (store.get, lambda e: store.check_and_list_missing([e]), lambda e: store.get_or_run(e, simulate)):
        with pytest.raises(StoreError, match=r"has format 99, newer than this spectail reads .* please upgrade"):
            ask(SMALL)
    assert [p.read_bytes() for p in (tmp_path / "runs").iterdir()] == [content]


def test_a_second_damaged_file_does_not_replace_the_first(tmp_path, run):
    store = Store(tmp_path)
    for content in (b"one", b"two"):
        store.put(run).write_bytes(content)
        with pytest.warns(UserWarning, match="set aside"):
            store.get(SMALL)
    assert {p.read_bytes() for p in (tmp_path / "runs").glob("*.set-aside-*")} == {b"one", b"two"}


def test_errors_of_open_run_are_one_sentence_that_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.nc does not exist"):
        load_recording(tmp_path / "missing.nc")
    path = tmp_path / "bad.nc"
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad\.nc is not a readable netCDF file"):
        load_recording(path)


def test_a_folder_that_is_a_file_is_refused_before_anything_is_computed(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match="cannot write to"):
        Store(tmp_path / "taken").check_writable()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(stat.S_IREAD | stat.S_IEXEC)
    with pytest.raises(OSError, match="cannot write to"):
        Store(tmp_path).check_writable()
