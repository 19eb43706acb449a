"""Nulls of shapes that were met before, on disk.

Not here: how nulls are simulated (`spectra/nulls.py`), and where their bands lie (`null_bands`).
"""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path

from spectail.files import write_content
from spectail.spectra.nulls import ExponentNull, Nulls, StatisticNull, simulate_nulls

_EDITION = 4
"""Of the simulation and of the files; a new one finds nothing of the old."""


def nulls_of_shape(rows: int, cols: int, slices: int = 1, normalised: bool = False, balanced: bool = False) -> Nulls:
    """The nulls of matrices of a shape: read if they were simulated before on this machine.

    Where they are kept changes nothing but the time: a file that is damaged, or a folder that cannot be
    written to, means that they are simulated again, from the same seed.

    Args:
        rows: of one matrix; it may be exchanged with cols.
        cols: of one matrix.
        slices: how many are pooled.
        normalised: whether each slice is divided by its mean eigenvalue first.
        balanced: whether rows and columns of a single matrix are scaled to one norm first.

    Raises:
        SpectailError: the spectra have fewer than three eigenvalues.
    """
    options = (normalised and slices > 1, balanced and slices == 1)
    return _nulls_of_shape(max(rows, cols), min(rows, cols), slices, *options, cache_folder())


def cache_folder() -> Path | None:
    """Where nulls are kept, as the platform has it: ~/.cache/spectail/nulls on Linux, unless XDG_CACHE_HOME is set.

    None where there is no home: they are simulated again by each process.
    """
    try:
        return user_cache_path("spectail", appauthor=False) / "nulls"
    except RuntimeError:
        return None


@lru_cache(maxsize=4096)
def _nulls_of_shape(
    longer: int, shorter: int, slices: int, normalised: bool, balanced: bool, folder: Path | None
) -> Nulls:
    variant = "-normalised" if normalised else "-balanced" if balanced else ""
    name = f"{longer}x{shorter}x{slices}{variant}-{_EDITION}.json"
    path = folder / name if folder else None
    nulls = _read(path) if path else None
    if nulls is None:
        nulls = simulate_nulls(longer, shorter, slices, normalised=normalised, balanced=balanced)
        with contextlib.suppress(OSError):  # simulated again next time
            if path:
                write_content(path, json.dumps(asdict(nulls), indent=1))
    return nulls


def _read(path: Path) -> Nulls | None:
    """What a file holds; None where there is none, or it is damaged."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        hill, alpha_ks = ExponentNull(**fields.pop("hill")), fields.pop("alpha_ks")
        others = {name: StatisticNull(**null) for name, null in fields.items()}
        nulls = Nulls(hill, alpha_ks, **others)
        numbers = [alpha_ks, hill.mean, hill.spread]
        for null in others.values():
            numbers += [null.mean, null.spread, null.skewness]
        sound = all(isinstance(x, int | float) and math.isfinite(x) for x in numbers)
        sound = sound and min(hill.spread, *(null.spread for null in others.values())) > 0
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return nulls if sound else None
