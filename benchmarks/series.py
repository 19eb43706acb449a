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

CHECKPOINTS, BLOCKS = 20, 2  # of the twelve blocks of a GPT-2 (124M), each of which costs the same


def checkpoints(folder: Path) -> list[Path]:
    """Blocks of a GPT-2 of random weights, each state a little further than the one before."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_layer=BLOCKS))
    state = {name: weight.detach().clone() for name, weight in model.state_dict().items() if ".h." in name}
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
    """The series into a file, and the analyses one after the other, three times in turn."""
    with one_thread(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run").mkdir()
        paths = checkpoints(folder / "run")
        analyze(paths[0])  # the nulls are on disk from here on
        series, analyses = list[float](), list[float]()
        for at in range(3):
            analyses.append(cpu_seconds(lambda: [analyze(path) for path in paths]))
            series.append(cpu_seconds(partial(analyze_series, folder / "run", out=folder / f"{at}.nc")))
        ours, apart = min(series), min(analyses)
        size = (folder / "0.nc").stat().st_size / 2**20
    detail = (
        f"{CHECKPOINTS} checkpoints of {BLOCKS} of the 12 blocks of a GPT-2, every weight changed: {ours:.1f} CPU s, "
        f"apart {apart:.1f}; a file of {size:.1f} MiB"
    )
    return [Row("a series over as many analyses", ours / apart, "×", "≤ 1.05", ours / apart <= 1.05, detail)]
