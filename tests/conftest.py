"""Types and shapes in signatures are checked while the tests run; workers do not fight over cores."""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from multiprocessing.util import Finalize
from pathlib import Path

from forked import THREADS

# Workers inherit it: in these pytest's plugins import numpy before this file is read, which then keeps its threads.
os.environ.update(THREADS)

import hypothesis
import jaxtyping
import pytest
import torch

from typechecker import unchecked_types

# The tests start many processes of this package: each would compile it anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Ray gives its workers what others leave, which beside busy workers of tests is next to nothing.
os.environ.setdefault("RAY_worker_niceness", "0")

CHECKED = ["spectra", "weights", "analysis", "monitor", "experiments"]
jaxtyping.install_import_hook([f"spectail.{room}" for room in CHECKED], "typechecker.check")

# What is kept safely is flushed to the disk, and the tests would wait for it a thousand times a minute.
MEMORY, ROOM = Path("/dev/shm"), 4e9
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)  # where what failing tests wrote is kept
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="spectail-tests-", dir=MEMORY)
    # After multiprocessing has removed its own folder in it, for which it has the priority -100.
    Finalize(None, shutil.rmtree, (os.environ["TMPDIR"], True), exitpriority=-200)

if "PYTEST_XDIST_WORKER" not in os.environ:
    # Nulls that an earlier version has kept may differ in the last bit. Workers of tests inherit this folder.
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="spectail-tests-")
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

hypothesis.settings.register_profile("busy machine", deadline=None)  # whatever else it does at that time
hypothesis.settings.load_profile("busy machine")

FIRST = (  # the longest tests, that none is left when all others are done; and what imports the same large libraries
    "running/test_ray",
    "sweeps/test_faults",
    "study/test_reproduce",
    "study/test_making",
    "weights/test_families",
    "monitor/test_callbacks",
)


def pytest_collection_modifyitems(items):
    def place(item):
        return next((at for at, file in enumerate(FIRST) if f"tests/{file}" in item.nodeid), len(FIRST))

    items.sort(key=place)


def pytest_collection_finish():
    gc.freeze()  # what was imported stays: looking through it again and again took a twentieth of the time


@pytest.fixture(autouse=True)
def _no_width(monkeypatch):
    """Tables have all their columns where nothing says how wide the terminal is; pytest-xdist does."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def _same_numbers():
    """What a test draws without a seed of its own is the same each time."""
    torch.manual_seed(0)


@pytest.fixture
def unchecked():
    """Without that check: it would speak before the code that says what is wrong, and it draws random numbers."""
    with unchecked_types():
        yield
