"""`spectail reproduce`, killed and interrupted midway: the same command ends with the bits of a sweep left alone."""

import os
import signal

import pytest
import torch

from forked import finish, wait_until
from spectail.store.store import Store
from spectail.study.catalogue import find
from spectail.study.plan import Plan
from spectail.study.settings import Scale
from spectail.sweeps.sweep import run_missing
from sweeps.sweeping import command, stored

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
PLAN = Plan(find(["fig4"]), Scale("small", 20, long=False), repeats=6, protocols=("published",))
SMALL = """
import spectail.study.settings as scales
scales.SCALES["small"] = scales.Scale("small", 20, long=False)  # n = 100, d = 50, h = 75
"""


SLOWLY = """
import time
from spectail.sweeps.worker import Worker
at_once = Worker._simulate
Worker._simulate = lambda self, *arguments: time.sleep(1) or at_once(self, *arguments)
"""


def start(folder, setup=""):
    """`spectail reproduce` into a folder; with Python to run first."""
    options = ["--scale", "small", "--repeats", "6", "--protocol", "published", "--out", str(folder / "out")]
    return command(folder, "reproduce", "fig4", *options, setup=SMALL + setup)


def pictures(folder):
    return sorted(path.name for path in (folder / "out" / "figures-small").glob("fig4.p*"))


def checksums(store):
    runs = {e.key: store.get(e) for e in PLAN.experiments()}
    assert all(run is not None for run in runs.values())
    return {key: run.checksum for key, run in runs.items()}


def whole(folder):
    """Run the command to its end; the checksums of the runs that it left."""
    code, output = finish(start(folder))
    assert code == 0, output
    assert pictures(folder) == ["fig4.pdf", "fig4.png"]
    assert not list((folder / "out" / "runs").glob(".*.part"))
    return checksums(Store(folder / "out"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the processes have: the same bits only with as many
    store = Store(tmp_path_factory.mktemp("undisturbed"))
    run_missing(PLAN.experiments(), store)
    torch.set_num_threads(threads)
    return checksums(store)


def test_kill_9_among_the_runs_and_among_the_pictures(tmp_path, undisturbed):
    for happened in (lambda: stored(tmp_path) > 0, lambda: pictures(tmp_path)):
        process = start(tmp_path)
        wait_until(lambda happened=happened, p=process: happened() or not p.is_alive())
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert len(pictures(tmp_path)) < 2  # not drawn to the end
    assert whole(tmp_path) == undisturbed


def test_ctrl_c_among_the_runs(tmp_path, undisturbed):
    process = start(tmp_path, SLOWLY)  # lest all runs are done before the signal comes
    wait_until(lambda: stored(tmp_path) > 0)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    code, output = finish(process)
    assert code == 130, output
    assert "the same command goes on from there" in output
    assert "Traceback" not in output
    assert 0 < stored(tmp_path) < len(PLAN.experiments())
    assert not pictures(tmp_path)
    assert whole(tmp_path) == undisturbed
