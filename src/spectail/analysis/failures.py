"""Why a matrix could not be measured, in a sentence that says what would help.

Not here: the row that says so (`row`).
"""

from __future__ import annotations

import errno

from spectail.analysis.cost import bytes_needed
from spectail.errors import SpectailError
from spectail.weights.matrix import WeightMatrix


def why_not(error: Exception, matrix: WeightMatrix) -> str:
    """One sentence on what was in the way, and what would help."""
    first = next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM or "memory" in first.lower():
        where, instead = (" on the device", "device cpu") if "CUDA" in first else ("", "fewer workers at once")
        return f"no memory{where}: it needs about {bytes_needed(matrix) / 2**30:.2g} GiB; {instead}, or more memory"
    return first if isinstance(error, SpectailError | OSError) and first else f"{type(error).__name__}: {first:.200}"
