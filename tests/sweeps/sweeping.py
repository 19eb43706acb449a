"""A sweep in a process of its own, that the tests can kill."""

import contextlib
import tomllib
from pathlib import Path

import forked
import spectail.store.store as stores
from forked import finish
from spectail.experiments.run import simulate
from spectail.sweeps.grid import Grid

GRID = """
[fixed]
n = 160
n_test = 5
n_test_large = 5
d = 60
h = 90
steps = 20

[axes]
optimizer = ["gd", "adam"]
lr = { log = [0.01, 1], points = 4 }
seed = [0, 1, 2]
"""
RUNS = 24

NETWORKS = """
[fixed]
dataset = "modular-addition-11"
images = 100
h = 16
steps = 40
record = [0, 20, 40]
batch = 50

[axes]
lr = [0.01, 0.02]
"""


def start(folder, *options, setup="", grid=GRID):
    """`spectail sweep` whose states are kept at every step.

    Args:
        folder: where it works.
        options: of the command.
        setup: Python to run first.
        grid: as TOML.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "grid.toml").write_text(grid)
    return command(folder, "sweep", str(folder / "grid.toml"), "--out", str(folder / "out"), *options, setup=setup)


def command(folder, *arguments, setup=""):
    """A command of spectail, whose states are kept at every step; `setup` is Python to run first."""
    return forked.start(folder, _command, arguments, setup)


def _command(arguments, setup):
    from spectail.cli import main

    exec(setup, {})  # as a module of its own, whose functions see its names
    original = stores.Store.__init__
    stores.Store.__init__ = lambda self, root, seconds=0.0, **others: original(self, root, 0.0, **others)
    main(arguments)


def whole(folder, *options, **more):
    """Run a sweep to its end; it must succeed."""
    code, output = finish(start(folder, *options, **more))
    assert code == 0, output
    return output


def results(folder, grid=GRID):
    """Checksums of the results by key; every run of the grid must be there, and whole."""
    path = folder / "again.toml"
    path.write_text(grid)
    store = stores.Store(folder / "out")
    runs = {e.key: store.get(e) for e in Grid.read(path).experiments()}
    assert all(run is not None for run in runs.values())
    return {key: run.checksum for key, run in runs.items()}


def undisturbed_networks():
    """Checksums of the runs of `NETWORKS` by key, computed here."""
    return {e.key: simulate(e).checksum for e in Grid.read(tomllib.loads(NETWORKS)).experiments()}


def stored(folder):
    """How many runs are kept, of students and of networks."""
    return len([*(folder / "out" / "runs").glob("*.nc"), *(folder / "out" / "trainings").glob("*.nc")])


def states(folder):
    """What is kept of runs that go on, of students and of networks."""
    return [*(folder / "out" / "checkpoints").glob("*.ckpt"), *(folder / "out" / "trainings").glob("*.state")]


def children(pid):
    """Processes below one, deepest last (Linux)."""
    below = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                below += [child, *children(child)]
    return below
