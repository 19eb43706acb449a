"""What it takes to measure a matrix: memory, and time.

Not here: how much memory there is (running/memory).
"""

from __future__ import annotations

from spectail.weights.matrix import WeightMatrix


def bytes_needed(matrix: WeightMatrix) -> int:
    """About how much memory it takes at most to measure a matrix: as it is stored, and in float64 what is solved.

    Args:
        matrix: not read.

    Returns:
        bytes, without those of the interpreter.
    """
    shorter, longer = sorted((matrix.rows, matrix.cols))
    if matrix.factors is not None:
        return 64 * min(matrix.rank, shorter) * (matrix.rows + matrix.cols)
    copies = 2 if matrix.slices > 1 else 1  # a slice of a kernel lies scattered over all of it
    pooled = 24 * matrix.slices * shorter  # eigenvalues, sorted and compared
    return copies * bytes_stored(matrix) + max(8 * shorter * longer, 20 * shorter**2) + pooled


def bytes_stored(matrix: WeightMatrix) -> int:
    """How much memory the weights of a matrix take as they are stored."""
    each = {"float64": 8, "float32": 4, "": 4}.get(matrix.dtype, 2)
    if matrix.factors is not None:
        return each * matrix.rank * (matrix.rows + matrix.cols)
    return each * matrix.slices * matrix.rows * matrix.cols


def work(matrix: WeightMatrix) -> float:
    """About how long a matrix takes, in some unit: the products and the eigenvalues of its Gram matrices."""
    if matrix.factors is not None:
        return float(matrix.rank**2 * (matrix.rows + matrix.cols))
    shorter, longer = sorted((matrix.rows, matrix.cols))
    return matrix.slices * shorter**2 * (longer + 3.0 * shorter)
