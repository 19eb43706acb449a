"""Where a quantity lies by chance: the typical value of its null, and two standard deviations to both sides.

Pictures, pages and tables have it from here. Not here: how a null is found (`row`,
`two_layer_nulls`, `comparison`), and how it is drawn.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spectail.recording.quantities import Quantity
from spectail.spectra.tails import KS_SPREAD

_LOGARITHMIC = {"pl_alpha_hill": 1.0, "pl_alpha_ks": 1.0, "stable_rank": 0.0, "effective_rank": 0.0}
"""By name, the reference of each quantity whose null's spread is that of log(quantity − reference).

For any other quantity the spread is that of the quantity itself."""


def null_band(recording: xr.Dataset, q: Quantity) -> NDArray[np.float64] | None:
    """What a quantity is by chance: at the foot, in the middle and at the top of a band.

    Args:
        recording: of any kind, or a part of one.
        q: the quantity.

    Returns:
        (3, …) with the dimensions of its null: two standard deviations below the typical value, the typical value, and
        two above; three times the typical value itself where no spread is known, NaN where no null is known. None where
        the recording has no such null.

    >>> import spectail
    >>> from spectail.recording.quantities import quantity
    >>> run = spectail.complete(spectail.simulate(spectail.Experiment(n=40, n_test=9, d=20, h=30, steps=1)))
    >>> null_band(run, quantity("alignment")).shape
    (3, 2)
    """
    if not q.null or q.null not in recording.variables:
        return None
    typical = _values(recording, q.null)
    name = q.null.replace("null_", "null_spread_").replace("_alpha_", "_")
    known = name in recording.variables
    spread = _values(recording, name) if known else np.asarray(KS_SPREAD if q.name == "pl_alpha_ks" else 0.0)
    deviations = 2.0 * spread * np.array([-1.0, 0.0, 1.0]).reshape(3, *(1 for _ in typical.shape))
    if q.name in _LOGARITHMIC:
        reference = _LOGARITHMIC[q.name]
        return np.asarray(reference + (typical - reference) * np.exp(deviations))
    return np.asarray(np.maximum(typical + deviations, 0.0))


def word_of_null(q: Quantity) -> str:
    """What has such values: "untrained" matrices, or directions and labels that agree "by chance"."""
    return "untrained" if q.of == "spectrum" else "by chance"


def _values(recording: xr.Dataset, name: str) -> NDArray[np.float64]:
    return np.asarray(recording[name].values, dtype=np.float64)
