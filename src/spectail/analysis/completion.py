"""What a recording lacks and its spectra tell.

Not here: rows of weights that are there (`row`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from spectail.analysis.row import measure_spectrum, unmeasured_row
from spectail.analysis.two_layer_nulls import with_chance
from spectail.recording.layout import each_matrix, eigenvalues_at
from spectail.recording.quantities import OVER, select
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.spikes import visible_edge
from spectail.weights.matrix import WeightMatrix


def complete(recording: xr.Dataset) -> xr.Dataset:
    """Add the quantities that a recording lacks and its eigenvalues and shapes tell; nothing is guessed.

    Files of the first edition gain what they did not hold, two-layer runs their nulls, norms and ranks.

    Args:
        recording: of any kind.

    Returns:
        the same with every quantity of "spectrum" and "null"; NaN where eigenvalues do not tell; a two-layer run also
        with what it would have by chance (`two_layer_nulls`). As it is where
        spectra were not kept, or shapes are not known.

    >>> import spectail
    >>> run = spectail.simulate(spectail.Experiment(n=40, n_test=9, n_test_large=9, d=20, h=30, steps=1))
    >>> "z_hill" in run, complete(run)["z_hill"].dims
    (False, ('step',))
    """
    recording = with_chance(recording)
    missing = [q for q in select("null", "spectrum") if q.name not in recording.variables]
    if not missing or "eigenvalues" not in recording or not {"rows", "cols"} <= set(recording.coords):
        return recording
    rows = [[_from_spectrum(one, step) for step in range(one.sizes["step"])] for one in each_matrix(recording)]
    single = "matrix" not in recording.dims
    for q in missing:
        values = np.array([[row[q.name] for row in steps] for steps in rows], dtype=object).T
        values = values.astype(float) if q.dtype is not str else values
        table = values[0] if q.of == "null" else values
        dims = tuple(dim for dim in OVER[q.of] if not (single and dim == "matrix"))
        variable = (dims, table[..., 0] if single else table, q.attributes)
        recording = (
            recording.assign_coords({q.name: variable}) if q.of == "null" else recording.assign({q.name: variable})
        )
    return recording


def _from_spectrum(one: xr.Dataset, step: int) -> dict[str, Any]:
    """The row that a stored spectrum tells of."""
    rows, cols = int(one["rows"]), int(one["cols"])
    slices = int(one["slices"]) if "slices" in one.coords else 1
    kind = str(one["kind"].item()) if "kind" in one.coords else "weight"
    matrix = WeightMatrix(str(one["matrix"].item()), kind, rows, cols, slices, _unread)
    values = torch.from_numpy(eigenvalues_at(one, step))
    if not len(values):
        return unmeasured_row(matrix, ["no spectrum was kept"])
    row = measure_spectrum(values, matrix)
    if "n_spikes" in one.data_vars:  # counted past three scales of the law, before thresholds came from draws
        law = MarchenkoPastur(rows, cols, float(one["bulk_edge"][step]) / MarchenkoPastur(rows, cols).edges[1])
        row["visible_edge"] = visible_edge(law)
    return row


def _unread() -> Tensor:
    raise AssertionError("a stored spectrum has no weights behind it")
