"""One analysis by one process on one thread, on two, and by two workers, as commands, in one run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.timing import Row, seconds
from spectail.analysis.null_cache import nulls_of_shape

SHAPES = ((2048, 2048), (3072, 2048), (2560, 2560), (4096, 2048))


def analysis(source: Path, threads: int, *options: str) -> float:
    """Seconds of a command, the start of the interpreter included."""
    command = [sys.executable, "-m", "spectail", "analyze", str(source), *options]
    limited = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return seconds(lambda: subprocess.run(command, env=os.environ | limited, check=True, capture_output=True))


def rows() -> list[Row]:
    generator = torch.Generator().manual_seed(0)
    for shape in SHAPES:
        nulls_of_shape(*shape)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "m.safetensors"
        state = {f"layer{i}.weight": torch.randn(SHAPES[i % len(SHAPES)], generator=generator) for i in range(24)}
        save_file(state, source)
        one, two, divided = analysis(source, 1), analysis(source, 2), analysis(source, 2, "--workers", "2")
    detail = (
        f"24 matrices of 2048 to 4096, nulls on disk: {one:.1f} s, two threads {two:.1f} s, workers {divided:.1f} s"
    )
    return [
        Row("one process on one thread over --workers 2", one / divided, "×", "≥ 1.7", one / divided >= 1.7, detail),
        Row(
            "one process on two threads over --workers 2", two / divided, "×", "≥ 1", two / divided >= 1, "the same run"
        ),
    ]
