"""One row beside the bare eigenvalue call, and beside a row that does not look at norms, by the processor's time.

There are rows of untrained matrices, whose norms a cheap test finds to be an untrained one's, and of matrices with
unequal rows and a spike, which are solved a second time; rows with shuffles, and with the kind of the tail;
comparisons; and what a new null costs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.timing import Row, one_thread
from spectail.analysis.model import compare
from spectail.analysis.null_cache import nulls_of_shape
from spectail.analysis.row import measure_matrix
from spectail.spectra.nulls import simulate_nulls
from spectail.weights.matrix import WeightMatrix

SHAPES = ((300, 200), (1000, 250), (1500, 1000), (512, 2048))

LARGE = (4096, 4096)


def untrained(rows: int, cols: int) -> torch.Tensor:
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(0))


def trained(rows: int, cols: int) -> torch.Tensor:
    """Rows of unequal norm, and a spike of three times the threshold."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(size, generator=generator) for size in (rows, cols))
    spike = 3 * math.sqrt(math.sqrt(rows * cols)) * torch.outer(left / left.norm(), right / right.norm())
    return (untrained(rows, cols) + spike) * torch.linspace(0.5, 1.5, rows)[:, None]


def heavy_entries(rows: int, cols: int) -> torch.Tensor:
    """Entries of Student's t(3) in rows of unequal norm: norms and the law of the entries are both taken out."""
    squares = torch.randn(3, rows, cols, generator=torch.Generator().manual_seed(1)).square().mean(0)
    return untrained(rows, cols) / squares.sqrt() * torch.linspace(0.5, 1.5, rows)[:, None]


def heavy_tailed(rows: int, cols: int) -> torch.Tensor:
    """Columns whose variances follow a power law of exponent 2.5, so that matrices with such a tail are drawn."""
    uniform = torch.rand(cols, generator=torch.Generator().manual_seed(1))
    return untrained(rows, cols) * uniform ** (-1 / 3)


def matrix_of(weights: torch.Tensor) -> WeightMatrix:
    slices = weights if weights.ndim == 3 else weights[None]
    count, rows, cols = slices.shape
    return WeightMatrix("w", "linear", rows, cols, count, lambda: slices, dtype="float32")


def bare(weights: torch.Tensor) -> None:
    """The float64 Gram matrix of the shorter side of each slice, and its eigenvalues."""
    for one in weights if weights.ndim == 3 else [weights]:
        short = one.double() if one.shape[0] < one.shape[1] else one.double().T
        torch.linalg.eigvalsh(short @ short.T)


def before(matrix: WeightMatrix) -> None:
    """A row whose phase comes from fixed thresholds, and its z."""
    row, _ = measure_matrix(matrix, nulls=False)
    nulls_of_shape(matrix.rows, matrix.cols).hill.z(row["pl_alpha_hill"])


def cpu(work: Callable[[], object]) -> float:
    """Seconds of this process, so that others on the machine matter little."""
    start = time.process_time()
    work()
    return time.process_time() - start


def least(rounds: int, *works: Callable[[], object]) -> list[float]:
    """The least seconds of each, in turn, after a warm-up."""
    for work in works if rounds > 1 else ():
        work()
    times = [[cpu(work) for work in works] for _ in range(rounds)]
    return [min(column) for column in zip(*times, strict=True)]


def _rounds(weights: torch.Tensor) -> int:
    return 30 if weights.numel() < 4e5 else 5 if weights.numel() < 4e6 else 1


def default_row(weights: torch.Tensor, what: str, most: float) -> Row:
    matrix = matrix_of(weights)
    measure_matrix(matrix)  # nulls are kept from here on
    works = (lambda: bare(weights), lambda: before(matrix), lambda: measure_matrix(matrix))
    call, old, row = least(_rounds(weights), *works)
    detail = f"{row * 1e3:.1f} ms, without {old * 1e3:.1f} ms, bare call {call * 1e3:.1f} ms"
    title = f"the row of {_name(weights)}, {what}, over one that does not look at norms"
    return Row(title, row / old, "×", f"≤ {most}", row <= most * old, detail)


def on_request(weights: torch.Tensor, what: str, most: float, **options: Any) -> Row:
    matrix = matrix_of(weights)
    measure_matrix(matrix)
    call, row = least(max(_rounds(weights) // 3, 2), lambda: bare(weights), lambda: measure_matrix(matrix, **options))
    title = f"the row of {_name(weights)} with {what}, over the bare call"
    return Row(title, row / call, "×", f"≤ {most:g}", row <= most * call, f"{row:.2f} s")


def comparison(shape: tuple[int, int]) -> Row:
    weights = untrained(*shape)
    later = weights + 0.01 * trained(*shape)
    call, both = least(
        2, lambda: bare(weights), lambda: compare({"w": weights}, {"w": later}, progress=lambda *_: None)
    )
    detail = "spectra of before, after and the change, and leading directions of two"
    return Row(f"compare of two {_name(weights)}, over the bare call", both / call, "×", "–", True, detail)


def new_null(shape: tuple[int, ...], **options: bool) -> Row:
    weights = torch.randn(*shape)
    (call,), (null,) = (
        least(1, lambda: bare(weights)),
        least(1, lambda: simulate_nulls(*shape[-2:], *shape[:-2], **options)),
    )
    most = max(2 * call, 5.0)
    what = "".join(f", {name}" for name, is_so in options.items() if is_so)
    return Row(f"a null of {_name(weights)}{what}", null, " s", f"≤ {most:.1f}", null <= most, "once a shape")


def _name(weights: torch.Tensor) -> str:
    return " × ".join(map(str, weights.shape))


def rows() -> list[Row]:
    kernel = torch.randn(9, 256, 256, generator=torch.Generator().manual_seed(0))
    with one_thread():
        table = [default_row(untrained(*shape), "untrained", 1.1) for shape in (*SHAPES, LARGE)]
        table += [default_row(trained(*shape), "trained", 2.2) for shape in (*SHAPES, LARGE)]
        table += [default_row(heavy_entries(*shape), "of heavy entries", 2.2) for shape in SHAPES]
        table += [on_request(trained(*shape), "nulls='full'", 25.0, nulls="full") for shape in SHAPES]
        table += [on_request(kernel, "nulls='full'", 25.0, nulls="full")]
        table += [on_request(heavy_tailed(*shape), "tail=True", 120.0, tail=True) for shape in SHAPES]
        table += [comparison(shape) for shape in SHAPES]
        shapes = (*SHAPES, LARGE)
        table += [new_null(shape, balanced=balanced) for shape in shapes for balanced in (False, True)]
        return [*table, new_null((9, 256, 256), normalised=True), new_null((49, 64, 3), normalised=True)]
