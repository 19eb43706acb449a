"""How soon commands and the package are there: whole processes beside `python -c 'import torch'`, the best of five."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.timing import Row, seconds


def best_of_five(commands: list[list[str]], folder: Path) -> list[float]:
    """Seconds of each command, which take turns."""

    def run(command: list[str]) -> float:
        return seconds(lambda: subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, check=True))

    return [min(times) for times in zip(*([run(c) for c in commands] for _ in range(6)), strict=True)]  # one to warm up


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        torch.save({"fc.weight": torch.randn(20, 12)}, Path(folder) / "tiny.pt")
        bare, both, analysis, short, long = best_of_five(
            [
                ["-c", "import torch"],
                ["-c", "import torch, spectail"],
                ["-m", "spectail", "analyze", "tiny.pt"],
                ["-m", "spectail", "--help"],
                ["-m", "spectail", "run", "--help"],
            ],
            Path(folder),
        )
    ratio, beyond, whole = analysis / bare, both - bare, "whole process, the best of five"
    detail = f"{analysis:.2f} s, bare {bare:.2f} s; {whole}, nulls on disk"
    return [
        Row("spectail --help", short, " s", "≤ 0.4", short <= 0.4, whole),
        Row("spectail run --help", long, " s", "< 0.5", long < 0.5, whole),
        Row("spectail analyze of a 20 × 12 matrix over import torch", ratio, "×", "≤ 1.5", ratio <= 1.5, detail),
        Row("import spectail beyond torch", beyond, " s", "≤ 0.15", beyond <= 0.15, whole),
    ]
