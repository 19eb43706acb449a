"""A sweep in a process of its own, that the tests can kill."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import spectail.sweeps.store as stores
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


def start(folder, *options, setup="", grid=GRID):
    """`spectail sweep` with checkpoints at every step, on one thread, in a process group of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "grid.toml").write_text(grid)
    code = (
        "import sys, torch\n"
        "import spectail.sweeps.store as s, spectail.sweeps.checkpoint as c\n"
        "if __name__ == '__main__':\n"
        "    torch.set_num_threads(1)\n"
        f"    {setup or 'pass'}\n"
        "    original = s.Store.__init__\n"
        "    s.Store.__init__ = lambda self, root, seconds=0.0: original(self, root, 0.0)\n"
        "    from spectail.cli import main; main(sys.argv[1:])\n"
    )
    script = folder / "command.py"
    script.write_text(code)
    command = [sys.executable, str(script), "sweep", str(folder / "grid.toml"), "--out", str(folder / "out"), *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, **THREADS},
    )  # fmt: skip


def finish(process, timeout=120):
    """Exit code and output."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, output


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
    found = {e.key: store.get(e) for e in Grid.read(path).experiments()}
    assert all(run is not None for run in found.values())
    return {key: run.checksum for key, run in found.items()}


def wait_until(condition, seconds=60):
    """Look until something has happened."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def children(pid):
    """Processes below one, deepest last (Linux)."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *children(child)]
    return found
