"""Sweeps on a Ray cluster of this machine, with nodes and workers that die."""

import os
import re
import signal
import sys
import textwrap
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

import pytest

import forked
from forked import execute, finish, wait_until
from spectail.errors import SettingError
from spectail.running.ray import _connect
from sweeps.sweeping import GRID, NETWORKS, results, start, states, stored, undisturbed_networks, whole

pytest.importorskip("ray")
fcntl = pytest.importorskip("fcntl")

PRELUDE = """
import os, signal, sys, threading, time
from pathlib import Path
import ray
from spectail.sweeps.grid import Grid
from spectail.running.ray import Resources
from spectail.store.store import Store
from spectail.running.scheduler import Compute
from spectail.sweeps.sweep import run_missing

folder = Path(sys.argv[1])
store = Store(folder / "out", 0.0)
experiments = Grid.read(folder / "grid.toml").experiments()
networks = Grid.read(folder / "networks.toml").experiments()
stored = lambda: len([*store.runs.glob("*.nc"), *store.trainings.glob("*.nc")])
going_on = lambda: any(store.trainings.glob("*.state"))

def when(so, act):
    def wait():
        while not so():
            time.sleep(0.005)
        act()
    threading.Thread(target=wait, daemon=True).start()

def after(count, act):
    when(lambda: stored() >= count, act)
"""


def run(folder, body):
    """A driver in a process of its own; it must succeed."""
    folder.mkdir(exist_ok=True)
    (folder / "grid.toml").write_text(GRID)
    (folder / "networks.toml").write_text(NETWORKS)
    more = {"PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0"}
    with mock.patch.dict(os.environ, more):
        code, printed = finish(forked.start(folder, execute, PRELUDE + textwrap.dedent(body), folder), timeout=400)
    assert code == 0, f"exit code {code}" + printed[-6000:]
    return printed


@contextmanager
def no_other_cluster(tmp_path_factory):
    """Clusters of tests that run beside each other would fight over cores and ports."""
    with (tmp_path_factory.getbasetemp().parent / "ray.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def one_cluster(tmp_path_factory):
    with no_other_cluster(tmp_path_factory):
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    whole(folder)
    return results(folder)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Folder and output of a driver that has a cluster do several things: clusters take long to start.

    At first it has two nodes, of a core each; then a worker is killed, and a node. A worker within each sweep of
    networks is killed too.
    """
    folder = tmp_path_factory.mktemp("several")
    with no_other_cluster(tmp_path_factory):
        printed = run(
            folder,
            """
            from dataclasses import dataclass, replace
            import torch
            from ray.cluster_utils import Cluster
            from safetensors.torch import save_file
            from running.numbers_to_square import Number, StartSquaring
            from sweeps.sweeping import children
            from spectail import analyze
            from spectail.running.queue import Queue
            from spectail.running.scheduler import WorkSummary, Scheduler

            def sentence(act):
                try:
                    act()
                except ValueError as error:
                    print(error)
            sentence(lambda: run_missing(experiments, store, Compute(ray="ray://here:10001")))
            sentence(lambda: run_missing(experiments, store, Compute(ray="127.0.0.1:1")))
            sentence(lambda: Resources(cpus=-1))
            sentence(lambda: Resources(cpus=0))
            sentence(lambda: Compute(ray="", workers=2))

            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
            node = cluster.add_node(num_cpus=1)
            ray.init(address=cluster.address, log_to_driver=False)
            sentence(lambda: run_missing(experiments, store, Compute(ray="", resources=Resources(gpus=64))))

            torch.set_num_threads(1)
            save_file({f"w{i}": torch.randn(1100, 60 + i) for i in range(4)}, folder / "m.safetensors")
            divided = analyze(folder / "m.safetensors", ray="", nulls=False, out=folder / "analysis").recording
            whole = analyze(folder / "m.safetensors", nulls=False).recording
            print("analysis is identical:", divided.drop_attrs().identical(whole.drop_attrs()))

            results = {}
            queue = Queue([[Number(1), Number(2)], [Number(3)]], is_done=lambda number: number.value in results)
            held = []
            executor = Compute(ray="").executor(StartSquaring(folder), held)
            with executor:
                keep = lambda number, result: results.update({number.value: result})
                as_expected = Scheduler(executor, queue, keep).run() == WorkSummary(3, [], False)
                print("work is done:", as_expected, sorted(results.items()))
                print("beside the driver:", sorted(ray.get(executor._actor.call.remote("copy"))), "and here:", held)

            def kill():
                for pid in children(os.getpid()):
                    if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::_do_chunk"):
                        os.kill(pid, signal.SIGKILL)
                        print("killed a worker")
                        return

            def kill_node():
                cluster.remove_node(node, allow_graceful=False)
                print("a node is gone")

            after(3, kill)
            after(8, kill_node)
            summary = run_missing(experiments, store, Compute(ray=""))
            assert summary.computed == 24 and not summary.failures, summary
            while sum(n["Alive"] for n in ray.nodes()) != 1:
                time.sleep(0.1)

            when(going_on, kill)
            summary = run_missing(networks, store, Compute(ray=""))
            assert summary.computed == 2 and not summary.failures, summary

            @dataclass(frozen=True)
            class Elsewhere(Compute):
                def executor(self, start, held, preload):
                    return super().executor(replace(start, mark=None), held, preload)

            store = Store(folder / "elsewhere" / "out", 0.0)
            after(3, kill)
            summary = run_missing(experiments, store, Elsewhere(ray=""))
            assert summary.computed == 24 and not summary.failures, summary
            when(going_on, kill)
            summary = run_missing(networks, store, Elsewhere(ray=""))
            assert summary.computed == 2 and not summary.failures, summary
            """,
        )
    return SimpleNamespace(folder=folder, printed=printed)


def test_an_analysis_on_a_cluster_has_the_bits_of_one_thread(cluster):
    assert "analysis is identical: True" in cluster.printed


def test_workers_reach_the_object_that_is_held_beside_the_driver_and_send_results_back(cluster):
    assert "work is done: True [(1, 1), (2, 4), (3, 9)]" in cluster.printed
    assert "beside the driver: [1, 2, 3] and here: []" in cluster.printed, "the actor has its own"


@pytest.mark.parametrize(
    "sentence",
    [
        "is the address of a Ray client",
        "ray='127.0.0.1:1' does not answer",
        "no node of the cluster has 1 CPUs and 64 GPUs",
        "cpus=-1 is not valid",
        "cpus=0 and gpus=0 leave nothing to compute with",
        "workers and ray are both given",
    ],
)
def test_what_the_cluster_cannot_do_is_one_sentence(cluster, sentence):
    assert sentence in cluster.printed


def test_workers_and_nodes_that_are_killed_lose_nothing(cluster, undisturbed):
    assert "killed a worker" in cluster.printed
    assert "a node is gone" in cluster.printed
    assert results(cluster.folder) == undisturbed
    assert results(cluster.folder, NETWORKS) == undisturbed_networks()


def test_a_worker_that_does_not_see_the_folder_and_is_killed_is_replaced(cluster, undisturbed):
    assert (
        cluster.printed.count("killed a worker") == 4
    )  # one in each sweep: of students and of networks, here and there
    assert results(cluster.folder / "elsewhere") == undisturbed
    assert results(cluster.folder / "elsewhere", NETWORKS) == undisturbed_networks()
    assert not states(cluster.folder / "elsewhere")


@pytest.mark.usefixtures("one_cluster")
def test_a_command_on_a_local_cluster_that_is_killed_is_resumed_by_the_same_command(tmp_path, undisturbed):
    process = start(tmp_path, "--ray", "local")
    wait_until(lambda: stored(tmp_path) >= 4)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    left = set((tmp_path / "out").glob(".sweep-*"))  # a killed driver could not take its token along
    found = re.search(r"24 runs: (\d+) found", whole(tmp_path, "--ray", "local"))
    assert 4 <= int(found[1]) < 24
    assert results(tmp_path) == undisturbed
    assert set((tmp_path / "out").glob(".sweep-*")) <= left


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """With which address Ray was asked to begin, where the last cluster is known, and gone."""
    calls = []
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    fake = SimpleNamespace(is_initialized=lambda: False, init=lambda **options: calls.append(options["address"]))
    return lambda address: (_connect(fake, address), calls.pop())[1]


def test_a_cluster_that_was_here_last_and_is_gone_is_not_waited_for(asked, monkeypatch):
    """Ray itself would try to reach it for four minutes."""
    assert asked("") == "local"
    with pytest.raises(SettingError, match=r"^ray='127\.0\.0\.1:1' does not answer"):
        asked("auto")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
    with pytest.raises(SettingError, match=r"^RAY_ADDRESS='127\.0\.0\.1:2' does not answer"):
        asked("")
