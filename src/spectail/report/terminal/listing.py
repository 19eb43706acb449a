"""The matrices of a source on the terminal, before any is read: names, shapes, and what measuring them would take.

Not here: what was measured (`recording`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import torch
from rich.text import Text

from spectail.analysis.cost import bytes_needed, bytes_stored, work
from spectail.analysis.row import measure_matrix
from spectail.report.terminal.tables import console, print_table
from spectail.report.wording import duration, skipped_by_reason
from spectail.weights.matrix import WeightMatrix, Weights

_PROBE = 512  # columns of the matrix by whose time the others' are estimated


def print_matrices(sources: Iterable[Weights]) -> None:
    """Print what each source holds, and about what it takes to analyse it.

    Args:
        sources: the weights of each, not read.
    """
    for weights in sources:
        _print_matrices_of(weights)


def _print_matrices_of(weights: Weights) -> None:
    rows = [("matrix", "kind", "shape", "dtype", "note")]
    for one in weights.matrices:
        shape = f"{one.rows}×{one.cols}" if one.slices == 1 else f"{one.slices}×{one.rows}×{one.cols}"
        rows.append((one.name, one.kind, shape, one.dtype, one.note))
    print_table(repr(weights), rows)
    out = console()
    for reason, names in skipped_by_reason(weights.skipped):
        out.print(Text(f"  {reason}  {names}", style="dim"), soft_wrap=True)
    if weights.matrices:
        costs = _costs(weights)
        out.print(
            f"about {duration(costs['seconds'])} of one thread, within a factor of 2, and nulls of shapes that are new "
            f"here; {costs['bytes'] / 1e9:.2g} GB to read, at most {costs['memory'] / 2**30:.2g} GiB of memory at once",
            soft_wrap=True,
        )


def matrices_answer(weights: Weights) -> dict[str, Any]:
    """What `print_matrices` says of one source, for JSON."""
    fields = ("name", "kind", "slices", "rows", "cols", "dtype", "note")
    rows = [{name: getattr(one, name) for name in fields} for one in weights.matrices]
    costs = _costs(weights) if weights.matrices else {}
    return {"title": repr(weights), "rows": rows, "skipped": list(map(vars, weights.skipped)), "takes": costs}


def _costs(weights: Weights) -> dict[str, float]:
    """Seconds of one thread, bytes to read, and bytes of memory at once."""
    return {
        "seconds": _seconds_of_work() * sum(map(work, weights.matrices)),
        "bytes": sum(map(bytes_stored, weights.matrices)),
        "memory": max(map(bytes_needed, weights.matrices)),
    }


def _seconds_of_work() -> float:
    """How long a unit of work takes one thread here."""
    weights = torch.randn(1, _PROBE, _PROBE, generator=torch.Generator().manual_seed(0))
    matrix = WeightMatrix("probe", "linear", _PROBE, _PROBE, 1, lambda: weights)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        measure_matrix(matrix, nulls=False)  # what a library does once
        start = time.perf_counter()
        measure_matrix(matrix, nulls=False)
        return (time.perf_counter() - start) / work(matrix)
    finally:
        torch.set_num_threads(threads)
