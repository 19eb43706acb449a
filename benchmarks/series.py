"""A series of checkpoints beside as many analyses: what keeping rows, hashing weights and going on cost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.timing import Row, one_thread
from spectail.analysis.model import analyze
from spectail.analysis.series import analyze_series

CHECKPOINTS, ROUNDS = 20, 2


def checkpoints(folder: Path) -> list[Path]:
    """A GPT-2 (124M) of random weights, each state a little further than the one before: 10 GB."""
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(0)
    state = GPT2Model(GPT2Config()).state_dict()
    paths = []
    for at in range(CHECKPOINTS):
        paths.append(folder / f"step-{100 * at}.safetensors")
        save_file(state, paths[-1])
        for name, weight in state.items():
            state[name] = weight + 0.002 * torch.randn_like(weight)
    return paths


def cpu_seconds(work: Callable[[], object]) -> float:
    """Seconds of the processor that this process takes: other work on the machine does not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def rows() -> list[Row]:
    """The series into a file, and the analyses one after the other, in turn: seven minutes."""
    with one_thread(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run").mkdir()
        paths = checkpoints(folder / "run")
        analyze(paths[0])  # the nulls are on disk from here on
        series, analyses = list[float](), list[float]()
        for at in range(ROUNDS):
            analyses.append(cpu_seconds(lambda: [analyze(path) for path in paths]))
            series.append(cpu_seconds(partial(analyze_series, folder / "run", out=folder / f"{at}.nc")))
        ours, apart = min(series), min(analyses)
        size = (folder / "0.nc").stat().st_size / 2**20
    detail = (
        f"{CHECKPOINTS} checkpoints of a GPT-2 (124M), every weight changed: {ours:.1f} CPU s, apart {apart:.1f}; "
        f"a file of {size:.1f} MiB"
    )
    return [Row("a series over as many analyses", ours / apart, "×", "≤ 1.05", ours / apart <= 1.05, detail)]
