"""Two things timed in turn, in one process, so that a drift of the machine's speed hits both."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class Row:
    """One line of the speed table: a number, its unit, and the bound that it must keep, if any."""

    what: str
    number: float
    unit: str
    bound: str
    kept: bool
    detail: str


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(a: Callable[[], object], b: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Medians of the seconds of a and of b, and of the ratio a/b of neighbours, after a warm-up."""
    a(), b()
    pairs = [(seconds(a), seconds(b)) for _ in range(rounds)]
    times_a, times_b = zip(*pairs, strict=True)
    return statistics.median(times_a), statistics.median(times_b), statistics.median(x / y for x, y in pairs)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread in torch, and in the libraries of numpy and scipy that WeightWatcher uses."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(threads)


def peak_memory(code: str) -> float:
    """Peak resident memory of a fresh process that runs the code, MiB (Linux).

    VmHWM starts anew with the program; ru_maxrss would keep the peak of the process that started it.
    """
    report = "\nfor line in open('/proc/self/status'):\n    if line.startswith('VmHWM'): print(line.split()[1])"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]) / 1024
