"""The recording behind what a user hands over.

Not here: files (`reading.py`), and what is in a recording (`layout.py`).
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from spectail.errors import StoreError


def as_recording(x: Any) -> xr.Dataset:
    """The recording behind what a user has.

    Args:
        x: a recording, or what has one: an analysis, a comparison, a monitor.

    Raises:
        StoreError: it is none.
    """
    recording = getattr(x, "recording", x)
    if not isinstance(recording, xr.Dataset) or "matrix" not in recording.coords:
        raise StoreError(f"{type(x).__name__} is not a recording; expected one, or what spectail.analyze returned")
    return recording
