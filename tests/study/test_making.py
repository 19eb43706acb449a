import os
import shutil
import time
from dataclasses import replace

import pytest

from spectail.errors import SettingError
from spectail.running.processes import worker_pool
from spectail.store.locks import shared_lock
from spectail.store.store import Store
from spectail.study.catalogue import find
from spectail.study.making import make_all, reproduce
from spectail.study.plan import Plan, plan_of
from spectail.study.records import read_records
from spectail.study.settings import SCALES, Scale, vary
from spectail.sweeps.sweep import run_missing

PLAN = Plan(find(["fig2", "fig4", "table2"]), Scale("tiny", 25, long=False), repeats=1)  # n = 80, d = 40, h = 60


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    run_missing(PLAN.experiments(), store)
    return store


def made(store, folder, workers, plan=PLAN):
    files = {e.key: store.path(e) for e in plan.experiments()}
    return list(make_all(plan, files, store, store.root / folder, workers))


@pytest.fixture(scope="module")
def alone(store):
    return made(store, "figures-alone", 1)


def test_several_processes_make_the_same_files_tables_and_verdicts_as_one(store, alone):
    beside = made(store, "figures-beside", 2)
    assert [item.name for item in alone] == [artifact.name for artifact in PLAN.artifacts]
    for one, other in zip(alone, beside, strict=True):
        assert replace(one, paths=()) == replace(other, paths=())
        assert [path.name for path in one.paths] == [path.name for path in other.paths]
        for path, twin in zip(one.paths, other.paths, strict=True):
            assert path.read_bytes() == twin.read_bytes()


def test_a_record_is_read_as_it_was_written(store, alone, tmp_path):
    folder = store.root / "figures-alone"
    assert read_records(folder) == [replace(r, paths=list(r.paths)) for r in alone]
    folder = shutil.copytree(folder, tmp_path / "figures")
    (folder / "fig4.png").unlink()
    assert "fig4.png" not in {path.name for r in read_records(folder) for path in r.paths}


def test_the_function_does_what_the_command_does(tmp_path):
    """Runs, pictures, records, and the verdicts of all that was reproduced in the folder before."""
    before = SCALES["small"]
    SCALES["small"] = replace(PLAN.scale, name="small")
    try:
        (record,) = reproduce("table2", scale="small", out=tmp_path, repeats=1, protocol="published")
        assert (record.name, record.claims, list(record.tables)) == ("table2", [], ["published"])
        (record,) = reproduce("fig2", scale="small", out=tmp_path, repeats=1, protocol="published")
    finally:
        SCALES["small"] = before
    folder = tmp_path / "figures-small"
    assert [path.name for path in record.paths] == ["fig2.png", "fig2.pdf", "fig2.json", "fig2.csv"]
    assert [claim.number for claim in record.claims] == ["1", "2", "3", "4"]
    assert [r.name for r in read_records(folder)] == ["fig2", "table2"]
    assert len((folder / "claims.csv").read_text().splitlines()) == 1 + 4


def test_a_figure_with_other_settings_stands_beside_the_papers_and_says_so(store):
    """Else a picture of relu would pass for the paper's, or take its place."""
    scale = vary(PLAN.scale, {"teacher": "relu", "optimizer": "sgd", "lr": "0.5"})
    plan = Plan(find(["fig4"]), scale, repeats=1, protocols=("published",))
    assert {(e.teacher, e.optimizer, e.d) for e in plan.experiments()} == {("relu", "SGD", 40)}
    run_missing(plan.experiments(), store)
    (record,) = made(store, scale.folder_name, 1, plan)
    assert scale.folder_name == "tiny-teacher=relu-optimizer=SGD-lr=0.5"
    assert record.title.endswith("; here instead teacher=relu, optimizer=SGD, lr=0.5")
    assert "fig4 --scale tiny --teacher relu --optimizer SGD --lr 0.5 --repeats 1" in record.command
    assert PLAN.scale.folder_name == "tiny"


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("fig3", {"lr": 1.0}, "fig3 compares several values of lr"),
        ("fig4", {"steps": 3}, "steps is the figure's own"),
        ("fig4", {"teacher": "rellu"}, "did you mean 'relu'"),
        ("fig4", {"learning_rate": 1.0}, "learning_rate"),
        (
            "fig9",
            {"optimizer": "Muon"},
            "^fig9 compares with theory, which optimizer='Muon' has none of: gd, adam, sign$",
        ),
        ("table2", {"optimizer": "sgd"}, "^table2 compares with theory"),
        ("prediction", {"optimizer": "muon"}, "^prediction compares with theory"),
        ("fig33", {"teacher": "relu"}, "fig33 has no two-layer experiment"),
    ],
)
def test_settings_that_a_figure_cannot_have_are_told_before_anything_runs(name, settings, sentence):
    with pytest.raises(SettingError, match=sentence):
        plan_of(find([name]), "small", None, None, None, settings)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"scale": "smal"}, "did you mean 'small'"),
        ({"repeats": 0}, "repeats=0 is not valid"),
        ({"protocol": "printed"}, "protocol='printed' is not known"),
        ({"images": 0}, "images=0 is not understood"),
    ],
)
def test_options_that_are_not_valid_are_told_before_anything_runs(option, sentence, tmp_path):
    with pytest.raises(SettingError, match=sentence):
        reproduce("fig2", out=tmp_path / "out", **option)
    assert not (tmp_path / "out").exists()


def test_what_a_kill_left_beside_the_pictures_is_removed_unless_somebody_draws(store):
    left = store.root / "figures-small" / ".fig2-abc.part"
    left.parent.mkdir()
    left.write_bytes(b"half a picture")
    plan = Plan(find(["table2"]), PLAN.scale, repeats=1)
    with shared_lock(store.write_lock):  # as another process that draws
        made(store, "figures-small", 1, plan)
    assert left.exists()
    made(store, "figures-small", 1, plan)
    assert not left.exists()


def test_a_worker_that_is_killed_is_one_sentence():
    with pytest.raises(OSError, match="a worker process was killed"), worker_pool(2, time.time) as pool:
        list(pool.map(os._exit, [1]))
