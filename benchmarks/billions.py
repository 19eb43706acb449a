"""What the spectra of models of 8 and 70 billion weights cost: a matrix of each true shape measured, the rest reckoned.

A slice of a layer of Llama 3 with 8 billion weights, in bfloat16, Gaussian with spikes, read from a file. Times are of
the processor, so that others on the machine hardly matter. What is reckoned, not measured, says so.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.timing import Row, one_thread, seconds
from spectail.analysis.cost import work
from spectail.analysis.model import analyze
from spectail.weights.matrix import WeightMatrix

Shapes = dict[str, tuple[int, tuple[int, int]]]

SLICE: Shapes = {
    "q, o": (2, (4096, 4096)),
    "k, v": (2, (1024, 4096)),
    "gate, up": (2, (14336, 4096)),
    "down": (1, (4096, 14336)),
}
"""How many of each shape a layer has."""

OF_70B: Shapes = {
    "q, o": (2, (8192, 8192)),
    "k, v": (2, (1024, 8192)),
    "gate, up": (2, (28672, 8192)),
    "down": (1, (8192, 28672)),
}

VOCABULARY = 128256

MODELS = (("8B", 32, SLICE, 4096), ("70B", 80, OF_70B, 8192))

TWO_WORKERS = 1.6  # times as fast as one thread: what benchmarks.workers measures

GPU_PRODUCTS, GPU_REDUCTION = 59e12, 0.8e12  # operations a second in float64 at 4096 columns, measured on an H100


def weights(rows: int, cols: int) -> torch.Tensor:
    """Gaussian, with three spikes of two to four times the edge of the bulk."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(rows, cols, generator=generator)
    for strength in (2.0, 3.0, 4.0):
        u, v = (torch.randn(size, generator=generator) for size in (rows, cols))
        matrix.addr_(u / u.norm(), v / v.norm(), alpha=strength * (math.sqrt(rows) + math.sqrt(cols)))
    return (0.02 * matrix).bfloat16()


def cpu_seconds(do: Callable[[], object]) -> float:
    """Seconds of the processor that this process takes, on all its threads."""
    start = time.process_time()
    do()
    return time.process_time() - start


def bare(values: torch.Tensor) -> tuple[float, float]:
    """Seconds of a float64 Gram matrix, and of its eigenvalues."""
    short = values.double() if values.shape[0] <= values.shape[1] else values.double().T
    gram: list[torch.Tensor] = []
    return cpu_seconds(lambda: gram.append(short @ short.T)), cpu_seconds(lambda: torch.linalg.eigvalsh(gram[0]))


def measured() -> tuple[list[Row], float]:
    """Each shape of a layer from a file, two of them beside the bare calls; and seconds a unit of work."""
    rows, total = [], 0.0
    for name, (count, (height, width)) in SLICE.items():
        values = weights(height, width)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.safetensors"
            save_file({"w": values}, path)
            taken = cpu_seconds(partial(analyze, path, nulls=False))
            detail = "one thread, from a file"
            if torch.cuda.is_available():
                detail += f"; by the GPU {seconds(partial(analyze, path, nulls=False, device='cuda')):.2f} s"
        rows.append(Row(f"8B: {name}, bfloat16, {height} × {width}", taken, " s", "–", True, detail))
        total += count * taken
        if name in ("q, o", "down"):
            gram, eigenvalues = bare(values)
            least, bound = (eigenvalues, 1.15) if height == width else (gram + eigenvalues, 0.75)
            what = f"the row of {height} × {width} over bare float64 {'Gram + ' * (height != width)}eigvalsh"
            rows.append(Row(what, taken / least, "×", f"≤ {bound}", taken <= bound * least, f"bare {least:.1f} s"))
    return rows, total / layer_work(SLICE)


def layer_work(shapes: Shapes) -> float:
    """The work of a layer, in the unit of `spectail.analysis.cost.work`."""
    return sum(count * work(described(*shape)) for count, shape in shapes.values())


def described(rows: int, cols: int) -> WeightMatrix:
    """A matrix of which only the shape is known."""
    return WeightMatrix("w", "linear", rows, cols, 1, lambda: torch.empty(0), dtype="bfloat16")


def on_gpu(height: int, width: int) -> float:
    """Seconds of a row whose weights lie in the memory of the host, nulls on disk."""
    state = {"w": weights(height, width)}
    analyze(state, device="cuda")
    return seconds(partial(analyze, state, device="cuda"))


def reckoned(a_unit: float) -> list[Row]:
    """What whole models cost, by the work of each matrix and the speed of one thread here, and on a GPU by its own."""
    rows = []
    for model, layers, shapes, width in MODELS:
        ends = {"embedding, head": (2, (VOCABULARY, width))}
        one = a_unit * (layers * layer_work(shapes) + layer_work(ends)) / 60
        every = [(layers * count, shape) for count, shape in shapes.values()] + list(ends.values())
        products = sum(count * min(shape) ** 2 * max(shape) for count, shape in every)
        reductions = sum(count * 4 / 3 * min(shape) ** 3 for count, shape in every)
        gpu, how_gpu = (2 * products / GPU_PRODUCTS + reductions / GPU_REDUCTION) / 60, "reckoned from an H100's speed"
        if torch.cuda.is_available():
            gpu, how_gpu = sum(count * on_gpu(*shape) for count, shape in every) / 60, "a matrix of each shape measured"
        for where, minutes, how in (
            ("one core", one, "reckoned from the slice, by the work of each shape"),
            ("2 cores", one / TWO_WORKERS, f"reckoned: {TWO_WORKERS} times as fast, by benchmarks.workers"),
            ("16 cores", one / (8 * TWO_WORKERS), "reckoned: as for 2, and as much memory bandwidth a core"),
            ("one GPU", gpu, how_gpu),
        ):
            rows.append(Row(f"{model}: all matrices, {where}", minutes, " min", "–", True, how))
    return rows


def rows() -> list[Row]:
    with one_thread():
        of_slice, a_unit = measured()
    return [*of_slice, *reckoned(a_unit)]
