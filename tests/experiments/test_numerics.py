"""A first change of what is computed: runs of both versions are kept apart. The change is played by NUMERICS = 2."""

import json

import pytest

from spectail.experiments import description as descriptions
from spectail.experiments.experiment import Experiment, experiment_of
from spectail.experiments.run import simulate
from spectail.report.terminal.recording import print_recording
from spectail.store.results import lazy_results, results_frame
from spectail.store.store import Store
from spectail.store.upkeep import check
from spectail.sweeps.sweep import sweep

SMALL = {"n": 20, "n_test": 5, "n_test_large": 5, "d": 8, "h": 12, "steps": 1}
KINDS = [{}, {"model": "vgg11", "dataset": "digits"}]


@pytest.fixture
def old(tmp_path):
    """A store with a run of today, and what was computed."""
    experiment = Experiment(**SMALL)
    Store(tmp_path).put(simulate(experiment))
    return experiment


@pytest.fixture
def version_2(old, monkeypatch):
    """The same experiment, as the next version describes it."""
    monkeypatch.setattr(descriptions, "NUMERICS", 2)
    return Experiment(**SMALL)


@pytest.mark.parametrize("fields", KINDS)
def test_the_first_version_is_left_out_and_the_next_is_part_of_the_key(fields, monkeypatch):
    first = Experiment(**fields)
    assert "numerics" not in json.loads(first.canonical_json)
    monkeypatch.setattr(descriptions, "NUMERICS", 2)
    second = Experiment(**fields)
    stored = json.loads(second.canonical_json)
    assert stored.pop("optimizer_options") == {"betas": [0.9, 0.999], "weight_decay": 0}
    before = json.loads(first.canonical_json)
    assert before.pop("optimizer_options", {}) == {}
    assert stored == {**before, "numerics": 2}
    assert second.key != first.key
    assert second.replace(numerics=1).key == first.key
    assert Experiment.from_stored(json.loads(first.canonical_json)).key == first.key
    assert first.replace(seed=1).numerics == 1, "a variation is of the same version"


@pytest.mark.parametrize("fields", KINDS)
def test_a_description_of_a_newer_version_is_refused(fields):
    with pytest.raises(ValueError, match=r"^numerics=2 is of a newer spectail; .* please upgrade$"):
        Experiment(**fields, numerics=2)


def test_an_earlier_run_opens_verifies_and_is_named(tmp_path, old, version_2, capsys):
    store = Store(tmp_path)
    run = store.get(version_2.replace(numerics=1))
    assert run.attrs["key"] == old.key
    assert experiment_of(run).numerics == 1
    print_recording(run)
    assert "numerics 1 of an earlier spectail" in capsys.readouterr().out
    (note,) = check(store)
    assert not note.harmful
    assert "1 runs" in note.what


def test_an_earlier_run_is_not_the_run_of_today(tmp_path, version_2):
    assert Store(tmp_path).get(version_2) is None
    assert version_2 not in Store(tmp_path)


def test_what_is_missing_is_not_completed_beside_earlier_runs(tmp_path, version_2):
    with pytest.raises(ValueError, match=r"holds runs of numerics 1, and numerics 2 is to be computed"):
        sweep({"fixed": SMALL, "axes": {"seed": [0, 1]}}, tmp_path)
    with pytest.raises(ValueError, match="name another folder"):
        Store(tmp_path).get_or_run(version_2, simulate)
    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert sweep({"fixed": SMALL}, tmp_path / "anew").attrs["numerics"] == 2


def test_an_earlier_run_is_not_computed(version_2):
    with pytest.raises(ValueError, match=r"numerics=1 is an earlier spectail's.*numerics=2 to compute anew"):
        simulate(version_2.replace(numerics=1))


def test_an_earlier_training_is_not_computed(tmp_path, version_2):
    training = Experiment(model="torch.nn:Identity", dataset="digits", images=10, numerics=1)
    with pytest.raises(ValueError, match="numerics=1 is an earlier spectail's"):
        simulate(training)


@pytest.mark.parametrize("read", [lazy_results, results_frame])
def test_results_hold_one_version(tmp_path, old, version_2, read, monkeypatch):
    Store(tmp_path).put(simulate(version_2))
    with pytest.raises(ValueError, match=r"numerics 1 and 2, which are not mixed: give select=\{'numerics'"):
        read(tmp_path)
    for numerics in (1, 2):
        assert read(tmp_path, {"numerics": numerics}).attrs["numerics"] == numerics
    monkeypatch.setattr(descriptions, "NUMERICS", 1)
    with pytest.raises(ValueError, match="numerics=2 is of a newer spectail"):
        read(tmp_path, {"numerics": 2})
