"""Processes of their own that begin at once: forks of one that has imported what spectail needs."""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
THREADS |= {"OMP_WAIT_POLICY": "passive"}  # where a test asks for two, they sleep while they wait for each other
IMPORTED = ["spectail.sweeps.grid", "spectail.sweeps.sweep", "spectail.experiments.run", "netCDF4", "tyro"]
IMPORTED += ["spectail.study.plan", "torch._dynamo"]  # the latter is what the first step of an optimizer imports
IMPORTED += ["spectail.analysis.model", "spectail.weights.formats.safetensors"]


def start(folder, act, *arguments):
    """Call a function in a process of its own, on one thread and in a process group of its own.

    Args:
        folder: of the test; what the process prints is kept beside it, in a file that the process is named after.
        act: of a module; `execute` runs code.
        arguments: of it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    path = tempfile.mkstemp(prefix=f"{folder.name}-", suffix=".txt", dir=folder.parent)[1]
    environment = {**os.environ, **THREADS}
    process = context.Process(target=_run, args=(act, arguments, environment, path), name=path)
    with mock.patch.dict(os.environ, THREADS):
        process.start()
    return process


def output(process):
    """What a process has printed so far."""
    return Path(process.name).read_text()


def finish(process, timeout=120):
    """Exit code and output."""
    process.join(timeout)
    if process.exitcode is None:
        os.killpg(process.pid, signal.SIGKILL)
        raise TimeoutError(output(process))
    return process.exitcode, output(process)


def wait_until(condition, seconds=60):
    """Look until something has happened."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def execute(code, *arguments):
    """What `python -c CODE ARGUMENT...` does."""
    sys.argv[1:] = map(str, arguments)
    exec(code, {"__name__": "__main__"})


def _run(act, arguments, environment, path):
    os.setsid()
    os.environ.update(environment)  # the process that this one is a fork of may be older
    for stream in (1, 2):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), stream)
    import torch

    torch.set_num_threads(1)
    act(*arguments)
