"""A sweep in a process of its own, that the tests can kill."""

import contextlib
import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path
from unittest import mock

import spectail.store.store as stores
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
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
NEEDED = ["spectail.sweeps.grid", "spectail.sweeps.sweep", "spectail.experiments.two_layer.run", "netCDF4", "tyro"]
NEEDED += ["spectail.study.plan", "torch._dynamo"]  # the latter is what the first step of an optimizer imports


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
    """A command of spectail on one thread, whose states are kept at every step, in a process group of its own.

    The process is forked from one that has imported what it needs, and so begins at once. What it prints
    is kept beside the folder, in a file that the process is named after.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(NEEDED)
    output = tempfile.mkstemp(prefix=f"{folder.name}-", suffix=".txt", dir=folder.parent)[1]
    process = context.Process(target=_run, args=(arguments, setup, output), name=output)
    with mock.patch.dict(os.environ, THREADS):
        process.start()
    return process


def _run(arguments, setup, output):
    os.setsid()
    for stream in (1, 2):
        os.dup2(os.open(output, os.O_WRONLY | os.O_APPEND), stream)
    import torch

    from spectail.cli import main

    torch.set_num_threads(1)
    exec(setup, {})  # as a module of its own, whose functions see its names
    original = stores.Store.__init__
    stores.Store.__init__ = lambda self, root, seconds=0.0: original(self, root, 0.0)
    main(arguments)


def finish(process, timeout=120):
    """Exit code and output."""
    process.join(timeout)
    if process.exitcode is None:
        os.killpg(process.pid, signal.SIGKILL)
        raise TimeoutError(Path(process.name).read_text())
    return process.exitcode, Path(process.name).read_text()


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


def stored(folder):
    """How many runs are kept."""
    return len(list((folder / "out" / "runs").glob("*.nc")))


def wait_until(condition, seconds=60):
    """Look until something has happened."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def children(pid):
    """Processes below one, deepest last (Linux)."""
    below = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                below += [child, *children(child)]
    return below
