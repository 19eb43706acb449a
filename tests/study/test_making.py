import os
import time

import pytest

from spectail.running.processes import worker_pool
from spectail.store.locks import shared_lock
from spectail.store.store import Store
from spectail.study.catalogue import find
from spectail.study.making import make_all
from spectail.study.plan import Plan
from spectail.study.settings import Scale
from spectail.sweeps.sweep import run_missing

PLAN = Plan(find(["fig2", "fig4", "table2"]), Scale("tiny", 25, long=False), repeats=1)  # n = 80, d = 40, h = 60


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    found = Store(tmp_path_factory.mktemp("store"))
    run_missing(PLAN.experiments(), found)
    return found


def made(store, folder, workers):
    files = {e.key: store.path(e) for e in PLAN.experiments()}
    return list(make_all(PLAN, files, store, store.root / folder, workers))


def test_several_processes_make_the_same_files_tables_and_verdicts_as_one(store):
    alone, beside = made(store, "figures-alone", 1), made(store, "figures-beside", 2)
    assert [item.name for item in alone] == [artifact.name for artifact in PLAN.artifacts]
    for one, other in zip(alone, beside, strict=True):
        assert (one.name, one.tables, one.outcomes) == (other.name, other.tables, other.outcomes)
        assert len(one.tested) == len(one.outcomes)
        assert [path.name for path in one.paths] == [path.name for path in other.paths]
        for path, twin in zip(one.paths, other.paths, strict=True):
            assert path.read_bytes() == twin.read_bytes()


def test_what_a_kill_left_beside_the_pictures_is_removed_unless_somebody_draws(store):
    left = store.root / "figures-small" / ".fig2-abc.part"
    left.parent.mkdir()
    left.write_bytes(b"half a picture")
    with shared_lock(store.writing):  # as another process that draws
        made(store, "figures-small", 1)
    assert left.exists()
    made(store, "figures-small", 1)
    assert not left.exists()


def test_a_worker_that_is_killed_is_one_sentence():
    with pytest.raises(OSError, match="a worker process was killed"), worker_pool(2, time.time) as pool:
        list(pool.map(os._exit, [1]))
