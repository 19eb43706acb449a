"""Names of a user's own for runs, and the list of a folder."""

import pytest
import torch

import spectail
from spectail.errors import StoreError
from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.recording.netcdf import save_recording
from spectail.recording.reading import load_recording
from spectail.report.terminal.runs import print_folder
from spectail.store.names import give_name, run_names
from spectail.store.results import load_results
from spectail.store.store import Store

SMALL = Experiment(n=20, n_test=5, n_test_large=5, d=8, h=12, steps=1)


@pytest.fixture(scope="module")
def runs():
    return {e: simulate(e) for e in (SMALL, SMALL.replace(lr=2))}


@pytest.fixture
def store(tmp_path, runs):
    store = Store(tmp_path)
    for run in runs.values():
        store.put(run)
    give_name(store, SMALL, "first-try")
    return store


def test_a_name_leads_to_the_run_and_stays(store, runs):
    assert load_recording(store.root / "first-try.nc").checksum == runs[SMALL].checksum
    assert give_name(store, SMALL, "first-try").exists()
    assert run_names(store) == {SMALL.key: "first-try"}
    assert load_results(store.root).attrs["runs"] == 2  # a name is no further run


def test_a_name_of_another_run_or_of_no_file_is_refused(store):
    with pytest.raises(StoreError, match=f"first-try.nc is the run {SMALL.key}, with other settings; choose another"):
        give_name(store, SMALL.replace(lr=2), "first-try")
    with pytest.raises(StoreError, match=r"^name='a/b' is not understood; expected letters"):
        give_name(store, SMALL, "a/b")


def test_without_links_a_copy_has_the_name(store, monkeypatch):
    def refuses(*arguments):
        raise OSError("a privilege is not held")

    monkeypatch.setattr("pathlib.Path.symlink_to", refuses)
    path = give_name(store, SMALL.replace(lr=2), "second")
    assert not path.is_symlink()
    assert run_names(store)[SMALL.replace(lr=2).key] == "second"


def test_a_folder_says_what_is_in_it(store, capsys):
    analysis = spectail.analyze({"a.weight": torch.randn(30, 20)}, nulls=False)
    save_recording(analysis.recording, store.root / "models" / "one.nc")
    print_folder(store.root)
    text = capsys.readouterr().out
    assert "2 runs" in text
    assert "first-try" in text
    assert SMALL.key in text
    assert "models/one.nc" in text
    assert "analysis of state dict" in text
    with pytest.raises(FileNotFoundError, match="holds no results: it has no folder runs, and no recordings"):
        print_folder(store.root / "nothing")
